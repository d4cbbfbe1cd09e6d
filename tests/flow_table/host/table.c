/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "host/maps.h"
#include "host/table.h"
#include "lib/flow_table.h"
#include "lib/pair.h"

/*
 * Between the table and those who use it stands the observer. Every insert and removal, also those
 * within a search for a port, passes here.
 */
static struct table_observer observer;

static int observed_insert(const struct flow_entry *new, __u32 *slot)
{
	int result = flow_insert(new, slot);

	if (result == FLOW_INSERTED && observer.inserted)
		observer.inserted(new);
	return result;
}

static int remove_watched(const struct flow_entry *known, int removal, __u32 now, struct flow_entry *removed)
{
	struct flow_entry before = *known; /* which `removed` may be as well */
	int done;

	if (observer.removing)
		observer.removing(&before);
	done = flow_remove(known, removal, now, removed);
	if (!done && observer.kept)
		observer.kept(&before);
	return done;
}

static int observed_remove(const struct flow_entry *known, int removal, __u32 now, struct flow_entry *removed)
{
#ifdef HOST_REVERSE_FIRST
	/* Gives a flow's external tuple away while its forward entry still translates to it. */
	if (removal == FLOW_REMOVE_ANY && known->key.zone != ZONE_OUTSIDE &&
	    known->key.kind == FLOW_KIND_FLOW && !(known->flags & FLOW_MAPPED)) {
		struct flow_entry reverse = *known;

		flow_reverse_key(known, &reverse.key);
		remove_watched(&reverse, FLOW_REMOVE_ANY, now, &reverse);
		host_yield(); /* an interrupt just here is rare, and what shows the fault */
	}
#endif
	return remove_watched(known, removal, now, removed);
}

#define flow_insert observed_insert
#define flow_remove observed_remove

#include "lib/stages.h"
#ifndef FLOW_TABLE_HASH /* the reaper is told of slots */
#include "reaper.bpf.c"
#else
const __u32 workspace_owner = WORKSPACE_OF_PACKETS;
#endif

_Static_assert((int)TABLE_INSERTED == FLOW_INSERTED && (int)TABLE_EXISTS == FLOW_EXISTS &&
		       (int)TABLE_FULL == FLOW_FULL,
	       "results of an insert");
_Static_assert((int)TABLE_REMOVE_ANY == FLOW_REMOVE_ANY && (int)TABLE_REMOVE_EXPIRED == FLOW_REMOVE_EXPIRED &&
		       (int)TABLE_REMOVE_UNREFERENCED == FLOW_REMOVE_UNREFERENCED,
	       "removals");
_Static_assert((int)TABLE_REFERENCES_UNKNOWN == FLOW_REFERENCES_UNKNOWN &&
		       (int)TABLE_REFERENCES_LEFT == FLOW_REFERENCES_LEFT &&
		       (int)TABLE_REFERENCES_NONE == FLOW_REFERENCES_NONE,
	       "references");
_Static_assert((int)TABLE_EVENT_NONE == EVENT_NONE && (int)TABLE_EVENT_ANSWER_INSIDE == EVENT_ANSWER_INSIDE &&
		       (int)TABLE_EVENT_ANSWER_OUTSIDE == EVENT_ANSWER_OUTSIDE &&
		       (int)TABLE_EVENT_SYN_INSIDE == EVENT_SYN_INSIDE &&
		       (int)TABLE_EVENT_SYN_OUTSIDE == EVENT_SYN_OUTSIDE &&
		       (int)TABLE_EVENT_FIN_INSIDE == EVENT_FIN_INSIDE &&
		       (int)TABLE_EVENT_FIN_OUTSIDE == EVENT_FIN_OUTSIDE &&
		       (int)TABLE_EVENT_RESET == EVENT_RESET && (int)TABLE_EVENT_DATA == EVENT_DATA,
	       "events");
ABI_ASSERT_SIZE(struct table_segment, sizeof(struct segment));

const char *table_sabotage(void)
{
#if defined(HOST_WITHOUT_LOCK)
	return "without the lock";
#elif defined(HOST_WITHOUT_CHECK)
	return "without the readers' check of the flow_id";
#elif defined(HOST_MIXED_COPIES)
	return "with copies that mix two entries";
#elif defined(HOST_REVERSE_FIRST)
	return "with reverse entries removed before forward ones";
#else
	return NULL;
#endif
}

int table_is_hash(void)
{
#ifdef FLOW_TABLE_HASH
	return 1;
#else
	return 0;
#endif
}

static size_t map_entries(const void *map, size_t declared, const struct table_shape *shape)
{
	if (map == &port_sets)
		return shape->port_sets;
	if (map == &flow_locks)
		return shape->regions;
	if (map == &hosts)
		return shape->regions * HOST_BUCKETS_PER_REGION;
	if (map == &FLOW_MAP)
		return (size_t)shape->regions * FLOW_REGION_BUCKETS *
		       (table_is_hash() ? FLOW_BUCKET_ENTRIES : 1);
	return declared;
}

void table_reset(const struct table_shape *shape)
{
	table_free();
	flow_regions = shape->regions;
	for (int i = 0; i < 4; i++)
		hash_seed[i] = shape->seed[i];
#define NEW(map) HOST_MAP_NEW(map, map_entries(&(map), HOST_MAP_ENTRIES(map), shape));
	EVERY_MAP(NEW)
#undef NEW
	meta.value->flow_regions = shape->regions;
	meta.value->port_sets = shape->port_sets;
}

void table_free(void)
{
	memset(&observer, 0, sizeof(observer));
#define FREE(map) HOST_MAP_FREE(map);
	EVERY_MAP(FREE)
#undef FREE
}

void table_observe(const struct table_observer *new)
{
	observer = new ? *new : (struct table_observer){ NULL };
}

void table_processor(__u32 number, __u64 seed, __u32 pauses)
{
	host_processor.number = number;
	host_processor.pauses = pauses;
	host_processor.random = (seed + number + 1) * 0x9e3779b97f4a7c15ULL | 1;
}

struct nat_gateway *table_nat_gateway(__u32 number)
{
	return &nat_gateways.value[number];
}

void table_limit(__u32 nat_gateway, const struct host_limits *limits)
{
	nat_gateways.value[nat_gateway].flags &= ~NAT_GATEWAY_LIMITS;
	if (!limits)
		return;
	host_limits.value[nat_gateway] = *limits;
	nat_gateways.value[nat_gateway].flags |= NAT_GATEWAY_LIMITS;
}

void table_limit_unanswered(__u32 flows)
{
	settings.value->unanswered_capacity = flows;
}

__u32 table_unanswered(void)
{
	return unanswered.value[UNANSWERED_ALL];
}

void table_hosts(void (*visit)(const struct host *host, void *context), void *context)
{
	for (__u32 i = 0; i < flow_regions * HOST_BUCKETS_PER_REGION; i++)
		for (int number = 0; number < HOST_BUCKET_ENTRIES; number++) {
			const struct host *host = &hosts.value[i].host[number];

			if (host->flows || host->ports)
				visit(host, context);
		}
}

void table_bind(__be32 elastic_ip, __u16 nat_gateway)
{
	struct elastic_ip bound = { .nat_gateway = nat_gateway, .on_link_device = NO_DEVICE };

	bpf_map_update_elem(&elastic_ips, &elastic_ip, &bound, BPF_ANY);
}

void table_unbind(__be32 elastic_ip)
{
	bpf_map_delete_elem(&elastic_ips, &elastic_ip);
}

void table_subnet(__u16 zone, __be32 prefix, __u32 prefix_length, __u32 route_table)
{
	struct subnet_key key = { .prefix_length = 32 + prefix_length,
				  .zone = bpf_htonl(zone),
				  .address = prefix };
	struct subnet subnet = { .subnet = 1, .route_table = route_table };

	bpf_map_update_elem(&subnets, &key, &subnet, BPF_ANY);
}

void table_route(__u32 route_table, __be32 prefix, __u32 prefix_length, __u16 nat_gateway)
{
	struct route_key key = { .prefix_length = 32 + prefix_length,
				 .route_table = bpf_htonl(route_table),
				 .destination = prefix };
	struct route route = { .target = ROUTE_NAT_GATEWAY, .index = nat_gateway };

	bpf_map_update_elem(&routes, &key, &route, BPF_ANY);
}

void table_unroute(__u32 route_table, __be32 prefix, __u32 prefix_length)
{
	struct route_key key = { .prefix_length = 32 + prefix_length,
				 .route_table = bpf_htonl(route_table),
				 .destination = prefix };

	bpf_map_delete_elem(&routes, &key);
}

struct flow_bucket *table_buckets(void)
{
	return flow_buckets.value;
}

struct port_set *table_port_sets(void)
{
	return port_sets.value;
}

const struct port_set *table_port_set_of(const struct port_set_key *key)
{
	__u32 *number = bpf_map_lookup_elem(&port_set_numbers, key);

	return number ? bpf_map_lookup_elem(&port_sets, number) : NULL;
}

__u64 table_idle_timeouts(__u16 nat_gateway)
{
	__u64 sum = 0;

	for (int i = 0; i < HOST_THREADS_MAX; i++)
		sum += counters.value[i].nat_gateways[nat_gateway].idle_timeouts;
	return sum;
}

__u32 table_now(void)
{
	return clock_ticks(settings.value);
}

__u64 table_entries(void)
{
#ifdef FLOW_TABLE_HASH
	return host_map_count((struct host_map *)flow_hash.value);
#else
	__u64 entries = 0;

	for (__u32 i = 0; i < flow_regions * FLOW_REGION_BUCKETS; i++)
		for (int number = 0; number < FLOW_BUCKET_ENTRIES; number++)
			entries += flow_buckets.value[i].tags.tag[number] != 0;
	return entries;
#endif
}

#ifndef FLOW_TABLE_HASH
__u64 table_hash(const struct flow_key *key)
{
	return flow_hash(key);
}

struct table_home table_home_of(const struct flow_key *key)
{
	struct flow_home home = flow_home_of(key);

	return (struct table_home){ home.first, home.second, home.region, home.tag, home.seat };
}

__u64 table_tag_zero_lanes(__u64 lanes)
{
	return tag_zero_lanes(lanes);
}

__u32 table_tag_lane(__u64 tops)
{
	return tag_lane(tops);
}

__u32 table_tag_lane_count(__u64 tops)
{
	return tag_lane_count(tops);
}

__u32 table_find_further(const struct flow_key *key, struct flow_view *view)
{
	return flow_find_further(key, view);
}

struct flow_entry *table_at(__u32 slot)
{
	return flow_at_slot(slot);
}
#else /* no buckets and no slots: nobody may ask for them */
struct table_home table_home_of(const struct flow_key *key)
{
	abort();
}

struct flow_entry *table_at(__u32 slot)
{
	abort();
}
#endif

int table_insert(const struct flow_entry *entry, __u32 *slot)
{
	return flow_insert(entry, slot);
}

int table_remove(const struct flow_entry *known, int removal, __u32 now, struct flow_entry *removed)
{
	return flow_remove(known, removal, now, removed);
}

struct flow_entry *table_find(const struct flow_key *key, struct flow_view *view)
{
	return flow_find(key, view);
}

int table_copy(struct flow_entry *entry, struct flow_entry *copy)
{
	return flow_entry_copy(copy, entry);
}

struct flow_entry *table_peer(const struct flow_entry *entry)
{
	return flow_peer(entry);
}

int table_expired(const struct flow_entry *entry, __u32 now)
{
	return flow_expired(entry, now);
}

int table_make_room(const struct flow_key *key, __u32 now, struct flow_entry *victim)
{
	return flow_make_room(key, now, victim);
}

int table_reference(const struct flow_key *key, __u32 now, __u32 timeout, struct flow_entry *copy)
{
	return flow_reference(key, now, timeout, copy);
}

int table_unreference(const struct flow_key *key, __u32 flow_id, __u32 rest, __u32 now)
{
	return flow_unreference(key, flow_id, rest, now);
}

struct flow_entry *table_lookup(const struct flow_key *key, struct flow_view *view)
{
	struct flow_entry *entry = flow_find(key, view);

	/* The rest of find(), but for the generation: table_recheck() is that. */
	if (entry &&
	    clock_age(table_now(), view->last_seen) > (__u32)view->timeout << FLOW_TICKS_PER_TIMEOUT_SHIFT &&
	    !flow_lives(key, table_now()))
		return NULL;
	return entry;
}

int table_open(const struct flow_key *key, __u32 nat_gateway, __u16 generation, __u32 acknowledged)
{
	struct workspace *work = workspace_get();
	int reason;

	work->wish.key = *key;
	work->wish.nat_gateway = nat_gateway;
	work->wish.now = table_now();
	work->wish.generation = generation;
	work->wish.acknowledged = acknowledged;
	reason = flow_create(nat_gateway);
#ifdef FLOW_TABLE_HASH
	host_map_forget((struct host_map *)flow_hash.value); /* only one thread uses this build */
#endif
	return reason;
}

int table_touch(const struct flow_key *key)
{
	struct packet packet = { .key = *key, .now = table_now(), .length = 100 };
	struct found found;

	found.entry = flow_find(key, &found.view);
	if (!found.entry)
		return 0;
	touch(&packet, &found);
	return 1;
}

int table_step(const struct flow_key *key, const struct table_segment *segment)
{
	return flow_step(key, (const struct segment *)segment);
}

int table_recheck(const struct flow_key *key, __u16 generation)
{
	return flow_recheck(key, generation, table_now());
}

int table_end(const struct flow_entry *entry, int removal)
{
	return flow_end(entry, removal, table_now());
}

#ifndef FLOW_TABLE_HASH
__u32 table_reap(const struct reap_request *requests, __u32 count, int mode)
{
	struct reap reap = { .work = workspace_get(), .now = table_now(), .count = count };

	reap.removal = mode == REAP_CUT ? FLOW_REMOVE_ANY : FLOW_REMOVE_EXPIRED;
	memcpy(reap_batch.value, requests, count * sizeof(*requests));
	bpf_loop(REAP_BATCH_MAX, reap_step, &reap, 0);
	return reap.removed;
}
#endif

int table_state_after(int state, int event)
{
	return flow_state_after(state, event);
}

int table_timeout_class(__u8 protocol, int state)
{
	return flow_timeout_class(protocol, state);
}

int table_watch(__u8 protocol, int state, int forward)
{
	return flow_watch(protocol, state, forward);
}

int table_tcp_event(const struct table_segment *segment, int from_inside, __u32 acknowledged, int state)
{
	struct tcp_known known = {
		.acknowledged = acknowledged,
		.window = tcp_window((const struct segment *)segment, from_inside),
	};

	return tcp_event((const struct segment *)segment, from_inside, &known, state);
}

int table_tcp_event_unknown(const struct table_segment *segment, int from_inside, int state)
{
	struct tcp_known known = { .window = 0 };

	return tcp_event((const struct segment *)segment, from_inside, &known, state);
}

__u32 table_tcp_window(__u8 flags, int from_inside)
{
	struct segment segment = { .flags = flags };

	return tcp_window(&segment, from_inside);
}

void table_reverse_key(const struct flow_entry *forward, struct flow_key *key)
{
	flow_reverse_key(forward, key);
}

void table_mapping_key(const struct flow_key *forward, struct flow_key *key)
{
	flow_mapping_key(forward, key);
}

__u32 table_random_below(__u32 bound)
{
	return random_below(bound);
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "host/maps.h"
#include "host/programs.h"
#include "host/spoilt.h"
#include "lib/stages.h"

/* The packets' own; nothing interrupts them here. */
const __u32 workspace_owner = WORKSPACE_OF_PACKETS;

/* Each program as a function. What every one of them brings is renamed out of the way. */
#define stages inside_stages
#define workspace_owner inside_workspace_owner
#define _license inside_license
#include "inside.bpf.c"
#undef stages
#undef workspace_owner
#undef _license

#define stages outside_stages
#define workspace_owner outside_workspace_owner
#define _license outside_license
#include "outside.bpf.c"
#undef stages
#undef workspace_owner
#undef _license

#define stages both_stages
#define workspace_owner both_workspace_owner
#define _license both_license
#include "both.bpf.c"
#undef stages
#undef workspace_owner
#undef _license

#define workspace_owner reaper_workspace_owner
#define _license reaper_license
#include "reaper.bpf.c"
#undef workspace_owner
#undef _license

/* The storage of what programs remember, by world. */
struct remembered {
#define MEMBER(map) void *of_##map;
	MAPS_OF_STATE(MEMBER)
#undef MEMBER
};
static struct remembered worlds[HOST_WORLDS];

static size_t map_entries(const void *map, size_t declared, __u32 sets)
{
	if (map == &port_sets)
		return sets;
	if (map == &hosts)
		return flow_regions * HOST_BUCKETS_PER_REGION;
	if (map == &flow_buckets)
		return flow_regions * FLOW_REGION_BUCKETS;
	return declared;
}

void host_programs_load(const __u32 seed[4], __u32 sets)
{
	flow_regions = 1;
	for (int i = 0; i < 4; i++)
		hash_seed[i] = seed[i];
#define NEW(map) HOST_MAP_NEW(map, map_entries(&(map), HOST_MAP_ENTRIES(map), sets));
	MAPS_OF_CONFIGURATION(NEW)
	for (int world = 0; world < HOST_WORLDS; world++) {
#define KEEP(map) worlds[world].of_##map = (void *)(map).value;
		MAPS_OF_STATE(NEW)
		MAPS_OF_STATE(KEEP)
#undef KEEP
	}
#undef NEW
	meta.value->flow_regions = flow_regions;
	meta.value->port_sets = sets;
}

void host_world_use(int world)
{
#define USE(map) *(void **)&(map).value = worlds[world].of_##map;
	MAPS_OF_STATE(USE)
#undef USE
}

void host_world_forget(void)
{
#define FORGET(map)                                                                                          \
	host_storage_clear(HOST_MAP_TYPE(&(map)), (void *)(map).value,                                       \
			   sizeof(*(map).value) * (uintptr_t)(map).max_entries);
	MAPS_OF_STATE(FORGET)
#undef FORGET
}

struct host_run host_run_packet(enum device_role role, __u32 slot, int express_too, const __u8 *frame,
				size_t bytes)
{
	struct host_run run = {};
	struct xdp_md context = { .ingress_ifindex = devices.value[slot].ifindex };

	device_slot = slot;
	express_lane = express_too;
	host_frame_load(&context, frame, bytes);
	run.action = role == DEVICE_INSIDE    ? sallyport_inside(&context)
		     : role == DEVICE_OUTSIDE ? sallyport_outside(&context)
					      : sallyport_both(&context);
	run.frame = (const __u8 *)context.data;
	run.bytes = context.data_end - context.data;
	run.egress = host_redirected_to;
	return run;
}

/* Calls `visit` for each entry that stands. */
static void each_entry(void (*visit)(struct flow_entry *entry, __u32 slot, void *argument), void *argument)
{
	for (__u32 bucket = 0; bucket < flow_regions * FLOW_REGION_BUCKETS; bucket++)
		for (__u32 number = 0; number < FLOW_BUCKET_ENTRIES; number++)
			if (flow_buckets.value[bucket].tags.tag[number])
				visit(&flow_buckets.value[bucket].entry[number], FLOW_SLOT(bucket, number),
				      argument);
}

static void offer(struct flow_entry *entry, __u32 slot, void *argument)
{
	struct reap_command *command = argument;

	if (!(entry->flags & FLOW_FORWARD) || command->count >= REAP_BATCH_MAX)
		return;
	reap_batch.value[command->count].slot = slot;
	reap_batch.value[command->count++].flow_id = entry->flow_id;
}

__u32 host_run_reaper(enum reap_mode mode)
{
	struct reap_command command = { .mode = mode };
	struct xdp_md context = { .data = (unsigned long)&command,
				  .data_end = (unsigned long)(&command + 1) };

	each_entry(offer, &command);
	if (sallyport_reaper(&context) != XDP_PASS)
		abort();
	return command.removed;
}

struct settings *host_settings(void)
{
	return settings.value;
}

struct device *host_device(__u32 slot)
{
	return &devices.value[slot];
}

struct nat_gateway *host_nat_gateway(__u32 number)
{
	return &nat_gateways.value[number];
}

struct host_limits *host_limits_of(__u32 nat_gateway)
{
	return &host_limits.value[nat_gateway];
}

struct next_hop *host_next_hop(__u32 number)
{
	return &next_hops.value[number];
}

void host_transmit(__u32 slot, __u32 ifindex)
{
	transmit.value[slot] = ifindex;
}

/* No program runs meanwhile, so what is removed need not stay readable. */
#define PUT(map, key, what)                                                                                  \
	do {                                                                                                 \
		if (what) {                                                                                  \
			bpf_map_update_elem(&map, key, what, BPF_ANY);                                       \
		} else {                                                                                     \
			bpf_map_delete_elem(&map, key);                                                      \
			host_map_forget((struct host_map *)(map).value);                                     \
		}                                                                                            \
	} while (0)

void host_elastic_ip(__be32 address, const struct elastic_ip *value)
{
	PUT(elastic_ips, &address, value);
}

static const __u32 *unused_value(int there)
{
	static const __u32 unused;

	return there ? &unused : NULL;
}

void host_local_address(__be32 address, int there)
{
	static const __u32 of_host = LOCAL_ADDRESS_OF_HOST;
	const __u32 *value = there ? &of_host : NULL;

	PUT(local_addresses, &address, value);
}

void host_ports_of_host(__be32 elastic_ip, const struct host_ports *value)
{
	PUT(host_ports, &elastic_ip, value);
}

void host_neighbour(const struct neighbour_key *key, const __u32 *number)
{
	PUT(next_hop_numbers, key, number);
}

void host_subnet(const struct subnet_key *key, const struct subnet *value)
{
	PUT(subnets, key, value);
}

void host_route(const struct route_key *key, const struct route *value)
{
	PUT(routes, key, value);
}

void host_private_prefix(const struct prefix_key *key, int there)
{
	PUT(private_prefixes, key, unused_value(there));
}

void host_instance(const struct instance_key *key, const struct instance *value)
{
	PUT(instances, key, value);
}

void host_security_group(__u32 number, const struct security_group *value)
{
	PUT(security_groups, &number, value);
}

void host_port_forward(const struct port_forward_key *key, const struct port_forward *value)
{
	PUT(port_forwards, key, value);
}

void host_forwarded_endpoint(const struct forwarded_endpoint_key *key, const struct forwarded_endpoint *value)
{
	PUT(forwarded_endpoints, key, value);
}

__u32 host_ticks(void)
{
	return clock_ticks(settings.value);
}

const struct counters *host_counters(void)
{
	return counters.value;
}

struct copying {
	struct flow_entry *to;
	size_t room, count;
};

static void copy(struct flow_entry *entry, __u32 slot, void *argument)
{
	struct copying *copying = argument;

	if (copying->count < copying->room)
		copying->to[copying->count] = *entry;
	copying->count++;
}

size_t host_entries(struct flow_entry *entries, size_t room)
{
	struct copying copying = { .to = entries, .room = room };

	each_entry(copy, &copying);
	return copying.count;
}

const void *host_table(size_t *bytes)
{
	*bytes = sizeof(*flow_buckets.value) * (uintptr_t)flow_buckets.max_entries;
	return flow_buckets.value;
}

static void judge(struct flow_entry *entry, __u32 slot, void *argument)
{
	const char **fault = argument;
	struct flow_view view;
	struct flow_entry *peer;

	if (!entry->flow_id)
		*fault = "INV-8: an entry that stands has no flow_id";
	else if (flow_find(&entry->key, &view) != entry)
		*fault = "INV-8: an entry is not found by its key, or another is";
	if (entry->key.kind != FLOW_KIND_FLOW && entry->key.kind != FLOW_KIND_MAPPING)
		return;
	peer = flow_peer(entry);
	if (!peer)
		*fault = "INV-8: an entry has no peer";
	else if (flow_peer(peer) != entry)
		*fault = "INV-8: an entry is not its peer's peer";
	else if (entry->key.kind == FLOW_KIND_FLOW &&
		 peer->state != entry->state) /* a mapping rests in one */
		*fault = "INV-8: a flow is in two states";
}

const char *host_table_fault(void)
{
	const char *fault = NULL;

	each_entry(judge, &fault);
	return fault;
}

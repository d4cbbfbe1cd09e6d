/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table of bpf/lib, compiled for the host, for tests in C++. There is one table in a
 * process. What is called table_* does what the programs do, through the programs' own functions;
 * nothing is done twice here.
 *
 * Addresses and ports in keys are in network order, as everywhere in the table. A function that
 * takes `now` takes ticks; the others read the fake clock.
 */
#ifndef SALLYPORT_TEST_TABLE_H
#define SALLYPORT_TEST_TABLE_H

/* NOLINTBEGIN(readability-identifier-naming): names of C */

#include "host/runtime.h"
#include "lib/flow_view.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"
#include "sallyport/abi/port_set.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Equal to the enums of bpf/lib; table.c asserts it. */
enum table_insert_result { TABLE_INSERTED, TABLE_EXISTS, TABLE_FULL };
enum table_removal { TABLE_REMOVE_ANY, TABLE_REMOVE_EXPIRED, TABLE_REMOVE_UNREFERENCED };
enum table_references { TABLE_REFERENCES_UNKNOWN, TABLE_REFERENCES_LEFT, TABLE_REFERENCES_NONE };
enum table_event {
	TABLE_EVENT_NONE,
	TABLE_EVENT_ANSWER_INSIDE,
	TABLE_EVENT_ANSWER_OUTSIDE,
	TABLE_EVENT_SYN_INSIDE,
	TABLE_EVENT_SYN_OUTSIDE,
	TABLE_EVENT_FIN_INSIDE,
	TABLE_EVENT_FIN_OUTSIDE,
	TABLE_EVENT_RESET,
	TABLE_EVENT_DATA,
	TABLE_EVENTS
};

struct table_segment { /* struct segment */
	__u32 sequence;
	__u32 acknowledges;
	__u16 payload;
	__u8 flags;
	__u8 zero0;
};

struct table_home {
	__u32 first;
	__u32 second;
	__u32 region;
	__u16 tag;
	__u16 seat;
};

struct table_shape {
	__u32 regions; /* of FLOW_REGION_BUCKETS buckets */
	__u32 port_sets;
	__u32 seed[4];
};

/* Called within the operation that makes the change, by the thread that makes it. NULL: nobody
 * watches. */
struct table_observer {
	void (*inserted)(const struct flow_entry *entry);
	void (*removing)(const struct flow_entry *known); /* before it can happen */
	void (*kept)(const struct flow_entry *known);	  /* it did not happen */
};

/* What this build has been spoilt by, to show that a test would notice; NULL: nothing. */
const char *table_sabotage(void);
/* Whether this build keeps flows in the kernel's kind of hash table: then there are no buckets. */
int table_is_hash(void);
void table_reset(const struct table_shape *shape);
void table_free(void);
void table_observe(const struct table_observer *observer); /* NULL: nobody any more */
/* The calling thread is this processor from now on; its random numbers follow from `seed`. */
void table_processor(__u32 number, __u64 seed, __u32 pauses);

/* What the agent would write. */
struct nat_gateway *table_nat_gateway(__u32 number);
/* What one instance may have of it; NULL: no limits. */
void table_limit(__u32 nat_gateway, const struct host_limits *limits);
void table_limit_unanswered(__u32 flows);
void table_bind(__be32 elastic_ip, __u16 nat_gateway);
void table_unbind(__be32 elastic_ip);
void table_subnet(__u16 zone, __be32 prefix, __u32 prefix_length, __u32 route_table);
void table_route(__u32 route_table, __be32 prefix, __u32 prefix_length, __u16 nat_gateway);
void table_unroute(__u32 route_table, __be32 prefix, __u32 prefix_length);

/* What the agent would read. */
struct flow_bucket *table_buckets(void);
struct port_set *table_port_sets(void);
const struct port_set *table_port_set_of(const struct port_set_key *key); /* NULL: none */
__u64 table_idle_timeouts(__u16 nat_gateway);				  /* of all processors */

__u32 table_unanswered(void); /* flows that nobody has answered, as the programs count them */
/* Calls `visit` for each instance that holds something of a NAT gateway with limits. */
void table_hosts(void (*visit)(const struct host *host, void *context), void *context);

__u64 table_entries(void); /* both directions, flows and mappings, dead ones as well */

__u32 table_now(void);
__u64 table_hash(const struct flow_key *key);
struct table_home table_home_of(const struct flow_key *key);
__u64 table_tag_zero_lanes(__u64 lanes);
__u32 table_tag_lane(__u64 tops);
__u32 table_tag_lane_count(__u64 tops);

int table_insert(const struct flow_entry *entry, __u32 *slot);
int table_remove(const struct flow_entry *known, int removal, __u32 now, struct flow_entry *removed);
struct flow_entry *table_find(const struct flow_key *key, struct flow_view *view);
/* The search under the lock, or in the second bucket; ~0: not there. */
__u32 table_find_further(const struct flow_key *key, struct flow_view *view);
struct flow_entry *table_at(__u32 slot);
struct flow_entry *table_peer(const struct flow_entry *entry);
/* A copy; returns whether it is of one entry. */
int table_copy(struct flow_entry *entry, struct flow_entry *copy);
int table_expired(const struct flow_entry *entry, __u32 now);
int table_make_room(const struct flow_key *key, __u32 now, struct flow_entry *victim);
int table_reference(const struct flow_key *key, __u32 now, __u32 timeout, struct flow_entry *copy);
/* Returns enum table_references. */
int table_unreference(const struct flow_key *key, __u32 flow_id, __u32 rest, __u32 now);

/* As a packet finds its flow: one past its timeout is ended and not found. */
struct flow_entry *table_lookup(const struct flow_key *key, struct flow_view *view);
/* As a packet opens a flow when it found none. Returns 0 or the reason for a drop. */
int table_open(const struct flow_key *key, __u32 nat_gateway, __u16 generation, __u32 acknowledged);
/* As a packet that was found uses its flow. */
int table_touch(const struct flow_key *key);
int table_step(const struct flow_key *key, const struct table_segment *segment);
int table_recheck(const struct flow_key *key, __u16 generation);
int table_end(const struct flow_entry *entry, int removal);
/* As the agent ends a flow that it read in the mapped table. Returns how many were ended. */
__u32 table_reap(const struct reap_request *requests, __u32 count, int mode);

int table_state_after(int state, int event);
int table_timeout_class(__u8 protocol, int state);
int table_watch(__u8 protocol, int state, int forward);
int table_tcp_event(const struct table_segment *segment, int from_inside, __u32 acknowledged, int state);
/* The same where nothing is known of the sender's numbers. */
int table_tcp_event_unknown(const struct table_segment *segment, int from_inside, int state);
/* How far a segment may lie beyond what was acknowledged. */
__u32 table_tcp_window(__u8 flags, int from_inside);

void table_reverse_key(const struct flow_entry *forward, struct flow_key *key);
void table_mapping_key(const struct flow_key *forward, struct flow_key *key);
__u32 table_random_below(__u32 bound);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(readability-identifier-naming) */

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that timed out count for their instance's limits, and hold its port blocks, until they are ended, which is the
 * agent's work. While
 * it is away, each new flow that is refused for want of these has a stretch of the table looked through, so that
 * limits do not outlast the flows that they count. What it costs is bounded, and paid only then.
 */
#ifndef SALLYPORT_BPF_SWEEP_H
#define SALLYPORT_BPF_SWEEP_H

#include "lib/clock.h"
#include "lib/flow_table.h"
#include "lib/release.h"

#define SWEEP_BUCKETS 64 /* per refused flow */

static __always_inline int refused_for_a_limit(int reason)
{
	return reason == DROP_FLOW_LIMIT || reason == DROP_PORT_LIMIT || reason == DROP_MAPPING_FLOW_LIMIT ||
	       reason == DROP_UNANSWERED_LIMIT || reason == DROP_HOST_TABLE_FULL;
}

/* Ports of flows that timed out are found by whoever wants them, unless they are of another instance's block. */
static __always_inline int refused_for_a_block(const struct packet *packet)
{
	__u32 number = packet->nat_gateway;
	const struct nat_gateway *nat_gateway;

	if (packet->reason != DROP_PORT_EXHAUSTED)
		return 0;
	nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	return nat_gateway && nat_gateway->port_block_size;
}

#ifndef FLOW_TABLE_HASH
static long sweep_step(__u32 i, void *context)
{
	struct workspace *work = workspace_get();
	__u32 cursor = UNANSWERED_CURSOR, *at = bpf_map_lookup_elem(&unanswered, &cursor);
	struct flow_bucket *bucket;
	struct flow_entry *entry;

	if (!work || !at)
		return 1;
	bucket = flow_bucket_at(__sync_fetch_and_add(at, 1) % (flow_regions * FLOW_REGION_BUCKETS));
	if (!bucket)
		return 1;
	for (__u32 number = 0; number < FLOW_BUCKET_ENTRIES; number++) {
		if (!READ_ONCE(bucket->tags.tag[number]))
			continue;
		entry = flow_entry_at(bucket, number);
		if (!(entry->flags & FLOW_FORWARD) || !flow_expired(entry, work->wish.now))
			continue;
		flow_entry_copy(&work->standing, entry);
		flow_end(&work->standing, FLOW_REMOVE_EXPIRED, work->wish.now);
	}
	return 0;
}

/* For a packet that was dropped. At the end, where the stack has most room. */
static __always_inline void sweep_without_agent(const struct packet *packet)
{
	if (unlikely(refused_for_a_limit(packet->reason) || refused_for_a_block(packet)) &&
	    clock_reached(packet->now, packet->settings->next_hops_valid_until)) /* it has been silent */
		bpf_loop(SWEEP_BUCKETS, sweep_step, NULL, 0);
}
#else
static __always_inline void sweep_without_agent(const struct packet *packet)
{
}
#endif

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flows that nobody has answered yet: those in state OPENING, exactly. They are what a flood is made of, so
 * they have a cap of their own, beyond which the rest of the table is kept for flows that get an answer. Nothing
 * is ever ended to make room (RFC 6888 REQ-11 D).
 *
 * Below the cap room is shared as buffers are in a switch: an instance may hold as many as there is room left
 * for all. So one that floods gets half of the cap and leaves the other half to the others, two get a third each
 * and leave a third, and whoever holds few is never in anybody's way.
 *
 * Instances are told apart by a hash: two that share a group share its part.
 */
#ifndef SALLYPORT_BPF_UNANSWERED_H
#define SALLYPORT_BPF_UNANSWERED_H

#include "lib/compiler.h"
#include "lib/maps.h"

static __always_inline __u32 unanswered_group(__be32 instance, __u32 zone)
{
	__u64 hash = ((__u64)instance + hash_seed[0]) * 0x9e3779b97f4a7c15ULL + zone;

	hash = (hash ^ hash >> 32) * 0xbf58476d1ce4e5b9ULL;
	return UNANSWERED_FIRST_GROUP + (hash >> 32) % UNANSWERED_GROUPS;
}

/* Counts one more, or one less where `by` is -1. What an instance does to a flow that stands is never refused. */
verified_alone int unanswered_add(__be32 instance, __u32 zone, int by)
{
	__u32 all = UNANSWERED_ALL, group = unanswered_group(instance, zone);
	__u32 *total = bpf_map_lookup_elem(&unanswered, &all);
	__u32 *held = bpf_map_lookup_elem(&unanswered, &group);

	if (!total || !held)
		return 0;
	__sync_fetch_and_add(total, by);
	__sync_fetch_and_add(held, by);
	return 1;
}

/* Counts a new flow if the instance may have one more. Returns whether it may. */
verified_alone int unanswered_take(__be32 instance, __u32 zone)
{
	__u32 zero = 0, all = UNANSWERED_ALL, group = unanswered_group(instance, zone), before, held_before;
	struct settings *current = bpf_map_lookup_elem(&settings, &zero);
	__u32 *total = bpf_map_lookup_elem(&unanswered, &all);
	__u32 *held = bpf_map_lookup_elem(&unanswered, &group);

	if (!current || !total || !held)
		return 1;
	before = __sync_fetch_and_add(total, 1);
	held_before = __sync_fetch_and_add(held, 1);
	if (!current->unanswered_capacity ||
	    (before < current->unanswered_capacity && held_before < current->unanswered_capacity - before))
		return 1;
	__sync_fetch_and_add(held, -1);
	__sync_fetch_and_add(total, -1);
	return 0;
}

#endif

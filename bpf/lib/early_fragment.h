/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments that come before the first one of their datagram (RFC 4787 REQ-14). A program cannot hold a packet,
 * so the agent gets the whole frame. It has the datagram in "awaited_datagrams" from then on, is told when the
 * first fragment comes, and sends the frame through this program again, as one that came by the same device. It does
 * the same after two seconds without a first fragment, or when it has no room: then the frame is dropped here,
 * because what comes again is never held again. Without an agent that keeps saying that it is there, nothing
 * is held.
 *
 * A flood of such fragments harms nobody else: no table but the agent's holds any of it, and what is handed over
 * has budgets, one for each source and one for all.
 */
#ifndef SALLYPORT_BPF_EARLY_FRAGMENT_H
#define SALLYPORT_BPF_EARLY_FRAGMENT_H

#include "lib/budget.h"
#include "lib/clock.h"
#include "lib/drop.h"
#include "lib/hash.h"

/* Of each processor. Giving one back costs the agent some twenty microseconds; a source may have half of them. */
#define EARLY_FRAGMENTS_PER_SECOND 5000
#define EARLY_FRAGMENTS_AT_ONCE 2048
#define EARLY_FRAGMENTS_OF_SOURCE_PER_SECOND 2500
#define EARLY_FRAGMENTS_OF_SOURCE_AT_ONCE 1024

static __always_inline int early_fragment_has_budget(const struct fragment_key *key, struct budget *of_all,
						     __u64 now)
{
	__u32 source = (keyed_hash(key->source, key->zone) >> 32) % EARLY_FRAGMENT_SOURCES;
	struct budget *of_source = bpf_map_lookup_elem(&early_fragment_budgets, &source);

	return of_source &&
	       budget_take(of_source, now, EARLY_FRAGMENTS_OF_SOURCE_PER_SECOND,
			   EARLY_FRAGMENTS_OF_SOURCE_AT_ONCE) &&
	       budget_take(of_all, now, EARLY_FRAGMENTS_PER_SECOND, EARLY_FRAGMENTS_AT_ONCE);
}

/* Returns 0, or the reason why the frame cannot be held. */
verified_alone int early_fragment_hand_over(struct xdp_md *context, const struct fragment_key *key)
{
	const void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u64 bytes = end - data, now;
	struct early_fragment_work *work;
	struct early_fragment *record;
	__u32 zero = 0;

	settle(bytes); /* a number from here on: halves of pointers cannot be kept over a call */
	work = bpf_map_lookup_elem(&early_fragment_works, &zero);
	if (!key || !work)
		return DROP_INTERNAL_ERROR;
	now = bpf_ktime_get_ns();
	if (!early_fragment_has_budget(key, &work->budget, now))
		return DROP_FRAGMENTS_LIMITED;
	/* Two comparisons, and none with 0, or the verifier of kernel 6.1 does not learn that there is a byte. */
	if (bytes < sizeof(struct ethhdr))
		return DROP_FRAGMENTS_LIMITED;
	settle(bytes);
	if (bytes > EARLY_FRAGMENT_BYTES_MAX)
		return DROP_FRAGMENTS_LIMITED;
	record = &work->record;
	record->key = *key;
	record->time_ns = now;
	record->frame_bytes = bytes;
	record->device = device_slot;
	if (bpf_xdp_load_bytes(context, 0, record->frame, bytes))
		return DROP_INTERNAL_ERROR;
	if (bpf_ringbuf_output(&early_fragments, record, offsetof(struct early_fragment, frame) + bytes, 0))
		return DROP_FRAGMENTS_LIMITED;
	return 0;
}

/* Did the agent send this frame, having held it? */
static __always_inline int packet_was_held(const struct packet *packet)
{
	const __u32 *mark = (const void *)(long)packet->context->data_meta;

	return (const void *)(mark + 1) <= (const void *)(long)packet->context->data &&
	       *mark == EARLY_FRAGMENT_HELD;
}

static __always_inline int agent_holds_fragments(const struct packet *packet)
{
	return !clock_reached(packet->now, packet->settings->fragments_held_until);
}

/* The datagram's first fragment has come: tells the agent, if that waits for it. */
verified_alone int early_fragment_announce(const struct fragment_key *of_first)
{
	struct early_fragment *record;
	struct fragment_key key;

	if (!of_first)
		return 0;
	/* Before kernel 6.5 a function of its own may not look up by what it was given a pointer to. */
	key = *of_first;
	if (!bpf_map_lookup_elem(&awaited_datagrams, &key))
		return 0;
	record = bpf_ringbuf_reserve(&early_fragments, offsetof(struct early_fragment, frame), 0);
	if (!record) /* the agent looks now and then by itself */
		return 0;
	record->key = key;
	record->time_ns = bpf_ktime_get_ns();
	record->frame_bytes = 0;
	record->device = device_slot;
	__builtin_memset(record->zero0, 0, sizeof(record->zero0));
	bpf_ringbuf_submit(record, 0);
	return 1;
}

#endif

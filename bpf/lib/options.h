/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPv4 options. All of them pass as they are (RFC 1812 section 4.2.2.6), but for two kinds: a source route would
 * take a packet around what the operator decided (decision C16), and what routers of the inside recorded must
 * not leave (RFC 3022 section 4.6). The gateway records nothing itself.
 */
#ifndef SALLYPORT_BPF_OPTIONS_H
#define SALLYPORT_BPF_OPTIONS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/compiler.h"
#include "lib/frame_sum.h"

/* What there is among the options of a header. */
enum options {
	OPTIONS_SOURCE_ROUTE = 1 << 0, /* loose or strict */
	OPTIONS_ADDRESSES = 1 << 1,    /* in record route or timestamp */
	OPTIONS_BROKEN = 1 << 2,       /* they contradict themselves */
};

enum option_kind { /* RFC 791 section 3.1 */
		   OPTION_END = 0,
		   OPTION_NO_OPERATION = 1,
		   OPTION_RECORD_ROUTE = 7,
		   OPTION_TIMESTAMP = 68,
		   OPTION_LOOSE_SOURCE_ROUTE = 131,
		   OPTION_STRICT_SOURCE_ROUTE = 137,
};

#define OPTIONS_BYTES_MAX 40
#define RECORD_ROUTE_HEADER 3 /* kind, length, pointer */
#define TIMESTAMP_HEADER 4    /* and flags */
#define TIMESTAMP_FLAGS 15    /* which are half of a byte; 0: timestamps without addresses */

/*
 * What an option of `size` bytes at `offset` of the frame, with these flags if it is a timestamp, means. Behind
 * its header it holds addresses unless all of that is zero: whatever the pointer says, they would be read.
 */
static __always_inline __u32 option_says(struct xdp_md *context, __u32 offset, __u32 kind, __u32 size,
					 __u32 flags)
{
	__u32 header = RECORD_ROUTE_HEADER;

	if (kind == OPTION_LOOSE_SOURCE_ROUTE || kind == OPTION_STRICT_SOURCE_ROUTE)
		return OPTIONS_SOURCE_ROUTE;
	if (kind == OPTION_TIMESTAMP && flags & TIMESTAMP_FLAGS)
		header = TIMESTAMP_HEADER;
	else if (kind != OPTION_RECORD_ROUTE)
		return 0;
	return size > header && frame_sum(context, offset + header, size - header) ? OPTIONS_ADDRESSES : 0;
}

struct options_walk {
	struct xdp_md *context;
	__u32 offset; /* of the options, from the frame's start */
	__u32 length;
	__u32 at;
	__u32 says; /* enum options */
};

/* Looks at one option. */
static long options_step(__u32 i, void *argument)
{
	struct options_walk *walk = argument;
	__u8 head[TIMESTAMP_HEADER] = {}; /* kind, length, pointer, flags */
	__u32 offset = walk->offset + walk->at, left = walk->length - walk->at, size;

	if (walk->at >= walk->length || bpf_xdp_load_bytes(walk->context, offset, head, 1) ||
	    head[0] == OPTION_END)
		return 1;
	if (head[0] == OPTION_NO_OPERATION) {
		walk->at++;
		return 0;
	}
	if (left < 2 || bpf_xdp_load_bytes(walk->context, offset, head, 2) || head[1] < 2 || head[1] > left) {
		walk->says = OPTIONS_BROKEN;
		return 1;
	}
	size = head[1];
	if (size >= sizeof(head))
		bpf_xdp_load_bytes(walk->context, offset, head, sizeof(head));
	walk->says |= option_says(walk->context, offset, head[0], size, head[3]);
	walk->at += size;
	return 0;
}

/*
 * Looks through the `bytes` bytes of options at `offset` of the frame; returns enum options. bpf_loop, because the
 * verifier of kernel 6.1 would walk through every combination of them.
 */
verified_alone int options_look(struct xdp_md *context, __u32 offset, __u32 bytes)
{
	struct options_walk walk = { .context = context, .offset = offset, .length = bytes };

	bpf_loop(OPTIONS_BYTES_MAX, options_step, &walk, 0);
	return walk.says;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Internet checksums, changed by differences (RFC 1624 equation 3: HC' = ~(~HC + ~m + m')). A delta is
 * the folded sum of all ~m + m'. Sums are the same in either byte order as long as all of it is read
 * from memory in the same one, so nothing is swapped.
 */
#ifndef SALLYPORT_BPF_CHECKSUM_H
#define SALLYPORT_BPF_CHECKSUM_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#include "lib/compiler.h"

static __always_inline __u16 checksum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u32 checksum_delta16(__u16 from, __u16 to)
{
	return (__u16)~from + (__u32)to;
}

static __always_inline __u32 checksum_delta32(__u32 from, __u32 to)
{
	return checksum_delta16(from, to) + checksum_delta16(from >> 16, to >> 16);
}

/* The delta that undoes `delta`. */
static __always_inline __u16 checksum_delta_back(__u16 delta)
{
	return ~delta;
}

/* A checksum field after `delta`, which is a sum of a few. */
static __always_inline __u16 checksum_apply(__u16 checksum, __u32 delta)
{
	return ~checksum_fold((__u16)~checksum + delta);
}

/* The same for a single one: what one carry gives cannot carry again. */
static __always_inline __u16 checksum_apply_one(__u16 checksum, __u16 delta)
{
	__u32 sum = (__u16)~checksum + (__u32)delta;

	return ~(sum + (sum >> 16));
}

/* One less in the TTL, which is the upper byte of its word in network order. */
#define CHECKSUM_TTL_LESS_ONE bpf_htons(0xfeff)

#endif

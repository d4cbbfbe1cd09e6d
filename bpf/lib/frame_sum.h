/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sum of many bytes of a frame: for the few packets whose checksum is made, or is judged, as a whole. */
#ifndef SALLYPORT_BPF_FRAME_SUM_H
#define SALLYPORT_BPF_FRAME_SUM_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/checksum.h"
#include "lib/compiler.h"

#define FRAME_SUM_CHUNK 64 /* even, so that every chunk begins with a whole word */

struct frame_sum {
	struct xdp_md *context;
	__u32 offset;
	__u32 bytes;
	__u32 sum;
};

/* Adds one chunk, the last one with zeros behind it. */
static long frame_sum_step(__u32 i, void *argument)
{
	struct frame_sum *of = argument;
	__be32 chunk[FRAME_SUM_CHUNK / sizeof(__be32)] = {};
	__u32 at = i * FRAME_SUM_CHUNK;
	__u64 bytes = of->bytes - at;

	if (at >= of->bytes)
		return 1;
	if (bytes > FRAME_SUM_CHUNK)
		bytes = FRAME_SUM_CHUNK;
	/* 1 to 64: kernel 6.1 learns from no comparison that it is not 0. */
	bytes = mask_for_verifier(bytes - 1, FRAME_SUM_CHUNK - 1) + 1;
	if (bpf_xdp_load_bytes(of->context, of->offset + at, chunk, bytes)) {
		of->sum = 0; /* no sum of anything */
		return 1;
	}
	of->sum = bpf_csum_diff(NULL, 0, chunk, sizeof(chunk), of->sum);
	return 0;
}

/*
 * The folded sum of `bytes` bytes from `offset` on; 0 if the frame has not got them. bpf_loop keeps the verifier
 * from walking through every length.
 */
verified_alone int frame_sum(struct xdp_md *context, __u32 offset, __u32 bytes)
{
	struct frame_sum of = { .context = context, .offset = offset, .bytes = bytes };

	bpf_loop((bytes + FRAME_SUM_CHUNK - 1) / FRAME_SUM_CHUNK, frame_sum_step, &of, 0);
	return checksum_fold(of.sum);
}

#endif

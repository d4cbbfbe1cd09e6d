/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bpf/capture.bpf.c writes into the ring buffer of a capture. It is the agent's own and is pinned nowhere, so
 * that it may change from version to version.
 */
#ifndef SALLYPORT_ABI_CAPTURE_H
#define SALLYPORT_ABI_CAPTURE_H

#include "sallyport/abi/base.h"

/* Of a packet that are recorded at most: an Ethernet frame of the usual MTU. */
#define CAPTURE_BYTES_MAX 1514
/* Room for what waits to be read; a power of two. */
#define CAPTURE_RING_BYTES (8 << 20)

/* Where a packet was seen: coming in, or with what the program made of it. */
enum capture_point {
	CAPTURE_RECEIVED = 0,
	CAPTURE_SENT = 1,
	CAPTURE_DROPPED = 2,
	CAPTURE_PASSED = 3,
	CAPTURE_POINTS = 4,
};

struct capture_record {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 length;  /* of the packet */
	__u16 captured;
	__u8 device; /* slot of the device that received it */
	__u8 point;  /* enum capture_point */
	/* `captured` bytes follow. */
};

ABI_ASSERT_SIZE(struct capture_record, 16);

#endif

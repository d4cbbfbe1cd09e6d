/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs that capture (bpf/lib/capture.h) are told, and what they write into the ring buffer. Their maps
 * are the agent's own and pinned nowhere, so that all this may change from version to version.
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
	__u64 time_ns;	/* CLOCK_MONOTONIC */
	__u32 length;	/* of the packet */
	__u16 captured; /* so many bytes of it follow */
	__u8 device;	/* slot of the device that received it */
	__u8 point;	/* enum capture_point */
};

ABI_ASSERT_SIZE(struct capture_record, 16);

/* Set before a program is loaded. Zero for host, port and protocol: any. */
struct capture_filter {
	__be32 host;
	__be16 port;
	__u16 snap_length;
	__u8 points; /* bit by enum capture_point */
	__u8 protocol;
	__u16 padding;
};

ABI_ASSERT_SIZE(struct capture_filter, 12);

/* Elements of the map capture_state. */
enum capture_state {
	CAPTURE_LOST = 0,  /* records for which the ring had no room */
	CAPTURE_UNTIL = 1, /* CLOCK_MONOTONIC in nanoseconds: the agent is there until then */
	CAPTURE_STATES = 2,
};

/* Larger than what is recorded, so that the verifier sees masked positions stay within. */
struct capture_scratch {
	struct capture_record record;
	__u8 bytes[2048];
	/* The packet that is being handled was wanted when it was received. */
	__u32 was_wanted;
	__u32 padding;
};

#endif

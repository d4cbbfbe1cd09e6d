/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Port sets: hints that find the last free port of an Elastic IP towards one remote.
 *
 * Whether a port is free is decided by the flow table alone: a reverse entry may be inserted only once.
 * Most new flows find a free port at the first random try and need nothing else. When
 * PORT_RANDOM_PROBES tries fail, the remote is a busy one and gets a set, which is asked after the first
 * try from then on: a bit per port, with a summary of which words are full. A set bit means "was found in
 * use"; it is cleared when the flow goes. So a set may be forgotten at any time without harm.
 */
#ifndef SALLYPORT_ABI_PORT_SET_H
#define SALLYPORT_ABI_PORT_SET_H

#include "sallyport/abi/base.h"
#include "sallyport/abi/limits.h"

enum port_set_part {
	PORT_SET_EVEN = 1 << 0,
	PORT_SET_ODD = 1 << 1,
	PORT_SET_LOW = 1 << 2, /* 1 to LOW_PORT_LAST */
	PORT_SET_HIGH = 1 << 3,
};

struct port_set_key {
	__be32 elastic_ip;
	__be32 remote; /* 0 for an endpoint-independent mapping */
	__be16 remote_port;
	__u8 protocol;
	__u8 part; /* enum port_set_part: of what kind its ports are, where a NAT gateway tells them apart */
	__u16 block; /* 1 + the first of the block's ports, where its ports are those of one */
	__u16 zero0;
};
ABI_ASSERT_SIZE(struct port_set_key, 16);

#define PORT_SET_WORDS 1024
#define PORT_SET_SUMMARY_WORDS (PORT_SET_WORDS / 64)

struct port_set {
	struct port_set_key key; /* whose ports these are; protocol 0: nobody's */
	__u32 cursor;		 /* next port that is checked again when all bits are set */
	__u32 last_used;	 /* tick of the last search */
	__u16 first_port;	 /* the range that the summary below is about */
	__u16 last_port;
	__u32 checked;	   /* ports looked at in vain in this round through the range */
	__u32 rests_until; /* tick; no port is looked at before, as none can have come free */
	__u16 generation;  /* of the configuration that the summary was found with */
	__u16 zero0;
	__u32 began;	/* tick at which this round began */
	__u32 next_due; /* tick at which the first of the flows looked at in this round is past its timeout */
	__u32 host_ports; /* version of "host_ports" that the summary was found with; 0: there were none */
	__u32 zero1;
	__u64 zero2;
	__u64 full[PORT_SET_SUMMARY_WORDS]; /* a bit per word: no free port within the range */
	__u64 word[PORT_SET_WORDS];
};
ABI_ASSERT_SIZE(struct port_set, 64 + 128 + 8192);

/* "reserved_ports", by number of the NAT gateway: a set bit is a port that is never given out. */
struct port_mask {
	__u64 word[PORT_SET_WORDS];
};

/*
 * "host_ports", by Elastic IP that is shared with the host: a set bit is a port that is the host's, or may become it,
 * and that no flow or mapping of TCP or UDP gets. Identifiers of ICMP are no ports.
 */
struct host_ports {
	__u64 word[PORT_SET_WORDS];
	/* A bit per word: the port block that begins there has no other ports. */
	__u64 block[PORT_SET_SUMMARY_WORDS];
	__u32 version; /* differs where the ports do, never 0: summaries of port sets were found with one */
	__u32 zero0;
};
ABI_ASSERT_SIZE(struct host_ports, 8192 + 128 + 8);

#endif

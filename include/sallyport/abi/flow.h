/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table's memory, as the programs write it and the agent reads it.
 *
 *      one bucket, 1024 bytes                          one entry, 64 bytes (a cache line)
 *   +--------------------------------+              0  key: source, destination, ports, protocol,
 *   | entry 0                        |                 kind, zone
 *   | entry 1                        |             16  what to write into the packet: address, port,
 *   |  ...                           |                 checksum differences, next hop
 *   | entry 14                       |             28  when it was last used, where its peer is,
 *   +--------------------------------+                 which flow and configuration it belongs to
 *   | 15 tags, spill count           |             42  timeout, NAT gateway, state
 *   +--------------------------------+             48  acknowledged sequence; packets and bytes
 *
 * Each direction of a flow is an entry of its own, which knows all that a packet of that direction
 * needs: most hits cost that one line, the others the tag line and one or two entries in the same page.
 * The tag line is the last one, so that every four-bit entry number lies within the bucket; its own tag is
 * never set, and what would be its flow_id is 0.
 *
 * A flow from an instance to a remote is two entries:
 *   forward: {instance, remote, zone of its VPC}  -> write the Elastic IP and port as source
 *   reverse: {remote, Elastic IP, zone 0}         -> write the instance and its port as destination
 * A mapping (kind FLOW_KIND_MAPPING) is a pair that has an external port for all remotes:
 *   reverse: {anybody, Elastic IP, zone 0}
 *   forward: {instance, anybody, zone} if it is endpoint-independent, {instance, Elastic IP, zone} if the port
 *            is one flow's alone
 * A block (kind FLOW_KIND_BLOCK, see bpf/lib/port_block.h) is a pair that has a range of external ports for an instance.
 * A permit (kind FLOW_KIND_PERMIT, address-dependent filtering) is one entry, {remote, any port, Elastic IP, zone 0}.
 */
#ifndef SALLYPORT_ABI_FLOW_H
#define SALLYPORT_ABI_FLOW_H

#include "sallyport/abi/base.h"
#include "sallyport/abi/limits.h"

enum flow_kind {
	FLOW_KIND_FLOW = 0,
	FLOW_KIND_MAPPING = 1,
	FLOW_KIND_PERMIT = 2, /* there is a flow of this external endpoint to some port of the remote */
	FLOW_KIND_BLOCK = 3,  /* an instance's ports */
};

/* Of a block's keys: its ports are those of every protocol. Reserved, so that no packet has it. */
#define PORT_BLOCK_PROTOCOL 255
/* In timeout units, since it last got a new flow: what a block's rest is cut short by. */
#define PORT_BLOCK_TIMEOUT 0xffff

#define ZONE_OUTSIDE 0 /* the zone of everything that comes from outside; VPCs count from 1 */

struct flow_key {
	__be32 source;
	__be32 destination;
	__be16 source_port;	 /* ICMP echo: the identifier in a request, 0 in a reply */
	__be16 destination_port; /* ICMP echo: 0 in a request, the identifier in a reply */
	__u8 protocol;
	__u8 kind; /* enum flow_kind */
	__u16 zone;
};
ABI_ASSERT_SIZE(struct flow_key, 16);

/*
 * States of a flow. Both entries carry the state; it changes under the lock of the forward entry's
 * region. UDP and ICMP are opening until the first reply and ESTABLISHED from then on.
 */
enum flow_state {
	FLOW_STATE_OPENING = 0,		/* a SYN, or a first datagram, from the instance */
	FLOW_STATE_ESTABLISHED = 1,	/* both sides have been heard */
	FLOW_STATE_FIN_FROM_INSIDE = 2, /* half-closed: still the established timer (RFC 5382 5) */
	FLOW_STATE_FIN_FROM_OUTSIDE = 3,
	FLOW_STATE_CLOSING = 4,		     /* both FINs were seen */
	FLOW_STATE_RESET = 5,		     /* a RST whose sequence number fits (RFC 7857 2.2) */
	FLOW_STATE_OPENING_FROM_OUTSIDE = 6, /* a SYN, or a first datagram, from the remote */
	FLOW_STATES
};

/* The state of a mapping or block. */
enum mapping_state {
	MAPPING_IN_USE = 0,
	MAPPING_RESTING = 1, /* no flow uses it, and nobody else may have its port yet (RFC 6888 REQ-8) */
};

enum flow_flag {
	FLOW_FORWARD = 1 << 0,	    /* this entry is the instance's direction */
	FLOW_WATCH = 1 << 1,	    /* packets of this direction may change the state: take the slow step */
	FLOW_MAPPED = 1 << 2,	    /* the flow holds a reference on a mapping */
	FLOW_HAIRPIN = 1 << 3,	    /* in both entries: the remote is an Elastic IP of this gateway */
	FLOW_COUNTED = 1 << 4,	    /* forward: it takes part of its instance's limits */
	FLOW_FROM_OUTSIDE = 1 << 4, /* reverse: a packet from outside has opened it */
	FLOW_PERMITTED = 1 << 5,    /* forward: the flow holds a reference on a permit */
	FLOW_IN_BLOCK = 1 << 6, /* forward: the flow or mapping holds a reference on the block of its port */
	FLOW_STATIC =
		1
		<< 7, /* in both entries: the external endpoint is as configured, not of a NAT gateway's choice */
};

/* last_seen counts ticks of 2^26 ns (67 ms), a timeout counts units of 2^30 ns (1.07 s). */
#define FLOW_TICK_SHIFT 26
#define FLOW_TIMEOUT_SHIFT 30
#define FLOW_TICKS_PER_TIMEOUT_SHIFT (FLOW_TIMEOUT_SHIFT - FLOW_TICK_SHIFT)
/* An entry's time is stored at most this often: about once a second. */
#define FLOW_TOUCH_TICKS 15
/* The longest timeout that fits, in seconds; the configuration refuses a longer one. */
#define FLOW_TIMEOUT_MAX_SECONDS 65535

struct flow_entry {
	struct flow_key key;
	__be32 new_address; /* forward: the new source; reverse: the new destination */
	__be16 new_port;
	__u16 transport_delta; /* to add to the complemented transport checksum, as in the packet */
	__u16 ip_delta;	       /* the same for the IPv4 header's checksum, without the TTL */
	union {
		__u16 next_hop;	 /* 0: ask the kernel's routing */
		__u16 last_port; /* block, forward: of its ports, host order; new_port is the first */
	};
	__u32 last_seen;  /* ticks */
	__u32 peer_slot;  /* bucket * 16 + entry of the other direction */
	__u32 flow_id;	  /* random, equal in both entries of a pair; 0 while there is no flow: written
				* last, cleared first, and so a reader's proof that what it read was whole */
	__u16 generation; /* of the configuration that the flow was last checked against */
	__u16 timeout;	  /* timeout units */
	__u16 nat_gateway;
	__u8 state; /* enum flow_state */
	__u8 flags; /* enum flow_flag */
	union {
		/* The last acknowledgement that was sent in this direction, host order. Forward entry of an opening
		 * flow: what answers the SYN. */
		__u32 tcp_acknowledged;
		/* Mapping and block, forward, and permit: what uses it; mapped flow, reverse: its mapping. */
		__u32 references;
	};
	__u32 packets;
	__u64 bytes;
};
ABI_ASSERT_SIZE(struct flow_entry, 64);
ABI_ASSERT_OFFSET(struct flow_entry, new_address, 16);
ABI_ASSERT_OFFSET(struct flow_entry, last_seen, 28);
ABI_ASSERT_OFFSET(struct flow_entry, generation, 40);
ABI_ASSERT_OFFSET(struct flow_entry, bytes, 56);

struct flow_tags {
	__u16 tag[16]; /* 0: free; the sixteenth is never used */
	__u16 spilled; /* entries whose first choice is this bucket and that stand in their second */
	__u16 zero0;
	__u32 zero1[7];
};
ABI_ASSERT_SIZE(struct flow_tags, 64);

struct flow_bucket {
	struct flow_entry entry[FLOW_BUCKET_ENTRIES];
	struct flow_tags tags;
};
ABI_ASSERT_SIZE(struct flow_bucket, FLOW_BUCKET_BYTES);

#define FLOW_SLOT(bucket, number) ((bucket)*16 + (number))
#define FLOW_SLOT_BUCKET(slot) ((slot) / 16)
#define FLOW_SLOT_NUMBER(slot) ((slot) % 16)

#endif

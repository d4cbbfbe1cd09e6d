/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the stages of a program find out about a packet, and what they decide. */
#ifndef SALLYPORT_BPF_PACKET_H
#define SALLYPORT_BPF_PACKET_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/compiler.h"
#include "lib/headers.h"
#include "lib/maps.h"

/* A stage's word: go on with the next one, or how the packet ends. */
enum verdict {
	VERDICT_NEXT = 0,
	VERDICT_DROP,	 /* always through drop(), which notes the reason */
	VERDICT_PASS,	 /* to the host's network stack */
	VERDICT_FORWARD, /* packet.action says how */
	VERDICT_ANSWER,	 /* the frame was turned into a reply; packet.action says how */
};

enum packet_kind {
	PACKET_PLAIN,	       /* TCP, UDP, ICMP echo: has a tuple */
	PACKET_ICMP_ERROR,     /* key is the tuple that it quotes, reversed */
	PACKET_OTHER_ERROR,    /* an ICMP error whose quote is of no use */
	PACKET_LATER_FRAGMENT, /* has no ports */
	PACKET_OTHER,	       /* IPv4 of a kind that is not translated */
};

#define LINK_BYTES_MAX (sizeof(struct ethhdr) + VLAN_TAGS_MAX * 4)
#define LINK_BYTES_MASK 31

enum tcp_flag { /* byte 13 of the TCP header */
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

struct packet {
	struct xdp_md *context;
	struct settings *settings;
	struct device *device;
	struct counters *counters;
	struct iphdr *ip;
	void *transport;	/* the first 8 bytes are there; for TCP all 20 */
	struct flow_key key;	/* the tuple as it came, in the zone it came from */
	__u32 now;		/* ticks */
	__u32 action;		/* XDP action for VERDICT_FORWARD and VERDICT_ANSWER */
	__u16 length;		/* of the IPv4 packet */
	__u16 payload;		/* bytes after the transport header */
	__u16 nat_gateway;	/* whose packet it is, or NO_NAT_GATEWAY */
	__u8 link_bytes;	/* of Ethernet and VLAN headers */
	__u8 kind;		/* enum packet_kind */
	__u8 tcp_flags;
	__u8 first_fragment;	/* it has the ports, and others follow */
	__u8 reason;		/* enum drop_reason */
	__u8 forward;		/* it goes from an instance to the outside */
};

static __always_inline void *packet_data(const struct packet *packet)
{
	return (void *)(long)packet->context->data;
}

static __always_inline void *packet_end(const struct packet *packet)
{
	return (void *)(long)packet->context->data_end;
}

static __always_inline int address_is_multicast_or_broadcast(__be32 address)
{
	return (bpf_ntohl(address) >> 28) >= 14; /* 224/4 and 240/4, which has 255.255.255.255 */
}

#endif

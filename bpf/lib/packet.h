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
	VERDICT_RELAY,	 /* the same, of a packet that stays inside and is no NAT gateway's */
	VERDICT_ANSWER,	 /* the frame was turned into a reply; packet.action says how */
	VERDICT_HOLD,	 /* the agent has it, and gives it back later */
	VERDICT_INSIDE,	 /* it stays inside: stay_inside() says how it ends */
};

enum packet_kind {
	PACKET_PLAIN,	       /* TCP, UDP, ICMP echo: has a tuple */
	PACKET_ICMP_ERROR,     /* key is the tuple that it quotes, reversed */
	PACKET_OTHER_ERROR,    /* an ICMP error whose quote is of no use */
	PACKET_STRANGE_ERROR,  /* an ICMP error of a type that is not translated: source quench, redirect */
	PACKET_LATER_FRAGMENT, /* has no ports */
	PACKET_OTHER,	       /* IPv4 of a kind that is not translated */
};

#define LINK_BYTES_MAX (sizeof(struct ethhdr) + VLAN_TAGS_MAX * 4)
#define LINK_BYTES_MASK 31
#define LINK_GROUP 1 /* in the first byte of an Ethernet address: multicast, or broadcast */

/* Byte 13 of the TCP header. */
enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

static __always_inline __u8 tcp_flags_of(const struct tcphdr *tcp)
{
	return ((const __u8 *)tcp)[13];
}

struct packet {
	struct xdp_md *context;
	struct settings *settings;
	struct device *device;
	struct counters *counters;
	struct iphdr *ip;
	void *transport;      /* the first 8 bytes are there; for TCP all 20 */
	struct flow_key key;  /* the tuple as it came, in the zone it came from; see packet_key() */
	__u32 now;	      /* ticks */
	__u32 action;	      /* XDP action for VERDICT_FORWARD and VERDICT_ANSWER */
	__u16 length;	      /* of the IPv4 packet */
	__u16 payload;	      /* bytes after the transport header */
	__u16 zone;	      /* that it came from */
	__u16 nat_gateway;    /* whose packet it is, or NO_NAT_GATEWAY */
	__u16 identification; /* of a first fragment: what it leaves with */
	__u8 link_bytes;      /* of Ethernet and VLAN headers */
	__u8 kind;	      /* enum packet_kind */
	__u8 tcp_flags;
	__u8 first_fragment; /* it has the ports, and others follow */
	__u8 reason;	     /* enum drop_reason */
	__u8 forward;	     /* it goes from an instance to the outside */
	__u8 turned;	     /* it has gone outwards and now comes in: hairpin.h; not 0 means so */
};

static __always_inline void *packet_data(const struct packet *packet)
{
	return (void *)(long)packet->context->data;
}

static __always_inline void *packet_end(const struct packet *packet)
{
	return (void *)(long)packet->context->data_end;
}

/*
 * Was the frame sent to a whole link? Asked of the frame each time: what a stage remembered would have the verifier
 * walk through all that follows once for each answer.
 */
static __always_inline int packet_is_for_many(const struct packet *packet)
{
	const struct ethhdr *ethernet = packet_data(packet);

	return (const void *)(ethernet + 1) <= packet_end(packet) && ethernet->h_dest[0] & LINK_GROUP;
}

/* The second half of a key: ports as they lie in a header, source first. */
static __always_inline __u64 flow_key_rest(__u32 ports, __u8 protocol, __u16 zone)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return ports | (__u64)(protocol | (__u32)zone << 16) << 32;
#else
	return (__u64)ports << 32 | (__u32)protocol << 24 | zone;
#endif
}

/*
 * Writes the key in two stores of eight bytes, from values in registers. The flow table reads it in eights
 * and fours: were it written field by field, each read would wait for the stores to reach the cache, which
 * costs more than the whole lookup of a flow that is in it.
 */
static __always_inline void packet_key(struct packet *packet, __u64 addresses, __u32 ports, __u8 protocol)
{
	__u64 *word = (__u64 *)&packet->key;

	word[1] = flow_key_rest(ports, protocol, packet->zone);
	word[0] = addresses;
}

/* Ports as packet_key() takes them: as they lie in a header, source first. */
static __always_inline __u32 packet_ports(__be16 source, __be16 destination)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return source | (__u32)destination << 16;
#else
	return (__u32)source << 16 | destination;
#endif
}

/* The two addresses of a header, as packet_key() takes them. */
static __always_inline __u64 packet_addresses(const struct iphdr *ip)
{
	return *(const __u64 *)&ip->saddr;
}

static __always_inline __u64 packet_address_pair(__be32 source, __be32 destination)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return source | (__u64)destination << 32;
#else
	return (__u64)source << 32 | destination;
#endif
}

/* Has the packet looked for in another zone: devices of role both. */
static __always_inline void packet_zone(struct packet *packet, __u16 zone)
{
	const __be32 *ports = (const __be32 *)&packet->key.source_port;

	packet->zone = zone;
	packet_key(packet, *(const __u64 *)&packet->key, *ports, packet->key.protocol);
}

static __always_inline int address_is_multicast_or_broadcast(__be32 address)
{
	return bpf_ntohl(address) >> 28 == 14 || address == 0xffffffff;
}

/* RFC 1812 section 5.3.7, RFC 1122 section 3.2.1.3: such a source names no single host. */
static __always_inline int address_is_no_source(__be32 address)
{
	__u32 value = bpf_ntohl(address);

	return value >> 28 >= 14 || value >> 24 == 127 || value >> 24 == 0;
}

/* RFC 1812 section 5.3.7: never to be forwarded. Multicast and broadcast destinations were the host's. */
static __always_inline int address_is_invalid(const struct flow_key *key)
{
	return address_is_no_source(key->source) || address_is_no_source(key->destination) ||
	       key->source == key->destination;
}

#endif

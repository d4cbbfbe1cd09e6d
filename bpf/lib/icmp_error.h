/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 7, ICMP errors: found by the packet that they quote and translated outside and inside (RFC 5508
 * sections 4 and 7). An error travels against the packet that it is about, so the entry that serves it is
 * the one of the error's own direction: parse() makes the quoted tuple, reversed, the error's own.
 *
 * Errors neither refresh nor end a flow (RFC 5508 REQ-6, RFC 4787 REQ-12).
 */
#ifndef SALLYPORT_BPF_ICMP_ERROR_H
#define SALLYPORT_BPF_ICMP_ERROR_H

#include "lib/forward.h"
#include "lib/found.h"
#include "lib/icmp_error_check.h"
#include "lib/identification.h"
#include "lib/turn.h"

struct quoted {
	struct iphdr *ip;
	void *transport; /* 8 bytes are there for certain */
};

/* Do the packet's bytes reach so far? What follows in the frame is padding, and no part of a quote. */
static __always_inline int icmp_error_reaches(const struct packet *packet, const void *where)
{
	return where - (const void *)packet->ip <= packet->length;
}

/* Where the quote is; 0 if there is too little of it. */
static __always_inline int icmp_error_quote(struct packet *packet, struct quoted *quoted)
{
	void *end = packet_end(packet);
	struct iphdr *ip = packet->transport + sizeof(struct icmp_header);
	__u32 header;

	if ((void *)(ip + 1) > end)
		return 0;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip))
		return 0;
	quoted->ip = ip;
	quoted->transport = (void *)ip + header;
	return quoted->transport + 8 <= end && icmp_error_reaches(packet, quoted->transport + 8);
}

/*
 * Makes the quoted tuple, reversed, the packet's own. Where that can't be, the packet keeps its addresses
 * and becomes PACKET_OTHER_ERROR: it may still be the host's.
 */
static __always_inline void icmp_error_parse(struct packet *packet)
{
	struct quoted quoted;
	__u32 ports = 0;
	__be16 *port;

	packet->kind = PACKET_OTHER_ERROR;
	/* One in fragments cannot be checked, and none is so large (RFC 1812 section 4.3.2.3). */
	if (packet->first_fragment || !icmp_error_quote(packet, &quoted))
		return;
	/* The error goes to whoever sent what it quotes; fragments after the first quote no ports. */
	if (quoted.ip->saddr != packet->key.destination || quoted.ip->frag_off & bpf_htons(IP_OFFSET))
		return;
	port = quoted.transport;
	if (quoted.ip->protocol == IPPROTO_TCP || quoted.ip->protocol == IPPROTO_UDP) {
		ports = packet_ports(port[1], port[0]);
	} else if (quoted.ip->protocol == IPPROTO_ICMP) {
		const struct icmp_header *icmp = quoted.transport;

		if (icmp->type == ICMP_ECHO_REQUEST)
			ports = packet_ports(0, icmp->echo.id);
		else if (icmp->type == ICMP_ECHO_REPLY)
			ports = packet_ports(icmp->echo.id, 0);
		else
			return;
	} else {
		return;
	}
	packet_key(packet, packet_address_pair(quoted.ip->daddr, quoted.ip->saddr), ports,
		   quoted.ip->protocol);
	packet->kind = PACKET_ICMP_ERROR;
}

/*
 * Is TCP's checksum quoted? Only eight bytes are certain to be; what follows them may be an extension, or the
 * zeros in front of one (RFC 4884), in which no TCP header of at least five words is found.
 */
static __always_inline int icmp_error_quotes_tcp(const struct packet *packet, const struct quoted *quoted)
{
	const struct tcphdr *tcp = quoted->transport;

	return (const void *)(tcp + 1) <= packet_end(packet) && icmp_error_reaches(packet, tcp + 1) &&
	       bpf_ntohs(quoted->ip->tot_len) >= quoted->ip->ihl * 4 + sizeof(*tcp) && tcp->doff >= 5;
}

/* Undoes the translation in the quoted transport header; returns by what the bytes' sum changed. */
static __always_inline __u32 icmp_error_rewrite_transport(struct packet *packet, struct quoted *quoted,
							  const struct flow_view *view, int forward)
{
	__be16 *port = quoted->transport;
	__u16 *checksum = NULL, before;
	__u32 sum;

	if (quoted->ip->protocol == IPPROTO_ICMP) {
		struct icmp_header *icmp = quoted->transport;

		sum = 0;
		if (!(view->flags & FLOW_STATIC)) {
			sum = checksum_delta16(icmp->echo.id, view->new_port);
			icmp->echo.id = view->new_port;
		}
		checksum = &icmp->checksum;
	} else {
		/* The quoted packet went the other way: its source is where the error goes to. */
		if (!forward) {
			sum = checksum_delta16(port[0], view->new_port);
			port[0] = view->new_port;
		} else {
			sum = checksum_delta16(port[1], view->new_port);
			port[1] = view->new_port;
		}
		if (quoted->ip->protocol == IPPROTO_UDP) {
			struct udphdr *udp = quoted->transport;

			if (udp->check)
				checksum = &udp->check;
		} else if (icmp_error_quotes_tcp(packet, quoted)) {
			checksum = &((struct tcphdr *)quoted->transport)->check;
		}
	}
	if (checksum) {
		before = *checksum;
		*checksum = checksum_apply(before, view->transport_delta);
		if (!*checksum && quoted->ip->protocol == IPPROTO_UDP)
			*checksum = 0xffff;
		sum += checksum_delta16(before, *checksum);
	}
	return sum;
}

/* All of the error but its TTL. */
static __always_inline void icmp_error_rewrite(struct packet *packet, struct quoted *quoted,
					       const struct flow_view *view, int forward)
{
	struct icmp_header *icmp = packet->transport;
	struct iphdr *ip = packet->ip;
	__u32 sum, before;

	/* Inside: the quoted addresses become what the receiver once sent. */
	sum = icmp_error_rewrite_transport(packet, quoted, view, forward);
	if (forward)
		quoted->ip->daddr = view->new_address;
	else
		quoted->ip->saddr = view->new_address;
	before = quoted->ip->check;
	quoted->ip->check = checksum_apply(before, view->ip_delta);
	sum += view->ip_delta + checksum_delta16(before, quoted->ip->check);
	icmp->checksum = checksum_apply(icmp->checksum, sum);

	/* Outside: whoever noticed the error inside shows the Elastic IP (RFC 5508 REQ-5). */
	if (forward) {
		if (!ipv4_is_atomic(ip))
			identification_renew(ip, view->new_address);
		before = checksum_delta32(ip->saddr, view->new_address);
		ip->saddr = view->new_address;
	} else {
		before = view->ip_delta;
		ip->daddr = view->new_address;
	}
	ip->check = checksum_apply(ip->check, before);
}

/*
 * Through a hairpin (RFC 5508 REQ-7): the instance that noticed the error shows its Elastic IP, and so does the
 * quote; what is left is an error from outside about a packet of the other one.
 */
static __noinline enum verdict icmp_error_turn(struct packet *packet)
{
	struct workspace *work = workspace_get();
	struct quoted quoted;

	if (!work || !icmp_error_quote(packet, &quoted))
		return drop(packet, DROP_INTERNAL_ERROR);
	icmp_error_rewrite(packet, &quoted, &work->outward, 1);
	return VERDICT_NEXT;
}

/* Whoever noticed the error, and what it says, must be fit to be believed. */
static __always_inline enum verdict icmp_error_judge(struct packet *packet, const struct flow_view *view)
{
	__u32 number = view->nat_gateway, how = 0;
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	__u32 header = packet->ip->ihl * 4;
	int reason;

	if (packet->forward || packet->turned)
		how |= ICMP_ERROR_LEAVES;
	if (!nat_gateway)
		return drop(packet, DROP_INTERNAL_ERROR);
	if (address_is_no_source(packet->ip->saddr))
		return drop(packet, DROP_INVALID_ADDRESS);
	if (nat_gateway->flags & NAT_GATEWAY_LENIENT_QUOTES)
		how |= ICMP_ERROR_QUOTE_LENIENT;
	reason = icmp_error_check(packet->context, packet->link_bytes + header, packet->length - header, how);
	return reason ? drop(packet, reason) : VERDICT_NEXT;
}

static __noinline enum verdict icmp_error_translate(struct packet *packet, struct found *found)
{
	struct flow_view *view = &found->view;
	struct iphdr *ip = packet->ip;
	struct quoted quoted;
	enum verdict verdict;
	struct hop hop = {};

	if (!icmp_error_quote(packet, &quoted))
		return drop(packet, DROP_ICMP_ERROR_MALFORMED);
	verdict = icmp_error_judge(packet, view);
	/* In silence: no error about an error. Nor has this chain of calls the stack for one on kernel 6.1. */
	if (verdict == VERDICT_NEXT && packet->ip->ttl <= 1)
		verdict = drop(packet, DROP_TTL_EXCEEDED);
	if (verdict == VERDICT_NEXT)
		verdict = next_hop_find(packet, found->entry, &hop, view);
	if (verdict == VERDICT_NEXT && packet->turned)
		verdict = icmp_error_turn(packet);
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (packet->length > hop.mtu)
		hop.up_the_stack = 1; /* no error about an error */
	verdict = check_stack(packet, &hop);
	if (verdict != VERDICT_NEXT)
		return verdict;
	icmp_error_rewrite(packet, &quoted, view, packet->forward);
	if (!hop.up_the_stack) {
		ip->ttl--;
		ip->check = checksum_apply(ip->check, CHECKSUM_TTL_LESS_ONE);
	}
	return send(packet, &hop);
}

#endif

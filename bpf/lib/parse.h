/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 1, parse: Ethernet, up to two VLAN tags, IPv4 with options, TCP, UDP, ICMP, fragments. Each
 * header's bounds are checked once. ARP ends here; what is neither is the host's.
 */
#ifndef SALLYPORT_BPF_PARSE_H
#define SALLYPORT_BPF_PARSE_H

#include "lib/arp.h"
#include "lib/checksum.h"
#include "lib/drop.h"
#include "lib/icmp_error.h"
#include "lib/options.h"
#include "lib/packet.h"

#define IPV4_WORDS_MAX 30 /* of 16 bits in a header with all options */

static __always_inline int ipv4_checksum_is_right(const struct iphdr *ip, const void *end)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += word[i];
	if (unlikely(ip->ihl > 5)) {
		for (int i = 10; i < IPV4_WORDS_MAX; i++) {
			if (i >= ip->ihl * 2 || (const void *)(word + i + 1) > end)
				break;
			sum += word[i];
		}
	}
	return checksum_fold(sum) == 0xffff;
}

static __always_inline enum verdict parse_tcp(struct packet *packet, const void *end, __u32 room)
{
	const struct tcphdr *tcp = packet->transport;
	__u32 header;

	if ((const void *)(tcp + 1) > end || room < sizeof(*tcp)) /* what lies behind it is padding */
		return drop(packet, DROP_MALFORMED_TRANSPORT);
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || (header > room && !packet->first_fragment))
		return drop(packet, DROP_MALFORMED_TRANSPORT);
	packet->tcp_flags = tcp_flags_of(tcp);
	packet->payload = header < room ? room - header : 0;
	packet_key(packet, packet_addresses(packet->ip), *(const __u32 *)tcp, IPPROTO_TCP);
	return VERDICT_NEXT;
}

static __always_inline enum verdict parse_udp(struct packet *packet, const void *end, __u32 room)
{
	const struct udphdr *udp = packet->transport;
	__u32 length;

	if ((const void *)(udp + 1) > end || room < sizeof(*udp))
		return drop(packet, DROP_MALFORMED_TRANSPORT);
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || (length > room && !packet->first_fragment))
		return drop(packet, DROP_MALFORMED_TRANSPORT);
	packet_key(packet, packet_addresses(packet->ip), *(const __u32 *)udp, IPPROTO_UDP);
	return VERDICT_NEXT;
}

static __always_inline enum verdict parse_icmp(struct packet *packet, const void *end, __u32 room)
{
	const struct icmp_header *icmp = packet->transport;

	if ((const void *)(icmp + 1) > end || room < sizeof(*icmp))
		return drop(packet, DROP_MALFORMED_TRANSPORT);
	packet_key(packet, packet_addresses(packet->ip),
		   icmp->type == ICMP_ECHO_REQUEST ? packet_ports(icmp->echo.id, 0)
		   : icmp->type == ICMP_ECHO_REPLY ? packet_ports(0, icmp->echo.id)
						   : 0,
		   IPPROTO_ICMP);
	switch (icmp->type) {
	case ICMP_ECHO_REQUEST:
	case ICMP_ECHO_REPLY:
		break;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		icmp_error_parse(packet);
		break;
	case ICMP_SOURCE_QUENCH:
	case ICMP_REDIRECT:
		packet->kind = PACKET_STRANGE_ERROR;
		break;
	default:
		packet->kind = PACKET_OTHER;
	}
	return VERDICT_NEXT;
}

static __always_inline enum verdict parse_ipv4(struct packet *packet, void *data, void *end)
{
	/*
	 * Read back from memory, so that the verifier forgets which of the three lengths it is: otherwise it
	 * walks through the rest of the program once for each.
	 */
	__u32 link = READ_ONCE(packet->link_bytes);
	struct iphdr *ip = data + link;
	__u32 header, room;
	int options;

	if (link > LINK_BYTES_MAX)
		return drop(packet, DROP_INTERNAL_ERROR);
	if ((void *)(ip + 1) > end)
		return drop(packet, DROP_MALFORMED_IPV4);
	header = ip->ihl * 4;
	packet->length = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || packet->length < header ||
	    packet->length > end - (void *)ip || !ipv4_checksum_is_right(ip, end))
		return drop(packet, DROP_MALFORMED_IPV4);
	/* Read again, so that the verifier does not tell two lengths of header apart in all that follows. */
	if (unlikely(READ_ONCE(*(const __u8 *)ip) != IPV4_PLAIN)) {
		options = options_look(packet->context, link + sizeof(*ip), header - sizeof(*ip));
		if (options & OPTIONS_BROKEN)
			return drop(packet, DROP_MALFORMED_IPV4);
		if (options & OPTIONS_SOURCE_ROUTE) /* whoever it is for: the host may forward it */
			return drop(packet, DROP_SOURCE_ROUTED);
	}
	packet->ip = ip;
	packet->transport = (void *)ip + header;
	room = packet->length - header;

	if (unlikely(ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))) {
		if (ip->frag_off & bpf_htons(IP_OFFSET)) {
			packet->kind = PACKET_LATER_FRAGMENT;
			packet_key(packet, packet_addresses(ip), 0, ip->protocol);
			return VERDICT_NEXT;
		}
		packet->first_fragment = 1;
	}
	switch (ip->protocol) {
	case IPPROTO_TCP:
		return parse_tcp(packet, end, room);
	case IPPROTO_UDP:
		return parse_udp(packet, end, room);
	case IPPROTO_ICMP:
		return parse_icmp(packet, end, room);
	default:
		packet->kind = PACKET_OTHER;
		packet_key(packet, packet_addresses(ip), 0, ip->protocol);
		return VERDICT_NEXT;
	}
}

static __always_inline enum verdict parse(struct packet *packet)
{
	void *data = packet_data(packet), *end = packet_end(packet);
	struct ethhdr *ethernet = data;
	__u8 link = sizeof(*ethernet);
	__be16 ethertype;

	if ((void *)(ethernet + 1) > end)
		return drop(packet, DROP_MALFORMED_ETHERNET);
	ethertype = *(const __be16 *)(data + offsetof(struct ethhdr, h_proto));
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		struct vlan_tag *tag = data + link;

		if (likely(ethertype != bpf_htons(ETH_P_8021Q) && ethertype != bpf_htons(ETH_P_8021AD)))
			break;
		if ((void *)(tag + 1) > end)
			return drop(packet, DROP_MALFORMED_ETHERNET);
		ethertype = tag->ethertype;
		link += sizeof(*tag);
	}
	WRITE_ONCE(packet->link_bytes, link);
	if (likely(ethertype == bpf_htons(ETH_P_IP)))
		return parse_ipv4(packet, data, end);
	return ethertype == bpf_htons(ETH_P_ARP) ? arp_answer(packet) : VERDICT_PASS;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the gateway itself says: ICMP errors and TCP resets, made out of the packet that caused them. The
 * packet counts as dropped; the reply leaves through the device that it came in by. Both are limited per
 * processor (RFC 1812 section 4.3.2.8), and neither ever answers an ICMP error, a later fragment or
 * anything that was not addressed to one host (section 4.3.2.7).
 */
#ifndef SALLYPORT_BPF_REPLY_H
#define SALLYPORT_BPF_REPLY_H

#include "lib/checksum.h"
#include "lib/drop.h"
#include "lib/frame_sum.h"
#include "lib/route.h"

#define SECOND_NS 1000000000ULL
#define REPLIES_AT_ONCE_PER_SECOND 5 /* a fifth of what a second allows may be sent at once */
#define REPLY_TTL 64

static __always_inline int reply_is_allowed(struct counters *counted, __u64 per_second)
{
	__u32 zero = 0;
	struct reply_budget *budget = bpf_map_lookup_elem(&reply_budgets, &zero);
	__u64 now = bpf_ktime_get_ns(), elapsed, most;

	if (!budget || !per_second)
		return 0;
	/* A reply costs as many tokens as a second has nanoseconds, and each nanosecond brings the rate. */
	elapsed = now - budget->refilled_ns;
	if (elapsed > SECOND_NS)
		elapsed = SECOND_NS;
	most = per_second * (SECOND_NS / REPLIES_AT_ONCE_PER_SECOND);
	if (most < SECOND_NS)
		most = SECOND_NS;
	budget->refilled_ns = now;
	budget->tokens += elapsed * per_second;
	if (budget->tokens > most)
		budget->tokens = most;
	if (budget->tokens < SECOND_NS) {
		counted->replies_suppressed++;
		return 0;
	}
	budget->tokens -= SECOND_NS;
	return 1;
}

static __always_inline int reply_back_through_device(void)
{
	/* Not XDP_TX: towards a veth whose peer has no program it stops the link for good. */
	return bpf_redirect_map(&transmit, device_slot, 0);
}

static __always_inline void ethernet_swap(struct ethhdr *ethernet)
{
	__u8 address[ETH_ALEN];

	__builtin_memcpy(address, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, address, ETH_ALEN);
}

static __always_inline __u16 ipv4_checksum(const struct iphdr *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += word[i];
	return ~checksum_fold(sum);
}

static __always_inline void ipv4_reply_header(struct iphdr *ip, __be32 source, __be32 destination,
					      __u8 protocol, __u8 tos, __u16 length)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = tos;
	ip->tot_len = bpf_htons(length);
	ip->id = 0;
	ip->frag_off = bpf_htons(IP_DF);
	ip->ttl = REPLY_TTL;
	ip->protocol = protocol;
	ip->check = 0;
	ip->saddr = source;
	ip->daddr = destination;
	ip->check = ipv4_checksum(ip);
}

#define ICMP_ERROR_BYTES_MAX 576 /* RFC 1812 section 4.3.2.3 */
#define ICMP_ERROR_HEADERS (sizeof(struct iphdr) + sizeof(struct icmp_header))
#define ICMP_QUOTE_BYTES_MAX (ICMP_ERROR_BYTES_MAX - ICMP_ERROR_HEADERS)

#define TOS_DSCP 0xfc /* the rest is explicit congestion notification's (RFC 3168) */

static __always_inline int may_be_answered(const struct packet *packet)
{
	return packet->kind != PACKET_ICMP_ERROR && packet->kind != PACKET_OTHER_ERROR &&
	       packet->kind != PACKET_STRANGE_ERROR && packet->kind != PACKET_LATER_FRAGMENT &&
	       !address_is_no_source(packet->key.source) &&
	       !address_is_multicast_or_broadcast(packet->key.destination);
}

/*
 * Turns the frame into an ICMP error about the packet of `length` bytes behind `link` bytes of headers.
 * Returns the XDP action that sends it, or 0 if none is sent. `rest`: second word, network order.
 */
verified_alone int icmp_error_make(struct xdp_md *context, __u32 link, __u32 length, __u32 type_and_code,
				   __be32 rest)
{
	__u32 excess, frame, zero = 0, slot = device_slot;
	struct counters *counted = bpf_map_lookup_elem(&counters, &zero);
	struct device *device = bpf_map_lookup_elem(&devices, &slot);
	struct icmp_header *icmp;
	struct iphdr *ip;
	void *data, *end;
	__u8 header[LINK_BYTES_MAX];
	__be32 to;
	__u8 tos;

	if (!counted || !device || !device->address || link > LINK_BYTES_MAX)
		return 0;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	ip = data + mask_for_verifier(link, LINK_BYTES_MASK);
	settle(ip);
	if ((void *)(ip + 1) > end)
		return 0;
	to = ip->saddr;
	tos = ip->tos & TOS_DSCP; /* RFC 5508 section 7.7 */
	/* Whoever sends under an address of the inside from outside is not there (RFC 1918 section 3). */
	if (device->role == DEVICE_OUTSIDE && address_is_private(to))
		return 0;
	if (!reply_is_allowed(counted, device->replies_per_second))
		return 0;
	/* Cut off the frame's padding and what exceeds the quote. */
	if (length > ICMP_QUOTE_BYTES_MAX)
		length = ICMP_QUOTE_BYTES_MAX;
	frame = context->data_end - context->data;
	if (frame < link + length)
		return 0;
	excess = frame - link - length;
	if (excess && bpf_xdp_adjust_tail(context, -(int)excess))
		return 0;
	if (bpf_xdp_adjust_head(context, -(int)ICMP_ERROR_HEADERS))
		return 0;

	/* From here on the frame is changed: whatever fails, it is dropped and not sent. */
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	/* Move the link header to the front. A constant offset per case, because older verifiers (6.1) lose
	 * track of a copy whose length varies. */
	if (data + ICMP_ERROR_HEADERS + LINK_BYTES_MAX > end)
		return 0;
	__builtin_memcpy(header, data + ICMP_ERROR_HEADERS, LINK_BYTES_MAX);
	__builtin_memcpy(data, header, sizeof(struct ethhdr));
	if (link > sizeof(struct ethhdr))
		__builtin_memcpy(data + 14, header + 14, 4);
	if (link > sizeof(struct ethhdr) + 4)
		__builtin_memcpy(data + 18, header + 18, 4);
	ethernet_swap(data);

	ip = data + mask_for_verifier(link, LINK_BYTES_MASK);
	settle(ip);
	icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) > end)
		return 0;
	ipv4_reply_header(ip, device->address, to, IPPROTO_ICMP, tos, length + ICMP_ERROR_HEADERS);
	icmp->type = type_and_code >> 8;
	icmp->code = type_and_code;
	icmp->checksum = 0;
	icmp->rest = rest;
	icmp->checksum =
		~frame_sum(context, link + sizeof(struct iphdr), length + sizeof(struct icmp_header));

	counted->icmp_errors_sent++;
	return reply_back_through_device();
}

static __always_inline void reply_icmp_error(struct packet *packet, __u8 type, __u8 code, __be32 rest)
{
	if (may_be_answered(packet))
		packet->action = icmp_error_make(packet->context, packet->link_bytes, packet->length,
						 (__u32)type << 8 | code, rest);
}

/*
 * Turns a TCP segment into the reset that answers it (RFC 9293 section 3.10.7.1). Returns the XDP action
 * that sends it, or 0 if none is sent.
 */
verified_alone int tcp_reset_make(struct xdp_md *context, __u32 link, __u32 tcp_flags, __u32 payload)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 zero = 0, slot = device_slot, sequence, acknowledge, sum, frame, header;
	struct counters *counted = bpf_map_lookup_elem(&counters, &zero);
	struct device *device = bpf_map_lookup_elem(&devices, &slot);
	__be32 source, destination;
	__be16 source_port, destination_port;
	const __u16 *word;
	struct tcphdr *tcp;
	struct iphdr *ip;

	if (!counted || !device || link > LINK_BYTES_MAX || data + sizeof(struct ethhdr) > end)
		return 0;
	ip = data + mask_for_verifier(link, LINK_BYTES_MASK);
	settle(ip);
	if ((void *)(ip + 1) > end)
		return 0;
	source = ip->daddr;
	destination = ip->saddr;
	header = ip->ihl * 4;
	tcp = (void *)ip + header;
	settle(tcp);
	if (header < sizeof(*ip) || (void *)(tcp + 1) > end ||
	    !reply_is_allowed(counted, device->replies_per_second))
		return 0;
	source_port = tcp->dest;
	destination_port = tcp->source;
	if (tcp_flags & TCP_ACK) {
		sequence = tcp->ack_seq;
		acknowledge = 0;
	} else {
		sequence = 0;
		acknowledge = bpf_htonl(bpf_ntohl(tcp->seq) + payload + !!(tcp_flags & TCP_SYN) +
					!!(tcp_flags & TCP_FIN));
	}

	tcp = (void *)(ip + 1); /* without options */
	if ((void *)(tcp + 1) > end)
		return 0;
	ipv4_reply_header(ip, source, destination, IPPROTO_TCP, 0, sizeof(*ip) + sizeof(*tcp));
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = source_port;
	tcp->dest = destination_port;
	tcp->seq = sequence;
	tcp->ack_seq = acknowledge;
	tcp->doff = sizeof(*tcp) / 4;
	tcp->rst = 1;
	tcp->ack = !(tcp_flags & TCP_ACK);
	sum = (source & 0xffff) + (source >> 16) + (destination & 0xffff) + (destination >> 16) +
	      bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*tcp));
	word = (const __u16 *)tcp;
	for (int i = 0; i < 10; i++)
		sum += word[i];
	tcp->check = ~checksum_fold(sum);
	ethernet_swap(data);

	frame = context->data_end - context->data;
	if (frame > link + sizeof(*ip) + sizeof(*tcp) &&
	    bpf_xdp_adjust_tail(context, (int)(link + sizeof(*ip) + sizeof(*tcp)) - (int)frame))
		return 0;
	counted->tcp_resets_sent++;
	return reply_back_through_device();
}

static __always_inline void reply_tcp_reset(struct packet *packet)
{
	if (!(packet->tcp_flags & TCP_RST) && may_be_answered(packet))
		packet->action = tcp_reset_make(packet->context, packet->link_bytes, packet->tcp_flags,
						packet->payload);
}

#endif

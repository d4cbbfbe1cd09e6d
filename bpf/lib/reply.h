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

#define REPLIES_PER_SECOND 1000
#define REPLIES_AT_ONCE 200
#define TOKENS_PER_REPLY 1000000
#define REPLY_TTL 64

static __always_inline int reply_is_allowed(struct counters *counted)
{
	__u32 zero = 0;
	struct reply_budget *budget = bpf_map_lookup_elem(&reply_budgets, &zero);
	__u64 now = bpf_ktime_get_ns(), tokens;

	if (!budget)
		return 0;
	/* 1000 replies per second at 1,000,000 tokens each are a token per nanosecond. */
	tokens = budget->tokens + (now - budget->refilled_ns) * REPLIES_PER_SECOND / 1000;
	budget->refilled_ns = now;
	if (tokens > (__u64)REPLIES_AT_ONCE * TOKENS_PER_REPLY)
		tokens = (__u64)REPLIES_AT_ONCE * TOKENS_PER_REPLY;
	if (tokens < TOKENS_PER_REPLY) {
		budget->tokens = tokens;
		counted->replies_suppressed++;
		return 0;
	}
	budget->tokens = tokens - TOKENS_PER_REPLY;
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
					      __u8 protocol, __u16 length)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
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

struct quote_sum {
	struct xdp_md *context;
	__u32 offset;
	__u32 bytes;
	__u32 sum;
};

/* Adds one word of the quote; bpf_loop keeps the verifier from walking through every length. */
static long quote_sum_step(__u32 i, void *argument)
{
	struct quote_sum *quote = argument;
	__u16 word = 0;
	__u32 at = i * 2;

	if (at >= quote->bytes)
		return 1;
	if (bpf_xdp_load_bytes(quote->context, quote->offset + at, &word, at + 1 < quote->bytes ? 2 : 1))
		return 1;
	quote->sum += word;
	return 0;
}

static __always_inline int may_be_answered(const struct packet *packet)
{
	return packet->kind != PACKET_ICMP_ERROR && packet->kind != PACKET_OTHER_ERROR &&
	       packet->kind != PACKET_LATER_FRAGMENT && packet->key.source &&
	       !address_is_multicast_or_broadcast(packet->key.source) &&
	       !address_is_multicast_or_broadcast(packet->key.destination) &&
	       (bpf_ntohl(packet->key.source) >> 24) != 127;
}

/*
 * Turns the frame into an ICMP error about the packet of `length` bytes behind `link` bytes of headers.
 * Returns the XDP action that sends it, or 0 if none is sent. `rest`: second word, network order.
 */
verified_alone int icmp_error_make(struct xdp_md *context, __u32 link, __u32 length, __u32 type_and_code,
				   __be32 rest)
{
	struct quote_sum quote = { .context = context };
	__u32 excess, frame, zero = 0, slot = device_slot;
	struct counters *counted = bpf_map_lookup_elem(&counters, &zero);
	struct device *device = bpf_map_lookup_elem(&devices, &slot);
	struct icmp_header *icmp;
	struct iphdr *ip;
	void *data, *end;
	__u8 header[LINK_BYTES_MAX];
	__be32 to;

	if (!counted || !device || !device->address || link > LINK_BYTES_MAX)
		return 0;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	ip = data + mask_for_verifier(link, LINK_BYTES_MASK);
	settle(ip);
	if ((void *)(ip + 1) > end)
		return 0;
	to = ip->saddr;
	if (!reply_is_allowed(counted))
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
	ipv4_reply_header(ip, device->address, to, IPPROTO_ICMP, length + ICMP_ERROR_HEADERS);
	icmp->type = type_and_code >> 8;
	icmp->code = type_and_code;
	icmp->checksum = 0;
	icmp->rest = rest;
	quote.offset = link + sizeof(struct iphdr);
	quote.bytes = length + sizeof(struct icmp_header);
	bpf_loop((ICMP_QUOTE_BYTES_MAX + sizeof(struct icmp_header) + 1) / 2, quote_sum_step, &quote, 0);
	icmp->checksum = ~checksum_fold(quote.sum);

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
	__u32 zero = 0, sequence, acknowledge, sum, frame, header;
	struct counters *counted = bpf_map_lookup_elem(&counters, &zero);
	__be32 source, destination;
	__be16 source_port, destination_port;
	const __u16 *word;
	struct tcphdr *tcp;
	struct iphdr *ip;

	if (!counted || link > LINK_BYTES_MAX || data + sizeof(struct ethhdr) > end)
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
	if (header < sizeof(*ip) || (void *)(tcp + 1) > end || !reply_is_allowed(counted))
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
	ipv4_reply_header(ip, source, destination, IPPROTO_TCP, sizeof(*ip) + sizeof(*tcp));
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

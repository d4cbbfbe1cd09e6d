/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The last stages of a packet that has a flow: TTL and MTU, rewrite, send. Everything that can refuse the
 * packet comes before the first byte is changed, because an ICMP error quotes it as it came.
 */
#ifndef SALLYPORT_BPF_FORWARD_H
#define SALLYPORT_BPF_FORWARD_H

#include "lib/checksum.h"
#include "lib/flow_table.h"
#include "lib/next_hop.h"
#include "lib/options.h"
#include "lib/reply.h"

static __noinline enum verdict ttl_exceeded(struct packet *packet)
{
	reply_icmp_error(packet, ICMP_TIME_EXCEEDED, 0, 0);
	return drop(packet, DROP_TTL_EXCEEDED);
}

static __noinline enum verdict fragmentation_needed(struct packet *packet, __u16 mtu)
{
	reply_icmp_error(packet, ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED, bpf_htonl(mtu)); /* RFC 1191 */
	return drop(packet, DROP_FRAGMENTATION_NEEDED);
}

/* What routers of the inside recorded must not be shown to others (RFC 3022 section 4.6). */
static __noinline enum verdict check_options_out(struct packet *packet)
{
	__u32 bytes = packet->ip->ihl * 4 - sizeof(*packet->ip);
	__u32 offset = packet->link_bytes + sizeof(*packet->ip);

	if (bytes && options_look(packet->context, offset, bytes) & OPTIONS_ADDRESSES)
		return drop(packet, DROP_RECORDED_ADDRESS);
	return VERDICT_NEXT;
}

static __always_inline enum verdict check_options(struct packet *packet)
{
	return packet->forward || packet->turned ? check_options_out(packet) : VERDICT_NEXT;
}

static __always_inline enum verdict check_ttl(struct packet *packet)
{
	return unlikely(packet->ip->ttl <= 1) ? ttl_exceeded(packet) : VERDICT_NEXT;
}

/* A packet that is too large goes to the host's stack to be fragmented, unless it forbids that. */
static __always_inline enum verdict check_mtu(struct packet *packet, struct hop *hop)
{
	if (likely(packet->length <= hop->mtu))
		return VERDICT_NEXT;
	if (packet->ip->frag_off & bpf_htons(IP_DF))
		return fragmentation_needed(packet, hop->mtu);
	hop->up_the_stack = 1;
	return VERDICT_NEXT;
}

static __noinline enum verdict check_ambiguity(struct packet *packet, const struct hop *hop)
{
	__u32 slot = hop->device;
	struct device *device = bpf_map_lookup_elem(&devices, &slot);

	return hop->elsewhere || !device || (!hop->asked && device->flags & DEVICE_AMBIGUOUS)
		       ? drop(packet, DROP_AMBIGUOUS_ROUTE)
		       : VERDICT_NEXT;
}

/*
 * What goes to an instance is left to the host only where its routes lead to that very one: as it has just said, or
 * because there is no other.
 */
static __always_inline enum verdict check_stack(struct packet *packet, const struct hop *hop)
{
	if (likely(!hop->up_the_stack) || (packet->forward && !packet->turned))
		return VERDICT_NEXT;
	return check_ambiguity(packet, hop);
}

/* These change a header whose bounds the caller has just checked; both lanes go through them. */

static __always_inline void rewrite_tcp(struct tcphdr *tcp, const struct flow_view *view, int forward)
{
	if (forward)
		tcp->source = view->new_port;
	else
		tcp->dest = view->new_port;
	tcp->check = checksum_apply_one(tcp->check, view->transport_delta);
}

static __always_inline void rewrite_udp(struct udphdr *udp, const struct flow_view *view, int forward)
{
	if (forward)
		udp->source = view->new_port;
	else
		udp->dest = view->new_port;
	if (!udp->check) /* the sender made none (RFC 768) */
		return;
	udp->check = checksum_apply_one(udp->check, view->transport_delta);
	if (!udp->check)
		udp->check = 0xffff;
}

/* Puts the new address in, and the TTL down unless the host's stack will do that. */
static __always_inline void rewrite_ip(struct iphdr *ip, const struct flow_view *view, int forward,
				       int up_the_stack)
{
	__u32 delta = view->ip_delta;

	if (forward)
		ip->saddr = view->new_address;
	else
		ip->daddr = view->new_address;
	if (likely(!up_the_stack)) {
		ip->ttl--;
		delta += CHECKSUM_TTL_LESS_ONE;
	}
	ip->check = checksum_apply(ip->check, delta);
}

/* The bounds were checked by parse(); no verifier remembers them across the protocols' branches. */
static __always_inline enum verdict rewrite_transport(struct packet *packet, const struct flow_view *view,
						      int forward)
{
	void *end = packet_end(packet);

	if (packet->key.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = packet->transport;

		if ((void *)(tcp + 1) > end)
			return drop(packet, DROP_INTERNAL_ERROR);
		rewrite_tcp(tcp, view, forward);
	} else if (packet->key.protocol == IPPROTO_UDP) {
		struct udphdr *udp = packet->transport;

		if ((void *)(udp + 1) > end)
			return drop(packet, DROP_INTERNAL_ERROR);
		rewrite_udp(udp, view, forward);
	} else {
		struct icmp_header *icmp = packet->transport;

		if ((void *)(icmp + 1) > end)
			return drop(packet, DROP_INTERNAL_ERROR);
		if (!(view->flags & FLOW_STATIC))
			icmp->echo.id = view->new_port;
		icmp->checksum = checksum_apply_one(icmp->checksum, view->transport_delta);
	}
	return VERDICT_NEXT;
}

static __always_inline enum verdict send(struct packet *packet, const struct hop *hop)
{
	struct ethhdr *ethernet = packet_data(packet);

	if (unlikely(hop->up_the_stack))
		return VERDICT_PASS;
	if ((void *)(ethernet + 1) > packet_end(packet))
		return drop(packet, DROP_INTERNAL_ERROR);
	macs_copy(ethernet, hop->macs);
	packet->action = bpf_redirect_map(&transmit, hop->device, 0);
	return VERDICT_FORWARD;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What stays inside: packets between subnets of a VPC (route target local), which the kernel forwards where its routes
 * can lead to no other VPC, and packets to and from what a router inside leads to (route target via). Nothing is
 * translated, so no protocol and no fragment is refused for what it is.
 *
 * The security groups of both ends hold for them, and are stateful here, too (docs/decisions/0012): "inner_flows" has
 * those flows that they have let through. It is a plain LRU map and no part of the flow table: no port belongs to such
 * a flow, and what is forgotten of it is asked for again with the next packet of whoever opened it. Where neither end
 * has a security group, nothing is looked up and nothing is kept.
 */
#ifndef SALLYPORT_BPF_INNER_H
#define SALLYPORT_BPF_INNER_H

#include "lib/forward.h"
#include "lib/fragment.h"
#include "lib/route.h"
#include "lib/security_group.h"

/* Type and code of an ICMP message, as a security rule has them in place of ports; 0 for other protocols. */
static __always_inline __u16 inner_message(const struct packet *packet)
{
	const struct icmp_header *icmp = packet->transport;

	if (packet->ip->protocol != IPPROTO_ICMP || (const void *)(icmp + 1) > packet_end(packet))
		return 0;
	return icmp->type << 8 | icmp->code;
}

static __always_inline int inner_is_error(const struct packet *packet)
{
	return packet->kind == PACKET_ICMP_ERROR || packet->kind == PACKET_OTHER_ERROR ||
	       packet->kind == PACKET_STRANGE_ERROR;
}

/*
 * What stands in the key's `kind`, so that a question and its answer have one: for ICMP the type of the question. The
 * types of questions other than echo are odd, each followed by that of its answer (RFC 792, RFC 950).
 */
static __always_inline __u8 inner_kind(const struct packet *packet, __u16 message)
{
	__u8 type = message >> 8;

	if (packet->key.protocol != IPPROTO_ICMP)
		return 0;
	if (packet->kind != PACKET_OTHER)
		return ICMP_ECHO_REQUEST; /* itself, its answer, or an error that quotes one of them */
	return type >= ICMP_TIMESTAMP_REQUEST && type <= ICMP_ADDRESS_MASK_REPLY ? type - !(type & 1) : type;
}

static __always_inline void inner_key_turn(struct flow_key *key)
{
	__be32 address = key->source;
	__be16 port = key->source_port;

	key->source = key->destination;
	key->destination = address;
	key->source_port = key->destination_port;
	key->destination_port = port;
}

/* In ticks; the values are the defaults of a NAT gateway. */
static __always_inline __u32 inner_timeout(const struct inner_flow *flow, __u8 protocol)
{
	__u32 seconds = INNER_FLOW_TIMEOUT;

	if (protocol == IPPROTO_ICMP)
		seconds = INNER_FLOW_TIMEOUT_ICMP;
	else if (protocol == IPPROTO_TCP && flow->seen & INNER_FLOW_ANSWERED &&
		 (flow->seen & INNER_FLOW_FINISHED) != INNER_FLOW_FINISHED)
		seconds = INNER_FLOW_TIMEOUT_TCP_ESTABLISHED;
	else if (protocol == IPPROTO_TCP)
		seconds = INNER_FLOW_TIMEOUT_TCP;
	return seconds * FLOW_TOUCH_TICKS;
}

/*
 * The flow of work->key, if it lives and the packet is one of its opener's, or one that `answers` that. A SYN after both
 * ends have closed is of another one (RFC 9293 section 3.6.1). So is a question where the other end has asked one: the keys
 * of both are the same where the identifier is 0.
 */
static __always_inline struct inner_flow *inner_flow_get(const struct packet *packet, struct workspace *work,
							 __u16 message, int answers)
{
	struct inner_flow *flow = bpf_map_lookup_elem(&inner_flows, &work->key);

	if (!flow || clock_age(packet->now, flow->last_seen) > inner_timeout(flow, work->key.protocol))
		return NULL;
	if (packet->kind == PACKET_PLAIN && packet->key.protocol == IPPROTO_TCP &&
	    (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
	    (flow->seen & INNER_FLOW_FINISHED) == INNER_FLOW_FINISHED)
		return NULL;
	if (packet->key.protocol == IPPROTO_ICMP && packet->kind != PACKET_ICMP_ERROR &&
	    (message >> 8 != flow->message >> 8) != answers)
		return NULL;
	return flow;
}

/* The security groups that hold for an address of a VPC: none outside of its subnets. */
static __always_inline void inner_groups_of(struct security_group_list *groups, __u32 zone, __be32 address)
{
	const struct subnet *subnet = subnet_of(zone, address);
	const struct instance *instance = NULL;

	__builtin_memset(groups, 0, sizeof(*groups));
	if (!subnet)
		return;
	if (subnet->flags & SUBNET_HAS_INSTANCES)
		instance = instance_of(zone, address);
	*groups = instance ? instance->groups : subnet->groups;
}

/* Do the security groups of the sender, and then those of the receiver, allow work->ends, as the sender sees it? */
verified_alone int inner_groups_admit(void)
{
	struct workspace *work = workspace_get();
	struct security_group_list groups;
	struct flow_ends *ends;
	__be32 address;
	__be16 port;

	if (!work)
		return 0;
	ends = &work->ends;
	ends->flags = FLOW_ENDS_INNER;
	ends->is_open = 1;
	if (!security_groups_admit())
		return 0;
	address = ends->instance;
	port = ends->instance_port;
	groups = ends->groups;
	ends->instance = ends->remote;
	ends->instance_port = ends->remote_port;
	ends->groups = ends->remote_groups;
	ends->remote = address;
	ends->remote_port = port;
	ends->remote_groups = groups;
	ends->flags = FLOW_ENDS_INNER | FLOW_FROM_OUTSIDE;
	return security_groups_admit();
}

/* Is the flow of work->key, seen from whoever opened it, allowed? `message` is what opened it, of ICMP. */
static __always_inline int inner_flow_is_allowed(struct workspace *work, __u16 message)
{
	struct flow_ends *ends = &work->ends;

	ends->instance = work->key.source;
	ends->remote = work->key.destination;
	ends->protocol = work->key.protocol;
	ends->zone = work->key.zone;
	if (work->key.protocol == IPPROTO_ICMP) {
		ends->instance_port = bpf_htons(message);
		ends->remote_port = bpf_htons(message);
	} else {
		ends->instance_port = work->key.source_port;
		ends->remote_port = work->key.destination_port;
	}
	inner_groups_of(&ends->groups, ends->zone, ends->instance);
	inner_groups_of(&ends->remote_groups, ends->zone, ends->remote);
	return inner_groups_admit();
}

/* Notes what a packet says of its flow. */
static __always_inline void inner_track(const struct packet *packet, struct inner_flow *flow, int answers)
{
	__u8 seen = flow->seen;

	if (inner_is_error(packet))
		return;
	if (answers)
		seen |= INNER_FLOW_ANSWERED;
	if (packet->key.protocol == IPPROTO_TCP) {
		if (packet->tcp_flags & TCP_RST)
			seen |= INNER_FLOW_FINISHED;
		else if (packet->tcp_flags & TCP_FIN)
			seen |= answers ? INNER_FLOW_FIN_OF_ANSWER : INNER_FLOW_FIN_OF_OPENER;
	}
	if (seen != flow->seen)
		WRITE_ONCE(flow->seen, seen);
	if (clock_age(packet->now, flow->last_seen) >= FLOW_TOUCH_TICKS)
		WRITE_ONCE(flow->last_seen, packet->now);
}

/* A packet of a flow that was let through. The configuration may have changed since: it is asked again. */
static __always_inline enum verdict inner_follow(struct packet *packet, struct workspace *work,
						 struct inner_flow *flow, int answers)
{
	__u16 generation = packet->settings->generation;

	if (unlikely(flow->generation != generation)) {
		if (!inner_flow_is_allowed(work, flow->message)) {
			bpf_map_delete_elem(&inner_flows, &work->key);
			return drop(packet, DROP_FLOW_CUT);
		}
		WRITE_ONCE(flow->generation, generation);
	}
	inner_track(packet, flow, answers);
	return VERDICT_NEXT;
}

/* The sender is told, as one is that may not send to the outside. */
static __always_inline enum verdict inner_refuse(struct packet *packet)
{
	reply_icmp_error(packet, ICMP_UNREACHABLE, ICMP_ADMINISTRATIVELY_PROHIBITED, 0);
	return drop(packet, DROP_SECURITY_GROUP);
}

/* Do the security groups let through a packet that stays inside? */
static __noinline enum verdict check_inner(struct packet *packet)
{
	struct workspace *work = workspace_get();
	struct inner_flow made = {}, *flow;
	__u16 message;

	if (!work)
		return drop(packet, DROP_INTERNAL_ERROR);
	inner_groups_of(&work->ends.groups, packet->key.zone, packet->ip->saddr);
	inner_groups_of(&work->ends.remote_groups, packet->key.zone, packet->ip->daddr);
	if (!(work->ends.groups.count | work->ends.remote_groups.count))
		return VERDICT_NEXT;
	/* Without its first fragment, which was asked about, it is no datagram (RFC 1858 section 3). */
	if (packet->kind == PACKET_LATER_FRAGMENT)
		return fragment_overlaps_header(packet) ? drop(packet, DROP_FRAGMENT_OVERLAP) : VERDICT_NEXT;
	message = inner_message(packet);
	work->key = packet->key;
	work->key.kind = inner_kind(packet, message);
	/* A flow is quoted by no other error. */
	if (packet->kind == PACKET_OTHER_ERROR || packet->kind == PACKET_STRANGE_ERROR)
		return inner_flow_is_allowed(work, message) ? VERDICT_NEXT : inner_refuse(packet);
	flow = inner_flow_get(packet, work, message, 0);
	if (flow)
		return inner_follow(packet, work, flow, 0);
	inner_key_turn(&work->key);
	flow = inner_flow_get(packet, work, message, 1);
	if (flow)
		return inner_follow(packet, work, flow, 1);
	inner_key_turn(&work->key);
	if (inner_is_error(packet)) { /* about nothing that is known: a message like any other */
		work->key.source = packet->ip->saddr;
		work->key.destination = packet->ip->daddr;
		work->key.protocol = IPPROTO_ICMP;
		return inner_flow_is_allowed(work, message) ? VERDICT_NEXT : inner_refuse(packet);
	}
	if (!inner_flow_is_allowed(work, message))
		return inner_refuse(packet);
	made.last_seen = packet->now;
	made.generation = packet->settings->generation;
	made.message = message;
	bpf_map_update_elem(&inner_flows, &work->key, &made, BPF_ANY);
	return VERDICT_NEXT;
}

/*
 * To `towards`, a neighbour on a device of the VPC that the packet came from. What is for a router's network is never
 * left to the host's own routes, which would lead it out by the default route, with a private source; what is for an
 * instance may be, unless it could come to another VPC's there.
 */
static __noinline enum verdict inner_relay(struct packet *packet, __be32 towards)
{
	struct hop hop = { .inward = 1 };
	__u32 number, zone = packet->device->zone;
	struct next_hop *known;
	enum verdict verdict;
	int reason;

	verdict = check_ttl(packet);
	if (verdict != VERDICT_NEXT)
		return verdict;
	reason = next_hop_ask(packet->context, &hop, packet->ip->saddr, towards,
			      NEXT_HOP_BEHIND(DEVICE_INSIDE, zone));
	if (reason == NEXT_HOP_ELSEWHERE)
		reason = next_hop_ask_zone(packet->context, &hop, packet->ip->saddr, towards, zone);
	if (reason)
		return next_hop_refuse(packet, reason, hop.refused);
	if (packet->ip->daddr == towards && (hop.up_the_stack || packet->length > hop.mtu) && !hop.elsewhere)
		return VERDICT_PASS;
	if (hop.up_the_stack && packet->ip->daddr == towards)
		return drop(packet, DROP_AMBIGUOUS_ROUTE);
	if (hop.up_the_stack) { /* the agent has it resolved */
		number = hop.number;
		known = bpf_map_lookup_elem(&next_hops, &number);
		return next_hop_refuse(packet, DROP_NEIGHBOUR_UNREACHABLE,
				       known && known->state == NEXT_HOP_UNREACHABLE ? REFUSED_NO_HOST
										     : REFUSED_SILENTLY);
	}
	if (packet->length > hop.mtu) /* whether or not it may be fragmented: nobody else does that */
		return fragmentation_needed(packet, hop.mtu);
	packet->ip->ttl--;
	packet->ip->check = checksum_apply(packet->ip->check, CHECKSUM_TTL_LESS_ONE);
	verdict = send(packet, &hop);
	return verdict == VERDICT_FORWARD ? VERDICT_RELAY : verdict;
}

/* Does what the destination's subnet sends to the source go to a router inside? Then that is where it comes from. */
static __always_inline int inner_is_from_router(__u32 zone, __be32 source, __be32 destination)
{
	const struct subnet *subnet = subnet_of(zone, destination);
	const struct route *route = subnet ? route_to(subnet->route_table, source) : NULL;

	return route && route->target == ROUTE_VIA;
}

/*
 * A packet that stays inside: to the router in work->ends.external, or, with 0 there, to where the host forwards it,
 * if its routes know this VPC from others. Called from where the stages are and not from within the checks, whose
 * stack is full.
 */
static __always_inline enum verdict stay_inside(struct packet *packet)
{
	struct workspace *work = workspace_get();
	enum verdict verdict = check_inner(packet);

	if (verdict != VERDICT_NEXT)
		return verdict;
	if (!work)
		return drop(packet, DROP_INTERNAL_ERROR);
	if (work->ends.external)
		return inner_relay(packet, work->ends.external);
	if (unlikely(packet->device->flags & DEVICE_AMBIGUOUS))
		return inner_relay(packet, packet->ip->daddr);
	return VERDICT_PASS;
}

/* A packet of no subnet, which only a router of the VPC may send. It goes to where it is addressed to. */
static __always_inline enum verdict from_router(struct packet *packet, struct workspace *work)
{
	if (!inner_is_from_router(packet->key.zone, packet->key.source, packet->key.destination))
		return drop(packet, DROP_SOURCE_NOT_IN_SUBNET);
	work->ends.external = packet->ip->daddr;
	return VERDICT_INSIDE;
}

#endif

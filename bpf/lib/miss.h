/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stages 5 and 6, miss: the packet belongs to no flow. From inside it may open one; from outside only where the
 * filtering lets it (inbound.h), and what is the host's own business is left to the host. A packet that has turned
 * around (hairpin.h) is one from outside here.
 */
#ifndef SALLYPORT_BPF_MISS_H
#define SALLYPORT_BPF_MISS_H

#include "lib/find.h"
#include "lib/flow.h"
#include "lib/fragment.h"
#include "lib/hairpin.h"
#include "lib/inbound.h"
#include "lib/inner.h"
#include "lib/shared_address.h"

/* May this packet open a flow? Anything else is refused with a reason, and TCP with a reset. */
static __always_inline enum verdict check_opening(struct packet *packet)
{
	if (packet->kind == PACKET_LATER_FRAGMENT)
		return fragment_hold(packet);
	if (packet->kind == PACKET_ICMP_ERROR)
		return drop(packet, DROP_ICMP_ERROR_WITHOUT_FLOW);
	if (packet->kind == PACKET_OTHER_ERROR)
		return drop(packet, DROP_ICMP_ERROR_MALFORMED);
	if (packet->kind != PACKET_PLAIN && packet->key.protocol == IPPROTO_ICMP)
		return drop(packet, DROP_UNSUPPORTED_ICMP);
	if (packet->kind != PACKET_PLAIN) {
		/* To translate the addresses alone would break most protocols' checksums (RFC 5597 section 3). */
		reply_icmp_error(packet, ICMP_UNREACHABLE, ICMP_PROTOCOL_UNREACHABLE, 0);
		return drop(packet, DROP_UNSUPPORTED_PROTOCOL);
	}
	if (packet->key.protocol == IPPROTO_TCP &&
	    (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN) {
		reply_tcp_reset(packet); /* decision C20 */
		return drop(packet, DROP_TCP_WITHOUT_FLOW);
	}
	if (packet->key.protocol == IPPROTO_ICMP && !packet_is_echo_request(packet))
		return drop(packet, DROP_UNSUPPORTED_ICMP); /* an answer to nothing */
	return check_options(packet);
}

/* No flow can be made: what the instance is told (decision C5). */
static __always_inline void reply_exhausted(struct packet *packet, const struct nat_gateway *nat_gateway)
{
	if (nat_gateway->icmp_on_exhaustion == EXHAUSTION_NOT_TOLD)
		return;
	reply_icmp_error(packet, ICMP_UNREACHABLE,
			 nat_gateway->icmp_on_exhaustion == EXHAUSTION_PROHIBITED
				 ? ICMP_ADMINISTRATIVELY_PROHIBITED
				 : ICMP_HOST_UNREACHABLE,
			 0);
}

/* May the instance of work->ends send this? It is told, unlike who sends from outside (RFC 1812 section 5.3.9). */
static __always_inline enum verdict check_egress(struct packet *packet, struct workspace *work)
{
	struct flow_ends *ends = &work->ends;

	ends->remote = packet->key.destination;
	ends->remote_port = packet->key.destination_port;
	ends->protocol = packet->key.protocol;
	ends->flags = 0;
	ends->is_open = 1;
	if (security_groups_admit())
		return VERDICT_NEXT;
	reply_icmp_error(packet, ICMP_UNREACHABLE, ICMP_ADMINISTRATIVELY_PROHIBITED, 0);
	return drop(packet, DROP_SECURITY_GROUP);
}

/* Sets the external endpoint of work->wish where the configuration has one for the packet's source. */
static __always_inline void wish_forwarded(const struct packet *packet, const struct nat_gateway *nat_gateway,
					   struct workspace *work)
{
	struct forwarded_endpoint *endpoint;
	struct elastic_ip *bound;
	__be32 address;

	if (!(nat_gateway->flags & NAT_GATEWAY_FORWARDS_PORTS))
		return;
	endpoint = forwarded_endpoint_of(&packet->key);
	if (!endpoint)
		return;
	address = endpoint->elastic_ip;
	bound = bpf_map_lookup_elem(&elastic_ips, &address);
	if (!bound || bound->nat_gateway != work->wish.nat_gateway || bound->flags & ELASTIC_IP_DRAINING)
		return;
	work->wish.is_static = 1;
	work->wish.external_address = address;
	work->wish.external_port =
		bpf_htons(endpoint->to_port + (bpf_ntohs(packet->key.source_port) - endpoint->first_port));
}

/*
 * Describes the flow that the packet opens in work->wish. With an `external` address it keeps its port and leaves with
 * that; without, both are the NAT gateway's choice, or a port forward's.
 */
static __always_inline enum verdict wish_flow(struct packet *packet, __u32 number, __be32 external)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	const struct tcphdr *tcp = packet->transport;
	struct workspace *work = workspace_get();
	enum verdict verdict;

	packet->nat_gateway = number;
	packet->forward = 1;
	if (!work || !nat_gateway || !(nat_gateway->flags & NAT_GATEWAY_IN_USE))
		return drop(packet, DROP_INTERNAL_ERROR);
	verdict = check_opening(packet);
	if (verdict == VERDICT_NEXT)
		verdict = check_ttl(packet); /* a traceroute leaves no flows behind */
	if (verdict == VERDICT_NEXT)
		verdict = check_egress(packet, work);
	if (verdict == VERDICT_NEXT)
		verdict = hairpin_check_opening(packet, nat_gateway);
	if (verdict != VERDICT_NEXT)
		return verdict;
	nat_gateway_counters_of(packet->counters, number)->flow_attempts++;
	if (!nat_gateway->elastic_ip_count && !external)
		return drop(packet, DROP_NAT_GATEWAY_WITHOUT_ELASTIC_IP);
	work->wish.key = packet->key;
	work->wish.nat_gateway = number;
	work->wish.now = packet->now;
	work->wish.generation = packet->settings->generation;
	work->wish.acknowledged = 0;
	work->wish.is_static = external != 0;
	work->wish.external_address = external;
	work->wish.external_port = packet->key.source_port;
	if (!external)
		wish_forwarded(packet, nat_gateway, work);
	if (packet->key.protocol == IPPROTO_TCP && (const void *)(tcp + 1) <= packet_end(packet))
		work->wish.acknowledged = bpf_ntohl(tcp->seq) + packet->payload + 1;
	return VERDICT_NEXT;
}

/* `reason` is what flow_create() says: the packet's flow is found, or the packet refused. */
static __noinline enum verdict flow_created(struct packet *packet, struct found *found, int reason)
{
	__u32 number = packet->nat_gateway;
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);

	if (!reason) {
		found->made = 1;
		found->entry = flow_find(&packet->key, &found->view);
		return found->entry ? VERDICT_NEXT : drop(packet, DROP_INTERNAL_ERROR);
	}
	if (reason == DROP_PORT_EXHAUSTED)
		nat_gateway_counters_of(packet->counters, packet->nat_gateway)->port_allocation_errors++;
	if (nat_gateway && !(reason & HOST_IS_TOLD))
		reply_exhausted(packet, nat_gateway); /* quotas as well (RFC 6888 REQ-11 B) */
	return drop(packet, reason & ~HOST_IS_TOLD);
}

/*
 * Is `own` an Elastic IP that new flows can use? Then its internet gateway is in `number`. It comes before one that the
 * instance would share with others.
 */
static __always_inline int own_gateway(__be32 own, __u32 *number)
{
	struct elastic_ip *bound = own ? bpf_map_lookup_elem(&elastic_ips, &own) : NULL;

	if (!bound || bound->nat_gateway == NO_NAT_GATEWAY || bound->flags & ELASTIC_IP_DRAINING)
		return 0;
	*number = bound->nat_gateway;
	return 1;
}

static __noinline enum verdict check_miss_from_inside(struct packet *packet)
{
	struct workspace *work = workspace_get();
	struct subnet *subnet;
	struct route *route;
	__be32 external = 0;
	__u32 number;

	if (address_is_multicast_or_broadcast(packet->key.destination) || packet_is_for_host(packet))
		return VERDICT_PASS;
	if (address_is_invalid(&packet->key))
		return drop(packet, DROP_INVALID_ADDRESS);
	if (packet_is_for_many(packet))
		return drop(packet, DROP_LINK_BROADCAST);
	subnet = subnet_of(packet->key.zone, packet->key.source);
	if (!work)
		return drop(packet, DROP_INTERNAL_ERROR);
	if (!subnet)
		return from_router(packet, work);
	route = route_to(subnet->route_table, packet->key.destination);
	if (!route) {
		reply_icmp_error(packet, ICMP_UNREACHABLE, ICMP_NET_UNREACHABLE, 0);
		return drop(packet, DROP_NO_ROUTE);
	}
	if (route->target == ROUTE_LOCAL || route->target == ROUTE_VIA) {
		work->ends.external = route->target == ROUTE_VIA ? route->via : 0;
		return VERDICT_INSIDE;
	}
	number = route->index;
	work->ends.instance = packet->key.source;
	work->ends.zone = packet->key.zone;
	flow_ends_place(&work->ends, subnet);
	if (route->target == ROUTE_UNTRANSLATED) { /* outside it is what it is inside (RFC 6888 REQ-6) */
		external = packet->key.source;
	} else if (route->target != ROUTE_NAT_GATEWAY && route->target != ROUTE_INTERNET_GATEWAY) {
		return drop(packet, DROP_BLACKHOLE_ROUTE);
	} else if (own_gateway(work->ends.own_elastic_ip, &number)) {
		external = work->ends.own_elastic_ip;
	} else if (route->target == ROUTE_INTERNET_GATEWAY) {
		reply_icmp_error(packet, ICMP_UNREACHABLE, ICMP_ADMINISTRATIVELY_PROHIBITED, 0);
		return drop(packet, work->ends.own_elastic_ip ? DROP_ELASTIC_IP_DRAINING
							      : DROP_INSTANCE_WITHOUT_ELASTIC_IP);
	}
	/* Of another link than the instance's (RFC 2644). */
	if (address_locality(packet->key.destination) == LOCAL_ADDRESS_BROADCAST)
		return drop(packet, DROP_INVALID_ADDRESS);
	return wish_flow(packet, number, external);
}

/*
 * A flow is made by a function that is called from here and not from within the checks: the chain of calls down to
 * the flow table is the longest there is, and its stack is full.
 */
static __always_inline enum verdict miss_from_inside(struct packet *packet, struct found *found)
{
	enum verdict verdict = check_miss_from_inside(packet);

	if (verdict == VERDICT_INSIDE)
		return stay_inside(packet);
	return verdict == VERDICT_NEXT ? flow_created(packet, found, flow_create(packet->nat_gateway))
				       : verdict;
}

static __always_inline int is_draining(__be32 address)
{
	struct elastic_ip *elastic_ip = bpf_map_lookup_elem(&elastic_ips, &address);

	return elastic_ip && elastic_ip->flags & ELASTIC_IP_DRAINING;
}

static __noinline enum verdict check_miss_from_outside(struct packet *packet, struct found *found)
{
	__be32 destination = packet->key.destination;
	struct workspace *work = workspace_get();
	struct elastic_ip *elastic_ip;

	if (address_is_multicast_or_broadcast(destination) || packet_is_for_host(packet))
		return VERDICT_PASS;
	/* Source and destination may be equal: two mappings of one Elastic IP that meet in a hairpin. */
	if (address_is_no_source(packet->key.source) || address_is_no_source(destination))
		return drop(packet, DROP_INVALID_ADDRESS);
	if (packet_is_for_many(packet))
		return drop(packet, DROP_LINK_BROADCAST);
	elastic_ip = bpf_map_lookup_elem(&elastic_ips, &destination);
	if (elastic_ip) {
		packet->nat_gateway = elastic_ip->nat_gateway;
		if (!packet->turned && bpf_map_lookup_elem(&elastic_ips, &packet->key.source))
			return drop(packet, DROP_ELASTIC_IP_FROM_OUTSIDE);
		if (packet->kind == PACKET_LATER_FRAGMENT)
			return fragment_hold(packet);
		if (packet->kind == PACKET_OTHER_ERROR)
			return drop(packet, DROP_ICMP_ERROR_MALFORMED);
		if (packet->kind != PACKET_PLAIN && packet->kind != PACKET_ICMP_ERROR)
			return drop(packet, DROP_UNSOLICITED);
		if (packet->kind == PACKET_PLAIN && work && inbound_static(packet, elastic_ip, work))
			return check_inbound_static(packet);
		return check_inbound(packet, found);
	}
	if (address_is_private(destination))
		return drop(packet, DROP_PRIVATE_DESTINATION);
	/* On one arm: of a VPC, but of no subnet. The host would send it on untranslated. */
	if (packet->device->role == DEVICE_BOTH && address_is_private(packet->key.source))
		return drop(packet, DROP_SOURCE_NOT_IN_SUBNET);
	return VERDICT_PASS;
}

static __always_inline enum verdict miss_from_outside(struct packet *packet, struct found *found)
{
	enum verdict verdict = check_miss_from_outside(packet, found);

	if (verdict != VERDICT_NEXT || found->entry)
		return verdict;
	if (is_draining(packet->key.destination))
		return drop(packet, DROP_ELASTIC_IP_DRAINING);
	return inbound_created(packet, found, inbound_create(packet->nat_gateway));
}

#endif

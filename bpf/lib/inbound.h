/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From outside to an Elastic IP, without a flow. What the configuration leads inside opens one: a port forward, or an
 * Elastic IP that an instance has to itself. So does what the filtering of the NAT gateway lets in to an external
 * endpoint that is in use (RFC 4787 section 5, RFC 5382 section 4.3); with the default, address- and port-dependent
 * filtering, nothing. In any case the instance's security groups have to allow it.
 *
 * What is refused touches nothing, so it keeps no mapping alive (RFC 7857 section 7).
 */
#ifndef SALLYPORT_BPF_INBOUND_H
#define SALLYPORT_BPF_INBOUND_H

#include "lib/find.h"
#include "lib/flow.h"

static __always_inline void inbound_mapping_key(const struct flow_key *reverse, struct flow_key *key)
{
	key->source = 0;
	key->destination = reverse->destination;
	key->source_port = 0;
	key->destination_port = reverse->destination_port;
	key->protocol = reverse->protocol;
	key->kind = FLOW_KIND_MAPPING;
	key->zone = ZONE_OUTSIDE;
}

/*
 * Looks for the mapping of the external endpoint that is the destination of `reverse`. Returns whether there is one
 * that lives; then work->mapping is a copy of its forward entry and work->view one of its reverse entry.
 */
verified_alone int inbound_mapping(const struct flow_key *reverse, __u32 number, __u32 now)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();
	struct flow_entry *entry, *mapping;
	__u32 flow_id, timeout;

	if (!reverse || !nat_gateway || !work)
		return 0;
	inbound_mapping_key(reverse, &work->key);
	entry = flow_find(&work->key, &work->view);
	mapping = entry ? flow_peer(entry) : NULL;
	if (!mapping)
		return 0;
	flow_id = READ_ONCE(mapping->flow_id);
	flow_entry_barrier(mapping);
	work->mapping = *mapping;
	flow_entry_barrier(mapping);
	if (READ_ONCE(mapping->flow_id) != flow_id || work->mapping.key.kind != FLOW_KIND_MAPPING ||
	    work->mapping.new_address != reverse->destination ||
	    work->mapping.new_port != reverse->destination_port)
		return 0;
	timeout = (__u32)mapping_timeout(number, reverse->protocol) << FLOW_TICKS_PER_TIMEOUT_SHIFT;
	return work->mapping.references && work->mapping.state != MAPPING_RESTING &&
	       clock_age(now, work->mapping.last_seen) <= timeout;
}

/* May `key`, from outside, go to the instance of work->mapping? Returns 0, or the reason why not. */
verified_alone int inbound_refusal(const struct flow_key *key, __u32 number, __u32 now)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();

	if (!key || !nat_gateway || !work)
		return DROP_INTERNAL_ERROR;
	if (!filter_admits(nat_gateway, key, now))
		return DROP_FILTERED;
	work->ends.instance = work->mapping.key.source;
	work->ends.instance_port = work->mapping.key.source_port;
	work->ends.remote = key->source;
	work->ends.remote_port = key->source_port;
	work->ends.external = key->destination;
	work->ends.external_port = key->destination_port;
	work->ends.zone = work->mapping.key.zone;
	work->ends.protocol = key->protocol;
	work->ends.flags = FLOW_FROM_OUTSIDE;
	return flow_refusal(number);
}

/*
 * Describes the flow that the packet opens in work->wish; its instance's end stands in the key already. With
 * `is_static` the packet's destination is the external endpoint, else work->mapping has it.
 */
static __always_inline void inbound_wish(const struct packet *packet, struct workspace *work, int is_static)
{
	const struct tcphdr *tcp = packet->transport;
	struct flow_wish *wish = &work->wish;

	wish->key.kind = FLOW_KIND_FLOW;
	wish->key.destination = packet->key.source;
	wish->key.destination_port = packet->key.source_port;
	wish->key.protocol = packet->key.protocol;
	wish->nat_gateway = packet->nat_gateway;
	wish->now = packet->now;
	wish->generation = packet->settings->generation;
	wish->acknowledged = 0;
	if (packet->key.protocol == IPPROTO_TCP && (const void *)(tcp + 1) <= packet_end(packet))
		wish->acknowledged = bpf_ntohl(tcp->seq) + packet->payload + 1;
	wish->state = FLOW_STATE_OPENING_FROM_OUTSIDE;
	wish->is_static = is_static;
	wish->external_address = packet->key.destination;
	wish->external_port = packet->key.destination_port;
	wish->mapping_id = is_static ? 0 : work->mapping.flow_id;
}

/*
 * Makes the flow of work->wish, on work->mapping if it wants one. Returns 0 or the reason why there is none; whoever
 * sent from outside is told nothing.
 */
verified_alone int inbound_create(__u32 number)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();
	int reason;

	if (!work || !nat_gateway)
		return DROP_INTERNAL_ERROR;
	reason = flow_admit(work, nat_gateway, 0);
	if (reason)
		return reason & ~HOST_IS_TOLD;
	if (work->wish.is_static)
		return flow_attach(work, nat_gateway, number, 0);
	if (!mapping_take(work, nat_gateway)) {
		flow_dismiss(work, 0);
		return DROP_UNSOLICITED;
	}
	if (work->mapping.flow_id != work->wish.mapping_id) {
		mapping_put(work); /* another one than was looked at */
		flow_dismiss(work, 0);
		return DROP_UNSOLICITED;
	}
	return flow_attach(work, nat_gateway, number, 0);
}

/* Lets the packet in by the mapping alone, without a flow. */
static __always_inline enum verdict inbound_by_mapping(struct packet *packet, struct found *found,
						       struct workspace *work)
{
	inbound_mapping_key(&packet->key, &work->key);
	found->entry = flow_find(&work->key, &found->view);
	if (!found->entry)
		return drop(packet, DROP_UNSOLICITED);
	found->view.next_hop = 0; /* nobody checks again whether it is the right one still */
	return VERDICT_NEXT;
}

/* Is the source one that may open anything? */
static __always_inline enum verdict check_inbound_source(struct packet *packet)
{
	/* One that has turned around has an Elastic IP as source, maybe the very one that it is addressed to. */
	if (packet->turned)
		return VERDICT_NEXT;
	if (address_is_invalid(&packet->key) || address_is_local(packet->key.source))
		return drop(packet, DROP_INVALID_ADDRESS);
	/* Of any VPC, not of the port's owner alone: an answer, or an error, would go inside. */
	return address_is_private(packet->key.source) ? drop(packet, DROP_FILTERED) : VERDICT_NEXT;
}

/* By its type: the key of an answer whose identifier is 0 is that of a request. */
static __always_inline int packet_is_echo_request(const struct packet *packet)
{
	const struct icmp_header *icmp = packet->transport;

	return (const void *)(icmp + 1) <= packet_end(packet) && icmp->type == ICMP_ECHO_REQUEST;
}

/* TCP begins with a SYN and nothing else, an echo with a request. */
static __always_inline int packet_opens(const struct packet *packet)
{
	if (packet->key.protocol == IPPROTO_TCP)
		return (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	return packet->key.protocol != IPPROTO_ICMP || packet_is_echo_request(packet);
}

/*
 * Where the configuration leads what is sent to the packet's destination: fills in the instance's end of
 * work->wish.key. Returns whether it leads anywhere.
 */
static __always_inline int inbound_static(const struct packet *packet, const struct elastic_ip *elastic_ip,
					  struct workspace *work)
{
	struct flow_key *key = &work->wish.key;
	struct port_forward *forward;

	if (elastic_ip->instance) {
		key->source = elastic_ip->instance;
		key->source_port = packet->key.destination_port;
		key->zone = elastic_ip->zone;
		return 1;
	}
	if (!(elastic_ip->flags & ELASTIC_IP_FORWARDS_PORTS))
		return 0;
	forward =
		port_forward_of(packet->key.destination, packet->key.destination_port, packet->key.protocol);
	if (!forward)
		return 0;
	key->source = forward->address;
	key->source_port = port_forward_port(forward, packet->key.destination_port);
	key->zone = forward->zone;
	return 1;
}

/* A packet that opens a flow to the instance whose end stands in work->wish.key. */
static __always_inline enum verdict check_inbound_static(struct packet *packet)
{
	struct workspace *work = workspace_get();
	enum verdict verdict;
	int reason;

	if (!work)
		return drop(packet, DROP_INTERNAL_ERROR);
	verdict = check_inbound_source(packet);
	if (verdict == VERDICT_NEXT && !packet_opens(packet))
		verdict = drop(packet, DROP_UNSOLICITED);
	if (verdict != VERDICT_NEXT)
		return verdict;
	work->ends.instance = work->wish.key.source;
	work->ends.instance_port = work->wish.key.source_port;
	work->ends.remote = packet->key.source;
	work->ends.remote_port = packet->key.source_port;
	work->ends.external = packet->key.destination;
	work->ends.external_port = packet->key.destination_port;
	work->ends.zone = work->wish.key.zone;
	work->ends.protocol = packet->key.protocol;
	work->ends.flags = FLOW_STATIC | FLOW_FROM_OUTSIDE;
	reason = flow_refusal(packet->nat_gateway);
	if (reason)
		return drop(packet, reason);
	verdict = check_ttl(packet);
	if (verdict != VERDICT_NEXT)
		return verdict;
	nat_gateway_counters_of(packet->counters, packet->nat_gateway)->flow_attempts++;
	inbound_wish(packet, work, 1);
	return VERDICT_NEXT;
}

/*
 * A packet to an external endpoint of a NAT gateway that belongs to no flow. If it may go on, `found` is the mapping
 * for an ICMP error, which makes no flow (RFC 5508 REQ-6); else there is no entry in it, and work->wish is the flow to
 * make.
 */
static __always_inline enum verdict check_inbound(struct packet *packet, struct found *found)
{
	__u32 number = packet->nat_gateway;
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();
	int is_error = packet->kind == PACKET_ICMP_ERROR, reason;
	enum verdict verdict;

	if (!work || !nat_gateway || !(nat_gateway->flags & NAT_GATEWAY_IN_USE) ||
	    filtering_of(nat_gateway, packet->key.protocol) == ADDRESS_AND_PORT_DEPENDENT ||
	    !inbound_mapping(&packet->key, number, packet->now))
		return drop(packet, is_error ? DROP_ICMP_ERROR_WITHOUT_FLOW : DROP_UNSOLICITED);
	verdict = check_inbound_source(packet);
	if (verdict != VERDICT_NEXT)
		return verdict;
	reason = inbound_refusal(&packet->key, number, packet->now);
	if (reason)
		return drop(packet, reason);
	if (is_error)
		return inbound_by_mapping(packet, found, work);
	if (packet->key.protocol == IPPROTO_TCP &&
	    (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return drop(packet, DROP_UNSOLICITED);
	verdict = check_ttl(packet);
	if (verdict != VERDICT_NEXT)
		return verdict;
	nat_gateway_counters_of(packet->counters, number)->flow_attempts++;
	work->wish.key = work->mapping.key;
	inbound_wish(packet, work, 0);
	return VERDICT_NEXT;
}

/* `reason` is what inbound_create() says: the packet's flow is found, or the packet refused. */
static __noinline enum verdict inbound_created(struct packet *packet, struct found *found, int reason)
{
	struct workspace *work = workspace_get();

	if (reason || !work)
		return drop(packet, reason ? reason : DROP_INTERNAL_ERROR);
	found->entry = flow_find(&packet->key, &found->view);
	if (found->entry)
		return VERDICT_NEXT;
	/*
	 * The instance has a flow to this very remote already, through another external port, which its answers
	 * will take. A datagram is let in all the same; a connection cannot begin. Nor does a port forward let anything
	 * in: a mapping that had its port before may be another instance's, and nobody has asked its filtering.
	 */
	return packet->key.protocol == IPPROTO_TCP || work->wish.is_static
		       ? drop(packet, DROP_UNSOLICITED)
		       : inbound_by_mapping(packet, found, work);
}

#endif

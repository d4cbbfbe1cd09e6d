/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From outside to an external endpoint that is in use, without a flow: what the filtering of the NAT gateway lets in
 * opens one (RFC 4787 section 5, RFC 5382 section 4.3). With the default, address- and port-dependent filtering,
 * nothing does.
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
	timeout = (__u32)mapping_timeout(nat_gateway, reverse->protocol) << FLOW_TICKS_PER_TIMEOUT_SHIFT;
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
	/* Where the instance cannot send, nothing comes from. */
	return flow_is_allowed(work->mapping.key.zone, work->mapping.key.source, key->source,
			       key->destination, number)
		       ? 0
		       : DROP_FILTERED;
}

/* Describes the flow that the packet opens in work->wish, as the instance of work->mapping would. */
static __always_inline void inbound_wish(const struct packet *packet, struct workspace *work)
{
	const struct tcphdr *tcp = packet->transport;
	struct flow_wish *wish = &work->wish;

	wish->key = work->mapping.key;
	wish->key.kind = FLOW_KIND_FLOW;
	wish->key.destination = packet->key.source;
	wish->key.destination_port = packet->key.source_port;
	wish->nat_gateway = packet->nat_gateway;
	wish->now = packet->now;
	wish->generation = packet->settings->generation;
	wish->acknowledged = 0;
	if (packet->key.protocol == IPPROTO_TCP && (const void *)(tcp + 1) <= packet_end(packet))
		wish->acknowledged = bpf_ntohl(tcp->seq) + packet->payload + 1;
	wish->state = FLOW_STATE_OPENING_FROM_OUTSIDE;
	wish->untranslated = 0;
	wish->mapping_id = work->mapping.flow_id;
}

/*
 * Makes the flow of work->wish on work->mapping. Returns 0 or the reason why there is none; whoever sent from outside
 * is told nothing.
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

/*
 * A packet to an Elastic IP of a NAT gateway that belongs to no flow. If it may go on, `found` is the mapping for an
 * ICMP error, which makes no flow (RFC 5508 REQ-6); else there is no entry in it, and work->wish is the flow to make.
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
	/* One that has turned around has an Elastic IP as source, maybe the very one that it is addressed to. */
	if (!packet->turned && (address_is_invalid(&packet->key) || address_is_local(packet->key.source)))
		return drop(packet, DROP_INVALID_ADDRESS);
	/* Of any VPC, not of the port's owner alone: an answer, or an error, would go inside. */
	if (!packet->turned && address_is_private(packet->key.source))
		return drop(packet, DROP_FILTERED);
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
	inbound_wish(packet, work);
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
	 * will take. A datagram is let in all the same; a connection cannot begin.
	 */
	return packet->key.protocol == IPPROTO_TCP ? drop(packet, DROP_UNSOLICITED)
						   : inbound_by_mapping(packet, found, work);
}

#endif

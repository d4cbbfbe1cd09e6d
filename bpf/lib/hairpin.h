/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hairpin (RFC 4787 section 6): an instance sends to an Elastic IP of this very gateway. It has a flow like any
 * other, whose remote happens to be that address (FLOW_HAIRPIN). Its packet is therefore sent out first, and what
 * then comes back from outside, with the sender's Elastic IP and port as source, is looked for a second time and
 * filtered as if a public host had sent it (REQ-9a, decision C4). All of that is one run of the program:
 *
 *   10.0.0.11:5000 -> E:b      the sender's flow, {instance, E:b, zone of its VPC}: its source will be E:a
 *        E:a       -> E:b      the receiver's flow, {E:a, E:b, zone 0}: its destination will be the instance
 *        E:a       -> 10.0.0.12:6000
 *
 * Nothing but this program may bear an Elastic IP as source in zone 0: a packet that does and did come from outside
 * is forged. The express lane knows neither and leaves both to the stages.
 */
#ifndef SALLYPORT_BPF_HAIRPIN_H
#define SALLYPORT_BPF_HAIRPIN_H

#include "lib/hit.h"
#include "lib/turn.h"

/*
 * May an instance of `zone` behind NAT gateway `number` reach the one that `entry`, a reverse one, leads to? Both
 * NAT gateways have to allow it, whoever sent first. Returns 0, or the reason why not.
 */
static __always_inline int hairpin_refused(const struct flow_entry *entry, __u32 number, __u32 zone)
{
	struct nat_gateway *sender = bpf_map_lookup_elem(&nat_gateways, &number), *receiver;
	__u32 flow_id = READ_ONCE(entry->flow_id), both;
	struct flow_entry *peer = flow_peer(entry);
	__u16 receiver_zone;

	if (!peer)
		return DROP_UNSOLICITED; /* it is being made, or ended */
	if (READ_ONCE(peer->key.kind) == FLOW_KIND_MAPPING && READ_ONCE(peer->state) == MAPPING_RESTING)
		return DROP_UNSOLICITED;
	receiver_zone = READ_ONCE(peer->key.zone);
	number = READ_ONCE(peer->nat_gateway);
	flow_entry_barrier(peer);
	if (!flow_id || READ_ONCE(peer->flow_id) != flow_id) /* both may have been another's by then */
		return DROP_UNSOLICITED;
	receiver = bpf_map_lookup_elem(&nat_gateways, &number);
	if (!sender || !receiver)
		return DROP_INTERNAL_ERROR;
	both = sender->flags | receiver->flags;
	if (!(sender->flags & receiver->flags & NAT_GATEWAY_HAIRPIN) ||
	    (both & NAT_GATEWAY_HAIRPIN_SAME_TENANT && receiver_zone != zone))
		return DROP_ELASTIC_IP_FROM_INSIDE;
	return 0;
}

/* The same for the reverse entry of work->key. */
verified_alone int hairpin_refused_by_key(__u32 number, __u32 zone, __u32 now)
{
	struct workspace *work = workspace_get();
	struct flow_entry *entry;

	if (!work)
		return DROP_INTERNAL_ERROR;
	entry = flow_find(&work->key, &work->view);
	if (!entry || flow_expired(entry, now))
		return DROP_UNSOLICITED;
	return hairpin_refused(entry, number, zone);
}

/* Does the configuration lead what is sent to this endpoint to an instance? */
static __noinline int hairpin_is_led_inside(__be32 address, __be16 port, __u32 protocol)
{
	struct elastic_ip *elastic_ip = bpf_map_lookup_elem(&elastic_ips, &address);

	if (!elastic_ip)
		return 0;
	return elastic_ip->instance ||
	       (elastic_ip->flags & ELASTIC_IP_FORWARDS_PORTS && port_forward_of(address, port, protocol));
}

/* work->key: of the mapping that has the external endpoint which a packet of `key` is addressed to. */
static __always_inline void hairpin_mapping_key(struct workspace *work, const struct flow_key *key)
{
	__builtin_memset(&work->key, 0, sizeof(work->key));
	work->key.destination = key->destination;
	work->key.destination_port = key->destination_port;
	work->key.protocol = key->protocol;
	work->key.kind = FLOW_KIND_MAPPING;
	work->key.zone = ZONE_OUTSIDE;
}

/*
 * work->key: of a flow between that endpoint and the one that a mapping gives to the sender. Returns whether there is
 * such a mapping.
 */
static __always_inline int hairpin_flow_key(struct workspace *work, const struct flow_key *key)
{
	flow_mapping_key(key, &work->key);
	if (!flow_find(&work->key, &work->view))
		return 0;
	work->key = *key;
	work->key.source = work->view.new_address;
	work->key.source_port = work->view.new_port;
	work->key.zone = ZONE_OUTSIDE;
	return 1;
}

/*
 * Does anything answer for the external endpoint that the packet of `key` is addressed to: a mapping, or a flow
 * to the very endpoint that the sender has? Without this no flow is opened: a scan of the gateway's own addresses
 * would leave one behind for each port. Returns 0, or the reason why not.
 *
 * Whether the packet is let in is another matter. If it is not, the sender's flow stays nevertheless: it is what
 * lets the other side in (RFC 4787 REQ-8), and how both sides of a hole are punched.
 */
verified_alone int hairpin_check_endpoint(const struct flow_key *key, __u32 number, __u32 now)
{
	struct workspace *work = workspace_get();
	int reason;

	if (!key || !work)
		return DROP_INTERNAL_ERROR;
	if (hairpin_is_led_inside(key->destination, key->destination_port, key->protocol))
		return 0;
	hairpin_mapping_key(work, key);
	reason = hairpin_refused_by_key(number, key->zone, now);
	if (reason != DROP_UNSOLICITED)
		return reason;
	if (!hairpin_flow_key(work, key))
		return DROP_UNSOLICITED;
	return hairpin_refused_by_key(number, key->zone, now);
}

/* For a packet that would open a flow: if its remote is an Elastic IP, is that allowed, and worth it? */
static __always_inline enum verdict hairpin_check_opening(struct packet *packet,
							  const struct nat_gateway *sender)
{
	int reason;

	if (!bpf_map_lookup_elem(&elastic_ips, &packet->key.destination))
		return VERDICT_NEXT;
	if (!(sender->flags & NAT_GATEWAY_HAIRPIN))
		return drop(packet, DROP_ELASTIC_IP_FROM_INSIDE);
	reason = hairpin_check_endpoint(&packet->key, packet->nat_gateway, packet->now);
	return reason ? drop(packet, reason) : VERDICT_NEXT;
}

/* A packet from outside whose flow has an Elastic IP as remote. */
static __always_inline enum verdict hairpin_forged(struct packet *packet, const struct found *found)
{
	packet->nat_gateway = found->view.nat_gateway;
	return drop(packet, DROP_ELASTIC_IP_FROM_OUTSIDE);
}

/*
 * The way out: the sender's flow sees the packet and it turns around. What becomes of it inside is no matter of this
 * flow: it is used and refreshed as if the packet had gone to the internet and been lost there.
 */
static __noinline enum verdict hairpin_leave(struct packet *packet, struct found *found)
{
	enum verdict verdict;

	if (!(found->view.flags & FLOW_FORWARD))
		return hairpin_forged(packet, found);
	packet->nat_gateway = found->view.nat_gateway;
	packet->forward = 1;
	if (packet->kind == PACKET_PLAIN) {
		verdict = check_ttl(packet);
		if (verdict == VERDICT_NEXT && packet->first_fragment)
			verdict = fragment_remember(packet, &found->view);
		if (verdict != VERDICT_NEXT)
			return verdict;
		track(packet, found);
		touch(packet, found);
	}
	return turn(packet, &found->view);
}

/* The way in: the packet has turned, and `found` is the receiver's flow. */
static __noinline enum verdict hairpin_enter(struct packet *packet, const struct found *found)
{
	struct workspace *work = workspace_get();
	int reason;

	if (!work)
		return drop(packet, DROP_INTERNAL_ERROR);
	packet->nat_gateway = found->view.nat_gateway;
	reason = hairpin_refused(found->entry, work->outward.nat_gateway, packet->device->zone);
	return reason ? drop(packet, reason) : VERDICT_NEXT;
}

#endif

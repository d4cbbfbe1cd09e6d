/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 4, hit: what every packet of a flow goes through. */
#ifndef SALLYPORT_BPF_HIT_H
#define SALLYPORT_BPF_HIT_H

#include "lib/find.h"
#include "lib/fragment.h"
#include "lib/icmp_error.h"
#include "lib/identification.h"
#include "lib/mss.h"
#include "lib/turn.h"

/* Touches the mapping, and the permit if there is one, of the flow of `key`. */
verified_alone int touch_mapping(const struct flow_key *key, __u32 now)
{
	struct flow_entry *entry, *mapping;
	struct flow_key mapping_key;
	struct flow_view view;

	if (!key)
		return 0;
	entry = flow_find(key, &view);
	if (entry && !(view.flags & FLOW_FORWARD))
		entry = flow_peer(entry);
	if (!entry)
		return 0;
	flow_mapping_key(&entry->key, &mapping_key);
	mapping = flow_find(&mapping_key, &view);
	if (!mapping || view.new_address != entry->new_address || view.new_port != entry->new_port) {
		flow_unshared_key(entry, &mapping_key);
		mapping = flow_find(&mapping_key, &view);
	}
	if (mapping)
		WRITE_ONCE(mapping->last_seen, now);
	if (entry->flags & FLOW_PERMITTED) {
		flow_reverse_key(entry, &mapping_key);
		permit_touch(&mapping_key, now);
	}
	return mapping != NULL;
}

/*
 * Counts a packet in its own entry only. Not atomic: a direction is on one processor nearly always, and a lost
 * count is worth less than a locked instruction in every packet.
 */
static __always_inline void flow_count(struct flow_entry *entry, __u32 length)
{
	entry->packets++;
	entry->bytes += length;
}

/* Is the mapping of a flow that was last seen then to be touched as well? */
static __always_inline int mapping_is_due(const struct flow_view *view, __u32 now)
{
	return view->flags & FLOW_MAPPED && (now ^ view->last_seen) >> MAPPING_TOUCH_SHIFT;
}

/* Counts the packet and notes the time. */
static __always_inline void touch(struct packet *packet, struct found *found)
{
	struct flow_entry *entry = found->entry;

	flow_count(entry, packet->length);
	if (clock_age(packet->now, found->view.last_seen) < FLOW_TOUCH_TICKS)
		return;
	WRITE_ONCE(entry->last_seen, packet->now);
	if (mapping_is_due(&found->view, packet->now))
		touch_mapping(&packet->key, packet->now);
}

/* Is a direction's last acknowledgement kept? A mapped flow has no room for the remote's (abi/flow.h). */
static __always_inline int acknowledgement_is_kept(const struct flow_view *view, int forward)
{
	return forward || !(view->flags & FLOW_MAPPED);
}

/*
 * The state machine sees the packets that can move it, and TCP's acknowledgements are kept for it: but not those
 * of a SYN, which begins the numbers, nor of a RST, which may be anybody's. Returns the state that the flow is in.
 */
static __always_inline __u8 track(struct packet *packet, struct found *found)
{
	const struct tcphdr *tcp = packet->transport;
	struct segment segment = { .flags = packet->tcp_flags, .payload = packet->payload };
	int step = found->view.flags & FLOW_WATCH;

	if (packet->key.protocol == IPPROTO_TCP && (const void *)(tcp + 1) <= packet_end(packet)) {
		step |= packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST);
		if (unlikely(step)) {
			segment.sequence = bpf_ntohl(tcp->seq);
			segment.acknowledges = bpf_ntohl(tcp->ack_seq);
		}
		if ((packet->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK &&
		    acknowledgement_is_kept(&found->view, packet->forward))
			WRITE_ONCE(found->entry->tcp_acknowledged, bpf_ntohl(tcp->ack_seq));
	}
	return unlikely(step) && !found->made ? flow_step(&packet->key, &segment) : found->view.state;
}

static __always_inline enum verdict hit(struct packet *packet, struct found *found)
{
	struct flow_view *view = &found->view;
	enum verdict verdict;
	struct hop hop = {};

	packet->nat_gateway = view->nat_gateway;
	packet->forward = view->flags & FLOW_FORWARD;
	verdict = check_options(packet);
	if (verdict == VERDICT_NEXT && unlikely(packet->kind == PACKET_ICMP_ERROR))
		return icmp_error_translate(packet, found);

	if (verdict == VERDICT_NEXT)
		verdict = check_ttl(packet);
	if (verdict == VERDICT_NEXT)
		verdict = next_hop_find(packet, found->entry, &hop, view);
	if (verdict == VERDICT_NEXT)
		verdict = check_mtu(packet, &hop);
	if (verdict == VERDICT_NEXT)
		verdict = check_stack(packet, &hop);
	if (hop.number) /* which the fragments that follow cannot ask for: they know no VPC */
		view->next_hop = hop.number;
	if (verdict == VERDICT_NEXT && unlikely(packet->first_fragment))
		verdict = fragment_remember(packet, view);
	if (verdict != VERDICT_NEXT)
		return verdict;

	if (unlikely(packet->tcp_flags & TCP_SYN))
		mss_clamp(packet, view->nat_gateway, hop.mtu);
	/* What comes from outside and is no answer does not keep a flow that waits for one. */
	if (unlikely(track(packet, found) == FLOW_STATE_OPENING && !packet->forward))
		flow_count(found->entry, packet->length);
	else
		touch(packet, found);

	if (unlikely(packet->turned))
		verdict = turn_rewrite(packet);
	if (verdict == VERDICT_NEXT)
		verdict = rewrite_transport(packet, view, packet->forward);
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (unlikely(packet->first_fragment))
		identification_set(packet->ip, packet->identification);
	else if ((packet->forward || packet->turned) && !ipv4_is_atomic(packet->ip))
		identification_renew(packet->ip, packet->turned ? packet->key.source : view->new_address);
	rewrite_ip(packet->ip, view, packet->forward, hop.up_the_stack);
	return send(packet, &hop);
}

#endif

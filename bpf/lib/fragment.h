/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments after the first have no ports: they follow what was done to the first one. Those that come
 * before it wait for it at the agent (early_fragment.h).
 *
 * No fragment may change what the first one said (RFC 1858, RFC 3128): one that overlaps the transport
 * header is dropped, and so is another first one with other ports, until the datagram's end has been seen.
 * A first fragment without a whole transport header is malformed to parse().
 */
#ifndef SALLYPORT_BPF_FRAGMENT_H
#define SALLYPORT_BPF_FRAGMENT_H

#include "lib/early_fragment.h"
#include "lib/identification.h"
#include "lib/route.h"
#include "lib/turn.h"

#define FRAGMENT_TICKS (5 * FLOW_TOUCH_TICKS) /* five seconds between the first and the last */

/* A packet that has turned around keeps its bytes until it is sent, but has its new identification already. */
static __always_inline __be16 fragment_identification(const struct packet *packet)
{
	return packet->turned ? packet->identification : packet->ip->id;
}

static __always_inline void fragment_key_of(const struct packet *packet, struct fragment_key *key)
{
	key->source = packet->key.source;
	key->destination = packet->key.destination;
	key->identification = fragment_identification(packet);
	key->protocol = packet->key.protocol;
	key->zero0 = 0;
	key->zone = packet->key.zone;
}

/* Does a later fragment begin within the header that the first one has? That of UDP and ICMP is one unit. */
static __always_inline int fragment_overlaps_header(const struct packet *packet)
{
	return packet->key.protocol == IPPROTO_TCP &&
	       (bpf_ntohs(packet->ip->frag_off) & IP_OFFSET) * 8 < sizeof(struct tcphdr);
}

/*
 * Tells the agent that the first fragment of this datagram, as it came, was seen: when nothing is left to be
 * remembered of it.
 */
static __always_inline void fragment_announce(const struct packet *packet, struct fragment_key *key)
{
	if (!agent_holds_fragments(packet))
		return;
	key->source = packet->ip->saddr;
	key->identification = packet->ip->id;
	if (packet->turned)
		key->zone = packet->device->zone;
	early_fragment_announce(key);
}

/* Notes what happens to a first fragment; packet->identification is what it and the others shall have. */
static __noinline enum verdict fragment_remember(struct packet *packet, const struct flow_view *view)
{
	const struct fragment *known;
	struct fragment_key key;
	struct fragment fragment = {
		.new_address = view->new_address,
		.last_seen = packet->now,
		.ports = *(const __be32 *)&packet->key.source_port,
		.ip_delta = view->ip_delta,
		.next_hop = view->next_hop,
		.nat_gateway = view->nat_gateway,
		.identification = fragment_identification(packet),
		.forward = packet->forward,
		.hairpin = view->flags & FLOW_HAIRPIN,
	};

	fragment_key_of(packet, &key);
	known = bpf_map_lookup_elem(&fragments, &key);
	if (known && !known->complete && clock_age(packet->now, known->last_seen) <= FRAGMENT_TICKS) {
		if (known->ports != fragment.ports)
			return drop(packet, DROP_FRAGMENT_OVERLAP);
		fragment.identification = known->identification; /* the same one once more */
	} else if (packet->forward) {
		fragment.identification =
			identification_next(view->new_address, packet->key.destination, packet->key.protocol);
	}
	bpf_map_update_elem(&fragments, &key, &fragment, BPF_ANY);
	packet->identification = fragment.identification;
	if (!(fragment.forward && fragment.hairpin)) /* else its way in is still to come */
		fragment_announce(packet, &key);
	return VERDICT_NEXT;
}

/*
 * Is the Elastic IP of the first fragment still there? It may have been taken away since. What is not translated has
 * none (RFC 6888 REQ-6).
 */
static __always_inline int fragment_may_follow(const struct packet *packet, const struct fragment *first)
{
	__be32 own = first->forward ? packet->key.source : packet->key.destination;
	__be32 external = first->forward ? first->new_address : own;
	struct elastic_ip *bound;

	if (first->new_address == own)
		return 1;
	bound = bpf_map_lookup_elem(&elastic_ips, &external);
	return bound && bound->nat_gateway == first->nat_gateway;
}

/* What was done to the first fragment of this one; 0 if that was not seen (in this zone). */
static __noinline int fragment_find(struct packet *packet, struct flow_view *view)
{
	struct fragment *first;
	struct fragment_key key;

	fragment_key_of(packet, &key);
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || clock_age(packet->now, first->last_seen) > FRAGMENT_TICKS ||
	    !fragment_may_follow(packet, first))
		return 0;
	view->new_address = first->new_address;
	view->ip_delta = first->ip_delta;
	view->next_hop = first->next_hop;
	view->nat_gateway = first->nat_gateway;
	view->flags = first->hairpin;
	packet->nat_gateway = first->nat_gateway;
	packet->forward = first->forward;
	packet->identification = first->identification;
	if (!(packet->ip->frag_off & bpf_htons(IP_MF)))
		WRITE_ONCE(first->complete, 1);
	return 1;
}

/* The two ways of a hairpin: the first fragment went both, and each is remembered. */
static __always_inline enum verdict fragment_turn(struct packet *packet, struct flow_view *view)
{
	enum verdict verdict;

	if (!packet->forward)
		return drop(packet, DROP_ELASTIC_IP_FROM_OUTSIDE);
	verdict = turn(packet, view);
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (fragment_find(packet, view))
		return VERDICT_NEXT;
	/* The first one met nobody inside, and went up to the host. */
	return address_is_shared_with_host(packet->key.destination)
		       ? VERDICT_PASS
		       : drop(packet, DROP_FRAGMENT_WITHOUT_FIRST);
}

/* VERDICT_NEXT: the first fragment of this one was not seen (in this zone). */
static __noinline enum verdict fragment_follow(struct packet *packet)
{
	enum verdict verdict = VERDICT_NEXT;
	struct flow_view view = {};
	struct hop hop = {};

	if (!fragment_find(packet, &view))
		return VERDICT_NEXT;
	if (fragment_overlaps_header(packet))
		return drop(packet, DROP_FRAGMENT_OVERLAP);
	if (unlikely(view.flags & FLOW_HAIRPIN))
		verdict = fragment_turn(packet, &view);
	if (verdict == VERDICT_NEXT)
		verdict = check_options(packet);
	if (verdict == VERDICT_NEXT)
		verdict = check_ttl(packet);
	if (verdict == VERDICT_NEXT)
		verdict = next_hop_find(packet, NULL, &hop, &view);
	if (verdict == VERDICT_NEXT)
		verdict = check_mtu(packet, &hop);
	if (verdict == VERDICT_NEXT)
		verdict = check_stack(packet, &hop);
	if (verdict == VERDICT_NEXT && packet->turned)
		verdict = turn_rewrite(packet);
	if (verdict != VERDICT_NEXT)
		return verdict;
	identification_set(packet->ip, packet->identification);
	rewrite_ip(packet->ip, &view, packet->forward, hop.up_the_stack);
	return send(packet, &hop);
}

/* A later fragment, certainly the gateway's to forward, whose first one was not seen. */
static __noinline enum verdict fragment_hold(struct packet *packet)
{
	struct fragment_key key;
	int reason;

	if (fragment_overlaps_header(packet))
		return drop(packet, DROP_FRAGMENT_OVERLAP);
	if (!agent_holds_fragments(packet) || packet_was_held(packet))
		return drop(packet, DROP_FRAGMENT_WITHOUT_FIRST);
	fragment_key_of(packet, &key);
	reason = early_fragment_hand_over(packet->context, &key);
	return reason ? drop(packet, reason) : VERDICT_HOLD;
}

#endif

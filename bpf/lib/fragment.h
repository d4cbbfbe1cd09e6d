/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments after the first have no ports: they follow what was done to the first one. Those that come
 * before it are dropped, with a reason.
 */
#ifndef SALLYPORT_BPF_FRAGMENT_H
#define SALLYPORT_BPF_FRAGMENT_H

#include "lib/turn.h"

#define FRAGMENT_TICKS (5 * FLOW_TOUCH_TICKS) /* five seconds between the first and the last */

static __always_inline void fragment_key_of(const struct packet *packet, struct fragment_key *key)
{
	key->source = packet->key.source;
	key->destination = packet->key.destination;
	key->identification = packet->ip->id;
	key->protocol = packet->key.protocol;
	key->zero0 = 0;
	key->zone = packet->key.zone;
}

static __noinline void fragment_remember(struct packet *packet, const struct flow_view *view)
{
	struct fragment_key key;
	struct fragment fragment = {
		.new_address = view->new_address,
		.last_seen = packet->now,
		.ip_delta = view->ip_delta,
		.next_hop = view->next_hop,
		.nat_gateway = view->nat_gateway,
		.forward = packet->forward,
		.hairpin = view->flags & FLOW_HAIRPIN,
	};

	fragment_key_of(packet, &key);
	bpf_map_update_elem(&fragments, &key, &fragment, BPF_ANY);
}

/* What was done to the first fragment of this one; 0 if that was not seen (in this zone). */
static __noinline int fragment_find(struct packet *packet, struct flow_view *view)
{
	struct fragment *first;
	struct fragment_key key;

	fragment_key_of(packet, &key);
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || clock_age(packet->now, first->last_seen) > FRAGMENT_TICKS)
		return 0;
	view->new_address = first->new_address;
	view->ip_delta = first->ip_delta;
	view->next_hop = first->next_hop;
	view->nat_gateway = first->nat_gateway;
	view->flags = first->hairpin;
	packet->nat_gateway = first->nat_gateway;
	packet->forward = first->forward;
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
	return fragment_find(packet, view) ? VERDICT_NEXT : drop(packet, DROP_FRAGMENT_WITHOUT_FIRST);
}

/* VERDICT_NEXT: the first fragment of this one was not seen (in this zone). */
static __noinline enum verdict fragment_follow(struct packet *packet)
{
	enum verdict verdict = VERDICT_NEXT;
	struct flow_view view = {};
	struct hop hop = {};

	if (!fragment_find(packet, &view))
		return VERDICT_NEXT;
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
	if (verdict == VERDICT_NEXT && packet->turned)
		verdict = turn_rewrite(packet);
	if (verdict != VERDICT_NEXT)
		return verdict;
	rewrite_ip(packet->ip, &view, packet->forward, hop.up_the_stack);
	return send(packet, &hop);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What it takes for a packet to turn around at the gateway (hairpin.h tells why): on its way out it gets the
 * tuple under which it would have come back from outside, and its bytes stay as they are. Only when nothing
 * can refuse it any more are source and destination rewritten, one after the other.
 */
#ifndef SALLYPORT_BPF_TURN_H
#define SALLYPORT_BPF_TURN_H

#include "lib/forward.h"
#include "lib/release.h"

/* `view`: what would be done to the packet on its way out. */
static __always_inline enum verdict turn(struct packet *packet, const struct flow_view *view)
{
	struct workspace *work = workspace_get();

	if (!work)
		return drop(packet, DROP_INTERNAL_ERROR);
	work->outward = *view;
	count_translated(packet->counters, view->nat_gateway, 1, packet->length);
	packet->nat_gateway = NO_NAT_GATEWAY;
	packet->forward = 0;
	/* No constant: the verifier would walk through all that follows once with it and once without. */
	packet->turned = view->flags & FLOW_HAIRPIN;
	packet->zone = ZONE_OUTSIDE;
	packet_key(packet, packet_address_pair(view->new_address, packet->key.destination),
		   packet_ports(view->new_port, packet->key.destination_port), packet->key.protocol);
	return VERDICT_NEXT;
}

/* Rewrites the source as on the way out. The TTL is lowered once for the whole way, together with the destination. */
static __noinline enum verdict turn_rewrite(struct packet *packet)
{
	struct workspace *work = workspace_get();
	enum verdict verdict = VERDICT_NEXT;

	if (!work)
		return drop(packet, DROP_INTERNAL_ERROR);
	if (packet->kind == PACKET_PLAIN)
		verdict = rewrite_transport(packet, &work->outward, 1);
	if (verdict == VERDICT_NEXT)
		rewrite_ip(packet->ip, &work->outward, 1, 1);
	return verdict;
}

#endif

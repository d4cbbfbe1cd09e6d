/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 3, find: one lookup, the same for both directions. What comes out is a flow that lives and that
 * the present configuration allows, or none.
 */
#ifndef SALLYPORT_BPF_FIND_H
#define SALLYPORT_BPF_FIND_H

#include "lib/flow.h"
#include "lib/forward.h"
#include "lib/found.h"
#include "lib/reply.h"
#include "lib/route.h"
#include "lib/security_group.h"

/* Does a port forward lead the external endpoint of work->ends to its instance? */
static __always_inline int flow_is_forwarded(const struct flow_ends *ends)
{
	struct port_forward *forward = port_forward_of(ends->external, ends->external_port, ends->protocol);

	return forward && forward->address == ends->instance && forward->zone == ends->zone &&
	       port_forward_port(forward, ends->external_port) == ends->instance_port;
}

/*
 * Is the flow of work->ends what the configuration would make on NAT gateway `number`? Its instance must be able to
 * send to the remote, whoever began: where that is not so, nothing comes from. Returns 0, or the reason why not.
 */
verified_alone int flow_route_refusal(__u32 number)
{
	struct workspace *work = workspace_get();
	struct flow_ends *ends;
	struct elastic_ip *bound;
	struct subnet *subnet;
	struct route *route;
	__be32 external;

	if (!work)
		return DROP_INTERNAL_ERROR;
	ends = &work->ends;
	subnet = subnet_of(ends->zone, ends->instance);
	if (!subnet)
		return DROP_FILTERED;
	flow_ends_place(ends, subnet);
	route = route_to(subnet->route_table, ends->remote);
	if (!route)
		return DROP_FILTERED;
	external = ends->external;
	ends->is_open = 1;
	if (route->target == ROUTE_UNTRANSLATED)
		return route->index == number && external == ends->instance ? 0 : DROP_FILTERED;
	if (route->target != ROUTE_NAT_GATEWAY && route->target != ROUTE_INTERNET_GATEWAY)
		return DROP_FILTERED;
	bound = bpf_map_lookup_elem(&elastic_ips, &external);
	if (!bound || bound->nat_gateway != number)
		return DROP_FILTERED;
	if (bound->instance) {
		if (bound->instance != ends->instance || bound->zone != ends->zone)
			return DROP_FILTERED;
		/* Without a security group it is closed: all of its ports would be open. */
		ends->is_open = !(ends->flags & FLOW_FROM_OUTSIDE);
		return 0;
	}
	if (route->target != ROUTE_NAT_GATEWAY || route->index != number)
		return DROP_FILTERED;
	if (ends->flags & FLOW_STATIC && !flow_is_forwarded(ends))
		return DROP_FILTERED;
	return 0;
}

/* The same, and do the instance's security groups allow it? One after the other: so less is on the stack at once. */
static __always_inline int flow_refusal(__u32 number)
{
	int reason = flow_route_refusal(number);

	if (reason)
		return reason;
	return security_groups_admit() ? 0 : DROP_SECURITY_GROUP;
}

/* Fills in `ends` of a flow: `key` and `view` are of the entry that was found, `forward` and `reverse` are both. */
static __always_inline void flow_ends_of(struct flow_ends *ends, const struct flow_key *key,
					 const struct flow_view *view, const struct flow_entry *forward,
					 const struct flow_entry *reverse)
{
	if (view->flags & FLOW_FORWARD) {
		ends->instance = key->source;
		ends->instance_port = key->source_port;
		ends->remote = key->destination;
		ends->remote_port = key->destination_port;
		ends->external = view->new_address;
		ends->external_port = view->new_port;
		ends->zone = key->zone;
	} else {
		ends->instance = view->new_address;
		ends->instance_port = view->new_port;
		ends->remote = key->source;
		ends->remote_port = key->source_port;
		ends->external = key->destination;
		ends->external_port = key->destination_port;
		ends->zone = forward ? forward->key.zone : ZONE_OUTSIDE;
	}
	ends->protocol = key->protocol;
	ends->flags = view->flags & FLOW_STATIC;
	if (reverse)
		ends->flags |= reverse->flags & FLOW_FROM_OUTSIDE;
}

/* Is it still so, or still not so, that the remote is an Elastic IP? Both sides' flows are asked this. */
static __always_inline int flow_hairpin_is_allowed(const struct nat_gateway *nat_gateway, __u8 flags,
						   __be32 remote)
{
	int hairpin = bpf_map_lookup_elem(&elastic_ips, &remote) != NULL;

	return hairpin ? flags & FLOW_HAIRPIN && nat_gateway->flags & NAT_GATEWAY_HAIRPIN
		       : !(flags & FLOW_HAIRPIN);
}

/*
 * The configuration changed since the flow of `key` was last looked at. If it still allows the flow, the
 * entry takes the new generation, timers and next hop; if not, the flow is ended. Returns 0, or the reason.
 */
verified_alone int flow_recheck(const struct flow_key *key, __u32 generation, __u32 now)
{
	struct workspace *work = workspace_get();
	struct flow_entry *entry, *peer, *forward, *reverse;
	struct nat_gateway *nat_gateway;
	struct flow_view view;
	__u32 number;
	int allowed;

	if (!key || !work)
		return DROP_INTERNAL_ERROR;
	entry = flow_find(key, &view);
	if (!entry)
		return DROP_FLOW_CUT;
	peer = flow_peer(entry);
	number = view.nat_gateway;
	nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	if (!nat_gateway)
		return DROP_INTERNAL_ERROR;
	forward = view.flags & FLOW_FORWARD ? entry : peer;
	reverse = view.flags & FLOW_FORWARD ? peer : entry;
	flow_ends_of(&work->ends, key, &view, forward, reverse);
	allowed = !flow_refusal(number) &&
		  flow_hairpin_is_allowed(nat_gateway, view.flags,
					  view.flags & FLOW_FORWARD ? key->destination : key->source);
	if (allowed && !(view.flags & FLOW_STATIC) &&
	    view.state == FLOW_STATE_OPENING_FROM_OUTSIDE) /* nothing but the filtering lets it in */
		allowed = reverse && filter_admits(nat_gateway, &reverse->key, now);
	if (!allowed || !(nat_gateway->flags & NAT_GATEWAY_IN_USE)) {
		flow_entry_copy(&work->standing, entry);
		if (flow_key_equal(&work->standing.key, key)) /* the slot may have been given to another */
			flow_end(&work->standing, FLOW_REMOVE_ANY, 0);
		return DROP_FLOW_CUT;
	}
	if (forward && view.flags & FLOW_MAPPED &&
	    filtering_of(nat_gateway, key->protocol) == ADDRESS_DEPENDENT)
		flow_permit_late(work, forward, mapping_timeout(number, key->protocol), now);
	WRITE_ONCE(entry->timeout, nat_gateway->timeouts[flow_timeout_class(key->protocol, view.state)]);
	WRITE_ONCE(entry->next_hop, 0);
	WRITE_ONCE(entry->generation, (__u16)generation);
	return 0;
}

static __always_inline enum verdict find_recheck(struct packet *packet, const struct flow_key *key,
						 struct found *found)
{
	int reason = flow_recheck(key, packet->settings->generation, packet->now);

	if (!reason) {
		found->view.next_hop = 0;
		return VERDICT_NEXT;
	}
	packet->nat_gateway = found->view.nat_gateway;
	packet->forward = found->view.flags & FLOW_FORWARD;
	/* From outside the instance learns of it when it next sends: that segment then has no flow. */
	if (packet->forward && packet->key.protocol == IPPROTO_TCP && packet->kind == PACKET_PLAIN)
		reply_tcp_reset(packet);
	return drop(packet, reason);
}

/*
 * The direction of `key` has been silent for too long: the flow lives if the other one has not. Returns
 * whether it lives; if not, it has been ended.
 */
verified_alone int flow_lives(const struct flow_key *key, __u32 now)
{
	struct workspace *work = workspace_get();
	struct flow_entry *entry;
	struct flow_view view;

	if (!key || !work)
		return 0;
	entry = flow_find(key, &view);
	if (!entry)
		return 0;
	if (!flow_expired(entry, now))
		return 1;
	flow_entry_copy(&work->standing, entry);
	flow_end(&work->standing, FLOW_REMOVE_EXPIRED, now);
	return 0;
}

static __always_inline enum verdict find(struct packet *packet, const struct flow_key *key,
					 struct found *found)
{
	struct flow_view *view = &found->view;

	found->made = 0;
	found->entry = flow_find(key, view);
	if (!found->entry)
		return VERDICT_NEXT;
	if (unlikely(clock_age(packet->now, view->last_seen) >
		     ((__u32)view->timeout << FLOW_TICKS_PER_TIMEOUT_SHIFT)) &&
	    !flow_lives(key, packet->now)) {
		found->entry = NULL;
		return VERDICT_NEXT;
	}
	if (unlikely(view->generation != (__u16)packet->settings->generation))
		return find_recheck(packet, key, found);
	return VERDICT_NEXT;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The beginning of a flow: Elastic IP, port, reverse entry, forward entry, in this order, undone in the
 * opposite one. Nothing is forwarded before the forward entry stands.
 */
#ifndef SALLYPORT_BPF_FLOW_H
#define SALLYPORT_BPF_FLOW_H

#include "lib/checksum.h"
#include "lib/filter.h"
#include "lib/hosts.h"
#include "lib/ports.h"
#include "lib/state.h"
#include "lib/unanswered.h"

/* Fills in what both entries of a pair have in common. */
static __always_inline void flow_entry_begin(struct flow_entry *entry, const struct flow_wish *wish,
					     const struct nat_gateway *nat_gateway, __u32 flow_id)
{
	__u8 protocol = wish->key.protocol;

	__builtin_memset(entry, 0, sizeof(*entry));
	entry->key.protocol = protocol;
	entry->last_seen = wish->now;
	entry->flow_id = flow_id;
	entry->generation = wish->generation;
	entry->timeout = nat_gateway->timeouts[flow_timeout_class(protocol, wish->state)];
	entry->nat_gateway = wish->nat_gateway;
	entry->state = wish->state;
}

/*
 * Which of its Elastic IPs (by place in the list) an instance belongs to: stays put when others come and go
 * (rendezvous hashing).
 */
verified_alone int elastic_ip_home(__u32 number, __be32 instance, __u32 zone)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	__u32 best = 0, best_weight = 0;

	if (!nat_gateway)
		return 0;
	for (__u32 i = 0; i < NAT_GATEWAY_ELASTIC_IPS_MAX; i++) {
		__u64 weight;

		if (i >= nat_gateway->elastic_ip_count)
			break;
		/* One comparison for place and weight: a branch here would double the verifier's paths each
		 * time round. */
		weight = elastic_ip_weight(nat_gateway->elastic_ips[i], i, instance, zone);
		best_weight = weight > best_weight ? weight : best_weight;
		best = best_weight % NAT_GATEWAY_ELASTIC_IPS_MAX;
	}
	return best;
}

/* A mapping lives as long as its flows: they touch it when this many ticks (17 s) turn over. */
#define MAPPING_TOUCH_SHIFT 8
#define MAPPING_TOUCH_UNITS ((1 << (MAPPING_TOUCH_SHIFT - FLOW_TICKS_PER_TIMEOUT_SHIFT)) + 1)

static __always_inline __u16 longer(__u16 a, __u16 b)
{
	return a > b ? a : b;
}

/*
 * As long as any flow on a mapping of NAT gateway `number` may live, in whatever state, and the time by which their
 * touch may lag behind. Its callers have no stack left for what it compares (kernel 6.1).
 */
verified_alone int mapping_timeout(__u32 number, __u32 protocol)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	__u16 longest;

	if (!nat_gateway)
		return 0;
	longest = nat_gateway->timeouts[flow_timeout_class(protocol, FLOW_STATE_ESTABLISHED)];
	/* An operator may let connections that stand rest for less than others. */
	if (protocol == IPPROTO_TCP) {
		longest = longer(longest, nat_gateway->timeouts[TIMEOUT_TCP_OPENING]);
		longest = longer(longest, nat_gateway->timeouts[TIMEOUT_TCP_CLOSING]);
		longest = longer(longest, nat_gateway->timeouts[TIMEOUT_TCP_RESET]);
	}
	return longest + MAPPING_TOUCH_UNITS;
}

/* The same for its entries: where no agent tidies up, a mapping whose flows timed out rests as well. */
static __always_inline __u16 mapping_entry_timeout(const struct nat_gateway *nat_gateway, __u32 number,
						   __u8 protocol)
{
	__u32 timeout = mapping_timeout(number, protocol) + port_quarantine(nat_gateway, protocol);

	return timeout > 0xffff ? 0xffff : timeout;
}

/* What pair_create() may say beside a reason for a drop. */
enum pair_result {
	PAIR_MADE = 0,
	PAIR_BEHIND_EXPIRED = -1, /* work->standing is past its timeout: end it and call again */
	PAIR_EXISTS = -2,	  /* another processor was first */
};

/* Claims the reverse entry of the mapping's port, which is settled. */
static __always_inline enum port_result port_claim_mapped(struct workspace *work, __u32 now)
{
	work->claim.now = now;
	work->reverse.key.destination = work->mapping.new_address;
	work->reverse.references = work->mapping.flow_id;
	return port_try(work, bpf_ntohs(work->mapping.new_port));
}

/* Claims the reverse entry of a flow whose external endpoint is given. */
static __always_inline enum port_result port_claim_static(struct workspace *work)
{
	work->claim.now = work->wish.now;
	work->reverse.key.destination = work->wish.external_address;
	return port_try(work, bpf_ntohs(work->wish.external_port));
}

/* Undoes what pair_create() has inserted so far. */
static __always_inline void pair_undo(struct workspace *work)
{
	work->released = work->reverse;
	flow_remove(&work->released, FLOW_REMOVE_ANY, 0, &work->released);
	port_release(&work->reverse.key, work->reverse.nat_gateway);
}

/*
 * The mapping's port is in use towards this remote. If it is by the very flow that was to be made, another
 * processor was first, or is at work between the reverse entry and the forward one: then it is worth
 * another try.
 */
static __always_inline int pair_standing(struct workspace *work)
{
	const struct flow_entry *reverse = &work->reverse;
	struct flow_entry *found = flow_standing(&reverse->key, work->claim.slot);

	if (found && !flow_entry_copy(&work->standing, found))
		return PAIR_BEHIND_EXPIRED;
	if (!found || work->standing.new_address != reverse->new_address ||
	    work->standing.new_port != reverse->new_port)
		return DROP_PORT_EXHAUSTED;
	return flow_peer(&work->standing) ? PAIR_EXISTS : PAIR_BEHIND_EXPIRED;
}

/*
 * Makes the two entries of the flow that work->wish describes, or of its mapping, on the Elastic IP at
 * `place` in the NAT gateway's list: port and reverse entry first, then the forward one; undone in the
 * opposite order. Returns enum pair_result, or the reason for a drop.
 */
verified_alone int pair_create(__u32 number, __u32 place, __u32 kind)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();
	struct flow_entry *forward, *reverse, *found;
	enum port_result claimed;
	const struct flow_wish *wish;
	__u16 rest;
	__u32 forward_slot = 0;
	__be32 elastic_ip;
	int inserted;

	if (!work || !nat_gateway || place >= NAT_GATEWAY_ELASTIC_IPS_MAX)
		return DROP_INTERNAL_ERROR;
	/* Read where the bound was checked: further down the verifier of kernel 6.1 has lost it. */
	elastic_ip = nat_gateway->elastic_ips[place];
	wish = &work->wish;
	forward = &work->forward;
	reverse = &work->reverse;

	flow_entry_begin(forward, wish, nat_gateway, new_flow_id());
	*reverse = *forward;
	reverse->key.zone = ZONE_OUTSIDE;
	reverse->key.kind = kind;
	/* Whole but for the external address and port, which the search settles. */
	reverse->new_address = wish->key.source;
	reverse->new_port = wish->key.source_port;
	reverse->peer_slot = flow_peer_reference(~0U, wish->key.zone);
	if (kind == FLOW_KIND_BLOCK) {
		forward->key.protocol = reverse->key.protocol = PORT_BLOCK_PROTOCOL;
		forward->timeout = PORT_BLOCK_TIMEOUT;
		reverse->timeout = nat_gateway->port_block_hold;
		forward->state = reverse->state = MAPPING_IN_USE;
		port_block_key(&forward->key, wish->key.source, wish->key.zone, number, work->block.number);
		reverse->new_port = forward->key.source_port;
		forward->references = 1;
	} else if (kind == FLOW_KIND_MAPPING) {
		forward->timeout = mapping_entry_timeout(nat_gateway, number, wish->key.protocol);
		/* Nobody touches the reverse entry: it must not outlast the forward one's rest. */
		rest = port_quarantine(nat_gateway, wish->key.protocol);
		reverse->timeout = rest ? rest : forward->timeout;
		forward->state = reverse->state = MAPPING_IN_USE;
		flow_mapping_key(&wish->key, &forward->key);
		forward->references = 1;
	} else {
		forward->key = wish->key;
		forward->tcp_acknowledged = wish->acknowledged;
		reverse->tcp_acknowledged = wish->acknowledged;
		reverse->key.source = wish->key.destination;
		reverse->key.source_port = wish->key.destination_port;
		forward->flags = flow_watch(wish->key.protocol, wish->state, 1);
		if (wish->permitted)
			forward->flags |= FLOW_PERMITTED;
		reverse->flags = flow_watch(wish->key.protocol, wish->state, 0);
		if (wish->state == FLOW_STATE_OPENING_FROM_OUTSIDE)
			reverse->flags |= FLOW_FROM_OUTSIDE;
		if (bpf_map_lookup_elem(&elastic_ips, &wish->key.destination)) {
			forward->flags |= FLOW_HAIRPIN;
			reverse->flags |= FLOW_HAIRPIN;
		}
	}

	if (kind == FLOW_KIND_FLOW && wish->mapping_id) {
		forward->flags |= FLOW_MAPPED;
		reverse->flags |= FLOW_MAPPED;
		claimed = port_claim_mapped(work, wish->now);
	} else if (wish->is_static) {
		forward->flags |= FLOW_STATIC;
		reverse->flags |= FLOW_STATIC;
		claimed = port_claim_static(work);
	} else {
		if (nat_gateway->port_block_size && kind != FLOW_KIND_BLOCK) {
			forward->flags |= FLOW_IN_BLOCK;
			elastic_ip = work->block.elastic_ip;
		}
		reverse->key.destination = elastic_ip;
		claimed = port_claim(work, nat_gateway);
	}
	if (claimed == PORT_BEHIND_EXPIRED)
		return PAIR_BEHIND_EXPIRED;
	if (claimed == PORT_TABLE_FULL)
		return DROP_FLOW_TABLE_FULL;
	if (claimed == PORT_IN_USE)
		return pair_standing(work);
	if (claimed != PORT_CLAIMED)
		return DROP_PORT_EXHAUSTED;

	if (kind != FLOW_KIND_BLOCK)
		forward->flags |= wish->counted;
	flow_complete_forward(forward, reverse);
	if (kind == FLOW_KIND_BLOCK)
		forward->last_port = port_block_last(nat_gateway, bpf_ntohs(reverse->key.destination_port));
	if (kind == FLOW_KIND_MAPPING && wish->unshared)
		flow_unshared_key(forward, &forward->key);
	forward->peer_slot = flow_peer_reference(work->claim.slot, ZONE_OUTSIDE);
	inserted = flow_insert(forward, &forward_slot);
	if (inserted == FLOW_INSERTED) {
		/*
		 * A processor that did not run for a whole timeout between the two entries, as that of a virtual
		 * machine that was stopped, has lost the reverse one, and with it the port.
		 */
		if (unlikely(!flow_join(work->claim.slot, forward_slot, forward->flow_id)) &&
		    flow_remove(forward, FLOW_REMOVE_ANY, 0, forward)) {
			work->standing.flow_id = 0;
			return PAIR_BEHIND_EXPIRED;
		}
		if (kind == FLOW_KIND_MAPPING)
			work->mapping = *forward;
		else if (kind == FLOW_KIND_BLOCK)
			port_block_report(forward, PORT_BLOCK_ALLOCATED);
		return PAIR_MADE;
	}
	pair_undo(work);
	if (inserted == FLOW_FULL)
		return flow_make_room(&forward->key, wish->now, &work->standing) ? PAIR_BEHIND_EXPIRED
										 : DROP_FLOW_TABLE_FULL;
	found = flow_standing(&forward->key, forward_slot);
	if (!found || !flow_expired(found, wish->now))
		return PAIR_EXISTS;
	flow_entry_copy(&work->standing, found); /* a mapping whose rest is over */
	return PAIR_BEHIND_EXPIRED;
}

/*
 * Takes a reference on the mapping of work->mapping.key. If there is one, work->mapping is a copy of its forward
 * entry, and 1 is returned.
 */
static __always_inline int mapping_take(struct workspace *work, const struct nat_gateway *nat_gateway)
{
	struct flow_entry *mapping = &work->mapping;

	if (!flow_reference(
		    &mapping->key, work->wish.now,
		    mapping_entry_timeout(nat_gateway, work->wish.nat_gateway, work->wish.key.protocol),
		    mapping))
		return 0;
	if (mapping->state == MAPPING_RESTING)
		resting_port_ended(mapping->nat_gateway);
	mapping->references++; /* the copy is of before */
	return 1;
}

/*
 * Looks for the endpoint-independent mapping of work->wish.key's source (RFC 4787 REQ-1). If there is one,
 * work->mapping is a copy of its forward entry, one reference on it is the caller's, and 1 is returned.
 */
verified_alone int mapping_find(__u32 number)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();
	int removal = FLOW_REMOVE_ANY;
	struct elastic_ip *bound;

	if (!work || !nat_gateway)
		return 0;
	flow_mapping_key(&work->wish.key, &work->mapping.key);
	if (!mapping_take(work, nat_gateway))
		return 0;
	bound = bpf_map_lookup_elem(&elastic_ips, &work->mapping.new_address);
	if (bound && bound->nat_gateway == work->wish.nat_gateway) {
		/* While it is drained, a mapping goes on as long as it has flows: it is one for all remotes. */
		if (!(bound->flags & ELASTIC_IP_DRAINING) || work->mapping.references > 1)
			return 1;
		if (flow_unreference(&work->mapping.key, work->mapping.flow_id, 0, work->wish.now) !=
		    FLOW_REFERENCES_NONE)
			return 0;
		removal = FLOW_REMOVE_UNREFERENCED;
	}
	/* Its Elastic IP is not this NAT gateway's any more, or takes nothing new: start anew. */
	flow_end(&work->mapping, removal, work->wish.now);
	return 0;
}

/* Gives the reference back. */
static __always_inline void mapping_put(struct workspace *work)
{
	const struct flow_entry *mapping = &work->mapping;
	__u32 now = work->wish.now;

	if (flow_unreference(&mapping->key, mapping->flow_id, 0, now) == FLOW_REFERENCES_NONE &&
	    !mapping_rest(&mapping->key, mapping->flow_id, work->wish.nat_gateway, now))
		flow_end(mapping, FLOW_REMOVE_UNREFERENCED, now);
}

/* Each Elastic IP once, with room for entries in the way that have timed out. */
#define PAIR_TRIES (NAT_GATEWAY_ELASTIC_IPS_MAX + 8)

/*
 * Paired pooling (RFC 4787 REQ-2): the instance's home address first. When that has no port left, soft pairing
 * goes on to the others, and strict pairing refuses (RFC 7857 section 4, decision C21). What the loop carries along is
 * in the workspace: a verifier does not track it there, and so sees each round as the same.
 */
verified_alone loop_head_first int pair_open(__u32 number, __u32 kind)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();

	if (!nat_gateway || !work)
		return DROP_INTERNAL_ERROR;
	work->tried = 0;
	work->claim.again = 0;
	work->claim.is_new = 1;
	work->place = elastic_ip_home(number, work->wish.key.source, work->wish.key.zone);
	for (int i = 0; i < PAIR_TRIES; i++) {
		int result = pair_create(number, work->place, kind);

		if (result == PAIR_BEHIND_EXPIRED) {
			flow_end(&work->standing, FLOW_REMOVE_EXPIRED, work->wish.now);
			continue;
		}
		if (result != DROP_PORT_EXHAUSTED)
			return result;
		if ((nat_gateway->port_block_size && kind != FLOW_KIND_BLOCK) || /* its block says where */
		    nat_gateway->flags & NAT_GATEWAY_STRICT_PAIRING ||
		    ++work->tried >= nat_gateway->elastic_ip_count)
			return DROP_PORT_EXHAUSTED;
		work->claim.is_new = 1;
		if (++work->place >= nat_gateway->elastic_ip_count)
			work->place = 0;
	}
	return DROP_FLOW_TABLE_FULL;
}

/* Gives back the reference that the flow or mapping which came to nothing had on work->block. */
static __always_inline void port_block_put(struct workspace *work, __u32 number)
{
	__u32 now = work->wish.now;

	port_block_key(&work->key, work->wish.key.source, work->wish.key.zone, number, work->block.number);
	port_block_rest(&work->key, work->block.flow_id, port_block_hold(number), now);
}

/* work->block is the one that pair_open() has made. */
static __always_inline void port_block_made(struct workspace *work)
{
	work->block.flow_id = work->forward.flow_id;
	work->block.elastic_ip = work->forward.new_address;
	work->block.first_port = bpf_ntohs(work->forward.new_port);
	work->block.last_port = work->forward.last_port;
}

/*
 * Makes the pair with a port of one of the instance's blocks: of those that it has, and then of a new one. Returns as
 * pair_open() does. All its calls are made from here, one after the other: the stack has no room for more depth.
 */
verified_alone loop_head_first int pair_open_by_blocks(__u32 number, __u32 kind)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();

	if (!nat_gateway || !work)
		return DROP_INTERNAL_ERROR;
	work->block.tried = 0;
	work->block.held = 0;
	for (__u32 i = 0; i < 2 * PORT_BLOCKS_MAX; i++) {
		__u32 block = i % PORT_BLOCKS_MAX;
		int result;

		if (work->block.tried & 1U << block)
			continue;
		work->block.number = block;
		if (port_block_take(number)) {
			work->block.held++;
		} else if (work->block.gone) {
			/* It keeps its place until its flows, which are cut with their next packets, are gone. */
			work->block.tried |= 1U << block;
			if (flow_unreference(&work->standing.key, work->standing.flow_id, 0,
					     work->wish.now) == FLOW_REFERENCES_NONE)
				flow_end(&work->standing, FLOW_REMOVE_UNREFERENCED, work->wish.now);
			continue;
		} else if (i < PORT_BLOCKS_MAX) {
			continue;
		} else if (work->block.held >= nat_gateway->port_blocks_max) {
			return DROP_PORT_EXHAUSTED;
		} else {
			result = pair_open(number, FLOW_KIND_BLOCK);
			if (result == PAIR_MADE)
				port_block_made(work);
			else if (result != PAIR_EXISTS) /* else another processor was first: take that one */
				return result;
			else if (!port_block_take(number))
				return DROP_FLOW_TABLE_FULL;
			work->block.held++;
		}
		result = pair_open(number, kind);
		if (result == PAIR_MADE)
			return PAIR_MADE;
		work->block.tried |= 1U << block;
		port_block_put(work, number);
		if (result != DROP_PORT_EXHAUSTED)
			return result;
	}
	return DROP_PORT_EXHAUSTED;
}

/* Makes the pair on a port of its own, wherever that may come from. */
static __always_inline int pair_open_anywhere(const struct nat_gateway *nat_gateway, __u32 number, __u32 kind,
					      int takes_port)
{
	return takes_port && nat_gateway->port_block_size ? pair_open_by_blocks(number, kind)
							  : pair_open(number, kind);
}

/* The reverse key of a flow on work->mapping. The end of any flow uses work->key as well: to be asked for anew. */
static __always_inline struct flow_key *flow_mapped_key(struct workspace *work)
{
	struct flow_key *key = &work->key;

	key->source = work->wish.key.destination;
	key->source_port = work->wish.key.destination_port;
	key->destination = work->mapping.new_address;
	key->destination_port = work->mapping.new_port;
	key->protocol = work->wish.key.protocol;
	return key;
}

/* Takes the permit that address-dependent filtering wants of a flow on work->mapping. Returns 0 or the reason. */
verified_alone int flow_permit(__u32 timeout)
{
	struct workspace *work = workspace_get();

	if (!work)
		return DROP_INTERNAL_ERROR;
	if (permit_take(flow_mapped_key(work), timeout, work->wish.now) == FLOW_FULL) {
		if (!flow_make_room(&work->permit.key, work->wish.now, &work->standing))
			return DROP_FLOW_TABLE_FULL;
		flow_end(&work->standing, FLOW_REMOVE_EXPIRED, work->wish.now);
		if (permit_take(flow_mapped_key(work), timeout, work->wish.now) == FLOW_FULL)
			return DROP_FLOW_TABLE_FULL;
	}
	work->wish.permitted = 1;
	return 0;
}

/*
 * Takes what the instance of work->wish needs for a flow of its own, with `ports`, 0 or 1: part of the flows that may
 * wait for an answer, and of what the NAT gateway allows it. Before anything else, so that one that floods costs
 * little; given back when the flow ends (flow_give_back()). Returns 0 or the reason, perhaps with HOST_IS_TOLD.
 */
static __always_inline int flow_admit(struct workspace *work, const struct nat_gateway *nat_gateway,
				      __u32 ports)
{
	struct flow_wish *wish = &work->wish;
	int result = 0;

	wish->counted = nat_gateway->flags & NAT_GATEWAY_LIMITS ? FLOW_COUNTED : 0;
	if (!unanswered_take(wish->key.source, wish->key.zone))
		return DROP_UNANSWERED_LIMIT;
	if (wish->counted)
		result = host_take(1, ports);
	if (result)
		unanswered_add(wish->key.source, wish->key.zone, -1);
	return result;
}

/* The flow came to nothing, or another processor has made it: that one counts. */
static __always_inline void flow_dismiss(struct workspace *work, __u32 ports)
{
	const struct flow_wish *wish = &work->wish;

	unanswered_add(wish->key.source, wish->key.zone, -1);
	if (wish->counted)
		host_give(wish->key.source, wish->key.zone, wish->nat_gateway, 1, ports);
}

/* Has work->mapping more flows than the limits allow, one that is to be made included? */
static __always_inline int mapping_is_full(struct workspace *work, __u32 number)
{
	const struct host_limits *limits =
		work->wish.counted ? bpf_map_lookup_elem(&host_limits, &number) : NULL;

	return limits && limits->flows_per_mapping && work->mapping.references > limits->flows_per_mapping;
}

/*
 * Makes the flow that work->wish describes on work->mapping, if wish.mapping_id says that there is one; it was
 * admitted with so many `ports`. Returns 0 when it stands, made here or by another processor, or the reason why there
 * is none.
 */
static __always_inline int flow_attach(struct workspace *work, const struct nat_gateway *nat_gateway,
				       __u32 number, __u32 ports)
{
	__u8 protocol = work->wish.key.protocol;
	int result = 0;

	work->wish.permitted = 0;
	if (work->wish.mapping_id && mapping_is_full(work, number))
		result = DROP_MAPPING_FLOW_LIMIT;
	else if (work->wish.mapping_id && filtering_of(nat_gateway, protocol) == ADDRESS_DEPENDENT)
		result = flow_permit(mapping_timeout(number, protocol));
	if (!result)
		result = pair_open_anywhere(nat_gateway, number, FLOW_KIND_FLOW, ports);
	if (result && work->wish.permitted)
		permit_put(work, flow_mapped_key(work), work->wish.now);
	if (result && work->wish.mapping_id)
		mapping_put(work);
	if (result)
		flow_dismiss(work, ports);
	return result > 0 ? result : 0;
}

/*
 * Takes the mapping that the flow shall use: the one that stands, or a new one. One reference on it is the caller's
 * then. Returns 0 or the reason why there is none.
 */
static __always_inline int mapping_obtain(struct workspace *work, const struct nat_gateway *nat_gateway,
					  __u32 number)
{
	const struct flow_wish *wish = &work->wish;
	int result;

	if (!wish->unshared && mapping_find(number))
		return 0;
	result = wish->counted ? host_take(0, 1) : 0;
	if (result)
		return result;
	result = pair_open_anywhere(nat_gateway, number, FLOW_KIND_MAPPING, 1);
	if (result && wish->counted)
		host_give(wish->key.source, wish->key.zone, number, 0, 1);
	if (result == PAIR_EXISTS)
		result = wish->unshared || !mapping_find(number) ? DROP_FLOW_TABLE_FULL : 0;
	return result;
}

/*
 * Makes the flow that work->wish describes, and its mapping: the same for all remotes, or, where others than its
 * remote may send to its port, one that no other flow has. Returns as flow_attach() and flow_admit() do.
 */
verified_alone int flow_create(__u32 number)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct workspace *work = workspace_get();
	int is_mapped, result;
	__u32 ports;
	__u8 protocol;

	if (!work || !nat_gateway)
		return DROP_INTERNAL_ERROR;
	protocol = work->wish.key.protocol;
	work->wish.state = FLOW_STATE_OPENING;
	work->wish.mapping_id = 0;
	work->wish.unshared = nat_gateway->mapping[nat_protocol_of(protocol)] != ENDPOINT_INDEPENDENT;
	is_mapped = !work->wish.is_static && (!work->wish.unshared || filtering_of(nat_gateway, protocol) !=
									      ADDRESS_AND_PORT_DEPENDENT);
	ports = !is_mapped && !work->wish.is_static; /* else it is the mapping's, or its own */
	result = flow_admit(work, nat_gateway, ports);
	if (result)
		return result;
	if (is_mapped) {
		result = mapping_obtain(work, nat_gateway, number);
		if (result) {
			flow_dismiss(work, ports);
			return result;
		}
		work->wish.mapping_id = work->mapping.flow_id;
	}
	return flow_attach(work, nat_gateway, number, ports);
}

#endif

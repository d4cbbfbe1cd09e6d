/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The end of a flow: forward entry, reverse entry, port, permit, mapping, block, in this order. Whoever removes the
 * forward entry owns the rest; a port is never free while a reverse entry stands.
 */
#ifndef SALLYPORT_BPF_RELEASE_H
#define SALLYPORT_BPF_RELEASE_H

#include "lib/drop.h"
#include "lib/flow_table.h"
#include "lib/hosts.h"
#include "lib/pair.h"
#include "lib/permit.h"
#include "lib/port_block.h"
#include "lib/quarantine.h"
#include "lib/state.h"
#include "lib/unanswered.h"

static __always_inline void port_set_unmark(struct port_set *set, __u32 port)
{
	__u32 word = port / 64;

	__sync_fetch_and_and(&set->word[word % PORT_SET_WORDS], ~(1ULL << (port % 64)));
	__sync_fetch_and_and(&set->full[word / 64 % PORT_SET_SUMMARY_WORDS], ~(1ULL << (word % 64)));
}

/*
 * Whose set knows about a port of a reverse entry. Where ports of some parity or range only may be asked for, each
 * kind has a set of its own, so that "full" means one thing.
 */
static __always_inline void port_set_key_of(struct port_set_key *key, const struct flow_key *reverse,
					    __u32 port, const struct nat_gateway *nat_gateway)
{
	__u32 nat_gateway_flags = nat_gateway->flags, size = nat_gateway->port_block_size;

	__builtin_memset(key, 0, sizeof(*key));
	key->elastic_ip = reverse->destination;
	key->remote = reverse->source;
	key->remote_port = reverse->source_port;
	key->protocol = reverse->protocol;
	if (reverse->kind == FLOW_KIND_BLOCK)
		return;
	if (size)
		key->block = 1 + port_block_first(port, size);
	if (reverse->protocol == IPPROTO_ICMP)
		return;
	if (nat_gateway_flags & NAT_GATEWAY_PRESERVE_PARITY)
		key->part |= port % 2 ? PORT_SET_ODD : PORT_SET_EVEN;
	if (nat_gateway_flags & NAT_GATEWAY_PRESERVE_RANGE)
		key->part |= port <= LOW_PORT_LAST ? PORT_SET_LOW : PORT_SET_HIGH;
}

/* Tells the remote's port set, if it has one, that a port may be free. */
verified_alone int port_release(const struct flow_key *reverse, __u32 nat_gateway)
{
	struct nat_gateway *owner = bpf_map_lookup_elem(&nat_gateways, &nat_gateway);
	struct port_set_key key;
	__u32 *number;
	struct port_set *set;

	if (!reverse || !owner)
		return 0;
	port_set_key_of(&key, reverse, bpf_ntohs(reverse->destination_port), owner);
	number = bpf_map_lookup_elem(&port_set_numbers, &key);
	if (!number)
		return 0;
	set = bpf_map_lookup_elem(&port_sets, number);
	if (!set)
		return 0;
	port_set_unmark(set, bpf_ntohs(reverse->destination_port));
	return 1;
}

/* Gives back what flow_create() took for the flow or mapping whose forward entry this was at its end. */
verified_alone int flow_give_back(const struct flow_entry *forward)
{
	int is_flow;

	if (!forward)
		return 0;
	is_flow = forward->key.kind == FLOW_KIND_FLOW;
	if (is_flow && flow_is_opening(forward->state))
		unanswered_add(forward->key.source, forward->key.zone, -1);
	/* A flow holds a port unless that is its mapping's, or given by the configuration. */
	if (forward->flags & FLOW_COUNTED)
		host_give(forward->key.source, forward->key.zone, forward->nat_gateway, is_flow,
			  !is_flow || !(forward->flags & (FLOW_MAPPED | FLOW_STATIC)));
	return 1;
}

/* Ends the pair whose forward entry is a copy at `forward`. Returns the flags that it had, or 0. */
static __always_inline int flow_end_pair(struct workspace *work, const struct flow_entry *forward,
					 enum flow_removal removal, __u32 now)
{
	int flags, rested;
	__u32 number;

	if (!flow_remove(forward, removal, now, &work->removed))
		return 0;
	flags = work->removed.flags;
	rested = forward->key.kind == FLOW_KIND_MAPPING && work->removed.state == MAPPING_RESTING;
	number = work->removed.nat_gateway;
	flow_give_back(&work->removed);
	flow_reverse_key(forward, &work->removed.key);
	flow_remove(&work->removed, FLOW_REMOVE_ANY, now, &work->removed);
	port_release(&work->removed.key, number);
	if (rested)
		resting_port_ended(number);
	if (forward->key.kind == FLOW_KIND_BLOCK)
		port_block_report(forward, PORT_BLOCK_RELEASED);
	return flags;
}

/*
 * Gives back what the flow that flow_end_entries() has ended held: a permit, and a reference on a mapping. One after
 * the other, and not from within: the stack is full there.
 */
verified_alone int flow_end_holdings(__u32 now)
{
	struct workspace *work = workspace_get();
	const struct flow_entry *forward;
	struct flow_entry *mapping;
	__u32 mapping_id;
	int left;

	if (!work)
		return 0;
	forward = &work->ending;
	mapping = &work->released;
	if (work->ended.flags & FLOW_PERMITTED) {
		flow_reverse_key(forward, &work->key);
		permit_put(work, &work->key, now);
	}
	mapping_id = work->ended.mapping_id;
	if (!mapping_id)
		return 1;
	mapping->new_address = forward->new_address;
	mapping->new_port = forward->new_port;
	mapping->flow_id = mapping_id;
	flow_mapping_key(&forward->key, &mapping->key);
	left = flow_unreference(&mapping->key, mapping_id, 0, now);
	if (left == FLOW_REFERENCES_UNKNOWN) { /* not the one for all remotes */
		flow_unshared_key(forward, &mapping->key);
		left = flow_unreference(&mapping->key, mapping_id, 0, now);
	}
	if (left == FLOW_REFERENCES_NONE &&
	    !mapping_rest(&mapping->key, mapping_id, forward->nat_gateway, now) &&
	    flow_end_pair(work, mapping, FLOW_REMOVE_UNREFERENCED, now) & FLOW_IN_BLOCK)
		work->ended.in_block = 1;
	return 1;
}

/* Gives back the reference on the block that had the port of the flow in work->ending, or of its mapping. */
verified_alone int flow_end_block(__u32 now)
{
	struct workspace *work = workspace_get();
	struct flow_entry *block;

	if (!work || !work->ended.in_block)
		return 0;
	block = &work->released;
	if (!port_block_find(work, &work->ending, block))
		return 0;
	block->new_address = work->view.new_address;
	block->new_port = work->view.new_port;
	block->last_port = work->view.next_hop;
	block->nat_gateway = work->view.nat_gateway;
	if (!port_block_rest(&block->key, block->flow_id, port_block_hold(block->nat_gateway), now))
		flow_end_pair(work, block, FLOW_REMOVE_UNREFERENCED, now);
	return 1;
}

/*
 * The flow_id of the mapping that a flow holds a reference on; its reverse entry has it. It must be asked for while
 * the forward entry stands: once that is gone, whoever wants the port may remove the reverse one.
 */
static __always_inline __u32 flow_mapping_held(const struct flow_entry *forward)
{
	struct flow_entry *reverse = flow_peer(forward);
	__u32 mapping_id;

	if (!(forward->flags & FLOW_MAPPED) || !reverse)
		return 0;
	mapping_id = READ_ONCE(reverse->references);
	flow_entry_barrier(reverse);
	return READ_ONCE(reverse->flow_id) == forward->flow_id ? mapping_id : 0;
}

/* Ends both entries of a flow, and notes what else it held. Returns whether this call ended it. */
static __always_inline int flow_end_forward(struct workspace *work, const struct flow_entry *forward,
					    enum flow_removal removal, __u32 now)
{
	struct counters *counted;
	__u32 zero = 0;

	work->ended.mapping_id = flow_mapping_held(forward);
	work->ended.flags = flow_end_pair(work, forward, removal, now);
	if (!work->ended.flags)
		return 0;
	work->ended.in_block = work->ended.flags & FLOW_IN_BLOCK;
	counted = bpf_map_lookup_elem(&counters, &zero);
	if (removal == FLOW_REMOVE_EXPIRED && forward->key.kind == FLOW_KIND_FLOW && counted)
		nat_gateway_counters_of(counted, forward->nat_gateway)->idle_timeouts++;
	return 1;
}

verified_alone int flow_end_entries(const struct flow_entry *entry, int removal, __u32 now)
{
	struct workspace *work = workspace_get();
	struct flow_entry *forward;

	if (!entry || !work || !entry->flow_id)
		return 0;
	work->ended.mapping_id = 0;
	work->ended.flags = 0;
	work->ended.in_block = 0;
	work->ending = *entry;
	if (!(work->ending.flags & FLOW_FORWARD)) {
		forward = flow_peer(&work->ending);
		if (!forward) {
			if (!flow_remove(&work->ending, removal, now, &work->removed))
				return 0;
			port_release(&work->ending.key, work->ending.nat_gateway);
			return 1;
		}
		flow_entry_copy(&work->ending, forward);
	}
	if (work->ending.flow_id != entry->flow_id)
		return 0;
	return flow_end_forward(work, &work->ending, removal, now);
}

/*
 * Ends the flow of which `entry` is a copy of either direction, and its mapping if it was the last flow on that. A
 * reverse entry without a forward one is what is left while its owner is at work; where it stays so for its whole
 * timeout, it is removed alone. Returns whether this call ended it.
 */
static __always_inline int flow_end(const struct flow_entry *entry, int removal, __u32 now)
{
	int ended = flow_end_entries(entry, removal, now);

	if (ended) {
		flow_end_holdings(now);
		flow_end_block(now);
	}
	return ended;
}

#endif

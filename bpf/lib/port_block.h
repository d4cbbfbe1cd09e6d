/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Port blocks: where a NAT gateway has them, an instance's ports come from blocks that are its own, so that one record
 * says who had this port then, instead of one for each flow (RFC 6888 REQ-14).
 *
 * A block is a pair of entries in the flow table, as a mapping is:
 *   reverse: {anybody, Elastic IP, first port, PORT_BLOCK_PROTOCOL}  -> no other instance gets it
 *   forward: {instance, which of its blocks it is, NAT gateway}      -> each instance has so many at the most
 * So a block has one owner however many processors ask at once, survives the agent, and is seen in the mapped table.
 * Its references are the mappings, and the flows without one, that have a port of it. When the last is gone it rests:
 * the instance takes it again, and after the rest it is anybody's. What happens to it is told through a ring buffer.
 *
 * Which block a port is of follows from the entries: a block keeps its bounds when the configuration changes.
 */
#ifndef SALLYPORT_BPF_PORT_BLOCK_H
#define SALLYPORT_BPF_PORT_BLOCK_H

#include "lib/flow_table.h"
#include "lib/pair.h"

static __always_inline __u32 port_block_first(__u32 port, __u32 size)
{
	return port & ~(size - 1);
}

/* Of the block that begins at `first`, as far as the NAT gateway gives ports out. */
static __always_inline __u32 port_block_last(const struct nat_gateway *nat_gateway, __u32 first)
{
	__u32 last = first + nat_gateway->port_block_size - 1;

	return last < nat_gateway->last_port ? last : nat_gateway->last_port;
}

/* The key of the forward entry of an instance's `number`-th block. */
static __always_inline void port_block_key(struct flow_key *key, __be32 instance, __u16 zone,
					   __u32 nat_gateway, __u32 number)
{
	key->source = instance;
	key->destination = nat_gateway;
	key->source_port = number;
	key->destination_port = 0;
	key->protocol = PORT_BLOCK_PROTOCOL;
	key->kind = FLOW_KIND_BLOCK;
	key->zone = zone;
}

/* Tells whoever keeps the log. An event that finds no room is counted instead. */
verified_alone int port_block_report(const struct flow_entry *forward, __u32 happened)
{
	struct port_block_event *event;
	struct nat_gateway_usage *usage;
	__u32 number;

	if (!forward)
		return 0;
	number = forward->nat_gateway;
	event = bpf_ringbuf_reserve(&port_block_events, sizeof(*event), 0);
	if (!event) {
		usage = bpf_map_lookup_elem(&nat_gateway_usage, &number);
		if (usage)
			__sync_fetch_and_add(&usage->port_block_events_lost, 1);
		return 0;
	}
	event->time_ns = bpf_ktime_get_ns();
	event->elastic_ip = forward->new_address;
	event->instance = forward->key.source;
	event->first_port = bpf_ntohs(forward->new_port);
	event->last_port = forward->last_port;
	event->zone = forward->key.zone;
	event->nat_gateway = number;
	event->happened = happened;
	event->zero0 = 0;
	bpf_ringbuf_submit(event, 0);
	return 1;
}

/*
 * Takes a reference on the block of work->block.number, if the instance of work->wish has that one and its Elastic IP
 * is still the NAT gateway's and takes new flows. work->block then says which ports it has. Returns whether there is
 * one; if it is of no use, work->block.gone says so, and the reference on it in work->standing is to be given back.
 */
verified_alone int port_block_take(__u32 number)
{
	struct workspace *work = workspace_get();
	struct flow_entry *block;
	struct elastic_ip *bound;
	__be32 address;

	if (!work)
		return 0;
	block = &work->standing;
	work->block.gone = 0;
	port_block_key(&block->key, work->wish.key.source, work->wish.key.zone, number, work->block.number);
	if (!flow_reference(&block->key, work->wish.now, PORT_BLOCK_TIMEOUT, block))
		return 0;
	address = block->new_address;
	bound = bpf_map_lookup_elem(&elastic_ips, &address);
	if (!bound || bound->nat_gateway != number || bound->flags & ELASTIC_IP_DRAINING) {
		work->block.gone = 1;
		return 0;
	}
	work->block.flow_id = block->flow_id;
	work->block.elastic_ip = address;
	work->block.first_port = bpf_ntohs(block->new_port);
	work->block.last_port = block->last_port;
	return 1;
}

/*
 * Gives a reference on the block at `key` back. With the last one, it rests. Returns whether there is nothing more to
 * do; if not, it is to be ended.
 */
static __always_inline int port_block_rest(const struct flow_key *key, __u32 flow_id, __u32 rest, __u32 now)
{
	if (flow_unreference(key, flow_id, 0, now) != FLOW_REFERENCES_NONE)
		return 1;
	return rest && flow_unreference(key, flow_id, rest, now) != FLOW_REFERENCES_UNKNOWN;
}

static __always_inline __u32 port_block_hold(__u32 number)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);

	return nat_gateway ? nat_gateway->port_block_hold : 0;
}

/*
 * Leaves in *block the key and flow_id of the block that has the external port of `forward`. Returns whether there is
 * one.
 */
static __always_inline int port_block_find(struct workspace *work, const struct flow_entry *forward,
					   struct flow_entry *block)
{
	__u32 port = bpf_ntohs(forward->new_port);
	struct flow_entry *entry;

	for (__u32 number = 0; number < PORT_BLOCKS_MAX; number++) {
		port_block_key(&block->key, forward->key.source, forward->key.zone, forward->nat_gateway,
			       number);
		entry = flow_find_on_little_stack(&block->key, &work->view);
		if (!entry || work->view.new_address != forward->new_address ||
		    bpf_ntohs(work->view.new_port) > port || entry->last_port < port)
			continue;
		block->flow_id = READ_ONCE(entry->flow_id);
		block->peer_slot = READ_ONCE(entry->peer_slot);
		return block->flow_id != 0;
	}
	return 0;
}

#endif

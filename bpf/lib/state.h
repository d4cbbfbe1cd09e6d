/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The states of a flow and what moves it from one to the next (drawn in bpf/README.md). A pure function
 * and the step that applies it to both entries.
 */
#ifndef SALLYPORT_BPF_STATE_H
#define SALLYPORT_BPF_STATE_H

#include "lib/flow_table.h"
#include "lib/packet.h"

enum flow_event {
	EVENT_NONE,
	EVENT_REPLY,	   /* UDP, ICMP: the first packet from the remote */
	EVENT_SYN_INSIDE,  /* a SYN without ACK from the instance */
	EVENT_SYN_OUTSIDE, /* any SYN from the remote: SYN-ACK, or simultaneous open (RFC 5382 REQ-2) */
	EVENT_FIN_INSIDE,
	EVENT_FIN_OUTSIDE, /* within the window */
	EVENT_RESET,	   /* from the instance, or within the window */
	EVENT_DATA,	   /* a segment with payload and no SYN, FIN or RST */
};

static __always_inline enum flow_state flow_state_after(enum flow_state state, enum flow_event event)
{
	switch (event) {
	case EVENT_REPLY:
	case EVENT_SYN_OUTSIDE:
		return state == FLOW_STATE_OPENING ? FLOW_STATE_ESTABLISHED : state;
	case EVENT_SYN_INSIDE:
		/* A new connection on the tuple of one that has ended; else a retransmission. */
		return state >= FLOW_STATE_CLOSING ? FLOW_STATE_OPENING : state;
	case EVENT_FIN_INSIDE:
		if (state == FLOW_STATE_ESTABLISHED)
			return FLOW_STATE_FIN_FROM_INSIDE;
		return state == FLOW_STATE_FIN_FROM_OUTSIDE ? FLOW_STATE_CLOSING : state;
	case EVENT_FIN_OUTSIDE:
		if (state == FLOW_STATE_ESTABLISHED)
			return FLOW_STATE_FIN_FROM_OUTSIDE;
		return state == FLOW_STATE_FIN_FROM_INSIDE ? FLOW_STATE_CLOSING : state;
	case EVENT_RESET:
		return FLOW_STATE_RESET;
	case EVENT_DATA:
		/* The reset was not believed by its receiver: the connection lives (RFC 7857 2.2). */
		return state == FLOW_STATE_RESET ? FLOW_STATE_ESTABLISHED : state;
	default:
		return state;
	}
}

static __always_inline enum timeout_class flow_timeout_class(__u8 protocol, enum flow_state state)
{
	if (protocol == IPPROTO_UDP)
		return TIMEOUT_UDP;
	if (protocol == IPPROTO_ICMP)
		return TIMEOUT_ICMP;
	switch (state) {
	case FLOW_STATE_OPENING:
		return TIMEOUT_TCP_OPENING;
	case FLOW_STATE_CLOSING:
		return TIMEOUT_TCP_CLOSING;
	case FLOW_STATE_RESET:
		return TIMEOUT_TCP_RESET;
	default:
		return TIMEOUT_TCP_ESTABLISHED; /* half-closed as well (RFC 5382 section 5) */
	}
}

/* Which directions have to take the slow step on packets without SYN, FIN and RST. */
static __always_inline __u8 flow_watch(__u8 protocol, enum flow_state state, int forward)
{
	if (state == FLOW_STATE_RESET)
		return FLOW_WATCH;
	return state == FLOW_STATE_OPENING && protocol != IPPROTO_TCP && !forward ? FLOW_WATCH : 0;
}

/*
 * How far beyond the instance's last acknowledgement a RST or FIN from outside may lie. A remote may have
 * this much under way; a blind attacker has to hit one of 4096 such windows (RFC 5961).
 */
#define TCP_RESET_WINDOW (1 << 20)

/* What the step needs of a segment. */
struct segment {
	__u32 sequence; /* host order, as all here */
	__u32 acknowledges;
	__u16 payload;
	__u8 flags; /* enum tcp_flag */
	__u8 zero0;
};

static __always_inline int tcp_fits(const struct segment *segment, __u32 acknowledged, enum flow_state state)
{
	if (state == FLOW_STATE_OPENING) /* it must answer our SYN (RFC 9293 section 3.10.7.3) */
		return segment->flags & TCP_ACK && segment->acknowledges == acknowledged;
	return segment->sequence - acknowledged < TCP_RESET_WINDOW;
}

static __always_inline enum flow_event tcp_event(const struct segment *segment, int from_inside,
						 __u32 acknowledged, enum flow_state state)
{
	int fits = from_inside || tcp_fits(segment, acknowledged, state);

	if (segment->flags & TCP_RST)
		return fits ? EVENT_RESET : EVENT_NONE;
	if (segment->flags & TCP_SYN) {
		if (!from_inside)
			return EVENT_SYN_OUTSIDE;
		return segment->flags & TCP_ACK ? EVENT_NONE : EVENT_SYN_INSIDE;
	}
	if (segment->flags & TCP_FIN)
		return !fits ? EVENT_NONE : from_inside ? EVENT_FIN_INSIDE : EVENT_FIN_OUTSIDE;
	return segment->payload ? EVENT_DATA : EVENT_NONE;
}

/*
 * Lets a packet with `key` change the state of its flow. Both entries get the new state, timeout and watch
 * under one lock, so that two processors leave them equal. Returns the state that the flow is in.
 */
verified_alone int flow_step(const struct flow_key *key, const struct segment *segment)
{
	struct flow_entry *entry, *peer, *forward, *reverse;
	enum flow_state before, after;
	struct nat_gateway *nat_gateway;
	struct counters *counted;
	enum flow_event event;
	struct flow_view view;
	struct flow_lock *lock;
	__u32 number, flow_id, acknowledged, zero = 0;
	__u8 protocol;
	int from_inside;

	if (!key || !segment)
		return 0;
	entry = flow_find(key, &view);
	if (!entry)
		return 0;
	flow_id = READ_ONCE(entry->flow_id);
	peer = flow_peer(entry);
	from_inside = view.flags & FLOW_FORWARD;
	forward = from_inside ? entry : peer;
	reverse = from_inside ? peer : entry;
	if (!forward || !reverse)
		return 0;
	number = view.nat_gateway;
	nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	counted = bpf_map_lookup_elem(&counters, &zero);
	lock = flow_state_lock(forward);
	if (!nat_gateway || !counted || !lock)
		return 0;
	protocol = key->protocol;
	before = view.state;
	acknowledged = READ_ONCE(forward->tcp_acknowledged);
	if (protocol == IPPROTO_TCP)
		event = tcp_event(segment, from_inside, acknowledged, before);
	else
		event = from_inside ? EVENT_NONE : EVENT_REPLY;

	flow_state_begin(lock);
	before = forward->state;
	after = flow_state_after(before, event);
	if (forward->flow_id == flow_id && reverse->flow_id == flow_id && after != before) {
		__u16 timeout = nat_gateway->timeouts[flow_timeout_class(protocol, after)];

		if (after == FLOW_STATE_OPENING) /* what a RST that answers the new SYN has to acknowledge */
			forward->tcp_acknowledged = segment->sequence + segment->payload + 1;
		WRITE_ONCE(forward->timeout, timeout);
		WRITE_ONCE(reverse->timeout, timeout);
		WRITE_ONCE(forward->state, after);
		WRITE_ONCE(reverse->state, after);
		WRITE_ONCE(forward->flags, (forward->flags & ~FLOW_WATCH) | flow_watch(protocol, after, 1));
		WRITE_ONCE(reverse->flags, (reverse->flags & ~FLOW_WATCH) | flow_watch(protocol, after, 0));
	} else {
		after = before;
	}
	flow_state_end(lock);

	if (before == FLOW_STATE_OPENING && after == FLOW_STATE_ESTABLISHED)
		counted->nat_gateways[number % NAT_GATEWAYS_MAX].flows_established++;
	return after;
}

#endif

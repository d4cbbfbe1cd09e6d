/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The states of a flow and what moves it from one to the next (drawn in bpf/README.md). A pure function
 * and the step that applies it to both entries.
 */
#ifndef SALLYPORT_BPF_STATE_H
#define SALLYPORT_BPF_STATE_H

#include "lib/flow_table.h"
#include "lib/packet.h"
#include "lib/unanswered.h"

enum flow_event {
	EVENT_NONE,
	/* The first packet back: SYN-ACK, or with UDP and ICMP any packet from the end that did not begin. */
	EVENT_ANSWER_INSIDE, /* the instance's */
	EVENT_ANSWER_OUTSIDE,
	EVENT_SYN_INSIDE, /* a SYN without ACK */
	EVENT_SYN_OUTSIDE,
	EVENT_FIN_INSIDE, /* FIN and RST: within the window */
	EVENT_FIN_OUTSIDE,
	EVENT_RESET,
	EVENT_DATA, /* a segment with payload and no SYN, FIN or RST */
};

static __always_inline int event_has_syn(enum flow_event event)
{
	return event == EVENT_SYN_INSIDE || event == EVENT_SYN_OUTSIDE;
}

static __always_inline int event_is_answer(enum flow_event event)
{
	return event == EVENT_ANSWER_INSIDE || event == EVENT_ANSWER_OUTSIDE;
}

static __always_inline int flow_is_opening(enum flow_state state)
{
	return state == FLOW_STATE_OPENING || state == FLOW_STATE_OPENING_FROM_OUTSIDE;
}

static __always_inline int flow_has_ended(enum flow_state state)
{
	return state == FLOW_STATE_CLOSING || state == FLOW_STATE_RESET;
}

static __always_inline enum flow_state flow_state_after(enum flow_state state, enum flow_event event)
{
	switch (event) {
	case EVENT_ANSWER_INSIDE:
		return state == FLOW_STATE_OPENING_FROM_OUTSIDE ? FLOW_STATE_ESTABLISHED : state;
	case EVENT_ANSWER_OUTSIDE:
		return state == FLOW_STATE_OPENING ? FLOW_STATE_ESTABLISHED : state;
	case EVENT_SYN_INSIDE:
		/* A new connection on the tuple of one that has ended; simultaneous open (RFC 5382 REQ-2); else a
		 * retransmission. */
		if (flow_has_ended(state))
			return FLOW_STATE_OPENING;
		return state == FLOW_STATE_OPENING_FROM_OUTSIDE ? FLOW_STATE_ESTABLISHED : state;
	case EVENT_SYN_OUTSIDE:
		if (flow_has_ended(state))
			return FLOW_STATE_OPENING_FROM_OUTSIDE;
		return state == FLOW_STATE_OPENING ? FLOW_STATE_ESTABLISHED : state;
	case EVENT_FIN_INSIDE:
		if (state == FLOW_STATE_ESTABLISHED || state == FLOW_STATE_RESET)
			return FLOW_STATE_FIN_FROM_INSIDE;
		return state == FLOW_STATE_FIN_FROM_OUTSIDE ? FLOW_STATE_CLOSING : state;
	case EVENT_FIN_OUTSIDE:
		if (state == FLOW_STATE_ESTABLISHED || state == FLOW_STATE_RESET)
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
	case FLOW_STATE_OPENING_FROM_OUTSIDE:
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
	if (protocol == IPPROTO_TCP)
		/* What opens a flow has a flag that is looked for anyway; what is no answer must not keep it. */
		return state == FLOW_STATE_OPENING && !forward ? FLOW_WATCH : 0;
	return state == (forward ? FLOW_STATE_OPENING_FROM_OUTSIDE : FLOW_STATE_OPENING) ? FLOW_WATCH : 0;
}

/*
 * How far beyond what its receiver last acknowledged a segment may lie that is to end a flow.
 *
 * From outside this is against blind attackers (RFC 5961), who have to hit one of 65,536 windows with a RST. A
 * genuine one that lies further, because much is under way, is challenged by the instance, and what the remote then
 * sends fits exactly. A FIN is sent once and does less: a single one leaves the timer alone.
 *
 * Instances are believed (design: only they, or what fits, may shorten a flow) as far as any window reaches
 * (RFC 7323 section 2.3).
 */
#define TCP_RESET_WINDOW (1 << 16)
#define TCP_FIN_WINDOW (1 << 20)
#define TCP_INSIDE_WINDOW (1 << 30)

/* What the step needs of a segment. */
struct segment {
	__u32 sequence; /* host order, as all here */
	__u32 acknowledges;
	__u16 payload;
	__u8 flags; /* enum tcp_flag */
	__u8 zero0;
};

/* What is known of the sender's end of the connection. */
struct tcp_known {
	__u32 acknowledged; /* the last of its bytes that the other end acknowledged; opening: what answers the SYN */
	__u32 window; /* 0: nothing is known, and it is believed */
};

static __always_inline __u32 tcp_window(const struct segment *segment, int from_inside)
{
	if (from_inside)
		return TCP_INSIDE_WINDOW;
	return segment->flags & TCP_RST ? TCP_RESET_WINDOW : TCP_FIN_WINDOW;
}

static __always_inline int tcp_fits(const struct segment *segment, int from_inside,
				    const struct tcp_known *known, enum flow_state state)
{
	if (state == (from_inside ? FLOW_STATE_OPENING_FROM_OUTSIDE : FLOW_STATE_OPENING))
		/* It must answer the SYN of the other end (RFC 9293 section 3.10.7.3). */
		return segment->flags & TCP_ACK && segment->acknowledges == known->acknowledged;
	return !known->window || segment->sequence - known->acknowledged < known->window;
}

static __always_inline enum flow_event tcp_event(const struct segment *segment, int from_inside,
						 const struct tcp_known *known, enum flow_state state)
{
	int fits = tcp_fits(segment, from_inside, known, state);

	/* Who takes its own SYN back has had no answer: the flow goes on to count as one that waits for it. */
	if (segment->flags & TCP_RST)
		return fits && state != (from_inside ? FLOW_STATE_OPENING : FLOW_STATE_OPENING_FROM_OUTSIDE)
			       ? EVENT_RESET
			       : EVENT_NONE;
	if (segment->flags & TCP_SYN) {
		if (segment->flags & TCP_ACK)
			return from_inside ? EVENT_ANSWER_INSIDE : EVENT_ANSWER_OUTSIDE;
		return from_inside ? EVENT_SYN_INSIDE : EVENT_SYN_OUTSIDE;
	}
	if (segment->flags & TCP_FIN) {
		/* After a reset it is one of those that end connections with FIN and RST (RFC 7857 section 2), unless
		 * it has payload. */
		if (!fits || (state == FLOW_STATE_RESET && !segment->payload))
			return EVENT_NONE;
		return from_inside ? EVENT_FIN_INSIDE : EVENT_FIN_OUTSIDE;
	}
	return segment->payload ? EVENT_DATA : EVENT_NONE;
}

/* A mapped flow has its mapping's number where others keep what the remote acknowledged. */
static __always_inline int remote_acknowledged_is_kept(const struct flow_entry *reverse)
{
	return !(reverse->flags & FLOW_MAPPED);
}

/* Notes where the numbers of a connection begin, of a SYN that opens or answers it. Under the lock. */
static __always_inline void tcp_begin(struct flow_entry *forward, struct flow_entry *reverse,
				      const struct segment *segment, int from_inside, enum flow_state after)
{
	if (flow_is_opening(after))
		WRITE_ONCE(forward->tcp_acknowledged, segment->sequence + segment->payload + 1);
	else if (!from_inside)
		WRITE_ONCE(forward->tcp_acknowledged, segment->sequence + 1);
	if (from_inside && remote_acknowledged_is_kept(reverse))
		WRITE_ONCE(reverse->tcp_acknowledged, segment->sequence + 1);
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
	struct tcp_known known;
	struct flow_view view;
	struct flow_lock *lock;
	__u32 number, flow_id, zero = 0;
	__be32 instance;
	__u16 zone;
	__u8 protocol;
	int from_inside;

	if (!key || !segment)
		return 0;
	entry = flow_find(key, &view);
	if (!entry)
		return 0;
	flow_id = READ_ONCE(entry->flow_id);
	if (!flow_id) /* gone; its peer may be, too, and then they would look like a pair */
		return 0;
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
	known.window = tcp_window(segment, from_inside);
	known.acknowledged = READ_ONCE(forward->tcp_acknowledged);
	if (from_inside && before != FLOW_STATE_OPENING_FROM_OUTSIDE) {
		known.acknowledged = READ_ONCE(reverse->tcp_acknowledged);
		if (!remote_acknowledged_is_kept(reverse))
			known.window = 0;
	}
	if (protocol == IPPROTO_TCP)
		event = tcp_event(segment, from_inside, &known, before);
	else
		event = from_inside ? EVENT_ANSWER_INSIDE : EVENT_ANSWER_OUTSIDE;

	flow_state_begin(lock);
	instance = forward->key.source;
	zone = forward->key.zone;
	before = forward->state;
	after = flow_state_after(before, event);
	/* Where the entry was given to another flow before its flow_id was read, its key tells. */
	if (forward->flow_id != flow_id || reverse->flow_id != flow_id || !flow_key_equal(&entry->key, key)) {
		after = before;
		goto unlock;
	}
	if (protocol == IPPROTO_TCP &&
	    ((event_has_syn(event) && (after != before || flow_is_opening(after))) ||
	     (event_is_answer(event) && after != before)))
		tcp_begin(forward, reverse, segment, from_inside, after);
	if (after != before) {
		__u16 timeout = nat_gateway->timeouts[flow_timeout_class(protocol, after)];

		WRITE_ONCE(forward->timeout, timeout);
		WRITE_ONCE(reverse->timeout, timeout);
		WRITE_ONCE(forward->state, after);
		WRITE_ONCE(reverse->state, after);
		WRITE_ONCE(forward->flags, (forward->flags & ~FLOW_WATCH) | flow_watch(protocol, after, 1));
		WRITE_ONCE(reverse->flags, (reverse->flags & ~FLOW_WATCH) | flow_watch(protocol, after, 0));
	}
unlock:
	flow_state_end(lock);

	if (flow_is_opening(before) != flow_is_opening(after))
		unanswered_add(instance, zone, flow_is_opening(before) ? -1 : 1);
	if (flow_is_opening(before) && after == FLOW_STATE_ESTABLISHED)
		counted->nat_gateways[number % NAT_GATEWAYS_MAX].flows_established++;
	return after;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The only way to drop a packet, and the only way out of a program: nothing leaves uncounted. */
#ifndef SALLYPORT_BPF_DROP_H
#define SALLYPORT_BPF_DROP_H

#include "lib/clock.h"
#include "lib/packet.h"

static __always_inline enum verdict drop(struct packet *packet, enum drop_reason reason)
{
	packet->reason = reason;
	return VERDICT_DROP;
}

/* Tells whoever watches; loses events rather than time when the buffer is full. */
verified_alone int drop_report(const struct flow_key *key, __u32 reason, __u32 length, __u32 tcp_flags)
{
	struct drop_event *event;

	if (!key)
		return 0;
	event = bpf_ringbuf_reserve(&drop_events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->time_ns = bpf_ktime_get_ns();
	event->source = key->source;
	event->destination = key->destination;
	event->source_port = key->source_port;
	event->destination_port = key->destination_port;
	event->reason = reason;
	event->length = length;
	event->protocol = key->protocol;
	event->device = device_slot;
	event->tcp_flags = tcp_flags;
	event->zero0 = 0;
	event->zero1 = 0;
	bpf_ringbuf_submit(event, 0);
	return 1;
}

static __always_inline struct nat_gateway_counters *nat_gateway_counters_of(struct counters *counted,
									    __u16 number)
{
	return &counted->nat_gateways[number % NAT_GATEWAYS_MAX];
}

static __noinline int finish_drop(struct packet *packet)
{
	struct device_counters *device = &packet->counters->devices[device_slot % DEVICES_MAX];
	struct nat_gateway_counters *nat_gateway;

	device->dropped++;
	packet->counters->drops[packet->reason % DROP_REASONS_MAX]++;
	if (packet->nat_gateway != NO_NAT_GATEWAY) {
		nat_gateway = nat_gateway_counters_of(packet->counters, packet->nat_gateway);
		if (packet->forward) {
			nat_gateway->out_dropped_packets++;
			nat_gateway->out_dropped_bytes += packet->length;
		} else {
			nat_gateway->in_dropped_packets++;
			nat_gateway->in_dropped_bytes += packet->length;
		}
	}
	if (!clock_reached(packet->now, packet->settings->drop_events_until))
		drop_report(&packet->key, packet->reason, packet->length, packet->tcp_flags);
	/* A drop that was answered in place (a reset, an ICMP error) leaves as the answer. */
	return packet->action ? packet->action : XDP_DROP;
}

static __always_inline void count_translated(struct counters *counted, __u16 number, int forward,
					     __u32 length)
{
	struct nat_gateway_counters *nat_gateway = nat_gateway_counters_of(counted, number);

	if (forward) {
		nat_gateway->out_packets++;
		nat_gateway->out_bytes += length;
	} else {
		nat_gateway->in_packets++;
		nat_gateway->in_bytes += length;
	}
}

/* The one exit. */
static __always_inline int finish(struct packet *packet, enum verdict verdict)
{
	struct device_counters *device = &packet->counters->devices[device_slot % DEVICES_MAX];

	if (likely(verdict == VERDICT_FORWARD)) {
		count_translated(packet->counters, packet->nat_gateway, packet->forward, packet->length);
		device->forwarded++;
		return packet->action;
	}
	if (verdict == VERDICT_DROP)
		return finish_drop(packet);
	if (verdict == VERDICT_RELAY) {
		device->forwarded++;
		return packet->action;
	}
	if (verdict == VERDICT_ANSWER) {
		device->answered++;
		return packet->action;
	}
	if (verdict == VERDICT_HOLD) {
		device->held++;
		return XDP_DROP;
	}
	if (packet->nat_gateway != NO_NAT_GATEWAY) /* translated, and sent on by the host's stack */
		count_translated(packet->counters, packet->nat_gateway, packet->forward, packet->length);
	device->passed++;
	return XDP_PASS;
}

/* The one entry: what every stage needs. Without its maps a program leaves the packet to the host. */
static __always_inline int receive(struct xdp_md *context, struct packet *packet)
{
	__u32 zero = 0, slot = device_slot;
	struct device_counters *counted;

	packet->context = context;
	packet->settings = bpf_map_lookup_elem(&settings, &zero);
	packet->device = bpf_map_lookup_elem(&devices, &slot);
	packet->counters = bpf_map_lookup_elem(&counters, &zero);
	if (!packet->settings || !packet->device || !packet->counters)
		return 0;
	packet->now = clock_ticks(packet->settings);
	packet->nat_gateway = NO_NAT_GATEWAY;
	counted = &packet->counters->devices[device_slot % DEVICES_MAX];
	counted->received_packets++;
	counted->received_bytes += context->data_end - context->data;
	return 1;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a translated packet goes. A flow holds the number of a next hop, which the agent keeps current.
 * The kernel's own routing is asked for the first packet of each direction, and for every packet while
 * no agent runs: so forwarding goes on, correctly and a little slower, without it.
 */
#ifndef SALLYPORT_BPF_NEXT_HOP_H
#define SALLYPORT_BPF_NEXT_HOP_H

#include "lib/clock.h"
#include "lib/drop.h"
#include "lib/flow_table.h"

#define FAMILY_IPV4 2 /* AF_INET */

/* Destination and source, as they lie in a frame: three words instead of twelve bytes. */
static __always_inline void macs_copy(void *to, const void *from)
{
	((__u32 *)to)[0] = ((const __u32 *)from)[0];
	((__u32 *)to)[1] = ((const __u32 *)from)[1];
	((__u32 *)to)[2] = ((const __u32 *)from)[2];
}

struct hop {
	__u8 macs[2 * ETH_ALEN] __attribute__((aligned(4))); /* as in a frame */
	__u16 mtu;
	__u16 number;	   /* to remember, if the kernel was asked */
	__u8 device;	   /* slot */
	__u8 up_the_stack; /* no neighbour yet: the host is to resolve it and to send the packet */
	__u8 zero0[2];
};

/* The slot of the device that is used with this interface index, or -1. */
verified_alone int device_slot_of(__u32 ifindex)
{
	for (__u32 slot = 0; slot < DEVICES_MAX; slot++) {
		__u32 key = slot;
		struct device *device = bpf_map_lookup_elem(&devices, &key);

		if (device && device->role != DEVICE_UNUSED && device->ifindex == ifindex)
			return slot;
	}
	return -1;
}

/*
 * Asks the kernel. `source` and `destination` are those of the translated packet, `want` is the role that
 * the device has to have. Returns 0 or the reason for a drop; hop->number is the number to remember, or 0.
 */
verified_alone int next_hop_ask(struct xdp_md *context, struct hop *hop, __be32 source, __be32 destination,
				__u32 want)
{
	struct bpf_fib_lookup fib = {
		.family = FAMILY_IPV4,
		.ifindex = context->ingress_ifindex,
		.ipv4_src = source,
		.ipv4_dst = destination,
	};
	struct neighbour_key neighbour = {};
	struct device *device;
	__u32 *number, slot;
	long result;

	if (!hop)
		return DROP_INTERNAL_ERROR;
	hop->number = 0;
	result = bpf_fib_lookup(context, &fib, sizeof(fib), 0);
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		break;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return DROP_FORWARDING_DISABLED;
	default:
		return DROP_NO_KERNEL_ROUTE;
	}
	slot = device_slot_of(fib.ifindex);
	device = bpf_map_lookup_elem(&devices, &slot); /* none for -1 */
	if (!device || !(device->role & want))
		return DROP_WRONG_EGRESS_DEVICE;
	hop->device = slot;
	hop->mtu = device->mtu;
	hop->up_the_stack = result == BPF_FIB_LKUP_RET_NO_NEIGH;
	if (hop->up_the_stack)
		return 0;
	__builtin_memcpy(hop->macs, fib.dmac, ETH_ALEN);
	__builtin_memcpy(hop->macs + ETH_ALEN, fib.smac, ETH_ALEN);

	/* The kernel has put the gateway, if the route has one, in place of the destination. */
	neighbour.ifindex = fib.ifindex;
	neighbour.address = fib.ipv4_dst;
	number = bpf_map_lookup_elem(&next_hop_numbers, &neighbour);
	if (number)
		hop->number = *number;
	return 0;
}

static __always_inline enum verdict next_hop_ask_for(struct packet *packet, struct flow_entry *entry,
						     struct hop *hop, const struct flow_view *view)
{
	int reason;

	if (packet->forward)
		reason = next_hop_ask(packet->context, hop, view->new_address, packet->key.destination,
				      DEVICE_OUTSIDE);
	else
		reason = next_hop_ask(packet->context, hop, packet->key.source, view->new_address,
				      DEVICE_INSIDE);
	if (reason)
		return drop(packet, reason);
	if (entry && hop->number)
		WRITE_ONCE(entry->next_hop, hop->number);
	return VERDICT_NEXT;
}

/* Finds the next hop of a packet whose flow was seen as `view`; `entry` may be NULL. */
static __always_inline enum verdict next_hop_find(struct packet *packet, struct flow_entry *entry,
						  struct hop *hop, const struct flow_view *view)
{
	__u32 key = view->next_hop;
	struct next_hop *known;

	if (unlikely(!key || clock_reached(packet->now, packet->settings->next_hops_valid_until)))
		return next_hop_ask_for(packet, entry, hop, view);
	known = bpf_map_lookup_elem(&next_hops, &key);
	if (unlikely(!known || known->state == NEXT_HOP_UNUSED))
		return next_hop_ask_for(packet, entry, hop, view);
	hop->device = known->device;
	hop->mtu = known->mtu;
	hop->up_the_stack = known->state != NEXT_HOP_RESOLVED;
	macs_copy(hop->macs, known->destination_mac);
	return VERDICT_NEXT;
}
ABI_ASSERT_OFFSET(struct next_hop, destination_mac, 12);
ABI_ASSERT_OFFSET(struct next_hop, source_mac, 18);

#endif

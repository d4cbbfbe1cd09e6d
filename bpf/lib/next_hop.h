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
#include "lib/reply.h"

#define FAMILY_IPV4 2 /* AF_INET */

/* Destination and source, as they lie in a frame: three words instead of twelve bytes. */
static __always_inline void macs_copy(void *to, const void *from)
{
	((__u32 *)to)[0] = ((const __u32 *)from)[0];
	((__u32 *)to)[1] = ((const __u32 *)from)[1];
	((__u32 *)to)[2] = ((const __u32 *)from)[2];
}

/* As small as it can be: it lies at the beginning of the longest chain of calls. */
struct hop {
	__u8 macs[2 * ETH_ALEN] __attribute__((aligned(4))); /* as in a frame */
	__u16 mtu;
	__u16 number;	       /* to remember, if the kernel was asked */
	__u8 device;	       /* slot */
	__u8 refused;	       /* enum refusal: what the sender of a dropped packet is told */
	__u8 reason;	       /* for a drop, where it goes nowhere else either */
	__u8 up_the_stack : 1; /* no neighbour yet: the host is to resolve it and to send the packet */
	__u8 inward : 1;       /* to an instance */
	__u8 elsewhere : 1;    /* the kernel by itself would send it elsewhere */
	__u8 asked : 1; /* it is what the kernel says now: elsewhere or not, there is no other device */
};

/* The code of an ICMP unreachable, and one more. */
enum refusal {
	REFUSED_SILENTLY = 0,
	REFUSED_NO_ROUTE = ICMP_NET_UNREACHABLE + 1,
	REFUSED_NO_HOST = ICMP_HOST_UNREACHABLE + 1,
	REFUSED_BY_POLICY = ICMP_ADMINISTRATIVELY_PROHIBITED + 1,
};

/* RFC 1812 section 4.3.3.1. The kernel has the same answer for "no route" and for a broadcast address. */
static __always_inline enum refusal next_hop_refusal(long result)
{
	switch (result) {
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return REFUSED_NO_ROUTE;
	case BPF_FIB_LKUP_RET_UNREACHABLE:
		return REFUSED_NO_HOST;
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return REFUSED_BY_POLICY;
	default:
		return REFUSED_SILENTLY;
	}
}

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

/* Notes in `hop` what the kernel has answered, which was a device and perhaps a neighbour. */
static __always_inline void next_hop_note(struct hop *hop, const struct device *device, __u32 slot,
					  const struct bpf_fib_lookup *fib, long result)
{
	struct neighbour_key neighbour = {};
	__u32 *number;

	hop->asked = 1;
	hop->device = slot;
	hop->mtu = device->mtu;
	hop->up_the_stack = result == BPF_FIB_LKUP_RET_NO_NEIGH;
	/* The kernel has put the gateway, if the route has one, in place of the destination. */
	neighbour.ifindex = fib->ifindex;
	neighbour.address = fib->ipv4_dst;
	number = bpf_map_lookup_elem(&next_hop_numbers, &neighbour);
	if (number)
		hop->number = *number;
	if (hop->up_the_stack)
		return;
	__builtin_memcpy(hop->macs, fib->dmac, ETH_ALEN);
	__builtin_memcpy(hop->macs + ETH_ALEN, fib->smac, ETH_ALEN);
}

/* What the kernel is asked about a packet from `source` to `destination` on an interface. */
static __always_inline struct bpf_fib_lookup next_hop_lookup(__u32 ifindex, __be32 source, __be32 destination)
{
	return (struct bpf_fib_lookup){
		.family = FAMILY_IPV4,
		.ifindex = ifindex,
		.ipv4_src = source,
		.ipv4_dst = destination,
	};
}

/* The role that the device has to have, and the zone of the instance that is behind it, or ZONE_OUTSIDE: not known. */
#define NEXT_HOP_BEHIND(role, zone) ((role) | (__u32)(zone) << 8)

/* What next_hop_ask() says when the kernel's choice is a device of another VPC, or none. */
#define NEXT_HOP_ELSEWHERE (-1)

/*
 * Asks the kernel. `source` and `destination` are those of the translated packet, `behind` is a NEXT_HOP_BEHIND().
 * Returns 0, NEXT_HOP_ELSEWHERE or the reason for a drop, with hop->refused; hop->number is the number to remember, or
 * 0.
 */
verified_alone int next_hop_ask(struct xdp_md *context, struct hop *hop, __be32 source, __be32 destination,
				__u32 behind)
{
	struct bpf_fib_lookup fib = next_hop_lookup(context->ingress_ifindex, source, destination);
	__u32 slot, zone = behind >> 8;
	struct device *device;
	long result;

	if (!hop)
		return DROP_INTERNAL_ERROR;
	hop->number = 0;
	hop->refused = REFUSED_SILENTLY;
	result = bpf_fib_lookup(context, &fib, sizeof(fib), 0);
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		break;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return DROP_FORWARDING_DISABLED;
	default:
		hop->refused = next_hop_refusal(result);
		hop->reason = DROP_NO_KERNEL_ROUTE;
		return zone ? NEXT_HOP_ELSEWHERE : DROP_NO_KERNEL_ROUTE;
	}
	slot = device_slot_of(fib.ifindex);
	device = bpf_map_lookup_elem(&devices, &slot); /* none for -1 */
	hop->reason = DROP_WRONG_EGRESS_DEVICE;
	if (zone && (!device || device->zone != zone))
		return NEXT_HOP_ELSEWHERE;
	if (!device || !(device->role & behind))
		return DROP_WRONG_EGRESS_DEVICE;
	/* Of an instance, but nobody knows of which VPC. */
	if (hop->inward && !zone && device->flags & DEVICE_AMBIGUOUS)
		return DROP_AMBIGUOUS_ROUTE;
	next_hop_note(hop, device, slot, &fib, result);
	return 0;
}

/*
 * Asks the kernel for the way to an instance by a device of its VPC, which it would not have taken by itself: another
 * VPC has the same addresses, or the device is of a VRF, whose routes are not looked at from outside. Returns 0 or
 * the reason for a drop; what next_hop_ask() has left in hop->refused stays.
 */
verified_alone int next_hop_ask_zone(struct xdp_md *context, struct hop *hop, __be32 source,
				     __be32 destination, __u32 zone)
{
	if (!hop)
		return DROP_INTERNAL_ERROR;
	for (__u32 slot = 0; slot < DEVICES_MAX; slot++) {
		struct bpf_fib_lookup fib;
		__u32 key = slot;
		struct device *device = bpf_map_lookup_elem(&devices, &key);
		long result;

		if (!device || device->role == DEVICE_UNUSED || device->zone != zone)
			continue;
		fib = next_hop_lookup(device->ifindex, source, destination);
		result = bpf_fib_lookup(context, &fib, sizeof(fib), BPF_FIB_LOOKUP_OUTPUT);
		if ((result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH) ||
		    fib.ifindex != device->ifindex)
			continue;
		next_hop_note(hop, device, slot, &fib, result);
		hop->elsewhere = 1;
		return 0;
	}
	return hop->reason;
}

static __always_inline enum verdict next_hop_refuse(struct packet *packet, int reason, __u8 refused)
{
	if (refused)
		reply_icmp_error(packet, ICMP_UNREACHABLE, refused - 1, 0);
	return drop(packet, reason);
}

/*
 * For a neighbour that is not resolved. If it does not answer ARP, its senders are told, but for the packets of
 * one tick in each second, which go up the stack to have it asked again. Not those from outside: the kernel's own
 * error about one would quote it translated, with the instance's address.
 */
static __always_inline enum verdict next_hop_check(struct packet *packet, const struct next_hop *known)
{
	if (known->state != NEXT_HOP_UNREACHABLE ||
	    clock_reached(packet->now, packet->settings->next_hops_valid_until) ||
	    (packet->forward && packet->now % FLOW_TOUCH_TICKS == 0))
		return VERDICT_NEXT;
	return next_hop_refuse(packet, DROP_NEIGHBOUR_UNREACHABLE, REFUSED_NO_HOST);
}

static __always_inline enum verdict next_hop_ask_for(struct packet *packet, struct flow_entry *entry,
						     struct hop *hop, const struct flow_view *view)
{
	struct flow_entry *forward = NULL;
	__u32 key, zone = ZONE_OUTSIDE;
	struct next_hop *known;
	int reason;

	if (packet->forward) {
		reason = next_hop_ask(packet->context, hop, view->new_address, packet->key.destination,
				      DEVICE_OUTSIDE);
	} else {
		hop->inward = 1;
		if (entry)
			forward = flow_peer(entry);
		if (forward)
			zone = READ_ONCE(forward->key.zone);
		reason = next_hop_ask(packet->context, hop, packet->key.source, view->new_address,
				      NEXT_HOP_BEHIND(DEVICE_INSIDE, zone));
		if (reason == NEXT_HOP_ELSEWHERE)
			reason = next_hop_ask_zone(packet->context, hop, packet->key.source,
						   view->new_address, zone);
	}
	if (reason)
		return next_hop_refuse(packet, reason, hop->refused);
	if (entry && hop->number)
		WRITE_ONCE(entry->next_hop, hop->number);
	if (unlikely(hop->up_the_stack)) {
		key = hop->number;
		known = bpf_map_lookup_elem(&next_hops, &key);
		return known ? next_hop_check(packet, known) : VERDICT_NEXT;
	}
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
	return hop->up_the_stack ? next_hop_check(packet, known) : VERDICT_NEXT;
}
ABI_ASSERT_OFFSET(struct next_hop, destination_mac, 12);
ABI_ASSERT_OFFSET(struct next_hop, source_mac, 18);

#endif

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Not attached: the agent runs it (BPF_PROG_RUN) to learn where a packet would go, by the questions that the
 * programs ask of the kernel, without a packet.
 */
#include "lib/drop.h"
#include "lib/next_hop.h"

/* What a hop does not keep, because a packet does not need it: which neighbour it is. */
static __always_inline __be32 neighbour_of(struct xdp_md *context, const struct hop *hop, __be32 source,
					   __be32 destination)
{
	struct bpf_fib_lookup fib = next_hop_lookup(context->ingress_ifindex, source, destination);
	__u32 slot = hop->device, flags = 0;
	struct device *device = bpf_map_lookup_elem(&devices, &slot);

	if (hop->elsewhere && device) {
		fib.ifindex = device->ifindex;
		flags = BPF_FIB_LOOKUP_OUTPUT;
	}
	bpf_fib_lookup(context, &fib, sizeof(fib), flags);
	return fib.ipv4_dst;
}

SEC("xdp")
int sallyport_next_hop_query(struct xdp_md *context)
{
	struct next_hop_question *question = (void *)(long)context->data;
	__be32 source, destination, towards = 0;
	struct hop hop = {};
	__u32 behind;
	int reason;

	if ((void *)(question + 1) > (void *)(long)context->data_end)
		return XDP_ABORTED;
	source = question->source;
	destination = question->destination;
	behind = NEXT_HOP_BEHIND(question->role, question->zone);
	hop.inward = question->inward;
	reason = next_hop_ask(context, &hop, source, destination, behind);
	if (reason == NEXT_HOP_ELSEWHERE)
		reason = next_hop_ask_zone(context, &hop, source, destination, behind >> 8);
	if (!reason)
		towards = neighbour_of(context, &hop, source, destination);
	question = (void *)(long)context->data;
	if ((void *)(question + 1) > (void *)(long)context->data_end)
		return XDP_ABORTED;
	question->reason = reason;
	question->refused = hop.refused;
	question->device = hop.device;
	question->towards = towards;
	question->resolved = !hop.up_the_stack;
	question->elsewhere = hop.elsewhere;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";

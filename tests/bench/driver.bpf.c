// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Feeds a program with packets of many flows from within the kernel: each run writes the headers of the next
 * tuple of a list into the frame and goes on into the program that is measured, by a tail call. Only ports
 * differ from flow to flow, so the IPv4 checksum stays right; nobody looks at the transport's.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "driver.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set by the loader */
	__type(key, __u32);
	__type(value, struct tuple);
} tuples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct driver_state);
} state SEC(".maps");

static __always_inline int next_frame(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 zero = 0, at;
	struct driver_state *driver = bpf_map_lookup_elem(&state, &zero);
	struct tuple *tuple;

	if (!driver || data + DRIVER_HEADER_BYTES > end)
		return 0;
	at = driver->next;
	driver->next = at + 1 < driver->count ? at + 1 : 0;
	tuple = bpf_map_lookup_elem(&tuples, &at);
	if (!tuple)
		return 0;
	/*
	 * Each store covers whole what any program reads at once: ports in one word, the two addresses in
	 * another. A program that read a field out of two stores would wait for both to reach the cache, a dozen
	 * cycles each time, and we would measure that. A real frame comes by DMA.
	 */
	*(__u64 *)data = *(__u64 *)driver->header;
	*(__u32 *)(data + 8) = *(__u32 *)(driver->header + 8);
	*(__u16 *)(data + 12) = *(__u16 *)(driver->header + 12);
	for (int i = DRIVER_IP_AT; i < DRIVER_ADDRESSES_AT; i += 4)
		*(__u32 *)(data + i) = *(__u32 *)(driver->header + i);
	*(__u64 *)(data + DRIVER_ADDRESSES_AT) = *(__u64 *)(driver->header + DRIVER_ADDRESSES_AT);
	for (int i = DRIVER_PORTS_AT + 4; i < DRIVER_HEADER_BYTES; i += 4)
		*(__u32 *)(data + i) = *(__u32 *)(driver->header + i);
	*(__u32 *)(data + DRIVER_PORTS_AT) = *(__u32 *)tuple;
	return driver->ifindex;
}

/* For BPF_PROG_RUN: the frame goes straight into the measured program. */
SEC("xdp")
int driver_call(struct xdp_md *context)
{
	next_frame(context);
	bpf_tail_call(context, &measured, 0);
	return XDP_ABORTED;
}

/* For live frames: the frame leaves through a device and takes the whole path. */
SEC("xdp")
int driver_send(struct xdp_md *context)
{
	int ifindex = next_frame(context);

	return ifindex ? bpf_redirect(ifindex, 0) : XDP_DROP;
}

SEC("xdp")
int driver_empty(struct xdp_md *context)
{
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What stands around a gateway that is measured on live frames, one object for each of its two sides: the
 * sink behind the far end of the wire, and the gateway to compare with, which sends every frame to the other
 * side and knows nothing. The benchmark keeps all of it on one processor, so counting needs no atomics.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETHERTYPE_IPV4 0x0800
#define HEADER_BYTES 34 /* Ethernet and IPv4 */

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} transmit SEC(".maps");

/* Where forward() sends to, as it stands in an Ethernet header: destination, then source. */
const volatile __u64 addresses_0 = 0;
const volatile __u32 addresses_8 = 0;

__u64 packets = 0;
__u32 source = 0, destination = 0; /* of the last packet, to see that it was translated */

SEC("xdp")
int sink(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	if (data + HEADER_BYTES > end || *(__u16 *)(data + 12) != bpf_htons(ETHERTYPE_IPV4))
		return XDP_DROP;
	packets++;
	source = *(__u32 *)(data + 26);
	destination = *(__u32 *)(data + 30);
	return XDP_DROP;
}

SEC("xdp")
int forward(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	if (data + HEADER_BYTES > end || *(__u16 *)(data + 12) != bpf_htons(ETHERTYPE_IPV4))
		return XDP_DROP;
	*(__u64 *)data = addresses_0;
	*(__u32 *)(data + 8) = addresses_8;
	return bpf_redirect_map(&transmit, 0, XDP_DROP);
}

/* Makes a veth take redirected frames, for a gateway that has no program of its own. */
SEC("xdp")
int pass(struct xdp_md *context)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";

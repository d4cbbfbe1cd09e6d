/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A SYN names the largest segment that its sender takes (RFC 9293 section 3.7.1), by the MTU of the link that it
 * knows. Lowered here to what both links of the gateway carry: so connections work where the ICMP errors of path
 * MTU discovery are lost (RFC 4821 section 2). It is never raised, and never added.
 */
#ifndef SALLYPORT_BPF_MSS_H
#define SALLYPORT_BPF_MSS_H

#include "lib/checksum.h"
#include "lib/next_hop.h"
#include "lib/packet.h"

#define TCP_OPTIONS_MAX 40 /* bytes */
#define TCP_OPTION_END 0
#define TCP_OPTION_NO_OPERATION 1
#define TCP_OPTION_MSS 2
#define TCP_OPTION_MSS_BYTES 4
#define TCP_OPTION_BYTES_MIN 2 /* of all but the two without a length */

/*
 * Lowers the option among the `bytes` bytes of options of the TCP header at `transport`, from the frame's start.
 * Returns 1 if it was too high.
 */
verified_alone int mss_lower(struct xdp_md *context, __u32 transport, __u32 bytes, __u32 most)
{
	__u8 options[64] = {}; /* forty and more: any six bits are within it */
	__u32 at = 0, kind, size, offset, old;
	__be16 mss = bpf_htons(most), from, to, check;
	__u64 length =
		mask_for_verifier(bytes, 63); /* kernel 6.1 has to see that it is neither 0 nor too large */

	if (length < TCP_OPTION_MSS_BYTES || length > TCP_OPTIONS_MAX)
		return 0;
	if (bpf_xdp_load_bytes(context, transport + sizeof(struct tcphdr), options, length))
		return 0;
	for (int i = 0; i < TCP_OPTIONS_MAX; i++) {
		at = mask_for_verifier(at, 63);
		kind = options[at];
		size = options[mask_for_verifier(at + 1, 63)];
		if (at + TCP_OPTION_MSS_BYTES > length || kind == TCP_OPTION_END || kind == TCP_OPTION_MSS)
			break;
		if (kind == TCP_OPTION_NO_OPERATION)
			size = 1;
		else if (size < TCP_OPTION_BYTES_MIN || at + size > length) /* nobody reads on behind it */
			return 0;
		at += size;
	}
	if (at + TCP_OPTION_MSS_BYTES > length || kind != TCP_OPTION_MSS || size != TCP_OPTION_MSS_BYTES)
		return 0;
	old = options[mask_for_verifier(at + 2, 63)] << 8 | options[mask_for_verifier(at + 3, 63)];
	if (old <= most)
		return 0;

	offset = transport + offsetof(struct tcphdr, check);
	if (bpf_xdp_load_bytes(context, offset, &check, sizeof(check)))
		return 0;
	from = bpf_htons(old);
	to = mss;
	if (at & 1) { /* at an odd place the checksum sees the bytes the other way round */
		from = __builtin_bswap16(from);
		to = __builtin_bswap16(to);
	}
	check = checksum_apply(check, checksum_delta16(from, to));
	bpf_xdp_store_bytes(context, transport + sizeof(struct tcphdr) + at + 2, &mss, sizeof(mss));
	bpf_xdp_store_bytes(context, offset, &check, sizeof(check));
	return 1;
}

#define IPV4_AND_TCP_BYTES (sizeof(struct iphdr) + sizeof(struct tcphdr)) /* without options (RFC 6691) */

/* For a SYN of a flow of NAT gateway `number` that goes to a link with this `mtu`. */
static __noinline void mss_clamp(struct packet *packet, __u32 number, __u32 mtu)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	const struct tcphdr *tcp = packet->transport;
	__u32 bytes, room;

	if (!nat_gateway || !(nat_gateway->flags & NAT_GATEWAY_CLAMP_MSS))
		return;
	if (mtu > packet->device->mtu)
		mtu = packet->device->mtu;
	if (mtu <= IPV4_AND_TCP_BYTES || (const void *)(tcp + 1) > packet_end(packet))
		return;
	bytes = tcp->doff * 4 - sizeof(*tcp);
	room = packet->length - packet->ip->ihl * 4 - sizeof(*tcp);
	if (bytes > room) /* of a first fragment: what lies behind it is padding */
		bytes = room;
	mss_lower(packet->context, packet->link_bytes + packet->ip->ihl * 4, bytes, mtu - IPV4_AND_TCP_BYTES);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records packets, in the copies of the programs that stand on the devices while somebody captures. The programs that
 * stand there otherwise are compiled without any of it.
 */
#ifndef SALLYPORT_BPF_CAPTURE_H
#define SALLYPORT_BPF_CAPTURE_H

#ifndef CAPTURING

#define capture_received(context)
#define capture_done(context, action) (action)

#else

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#include "lib/compiler.h"
#include "lib/headers.h"
#include "sallyport/abi/capture.h"

const volatile struct capture_filter capture_filter = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CAPTURE_RING_BYTES);
} capture_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAPTURE_STATES);
	__type(key, __u32);
	__type(value, __u64);
} capture_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_scratch);
} capture_scratch SEC(".maps");

/* Ethernet with two VLAN tags, the longest IPv4 header and the ports of what it carries. */
#define CAPTURE_HEADERS_MAX 128

static __always_inline __u32 capture_u16_at(const struct capture_scratch *scratch, __u32 position)
{
	position &= CAPTURE_HEADERS_MAX - 1;
	return (__u32)scratch->bytes[position] << 8 | scratch->bytes[position + 1];
}

static __always_inline __be32 capture_address_at(const struct capture_scratch *scratch, __u32 position)
{
	return bpf_htonl(capture_u16_at(scratch, position) << 16 | capture_u16_at(scratch, position + 2));
}

/* Looks at the first `length` bytes of the packet, which are in `scratch`. */
static __always_inline bool capture_matches(const struct capture_scratch *scratch, __u32 length)
{
	__u32 type_at = 12, ip, transport, header;
	int tag;

	if (!capture_filter.host && !capture_filter.protocol && !capture_filter.port)
		return true;
	for (tag = 0; tag < 2; tag++) {
		__u32 type = capture_u16_at(scratch, type_at);

		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
		type_at += sizeof(struct vlan_tag);
	}
	ip = type_at + 2;
	if (capture_u16_at(scratch, type_at) != ETH_P_IP || ip + 20 > length)
		return false;
	if (capture_filter.protocol &&
	    scratch->bytes[(ip + 9) & (CAPTURE_HEADERS_MAX - 1)] != capture_filter.protocol)
		return false;
	if (capture_filter.host && capture_address_at(scratch, ip + 12) != capture_filter.host &&
	    capture_address_at(scratch, ip + 16) != capture_filter.host)
		return false;
	if (!capture_filter.port)
		return true;
	header = scratch->bytes[ip & (CAPTURE_HEADERS_MAX - 1)] & 0xf;
	transport = ip + header * 4;
	/* A later fragment has no ports (RFC 791 section 3.2), nor has a protocol that is neither TCP nor UDP. */
	if (capture_u16_at(scratch, ip + 6) & IP_OFFSET)
		return false;
	if (scratch->bytes[(ip + 9) & (CAPTURE_HEADERS_MAX - 1)] != IPPROTO_TCP &&
	    scratch->bytes[(ip + 9) & (CAPTURE_HEADERS_MAX - 1)] != IPPROTO_UDP)
		return false;
	if (transport + 4 > length)
		return false;
	return capture_u16_at(scratch, transport) == bpf_ntohs(capture_filter.port) ||
	       capture_u16_at(scratch, transport + 2) == bpf_ntohs(capture_filter.port);
}

static __always_inline __u64 *capture_state_of(__u32 which)
{
	return bpf_map_lookup_elem(&capture_state, &which);
}

/* Takes the first bytes of the packet, at most `most` of them; returns how many. */
static __always_inline __u64 capture_take(struct xdp_md *context, struct capture_scratch *scratch,
					  __u64 length, __u64 most)
{
	__u64 taken = length < most ? length : most;

	if (!taken)
		return 0;
	/*
	 * Hides from the compiler what it knows, so that it leaves the verifier both bounds to see; that of kernel 6.1
	 * does not conclude from a comparison with 0 that it is 1 at least.
	 */
	taken--;
	asm volatile("" : "+r"(taken));
	taken &= sizeof(scratch->bytes) - 1;
	taken++;
	return bpf_xdp_load_bytes(context, 0, scratch->bytes, (__u32)taken) ? 0 : taken;
}

/* Apart from the program, which is large enough for the verifier as it is. */
verified_alone int capture(struct xdp_md *context, __u32 point)
{
	const __u32 first = 0;
	struct capture_scratch *scratch = bpf_map_lookup_elem(&capture_scratch, &first);
	__u64 *until = capture_state_of(CAPTURE_UNTIL), *lost = capture_state_of(CAPTURE_LOST);
	__u64 now = bpf_ktime_get_ns();
	__u64 length, captured;
	bool wanted;

	if (!scratch || !until || !lost)
		return 0;
	/* An agent that was killed leaves this program on its device: it records no more. */
	if (now > *until)
		return 0;
	length = bpf_xdp_get_buff_len(context);
	captured = capture_take(context, scratch, length, CAPTURE_HEADERS_MAX);
	wanted = capture_matches(scratch, (__u32)captured);
	/* Whoever asks for an address gets both sides of the translation that hides it. */
	if (point == CAPTURE_RECEIVED)
		scratch->was_wanted = wanted;
	else
		wanted = wanted || scratch->was_wanted;
	if (!wanted || !(capture_filter.points & (1U << (point & 7))))
		return 0;

	captured = capture_take(context, scratch, length, capture_filter.snap_length);
	asm volatile("" : "+r"(captured));
	captured &= sizeof(scratch->bytes) - 1;
	scratch->record.time_ns = now;
	scratch->record.length = (__u32)length;
	scratch->record.captured = (__u16)captured;
	scratch->record.device = (__u8)device_slot;
	scratch->record.point = (__u8)point;
	if (bpf_ringbuf_output(&capture_ring, scratch, sizeof(scratch->record) + captured, 0))
		__sync_fetch_and_add(lost, 1);
	return 0;
}

static __always_inline void capture_received(struct xdp_md *context)
{
	capture(context, CAPTURE_RECEIVED);
}

/* Returns `action`. Called where the stages still have the context, so that nothing is kept for it on their stack. */
static __always_inline int capture_done(struct xdp_md *context, int action)
{
	__u32 point = CAPTURE_DROPPED;

	if (action == XDP_TX || action == XDP_REDIRECT)
		point = CAPTURE_SENT;
	if (action == XDP_PASS)
		point = CAPTURE_PASSED;
	capture(context, point);
	return action;
}

#endif

#endif

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Traces the program of one device while somebody captures, and is not there otherwise: the program itself knows
 * nothing of it. One call comes before it, with the packet as it was received, one after it, with the packet and the
 * verdict.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <stdbool.h>

#include "sallyport/abi/capture.h"

/* Set before the program is loaded; zero asks for nothing. */
const volatile __u8 device_slot = 0;
const volatile __u8 wanted_points = 0; /* bit by enum capture_point */
const volatile __u16 snap_length = 0;
const volatile __be32 wanted_host = 0;
const volatile __be16 wanted_port = 0;
const volatile __u8 wanted_protocol = 0;

/* Records for which the ring had no room. */
__u64 lost = 0;

/* The kernel's own, of which only these members are read; the loader finds them wherever they are. */
struct xdp_buff {
	void *data;
	void *data_end;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CAPTURE_RING_BYTES);
} capture_ring SEC(".maps");

/* Larger than what is recorded, so that the verifier sees masked positions stay within. */
struct scratch {
	struct capture_record record;
	__u8 bytes[2048];
	/* The packet that is being translated was wanted when it was received. */
	__u8 was_wanted;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} capture_scratch SEC(".maps");

/* Ethernet with two VLAN tags, the longest IPv4 header and the ports of what it carries. */
#define HEADERS_MAX 128
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_SERVICE_VLAN 0x88a8
#define VLAN_TAG_BYTES 4

static __always_inline __u32 u16_at(const struct scratch *scratch, __u32 position)
{
	position &= HEADERS_MAX - 1;
	return (__u32)scratch->bytes[position] << 8 | scratch->bytes[position + 1];
}

static __always_inline __be32 address_at(const struct scratch *scratch, __u32 position)
{
	return bpf_htonl(u16_at(scratch, position) << 16 | u16_at(scratch, position + 2));
}

/* Looks at the first `length` bytes of the packet, which are in `scratch`. */
static __always_inline bool matches(const struct scratch *scratch, __u32 length)
{
	__u32 type_at = 12, ip, transport, header;
	int tag;

	if (!wanted_host && !wanted_protocol && !wanted_port)
		return true;
	for (tag = 0; tag < 2; tag++) {
		__u32 type = u16_at(scratch, type_at);

		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_SERVICE_VLAN)
			break;
		type_at += VLAN_TAG_BYTES;
	}
	ip = type_at + 2;
	if (u16_at(scratch, type_at) != ETHERTYPE_IPV4 || ip + 20 > length)
		return false;
	if (wanted_protocol && scratch->bytes[(ip + 9) & (HEADERS_MAX - 1)] != wanted_protocol)
		return false;
	if (wanted_host && address_at(scratch, ip + 12) != wanted_host &&
	    address_at(scratch, ip + 16) != wanted_host)
		return false;
	if (!wanted_port)
		return true;
	header = scratch->bytes[ip & (HEADERS_MAX - 1)] & 0xf;
	transport = ip + header * 4;
	/* A later fragment has no ports (RFC 791 section 3.2), nor has a protocol that is neither TCP nor UDP. */
	if (u16_at(scratch, ip + 6) & 0x1fff)
		return false;
	if (scratch->bytes[(ip + 9) & (HEADERS_MAX - 1)] != 6 && scratch->bytes[(ip + 9) & (HEADERS_MAX - 1)] != 17)
		return false;
	if (transport + 4 > length)
		return false;
	return u16_at(scratch, transport) == bpf_ntohs(wanted_port) ||
	       u16_at(scratch, transport + 2) == bpf_ntohs(wanted_port);
}

static __always_inline struct scratch *scratch_of_cpu(void)
{
	const __u32 first = 0;

	return bpf_map_lookup_elem(&capture_scratch, &first);
}

static __always_inline __u32 length_of(struct xdp_buff *packet)
{
	return (__u32)(packet->data_end - packet->data);
}

/* Whether the packet, as it is now, is one that is asked for. */
static __always_inline bool is_wanted(struct scratch *scratch, struct xdp_buff *packet)
{
	__u32 length = length_of(packet);

	if (length > HEADERS_MAX)
		length = HEADERS_MAX;
	if (bpf_probe_read_kernel(scratch->bytes, length, packet->data))
		return false;
	return matches(scratch, length);
}

static __always_inline void record(struct scratch *scratch, struct xdp_buff *packet, enum capture_point point)
{
	__u32 length = length_of(packet), captured = length;

	if (!(wanted_points & (1U << point)))
		return;
	if (captured > snap_length)
		captured = snap_length;
	if (captured > CAPTURE_BYTES_MAX)
		captured = CAPTURE_BYTES_MAX;
	if (bpf_probe_read_kernel(scratch->bytes, captured, packet->data))
		captured = 0;
	scratch->record.time_ns = bpf_ktime_get_ns();
	scratch->record.length = length;
	scratch->record.captured = (__u16)captured;
	scratch->record.device = device_slot;
	scratch->record.point = (__u8)point;
	if (bpf_ringbuf_output(&capture_ring, scratch, sizeof(scratch->record) + captured, 0))
		__sync_fetch_and_add(&lost, 1);
}

SEC("fentry")
int BPF_PROG(capture_received, struct xdp_buff *packet)
{
	struct scratch *scratch = scratch_of_cpu();

	if (!scratch)
		return 0;
	scratch->was_wanted = is_wanted(scratch, packet);
	if (scratch->was_wanted)
		record(scratch, packet, CAPTURE_RECEIVED);
	return 0;
}

SEC("fexit")
int BPF_PROG(capture_done, struct xdp_buff *packet, int action)
{
	struct scratch *scratch = scratch_of_cpu();
	enum capture_point point = CAPTURE_DROPPED;

	if (!scratch)
		return 0;
	if (action == XDP_TX || action == XDP_REDIRECT)
		point = CAPTURE_SENT;
	if (action == XDP_PASS)
		point = CAPTURE_PASSED;
	/* Whoever asks for an address gets both sides of the translation that hides it. */
	if (scratch->was_wanted || is_wanted(scratch, packet))
		record(scratch, packet, point);
	scratch->was_wanted = 0;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The express lane: an ordinary packet of a flow that stands. Nearly every packet is one, and costs 200 of 700
 * instructions less here than in the stages, which keep what they find out in memory for each other.
 *
 * Ordinary is: a frame to one station, no VLAN tag, IPv4 without options, whole, TCP with ACK and without SYN, FIN and
 * RST, or UDP; its flow lives, is of the present generation, watches for nothing and is no hairpin (the same mask asks
 * for both); its next hop is resolved and takes its length. All of that is asked before anything is changed or counted.
 * What is not ordinary, or not right, is left to the stages as it came. For what is, the lane does what they would
 * do: tests send every packet through both.
 */
#ifndef SALLYPORT_BPF_EXPRESS_H
#define SALLYPORT_BPF_EXPRESS_H

#include "lib/drop.h"
#include "lib/flow_table.h"
#include "lib/hit.h"
#include "lib/identification.h"
#include "lib/packet.h"

enum express {
	EXPRESS_NO = -1,      /* not for the express lane */
	EXPRESS_NO_FLOW = -2, /* nor has it a flow in this zone */
};

#define IP_FRAGMENT (IP_MF | IP_OFFSET)
#define TCP_FLAGS_THAT_MATTER (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)

/*
 * The sum of a right header is a multiple of 0xffff, and not 0, which begins with a version of 0. A number is a
 * multiple of an odd one if its product with that one's inverse modulo 2^64 does not exceed 2^64 divided by it: a
 * multiplication instead of three folds.
 */
static __always_inline int express_ip_checksum_is_right(const __be32 *word)
{
	__u64 sum = (__u64)word[0] + word[1] + word[2] + word[3] + word[4];

	return sum * 0xfffefffefffeffffULL <= 0x0001000100010001ULL;
}

/* Do the transport's own lengths fit in the `room` that IPv4 leaves it? As parse_tcp() and parse_udp() ask. */
static __always_inline int express_tcp(const struct tcphdr *tcp, const void *end, __u32 room)
{
	__u32 header;

	if ((const void *)(tcp + 1) > end || (tcp_flags_of(tcp) & TCP_FLAGS_THAT_MATTER) != TCP_ACK)
		return 0;
	header = tcp->doff * 4;
	return header >= sizeof(*tcp) && header <= room;
}

static __always_inline int express_udp(const struct udphdr *udp, __u32 room)
{
	__u32 length = bpf_ntohs(udp->len);

	return length >= sizeof(*udp) && length <= room;
}

/* By way of copies, so that the originals, to which no reference is handed on, may stay in registers. */
static __always_inline struct flow_entry *express_find_further(const struct flow_key *key,
							       struct flow_view *view)
{
	struct workspace *work = workspace_get();
	struct flow_entry *entry;

	if (!work)
		return NULL;
	work->key = *key;
	entry = flow_at_slot(flow_find_further(&work->key, &work->view));
	*view = work->view;
	return entry;
}

/* For flows of one zone, which all go `forward` or all do not. Returns an XDP action or an enum express. */
static __always_inline int express_in(struct xdp_md *context, __u16 zone, const int forward)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1); /* ports, and all of UDP */
	struct tcphdr *tcp = (void *)(ip + 1);
	const __be32 *word = (const __be32 *)ip;
	__u32 zero = 0, slot, now, length, first;
	__s32 age; /* ticks; below 0 if another processor was a moment ahead when it wrote the time */
	struct device_counters *device;
	struct flow_entry *entry;
	struct settings *current;
	struct counters *counted;
	struct next_hop *hop;
	struct flow_view view;
	struct flow_key key;
	__u8 protocol;
	int no;

	if ((void *)(udp + 1) > end)
		goto no;
	first = bpf_ntohl(word[0]);
	length = first & 0xffff;
	if (*(const __u8 *)data & LINK_GROUP || ((const __be16 *)ip)[-1] != bpf_htons(ETH_P_IP) ||
	    first >> 24 != IPV4_PLAIN || word[1] & bpf_htonl(IP_FRAGMENT) ||
	    length > (__u64)(end - (void *)ip) || ip->ttl <= 1 || !express_ip_checksum_is_right(word))
		goto no;
	if (length < sizeof(*ip) + sizeof(*udp))
		goto no;
	protocol = ip->protocol;
	if (protocol == IPPROTO_TCP   ? !express_tcp(tcp, end, length - sizeof(*ip))
	    : protocol == IPPROTO_UDP ? !express_udp(udp, length - sizeof(*ip))
				      : 1)
		goto no;

	((__u64 *)&key)[0] = packet_address_pair(word[3], word[4]);
	((__u64 *)&key)[1] = flow_key_rest(*(const __u32 *)udp, protocol, zone);
	entry = flow_find_seated(&key, &view);
	if (unlikely(!entry)) {
		entry = express_find_further(&key, &view);
		if (!entry)
			return EXPRESS_NO_FLOW;
	}
	current = bpf_map_lookup_elem(&settings, &zero);
	counted = bpf_map_lookup_elem(&counters, &zero);
	if (!current || !counted)
		goto no;
	now = clock_ticks(current);
	age = now - view.last_seen;
	if (age > (__s32)view.timeout << FLOW_TICKS_PER_TIMEOUT_SHIFT ||
	    view.generation != (__u16)current->generation || view.flags & (FLOW_WATCH | FLOW_HAIRPIN))
		goto no;

	slot = view.next_hop;
	hop = bpf_map_lookup_elem(&next_hops, &slot);
	if (!view.next_hop || !hop || hop->state != NEXT_HOP_RESOLVED || length > hop->mtu ||
	    clock_reached(now, current->next_hops_valid_until))
		goto no;

	if (unlikely(age >= FLOW_TOUCH_TICKS)) {
		if (mapping_is_due(&view, now)) /* rare, and the stages know how */
			goto no;
		WRITE_ONCE(entry->last_seen, now);
	}
	flow_count(entry, length);
	if (protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end) /* it is not, but the verifier has forgotten */
			goto no;
		if (acknowledgement_is_kept(&view, forward))
			WRITE_ONCE(entry->tcp_acknowledged, bpf_ntohl(tcp->ack_seq));
		rewrite_tcp(tcp, &view, forward);
	} else {
		rewrite_udp(udp, &view, forward);
	}
	if (forward && unlikely(!(word[1] & bpf_htonl(IP_DF))))
		identification_renew(ip, view.new_address);
	rewrite_ip(ip, &view, forward, 0);
	macs_copy(data, hop->destination_mac);

	device = &counted->devices[device_slot % DEVICES_MAX];
	device->received_packets++;
	device->received_bytes += end - data;
	device->forwarded++;
	count_translated(counted, view.nat_gateway, forward, length);
	return bpf_redirect_map(&transmit, hop->device, 0);
no:
	no = EXPRESS_NO;
	settle(no); /* or the compiler would load the constant ahead of each of the branches that lead here */
	return no;
}

/* For a device of role `role`. Returns an XDP action, or less than 0 if the packet is for the stages. */
static __noinline int express(struct xdp_md *context, const enum device_role role)
{
	int action = EXPRESS_NO_FLOW;
	__u32 slot = device_slot;
	struct device *device;

	if (!express_lane)
		return EXPRESS_NO;
	if (role & DEVICE_INSIDE) {
		device = bpf_map_lookup_elem(&devices, &slot);
		if (!device)
			return EXPRESS_NO;
		action = express_in(context, device->zone, 1);
	}
	if (role & DEVICE_OUTSIDE && action == EXPRESS_NO_FLOW)
		action = express_in(context, ZONE_OUTSIDE, 0);
	return action;
}

#endif

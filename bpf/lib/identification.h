/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The identification of an IPv4 datagram tells its fragments from those of others between the same two
 * addresses. Instances behind one Elastic IP know nothing of each other's numbers, so what they send gets a
 * new one: the gateway is its source now (RFC 6864 section 5.3.1). Atomic datagrams keep theirs, which
 * nobody looks at (section 4.1): they must not be fragmented, and are not fragments.
 *
 * Numbers come from a few thousand counters, chosen by a secret hash of Elastic IP, remote and protocol,
 * which also says where the sequence begins: so a number comes again after 65,536 datagrams of whoever
 * shares the counter, and what a remote sees tells little about what others are sent.
 */
#ifndef SALLYPORT_BPF_IDENTIFICATION_H
#define SALLYPORT_BPF_IDENTIFICATION_H

#include "lib/checksum.h"
#include "lib/hash.h"
#include "lib/packet.h"

static __always_inline int ipv4_is_atomic(const struct iphdr *ip)
{
	return (ip->frag_off & bpf_htons(IP_DF | IP_MF | IP_OFFSET)) == bpf_htons(IP_DF);
}

/* The next number for datagrams between these addresses. */
static __noinline __u32 identification_next(__be32 source, __be32 destination, __u32 protocol)
{
	__u64 hash = keyed_hash(packet_address_pair(source, destination), protocol);
	__u32 index = (hash >> 32) % IDENTIFICATION_COUNTERS;
	__u32 *counter = bpf_map_lookup_elem(&identifications, &index);

	return counter ? (__u16)(hash + __sync_fetch_and_add(counter, 1)) : 0;
}

static __always_inline void identification_set(struct iphdr *ip, __u16 identification)
{
	ip->check = checksum_apply(ip->check, checksum_delta16(ip->id, identification));
	ip->id = identification;
}

/* For a packet that goes out and shall have this source. */
static __always_inline void identification_renew(struct iphdr *ip, __be32 source)
{
	identification_set(ip, identification_next(source, ip->daddr, ip->protocol));
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Subnet and route table of a VPC: where a packet of an instance is to go. Only misses come here. */
#ifndef SALLYPORT_BPF_ROUTE_H
#define SALLYPORT_BPF_ROUTE_H

#include "lib/packet.h"

/*
 * Functions of their own, because their keys would be on the stack all the way down to the flow table: the
 * verifier of kernel 6.1 counts it together, newer ones do not.
 */
static __noinline struct subnet *subnet_of(__u32 zone, __be32 address)
{
	struct subnet_key key = {
		.prefix_length = 64,
		.zone = bpf_htonl(zone),
		.address = address,
	};

	return bpf_map_lookup_elem(&subnets, &key);
}

static __noinline struct route *route_to(__u32 route_table, __be32 destination)
{
	struct route_key key = {
		.prefix_length = 64,
		.route_table = bpf_htonl(route_table),
		.destination = destination,
	};

	return bpf_map_lookup_elem(&routes, &key);
}

/* enum local_address, or 0. */
static __always_inline __u32 address_locality(__be32 address)
{
	__u32 *locality = bpf_map_lookup_elem(&local_addresses, &address);

	return locality ? *locality : 0;
}

static __always_inline int address_is_local(__be32 address)
{
	return address_locality(address) == LOCAL_ADDRESS_OF_HOST;
}

static __always_inline int address_is_private(__be32 address)
{
	struct prefix_key key = { .prefix_length = 32, .address = address };

	return bpf_map_lookup_elem(&private_prefixes, &key) != NULL;
}

#endif

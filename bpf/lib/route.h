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

static __noinline struct instance *instance_of(__u32 zone, __be32 address)
{
	struct instance_key key = { .zone = zone, .address = address };

	return bpf_map_lookup_elem(&instances, &key);
}

/* What holds for the instance of work->ends, an address of `subnet`. */
static __always_inline void flow_ends_place(struct flow_ends *ends, const struct subnet *subnet)
{
	const struct instance *instance = NULL;

	if (subnet->flags & SUBNET_HAS_INSTANCES)
		instance = instance_of(ends->zone, ends->instance);
	ends->own_elastic_ip = instance ? instance->elastic_ip : 0;
	ends->groups = instance ? instance->groups : subnet->groups;
	/* Whatever its address, a remote that is reached through an external endpoint is no instance of the VPC. */
	__builtin_memset(&ends->remote_groups, 0, sizeof(ends->remote_groups));
}

/* Where the configuration leads a port of an Elastic IP to, or NULL. */
static __noinline struct port_forward *port_forward_of(__be32 elastic_ip, __be16 port, __u32 protocol)
{
	struct port_forward_key key = {
		.prefix_length = 64,
		.elastic_ip = elastic_ip,
		.protocol = protocol,
		.port = port,
	};

	return bpf_map_lookup_elem(&port_forwards, &key);
}

/* The external endpoint that leads to an endpoint of an instance, or NULL. */
static __noinline struct forwarded_endpoint *forwarded_endpoint_of(const struct flow_key *forward)
{
	struct forwarded_endpoint_key key = {
		.prefix_length = 80,
		.zone = forward->zone,
		.protocol = forward->protocol,
		.address = forward->source,
		.port = forward->source_port,
	};

	return bpf_map_lookup_elem(&forwarded_endpoints, &key);
}

static __always_inline __be16 port_forward_port(const struct port_forward *forward, __be16 port)
{
	return bpf_htons(forward->to_port + (bpf_ntohs(port) - forward->first_port));
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

/* Has the host this Elastic IP, too? Then what nobody inside has of it is the host's: shared_address.h. */
static __noinline int address_is_shared_with_host(__be32 address)
{
	struct elastic_ip *elastic_ip = bpf_map_lookup_elem(&elastic_ips, &address);

	return elastic_ip && elastic_ip->flags & ELASTIC_IP_SHARED_WITH_HOST && address_is_local(address);
}

static __always_inline int address_is_private(__be32 address)
{
	struct prefix_key key = { .prefix_length = 32, .address = address };

	return bpf_map_lookup_elem(&private_prefixes, &key) != NULL;
}

#endif

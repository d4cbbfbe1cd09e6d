/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose a packet is that belongs to no flow and is addressed to the host's own address. All of these are the host's but
 * an Elastic IP that is shared with it (shared_with_host): there, an endpoint that something inside has is that
 * instance's, and everything is as for any Elastic IP; all else is the host's and goes up as it came. So the host never
 * loses what is its own because of what the gateway does with the rest (docs/decisions/0016).
 */
#ifndef SALLYPORT_BPF_SHARED_ADDRESS_H
#define SALLYPORT_BPF_SHARED_ADDRESS_H

#include "lib/filter.h"
#include "lib/hairpin.h"

/* Does the reverse entry of work->key live? */
static __always_inline int endpoint_is_in_use(struct workspace *work, __u32 now)
{
	struct flow_entry *entry = flow_find(&work->key, &work->view);

	return entry && !flow_expired(entry, now);
}

/*
 * Is the external endpoint that a packet of `key` is addressed to led inside: by the configuration, by a mapping, or by
 * a flow to the very endpoint that its sender inside has? For addresses of the host.
 */
verified_alone int endpoint_is_led_inside(const struct flow_key *key, __u32 now)
{
	struct workspace *work = workspace_get();
	struct elastic_ip *elastic_ip;
	struct nat_gateway *nat_gateway;
	__be32 address;
	__u32 number;

	if (!key || !work)
		return 0;
	address = key->destination;
	elastic_ip = bpf_map_lookup_elem(&elastic_ips, &address);
	if (!elastic_ip || !(elastic_ip->flags & ELASTIC_IP_SHARED_WITH_HOST))
		return 0;
	number = elastic_ip->nat_gateway;
	if (hairpin_is_led_inside(address, key->destination_port, key->protocol))
		return 1;
	nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	if (!nat_gateway)
		return 0;
	/* The host's identifiers are not kept apart from the instances': a mapping that lets nobody in is none to them. */
	if (key->protocol != IPPROTO_ICMP ||
	    filtering_of(nat_gateway, key->protocol) != ADDRESS_AND_PORT_DEPENDENT) {
		hairpin_mapping_key(work, key);
		if (endpoint_is_in_use(work, now))
			return 1;
	}
	if (key->zone == ZONE_OUTSIDE) /* then a flow would have been found */
		return 0;
	return hairpin_flow_key(work, key) && endpoint_is_in_use(work, now);
}

/* Is the packet, which belongs to no flow, addressed to the host? */
static __always_inline int packet_is_for_host(const struct packet *packet)
{
	if (!address_is_local(packet->key.destination))
		return 0;
	/* What has no endpoint, a fragment without its first one among it, cannot be told apart. */
	if (packet->kind != PACKET_PLAIN && packet->kind != PACKET_ICMP_ERROR)
		return 1;
	return !endpoint_is_led_inside(&packet->key, packet->now);
}

#endif

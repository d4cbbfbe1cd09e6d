/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the two entries of a flow follow from each other, and a flow's mapping from the flow. */
#ifndef SALLYPORT_BPF_PAIR_H
#define SALLYPORT_BPF_PAIR_H

#include "lib/checksum.h"
#include "lib/packet.h"

static __always_inline enum nat_protocol nat_protocol_of(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? NAT_TCP : protocol == IPPROTO_UDP ? NAT_UDP : NAT_ICMP;
}

static __always_inline __u32 new_flow_id(void)
{
	__u32 id = bpf_get_prandom_u32();

	return id ? id : 1; /* 0 marks an unused entry */
}

static __always_inline void flow_reverse_key(const struct flow_entry *forward, struct flow_key *key)
{
	int is_flow = forward->key.kind == FLOW_KIND_FLOW;

	key->source = is_flow ? forward->key.destination : 0;
	key->source_port = is_flow ? forward->key.destination_port : 0;
	key->destination = forward->new_address;
	key->destination_port = forward->new_port;
	key->protocol = forward->key.protocol;
	key->kind = forward->key.kind;
	key->zone = ZONE_OUTSIDE;
}

/* Key of the mapping that is the same for all remotes. */
static __always_inline void flow_mapping_key(const struct flow_key *forward, struct flow_key *key)
{
	key->source = forward->source;
	key->source_port = forward->source_port;
	key->destination = 0;
	key->destination_port = 0;
	key->protocol = forward->protocol;
	key->kind = FLOW_KIND_MAPPING;
	key->zone = forward->zone;
}

/* Key of the mapping that has the external port of `forward` for one flow alone. */
static __always_inline void flow_unshared_key(const struct flow_entry *forward, struct flow_key *key)
{
	flow_mapping_key(&forward->key, key);
	key->destination = forward->new_address;
	key->destination_port = forward->new_port;
}

/* What an entry's packets' checksums differ by once `address` and `port` are replaced by its own. */
static __always_inline void flow_entry_deltas(struct flow_entry *entry, __be32 address, __be16 port)
{
	__u32 addresses = checksum_delta32(address, entry->new_address);
	__u32 ports = checksum_delta16(port, entry->new_port);

	entry->ip_delta = checksum_fold(addresses);
	/* ICMP's checksum does not cover the addresses (RFC 792). */
	entry->transport_delta =
		checksum_fold(entry->key.protocol == IPPROTO_ICMP ? ports : addresses + ports);
}

/* Completes a reverse entry whose key is settled: the packets of an Elastic IP go to an instance. */
static __always_inline void flow_complete_reverse(struct flow_entry *reverse, __be32 instance, __be16 port)
{
	reverse->new_address = instance;
	reverse->new_port = port;
	flow_entry_deltas(reverse, reverse->key.destination, reverse->key.destination_port);
}

/* Completes the forward entry that belongs to a reverse one. */
static __always_inline void flow_complete_forward(struct flow_entry *forward,
						  const struct flow_entry *reverse)
{
	forward->flags |= FLOW_FORWARD;
	forward->new_address = reverse->key.destination;
	forward->new_port = reverse->key.destination_port;
	flow_entry_deltas(forward, forward->key.source, forward->key.source_port);
}

#endif

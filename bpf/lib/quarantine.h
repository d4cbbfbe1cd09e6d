/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Port quarantine (RFC 6888 REQ-8): where anybody may send to a port, a freed one rests before another instance gets
 * it. What rests is the mapping itself, without flows: its reverse entry keeps the port claimed until the rest is
 * over, and its forward entry gives it back to the instance that had it. So rests survive the agent, too.
 *
 * Exempt are TCP, whose flows are tracked beyond their end, and stricter filtering.
 */
#ifndef SALLYPORT_BPF_QUARANTINE_H
#define SALLYPORT_BPF_QUARANTINE_H

#include "lib/flow_table.h"
#include "lib/pair.h"

/* For how many timeout units a port of the protocol rests; 0: it does not. */
static __always_inline __u16 port_quarantine(const struct nat_gateway *nat_gateway, __u8 protocol)
{
	enum nat_protocol index = nat_protocol_of(protocol);

	if (index == NAT_TCP || nat_gateway->filtering[index] != ENDPOINT_INDEPENDENT ||
	    !nat_gateway->port_quarantine_max)
		return 0;
	return nat_gateway->port_quarantine;
}

static __always_inline void resting_port_ended(__u32 number)
{
	struct nat_gateway_usage *usage = bpf_map_lookup_elem(&nat_gateway_usage, &number);

	if (usage)
		__sync_fetch_and_add(&usage->resting_ports, -1);
}

/*
 * The mapping of `key` has lost its last flow. Sends it to rest if it has to and if not too many do. Returns whether
 * there is nothing more to do: it rests, or was taken again meanwhile.
 */
static __always_inline int mapping_rest(const struct flow_key *key, __u32 flow_id, __u32 number, __u32 now)
{
	struct nat_gateway *nat_gateway = bpf_map_lookup_elem(&nat_gateways, &number);
	struct nat_gateway_usage *usage = bpf_map_lookup_elem(&nat_gateway_usage, &number);
	__u16 rest;
	int left;

	if (!nat_gateway || !usage)
		return 0;
	rest = port_quarantine(nat_gateway, key->protocol);
	if (!rest)
		return 0;
	if (__sync_fetch_and_add(&usage->resting_ports, 1) < nat_gateway->port_quarantine_max) {
		left = flow_unreference(key, flow_id, rest, now);
		if (left != FLOW_REFERENCES_NONE)
			resting_port_ended(number);
		return left != FLOW_REFERENCES_UNKNOWN;
	}
	resting_port_ended(number);
	return 0;
}

#endif

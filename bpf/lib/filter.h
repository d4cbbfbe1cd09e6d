/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which remotes may send to an external endpoint that is in use (RFC 4787 section 5, RFC 5382 section 4.3). */
#ifndef SALLYPORT_BPF_FILTER_H
#define SALLYPORT_BPF_FILTER_H

#include "lib/permit.h"

static __always_inline enum endpoint_rule filtering_of(const struct nat_gateway *nat_gateway, __u8 protocol)
{
	return nat_gateway->filtering[nat_protocol_of(protocol)];
}

/* Does the filtering let a packet with the key of a reverse entry in that belongs to no flow? */
static __always_inline int filter_admits(const struct nat_gateway *nat_gateway,
					 const struct flow_key *reverse, __u32 now)
{
	switch (filtering_of(nat_gateway, reverse->protocol)) {
	case ENDPOINT_INDEPENDENT:
		return 1;
	case ADDRESS_DEPENDENT:
		return permit_stands(reverse, now);
	default:
		return 0;
	}
}

#endif

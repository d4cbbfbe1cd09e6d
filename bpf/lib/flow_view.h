/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_BPF_FLOW_VIEW_H
#define SALLYPORT_BPF_FLOW_VIEW_H

#include "sallyport/abi/flow.h"

/* What the fast path needs of an entry, copied while the entry was certainly whole: see flow_view_copy(). */
struct flow_view {
	__be32 new_address;
	__be16 new_port;
	__u16 transport_delta;
	__u16 ip_delta;
	__u16 next_hop;
	__u32 last_seen;
	__u16 generation;
	__u16 timeout;
	__u16 nat_gateway;
	__u8 state;
	__u8 flags;
};
ABI_ASSERT_SIZE(struct flow_view, 24);
ABI_ASSERT_OFFSET(struct flow_view, last_seen, 28 - 16);
ABI_ASSERT_OFFSET(struct flow_view, generation, 16);

#endif

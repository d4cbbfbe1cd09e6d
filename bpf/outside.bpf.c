// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lib/maps.h"
#include "lib/constants.h"

SEC("xdp")
int sallyport_outside(struct xdp_md *context)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";

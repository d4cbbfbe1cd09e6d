// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Not attached: the agent runs it (BPF_PROG_RUN with live frames) to put a frame into a device's way in, where a
 * program that is attached in generic mode meets it.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int sallyport_pass_on(struct xdp_md *context)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's linux/bpf.h, but for the context of an XDP program: there its pointers are 32 bits wide,
 * which the kernel widens when it loads the program, and which on the host nobody would.
 */
#ifndef SALLYPORT_TEST_LINUX_BPF_H
#define SALLYPORT_TEST_LINUX_BPF_H

#define xdp_md kernel_xdp_md
#include_next <linux/bpf.h>
#undef xdp_md

struct xdp_md {
	unsigned long data;
	unsigned long data_end;
	unsigned long data_meta; /* at the frame's start: nothing stands before it */
	__u32 ingress_ifindex;
};

#endif

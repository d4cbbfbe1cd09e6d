/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flows' clock: the coarse monotonic clock, which costs a few nanoseconds, in ticks of 67 ms. The
 * agent may shift it, so that flows keep their ages when they are carried over from another boot.
 */
#ifndef SALLYPORT_BPF_CLOCK_H
#define SALLYPORT_BPF_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/compiler.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"

static __always_inline __u32 clock_ticks(const struct settings *settings)
{
	return (bpf_ktime_get_coarse_ns() + settings->clock_offset_ns) >> FLOW_TICK_SHIFT;
}

/* Ticks since `then`; 0 if another processor was a moment ahead when it wrote it. */
static __always_inline __u32 clock_age(__u32 now, __u32 then)
{
	__s32 age = (__s32)(now - then);

	return age < 0 ? 0 : (__u32)age;
}

static __always_inline int clock_reached(__u32 now, __u32 until)
{
	return (__s32)(now - until) > 0;
}

#endif

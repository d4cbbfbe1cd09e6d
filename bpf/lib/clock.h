/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flows' clock: the coarse monotonic clock in ticks of 67 ms. The agent may shift it, so that flows keep their
 * ages when they are carried over from another boot.
 */
#ifndef SALLYPORT_BPF_CLOCK_H
#define SALLYPORT_BPF_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/compiler.h"
#include "lib/constants.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"

/*
 * The kernel counts jiffies by that same clock, so the two differ by a constant; whoever finds that it is not known
 * yet notes it. Jiffies are one load where the clock is a call of more than fifty instructions. The difference may be
 * off by one jiffy, a tenth of a tick.
 */
static __always_inline __u64 clock_ns(struct settings *settings)
{
	__u64 now, offset;

	if (!jiffy_ns)
		return bpf_ktime_get_coarse_ns();
	now = bpf_jiffies64() * jiffy_ns;
	offset = READ_ONCE(settings->jiffies_offset_ns);
	if (unlikely(!offset)) {
		offset = bpf_ktime_get_coarse_ns() - now;
		WRITE_ONCE(settings->jiffies_offset_ns, offset);
	}
	return now + offset;
}

static __always_inline __u32 clock_ticks(struct settings *settings)
{
	return (clock_ns(settings) + settings->clock_offset_ns) >> FLOW_TICK_SHIFT;
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

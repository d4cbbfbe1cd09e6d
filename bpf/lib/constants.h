/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the agent sets before it loads a program and what stays so for as long as it is loaded. */
#ifndef SALLYPORT_BPF_CONSTANTS_H
#define SALLYPORT_BPF_CONSTANTS_H

#include <linux/types.h>

/* From the map "meta": shape of the flow table and seed of its hash. */
const volatile __u32 flow_regions = 1;
const volatile __u32 hash_seed[4] = {};

/* Slot of the device that this copy of the program is attached to. */
const volatile __u32 device_slot = 0;

/*
 * The processor may let a later load overtake an earlier one (arm64, ppc64le, riscv64): a reader of the
 * flow table then needs a barrier between the flow_id and what it guards. x86 and s390x need none.
 */
const volatile __u8 weakly_ordered_memory = 0;

/* Nanoseconds of a jiffy, which reads faster than the coarse clock; 0: not known. */
const volatile __u32 jiffy_ns = 0;

/* 0 sends every packet through the stages, so that tests can compare. */
const volatile __u8 express_lane = 1;

#endif

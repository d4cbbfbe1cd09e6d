/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the driver and the benchmark share. */
#ifndef SALLYPORT_BENCH_DRIVER_H
#define SALLYPORT_BENCH_DRIVER_H

#include <linux/types.h>

#define DRIVER_HEADER_BYTES 54 /* Ethernet, IPv4 and TCP of a frame without tags and options */
#define DRIVER_IP_AT 14
#define DRIVER_ADDRESSES_AT 26
#define DRIVER_PORTS_AT 34

struct tuple {
    __be16 source_port;
    __be16 destination_port;
} __attribute__((aligned(4)));

struct driver_state {
    __u8 header[DRIVER_HEADER_BYTES];
    __u16 zero1;
    __u32 next;
    __u32 count;
    __u32 ifindex; /* where driver_send sends to */
    __u32 zero0;
};

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bounds of a gateway so small that a few packets fill it and that it is cleared in no time: for programs
 * on the host that are run from the beginning millions of times.
 */
#pragma GCC system_header /* or the next line is an extension that -Wpedantic minds */
#include_next <sallyport/abi/limits.h>

#ifndef SALLYPORT_TEST_SMALL_LIMITS_H
#define SALLYPORT_TEST_SMALL_LIMITS_H

#undef FLOW_REGION_BUCKETS
#define FLOW_REGION_BUCKETS 4
#undef DEVICES_MAX
#define DEVICES_MAX 4
#undef NAT_GATEWAYS_MAX
#define NAT_GATEWAYS_MAX 5
#undef INTERNET_GATEWAY_FIRST
#define INTERNET_GATEWAY_FIRST 4
#undef NEXT_HOPS_MAX
#define NEXT_HOPS_MAX 16
#undef SHARED_ELASTIC_IPS_MAX
#define SHARED_ELASTIC_IPS_MAX 4
#undef FRAGMENTS_MAX
#define FRAGMENTS_MAX 8
#undef HOST_BUCKETS_PER_REGION
#define HOST_BUCKETS_PER_REGION 1
#undef EARLY_FRAGMENT_SOURCES
#define EARLY_FRAGMENT_SOURCES 8
#undef IDENTIFICATION_COUNTERS
#define IDENTIFICATION_COUNTERS 8
#undef UNANSWERED_GROUPS
#define UNANSWERED_GROUPS 8
#undef PORT_BLOCKS_MAX
#define PORT_BLOCKS_MAX 2
#undef REAP_BATCH_MAX
#define REAP_BATCH_MAX 64

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Takes a part out of the programs, to show that those who judge them would notice. Included before the
 * stages; HOST_SPOILT is the name of one of the cases.
 */
#ifndef SALLYPORT_TEST_SPOILT_H
#define SALLYPORT_TEST_SPOILT_H

#define SPOILT_CHECKSUM 1
#define SPOILT_HEADER 2
#define SPOILT_BOUNDS 3
#define SPOILT_REASON 4
#define SPOILT_LANES 5
#define SPOILT_PAIRS 6
#define SPOILT_RECHECK 7
#define SPOILT_ANSWERS 8
#define SPOILT_GROUPS 9
#define SPOILT_DRAIN 10
#define SPOILT_HOST 11

#ifdef HOST_SPOILT
#include "lib/drop.h"

#if HOST_SPOILT == SPOILT_CHECKSUM
#include "lib/checksum.h"
#define checksum_apply_one(checksum, delta) checksum_apply(checksum, (delta) + 1)
#elif HOST_SPOILT == SPOILT_HEADER
#include "lib/checksum.h"
#undef CHECKSUM_TTL_LESS_ONE
#define CHECKSUM_TTL_LESS_ONE 0
#elif HOST_SPOILT == SPOILT_BOUNDS
/* The end of the frame is thought to be a little further away. */
#define packet_end(packet) (packet_end(packet) + 4)
#elif HOST_SPOILT == SPOILT_REASON
#define DROP_UNSOLICITED DROP_REASON_NONE
#elif HOST_SPOILT == SPOILT_LANES
/* The express lane does not count what it sends. */
#include "lib/hit.h"
#define flow_count(entry, length)
#elif HOST_SPOILT == SPOILT_PAIRS
/* The reverse entry never learns where the forward one stands. */
#include "lib/flow_table.h"
#define flow_join(reverse_slot, forward_slot, flow_id) 1
#elif HOST_SPOILT == SPOILT_RECHECK
/* What the configuration no longer allows goes on for one more packet. */
#define DROP_FLOW_CUT 0
#elif HOST_SPOILT == SPOILT_ANSWERS
/* Who sends to a group of the link is answered. */
#define packet_is_for_many(packet) 0
#elif HOST_SPOILT == SPOILT_GROUPS
/* Security groups are not asked. */
#include "lib/security_group.h"
#define security_groups_admit() 1
#elif HOST_SPOILT == SPOILT_DRAIN
/* Nobody knows that an Elastic IP is drained. */
#include "sallyport/abi/maps.h"
#define ELASTIC_IP_DRAINING 0
#elif HOST_SPOILT == SPOILT_HOST
/* What is sent to an address of the host is the host's, whoever has the endpoint. */
#include "lib/shared_address.h"
#define packet_is_for_host(packet) address_is_local((packet)->key.destination)
#endif

#endif
#endif

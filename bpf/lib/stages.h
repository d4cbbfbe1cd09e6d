/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the three programs have in common: the stages in the order of the life of a packet. */
#ifndef SALLYPORT_BPF_STAGES_H
#define SALLYPORT_BPF_STAGES_H

#include "lib/drop.h"
#include "lib/express.h"
#include "lib/find.h"
#include "lib/fragment.h"
#include "lib/hit.h"
#include "lib/icmp_error.h"
#include "lib/miss.h"
#include "lib/parse.h"

/* Later fragments have no tuple of their own; what is of no kind that is translated has no flow. */
static __always_inline enum verdict find_any(struct packet *packet, struct found *found)
{
	if (likely(packet->kind == PACKET_PLAIN || packet->kind == PACKET_ICMP_ERROR))
		return find(packet, &packet->key, found);
	return packet->kind == PACKET_LATER_FRAGMENT ? fragment_follow(packet) : VERDICT_NEXT;
}

#endif

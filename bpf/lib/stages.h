/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the three programs have in common: the stages in the order of the life of a packet. */
#ifndef SALLYPORT_BPF_STAGES_H
#define SALLYPORT_BPF_STAGES_H

#include "lib/drop.h"
#include "lib/express.h"
#include "lib/find.h"
#include "lib/fragment.h"
#include "lib/hairpin.h"
#include "lib/hit.h"
#include "lib/icmp_error.h"
#include "lib/inbound.h"
#include "lib/miss.h"
#include "lib/parse.h"
#include "lib/sweep.h"

/*
 * Later fragments have no tuple of their own; what is of no kind that is translated has no flow. Nor has what was
 * sent to a whole link: it may be the host's, but is not forwarded (RFC 1812 section 5.3.4).
 */
static __always_inline enum verdict find_any(struct packet *packet, struct found *found)
{
	if (unlikely(packet_is_for_many(packet)))
		return VERDICT_NEXT;
	if (likely(packet->kind == PACKET_PLAIN || packet->kind == PACKET_ICMP_ERROR))
		return find(packet, &packet->key, found);
	return packet->kind == PACKET_LATER_FRAGMENT ? fragment_follow(packet) : VERDICT_NEXT;
}

/* `found` is the flow of a packet from inside. If its remote is here, comes out as that of the receiver. */
static __always_inline enum verdict hairpin(struct packet *packet, struct found *found)
{
	enum verdict verdict;

	if (likely(!(found->view.flags & FLOW_HAIRPIN)))
		return VERDICT_NEXT;
	verdict = hairpin_leave(packet, found);
	if (verdict == VERDICT_NEXT)
		verdict = find(packet, &packet->key, found);
	if (verdict == VERDICT_NEXT && !found->entry)
		verdict = miss_from_outside(packet, found);
	return verdict == VERDICT_NEXT ? hairpin_enter(packet, found) : verdict;
}

#endif

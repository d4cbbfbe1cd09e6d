// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Attached to devices of role outside: replies go in, the host keeps its own, the rest ends here. */
#include "lib/capture.h"
#include "lib/stages.h"

const __u32 workspace_owner = WORKSPACE_OF_PACKETS;

static __always_inline int stages(struct xdp_md *context)
{
	struct packet packet = {};
	struct found found = {};
	enum verdict verdict;

	if (!receive(context, &packet))
		return XDP_PASS;
	packet.zone = ZONE_OUTSIDE;

	verdict = parse(&packet);
	if (verdict == VERDICT_NEXT)
		verdict = find_any(&packet, &found);
	if (verdict == VERDICT_NEXT && !found.entry)
		verdict = miss_from_outside(&packet, &found);
	if (verdict == VERDICT_NEXT && unlikely(found.view.flags & FLOW_HAIRPIN))
		verdict = hairpin_forged(&packet, &found);
	if (verdict == VERDICT_NEXT)
		verdict = hit(&packet, &found);
	return capture_done(packet.context, finish(&packet, verdict));
}

SEC("xdp")
int sallyport_outside(struct xdp_md *context)
{
	int action;

	capture_received(context);
	action = express(context, DEVICE_OUTSIDE);
	return action >= 0 ? capture_done(context, action) : stages(context);
}

char _license[] SEC("license") = "Dual BSD/GPL";

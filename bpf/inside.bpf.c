// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Attached to devices of role inside: everything that the instances of one VPC send. */
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
	packet.zone = packet.device->zone;

	verdict = parse(&packet);
	if (verdict == VERDICT_NEXT)
		verdict = find_any(&packet, &found);
	if (verdict == VERDICT_NEXT && !found.entry)
		verdict = miss_from_inside(&packet, &found);
	if (verdict == VERDICT_NEXT)
		verdict = hairpin(&packet, &found);
	if (verdict == VERDICT_NEXT)
		verdict = hit(&packet, &found);
	if (verdict == VERDICT_DROP)
		sweep_without_agent(&packet);
	return capture_done(packet.context, finish(&packet, verdict));
}

SEC("xdp")
int sallyport_inside(struct xdp_md *context)
{
	int action;

	capture_received(context);
	action = express(context, DEVICE_INSIDE);
	return action >= 0 ? capture_done(context, action) : stages(context);
}

char _license[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Attached to devices of role both (one-armed): instances and the outside share a link. A packet is looked
 * for as an instance's first and then as one from outside; one that opens a flow has to come from a subnet.
 */
#include "lib/capture.h"
#include "lib/stages.h"

const __u32 workspace_owner = WORKSPACE_OF_PACKETS;

/* A subnet's, or of a router inside that what a subnet sends there goes to. */
static __always_inline int is_from_inside(const struct packet *packet)
{
	return subnet_of(packet->device->zone, packet->key.source) ||
	       inner_is_from_router(packet->device->zone, packet->key.source, packet->key.destination);
}

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
	if (verdict == VERDICT_NEXT && !found.entry) {
		packet_zone(&packet, ZONE_OUTSIDE);
		verdict = find_any(&packet, &found);
	}
	if (verdict == VERDICT_NEXT && !found.entry) {
		if (is_from_inside(&packet)) {
			packet_zone(&packet, packet.device->zone);
			verdict = miss_from_inside(&packet, &found);
		} else {
			verdict = miss_from_outside(&packet, &found);
		}
	}
	if (verdict == VERDICT_NEXT)
		verdict = hairpin(&packet, &found);
	if (verdict == VERDICT_NEXT)
		verdict = hit(&packet, &found);
	if (verdict == VERDICT_DROP)
		sweep_without_agent(&packet);
	return capture_done(packet.context, finish(&packet, verdict));
}

SEC("xdp")
int sallyport_both(struct xdp_md *context)
{
	int action;

	capture_received(context);
	action = express(context, DEVICE_BOTH);
	return action >= 0 ? capture_done(context, action) : stages(context);
}

char _license[] SEC("license") = "Dual BSD/GPL";

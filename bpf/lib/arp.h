/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 2, local: ARP for Elastic IPs of this device's own subnet is answered here; the rest is the host's. */
#ifndef SALLYPORT_BPF_ARP_H
#define SALLYPORT_BPF_ARP_H

#include "lib/reply.h"
#include "lib/route.h"

/* Turns a request for an Elastic IP into its reply; returns the XDP action that sends it, or 0. */
verified_alone int arp_answer_make(struct xdp_md *context, __u32 link)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 slot = device_slot;
	struct device *device = bpf_map_lookup_elem(&devices, &slot);
	struct ethhdr *ethernet = data;
	struct elastic_ip *elastic_ip;
	struct arp_ipv4 *arp;
	__be32 target;

	if (!device || link > LINK_BYTES_MAX)
		return 0;
	arp = data + mask_for_verifier(link, LINK_BYTES_MASK);
	settle(arp);
	if ((void *)(ethernet + 1) > end || (void *)(arp + 1) > end ||
	    arp->operation != bpf_htons(ARP_REQUEST) || arp->hardware != bpf_htons(ARP_ETHERNET) ||
	    arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_bytes != ETH_ALEN ||
	    arp->protocol_bytes != sizeof(__be32))
		return 0;
	target = arp->target;
	elastic_ip = bpf_map_lookup_elem(&elastic_ips, &target);
	if (!elastic_ip || elastic_ip->on_link_device != device_slot || address_is_local(target))
		return 0;

	arp->operation = bpf_htons(ARP_REPLY);
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	arp->target = arp->sender;
	__builtin_memcpy(arp->sender_mac, device->mac, ETH_ALEN);
	arp->sender = target;
	__builtin_memcpy(ethernet->h_dest, arp->target_mac, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, device->mac, ETH_ALEN);
	return reply_back_through_device();
}

static __always_inline enum verdict arp_answer(struct packet *packet)
{
	packet->action = arp_answer_make(packet->context, packet->link_bytes);
	return packet->action ? VERDICT_ANSWER : VERDICT_PASS;
}

#endif

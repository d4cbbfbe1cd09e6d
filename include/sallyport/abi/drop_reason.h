/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why a packet was dropped. This list is the only one: the enum, the metric's label, the text of
 * the command line and the table in the manual are made from it.
 *
 * REASON(number, NAME, label, text): numbers and labels are a contract with dashboards. They are
 * never given to another meaning; a reason that is retired keeps its line.
 */
#ifndef SALLYPORT_ABI_DROP_REASON_H
#define SALLYPORT_ABI_DROP_REASON_H

#define FOREACH_DROP_REASON(REASON)                                                                          \
	REASON(1, MALFORMED_ETHERNET, malformed_ethernet,                                                    \
	       "the frame ends within its Ethernet or VLAN header")                                          \
	REASON(2, MALFORMED_IPV4, malformed_ipv4,                                                            \
	       "the IPv4 header is cut short, has a wrong length or a wrong checksum")                       \
	REASON(3, MALFORMED_TRANSPORT, malformed_transport,                                                  \
	       "the TCP, UDP or ICMP header is cut short or contradicts itself")                             \
	REASON(4, FRAGMENT_WITHOUT_FIRST, fragment_without_first,                                            \
	       "a later fragment came, and the first one of its datagram did not come in time")              \
	REASON(5, UNSUPPORTED_PROTOCOL, unsupported_protocol, "the protocol is none of TCP, UDP and ICMP")   \
	REASON(6, UNSUPPORTED_ICMP, unsupported_icmp,                                                        \
	       "the ICMP type is neither an echo nor an error that can be translated")                       \
	REASON(7, INVALID_ADDRESS, invalid_address,                                                          \
	       "source or destination is an address that must not be forwarded (RFC 1812 5.3.7)")            \
	REASON(8, SOURCE_NOT_IN_SUBNET, source_not_in_subnet,                                                \
	       "the source belongs to no subnet of the VPC of this device")                                  \
	REASON(9, NO_ROUTE, no_route, "the subnet's route table has no route to the destination")            \
	REASON(10, BLACKHOLE_ROUTE, blackhole_route, "the route to the destination is a blackhole")          \
	REASON(11, NAT_GATEWAY_WITHOUT_ELASTIC_IP, nat_gateway_without_elastic_ip,                           \
	       "the route leads to a NAT gateway that has no Elastic IP")                                    \
	REASON(12, PORT_EXHAUSTED, port_exhausted,                                                           \
	       "no Elastic IP of the NAT gateway has a free port for this remote")                           \
	REASON(13, FLOW_TABLE_FULL, flow_table_full, "the flow table has no room for a new flow")            \
	REASON(14, TCP_WITHOUT_FLOW, tcp_without_flow,                                                       \
	       "an instance sent a TCP segment that belongs to no flow and opens none")                      \
	REASON(15, UNSOLICITED, unsolicited, "a packet to an Elastic IP belongs to no flow")                 \
	REASON(16, PRIVATE_DESTINATION, private_destination,                                                 \
	       "a packet from outside is addressed to a prefix of a VPC")                                    \
	REASON(17, TTL_EXCEEDED, ttl_exceeded, "the time to live ran out at the gateway")                    \
	REASON(18, FRAGMENTATION_NEEDED, fragmentation_needed,                                               \
	       "the packet is larger than the next hop's MTU and must not be fragmented")                    \
	REASON(19, FLOW_CUT, flow_cut, "the configuration changed and no longer allows the flow")            \
	REASON(20, ICMP_ERROR_WITHOUT_FLOW, icmp_error_without_flow,                                         \
	       "an ICMP error quotes a packet of no flow")                                                   \
	REASON(21, ICMP_ERROR_MALFORMED, icmp_error_malformed,                                               \
	       "an ICMP error quotes too little, or something that contradicts itself")                      \
	REASON(22, NO_KERNEL_ROUTE, no_kernel_route, "the host's own routing has no way to the destination") \
	REASON(23, FORWARDING_DISABLED, forwarding_disabled,                                                 \
	       "IPv4 forwarding is off on the device; doctor tells how to turn it on")                       \
	REASON(24, WRONG_EGRESS_DEVICE, wrong_egress_device,                                                 \
	       "the host's routing leads out of a device that has no fitting role")                          \
	REASON(25, ELASTIC_IP_FROM_INSIDE, elastic_ip_from_inside,                                           \
	       "an instance sent to an Elastic IP of the gateway, which hairpin does not allow")             \
	REASON(26, INTERNAL_ERROR, internal_error,                                                           \
	       "a table of the data plane lacks an element that must be there; please report it")            \
	REASON(27, SOURCE_ROUTED, source_routed,                                                             \
	       "the packet, or the one that an ICMP error quotes, has a source route option")                \
	REASON(28, RECORDED_ADDRESS, recorded_address,                                                       \
	       "an IPv4 option of a packet that would leave has recorded addresses of the inside")           \
	REASON(29, LINK_BROADCAST, link_broadcast,                                                           \
	       "a frame to a whole link carries a packet for a single host (RFC 1812 5.3.4)")                \
	REASON(30, ICMP_ERROR_CHECKSUM, icmp_error_checksum,                                                 \
	       "the checksum of an ICMP error, or of the header that it quotes, is wrong")                   \
	REASON(31, NEIGHBOUR_UNREACHABLE, neighbour_unreachable, "the next hop does not answer ARP")         \
	REASON(32, FRAGMENTS_LIMITED, fragments_limited,                                                     \
	       "too many fragments came before the first ones of their datagrams to hold them all")          \
	REASON(33, FRAGMENT_OVERLAP, fragment_overlap,                                                       \
	       "a fragment overlaps the transport header, or contradicts the first one of its datagram")     \
	REASON(36, FLOW_LIMIT, flow_limit, "the instance has as many flows as flows_per_host allows")        \
	REASON(37, PORT_LIMIT, port_limit,                                                                   \
	       "the instance holds as many external ports as ports_per_host allows")                         \
	REASON(38, NEW_FLOW_RATE, new_flow_rate,                                                             \
	       "the instance opens flows faster than new_flows_per_second_per_host allows")                  \
	REASON(39, MAPPING_FLOW_LIMIT, mapping_flow_limit,                                                   \
	       "the mapping has as many flows as flows_per_mapping allows")                                  \
	REASON(40, UNANSWERED_LIMIT, unanswered_limit,                                                       \
	       "the instance has its share of the flows that may wait for an answer")                        \
	REASON(41, HOST_TABLE_FULL, host_table_full,                                                         \
	       "more instances have flows than can be counted for their limits")                             \
	REASON(42, ELASTIC_IP_FROM_OUTSIDE, elastic_ip_from_outside,                                         \
	       "a packet from outside pretends to come from an Elastic IP of the gateway")                   \
	REASON(44, FILTERED, filtered,                                                                       \
	       "a packet from outside to a port in use comes from a remote that the NAT gateway does not "   \
	       "let in")                                                                                     \
	REASON(45, SECURITY_GROUP, security_group,                                                           \
	       "no rule of the instance's security groups allows the flow")                                  \
	REASON(46, INSTANCE_WITHOUT_ELASTIC_IP, instance_without_elastic_ip,                                 \
	       "the route leads to an internet gateway, and the instance has no Elastic IP of its own")      \
	REASON(47, ELASTIC_IP_DRAINING, elastic_ip_draining,                                                 \
	       "the Elastic IP is being drained: it takes no new flows")                                     \
	REASON(48, AMBIGUOUS_ROUTE, ambiguous_route,                                                         \
	       "only the host's stack could send the packet on, and its routes may lead to another VPC")

enum drop_reason {
	DROP_REASON_NONE = 0,
#define REASON(number, NAME, label, text) DROP_##NAME = number,
	FOREACH_DROP_REASON(REASON)
#undef REASON
};

#define DROP_REASONS_MAX 64 /* room in the counters; more than the list will need for long */

#endif

// SPDX-License-Identifier: Apache-2.0
//
// The one place where values of tables.h become the bytes of the shared headers and back: byte order,
// units and flags are known nowhere else. Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "dataplane/dataplane.h"
#include "dataplane/tables.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"
#include "sallyport/abi/port_set.h"

namespace sallyport::dataplane {

// A timeout in the flow table's units, rounded so that a flow never goes early: one unit because the
// division cuts off, one more because a flow's time is stored only about once a second.
std::uint16_t encode_timeout(std::chrono::seconds timeout);
// The shortest timeout that is encoded so.
std::chrono::seconds decode_timeout(std::uint16_t units);

// The flows' clock at `monotonic` (CLOCK_MONOTONIC_COARSE) in ticks; it wraps around after nine years.
std::uint32_t clock_ticks(std::uint64_t monotonic_ns, std::uint64_t offset_ns);

device encode(const DeviceEntry& entry);
DeviceEntry decode(const device& value, std::string name);  // the name is not in the value

subnet_key encode(const ZonePrefix& key);
ZonePrefix decode(const subnet_key& key);
subnet encode(const SubnetEntry& entry);
SubnetEntry decode(const subnet& value);

route_key encode(const RouteKey& key);
RouteKey decode(const route_key& key);
route encode(const RouteEntry& entry);
RouteEntry decode(const route& value);

prefix_key encode(const Ipv4Prefix& prefix);
Ipv4Prefix decode(const prefix_key& key);

nat_gateway encode(const NatGatewayEntry& entry);
NatGatewayEntry decode(const nat_gateway& value);
port_mask encode(const ReservedPorts& ports);
ReservedPorts decode(const port_mask& value);
host_ports encode(const HostPorts& ports);
HostPorts decode(const host_ports& value);
host_limits encode(const HostLimits& limits);
HostLimits decode(const host_limits& value);

elastic_ip encode(const ElasticIpEntry& entry);
ElasticIpEntry decode(const elastic_ip& value);
instance_key encode(const ZoneAddress& key);
ZoneAddress decode(const instance_key& key);
instance encode(const InstanceEntry& entry);
InstanceEntry decode(const instance& value);
flow_key encode(const InnerFlowKey& key);
InnerFlowKey decode(const flow_key& value);
// Nothing where it is past its time at `now`, in ticks.
std::optional<InnerFlow> decode(const inner_flow& value, Protocol protocol, std::uint32_t now);
security_group encode(const SecurityGroupEntry& entry);
SecurityGroupEntry decode(const security_group& value);
port_forward_key encode(const PortForwardKey& key);
PortForwardKey decode(const port_forward_key& key);
port_forward encode(const PortForwardEntry& entry);
PortForwardEntry decode(const port_forward& value);
forwarded_endpoint_key encode(const ForwardedEndpointKey& key);
ForwardedEndpointKey decode(const forwarded_endpoint_key& key);
forwarded_endpoint encode(const ForwardedEndpointEntry& entry);
ForwardedEndpointEntry decode(const forwarded_endpoint& value);

neighbour_key encode(const Neighbour& key);
Neighbour decode(const neighbour_key& key);
next_hop encode(const Neighbour& key, const NextHopEntry& entry);
NextHopEntry decode(const next_hop& value);

identifier_key encode(const Identifier& key);
Identifier decode(const identifier_key& key);

DropEvent decode(const drop_event& event);
PortBlockEvent decode(const port_block_event& event);

}  // namespace sallyport::dataplane

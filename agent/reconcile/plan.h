// SPDX-License-Identifier: Apache-2.0
//
// From what is desired and what the host's network is like to what the kernel is to hold. Pure: the same
// input gives the same plan, so that a second one writes nothing.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/result.h"
#include "dataplane/dataplane.h"
#include "dataplane/tables.h"
#include "model/resources.h"
#include "netlink/netlink.h"
#include "reconcile/identifiers.h"
#include "reconcile/network_view.h"

namespace sallyport::reconcile {

// Least preferred of all metrics but one: every route of somebody else to the same prefix wins.
inline constexpr std::uint32_t guard_route_metric = 4294967294U;

struct Plan {
    dataplane::ForwardingTables tables;
    std::vector<dataplane::AttachRequest> attach;
    std::vector<std::string> missing_devices;            // named by the configuration, not there
    std::map<std::string, std::string> refused_devices;  // there, but not to be used, and why
    std::set<netlink::KernelRoute> routes;
    std::set<dataplane::Neighbour> wanted_neighbours;  // to be kept resolved: nothing else would ask for them
    std::vector<std::string> warnings;
};

// All names that want numbers.
std::set<dataplane::Identifier> names_of(const model::DesiredState& desired);

// `identifiers` must have been provided with names_of(desired). `draining` are names of Elastic IPs that take
// no new flows. `host_ports` matter where an Elastic IP is shared with the host.
Plan make_plan(const model::DesiredState& desired, const NetworkView& view, const Identifiers& identifiers,
               const std::set<std::string>& draining = {}, const netlink::HostPorts& host_ports = {});

// Whether nothing differs that a flow's translation or way depends on, so that none has to be checked again.
bool same_to_flows(const dataplane::ForwardingTables& a, const dataplane::ForwardingTables& b);

// The next hop that a neighbour is, or none: it is being asked for, or not on a device of ours.
std::optional<dataplane::NextHopEntry> next_hop_of(
    const netlink::NeighbourEntry& neighbour, const std::map<std::uint8_t, dataplane::DeviceEntry>& devices);

}  // namespace sallyport::reconcile

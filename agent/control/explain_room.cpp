// SPDX-License-Identifier: Apache-2.0
#include "control/explain_room.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "sallyport/abi/drop_reason.h"
#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"

namespace sallyport::control {

namespace {

using dataplane::FlowRecord;
using dataplane::NatGatewayEntry;

// The first address that an instance's flows are tried on is its home; the others follow in the list's order.
std::vector<Ipv4Address> addresses_in_turn(const NatGatewayEntry& nat, Ipv4Address instance,
                                           std::uint16_t zone) {
    std::vector<Ipv4Address> addresses = nat.elastic_ips;
    std::size_t home = 0;
    std::uint64_t most = 0;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const std::uint64_t weight = elastic_ip_weight(
            addresses[i].to_network(), static_cast<std::uint32_t>(i), instance.to_network(), zone);
        if (weight > most) {
            most = weight;
            home = i;
        }
    }
    std::rotate(addresses.begin(), addresses.begin() + static_cast<std::ptrdiff_t>(home), addresses.end());
    if (nat.strict_pairing && addresses.size() > 1) addresses.resize(1);
    return addresses;
}

}  // namespace

Result<PortChoice> Room::choose_port(const Question& question, std::uint16_t number, std::uint16_t zone,
                                     bool mapped) const {
    const NatGatewayEntry& nat = *rules_.nat_gateway(number);
    const std::vector<Ipv4Address> addresses = addresses_in_turn(nat, question.source.address, zone);
    std::map<Ipv4Address, std::bitset<65536>> in_use;
    for (const Ipv4Address address : addresses) in_use[address];
    const auto visited = live_.visit_flows([&](const FlowRecord& flow) {
        if (flow.protocol != question.protocol ||
            (mapped ? !flow.mapped : flow.remote != question.destination))
            return true;
        if (const auto used = in_use.find(flow.external.address); used != in_use.end())
            used->second.set(flow.external.port);
        return true;
    });
    if (!visited) return failure_within("read the flow table", visited.error());

    const bool is_port = question.protocol != Protocol::icmp;
    const std::uint16_t wanted = question.source.port;
    std::uint32_t first = nat.ports.first;
    std::uint32_t last = nat.ports.last;
    std::uint32_t every = 1;
    if (is_port && nat.preserve_range) {
        if (wanted <= LOW_PORT_LAST) {
            first = 1;
            last = LOW_PORT_LAST;
        } else {
            first = std::max<std::uint32_t>(first, LOW_PORT_LAST + 1U);
        }
    }
    if (is_port && nat.preserve_parity) {
        first += (first ^ wanted) & 1U;
        every = 2;
    }
    const auto reserved = live_.tables.reserved_ports.find(number);
    const auto is_in = [](const std::vector<PortRange>& ranges, std::uint32_t port) {
        return std::any_of(ranges.begin(), ranges.end(), [port](const PortRange& range) {
            return range.contains(static_cast<std::uint16_t>(port));
        });
    };
    for (const Ipv4Address address : addresses) {
        const auto of_host = is_port ? live_.tables.host_ports.find(address) : live_.tables.host_ports.end();
        const auto is_taken = [&](std::uint32_t port) {
            if (in_use[address].test(port)) return true;
            if (of_host != live_.tables.host_ports.end() && is_in(of_host->second.ranges, port)) return true;
            if (nat.forwards_ports &&
                rules_.port_forward(question.protocol, Endpoint{address, static_cast<std::uint16_t>(port)}) !=
                    nullptr)
                return true;
            return nat.reserves_ports && reserved != live_.tables.reserved_ports.end() &&
                   is_in(reserved->second.ranges, port);
        };
        if (is_port && nat.preserve_port && nat.port_block_size == 0 && wanted >= first && wanted <= last &&
            !is_taken(wanted))
            return PortChoice{LeavingEndpoint{address, wanted}, "kept"};
        for (std::uint32_t port = first; port <= last; port += every) {
            if (is_taken(port)) continue;
            return PortChoice{LeavingEndpoint{address, std::nullopt},
                              nat.port_block_size != 0 ? "one of the instance's port blocks, chosen at random"
                                                       : "one of the NAT gateway's, chosen at random"};
        }
    }
    return PortChoice{std::nullopt, "none is free for this remote, as far as is known"};
}

Result<std::uint32_t> Room::refusal(std::uint16_t number, std::uint16_t zone, Ipv4Address instance,
                                    bool takes_port) const {
    const std::uint32_t capacity = live_.tables.gateway.unanswered_capacity;
    const NatGatewayEntry& nat = *rules_.nat_gateway(number);
    const auto found = live_.tables.host_limits.find(number);
    const bool limited = nat.limits && found != live_.tables.host_limits.end();
    if (capacity == 0 && !limited) return reason_none;
    std::uint32_t waiting = 0;
    std::uint32_t waiting_here = 0;
    std::uint32_t flows = 0;
    std::set<std::tuple<Protocol, Endpoint, std::optional<Endpoint>>> ports;
    const auto visited = live_.visit_flows([&](const FlowRecord& flow) {
        const bool here = flow.zone == zone && flow.inside.address == instance;
        if (flow.state == "opening" || flow.state == "opening_from_outside") {
            ++waiting;
            if (here) ++waiting_here;
        }
        if (here && limited && flow.nat_gateway == number) {
            ++flows;
            if (!flow.is_static)
                ports.emplace(flow.protocol, flow.external,
                              flow.mapped ? std::nullopt : std::optional(flow.remote));
        }
        return true;
    });
    if (!visited) return failure_within("read the flow table", visited.error());
    if (capacity != 0 && (waiting >= capacity || waiting_here >= capacity - waiting))
        return std::uint32_t{DROP_UNANSWERED_LIMIT};
    if (!limited) return reason_none;
    if (found->second.flows != 0 && flows >= found->second.flows) return std::uint32_t{DROP_FLOW_LIMIT};
    if (takes_port && found->second.ports != 0 && ports.size() >= found->second.ports)
        return std::uint32_t{DROP_PORT_LIMIT};
    return reason_none;
}

}  // namespace sallyport::control

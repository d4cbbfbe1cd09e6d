// SPDX-License-Identifier: Apache-2.0
#include "control/flow_rules.h"

#include <algorithm>
#include <bit>

#include "sallyport/abi/maps.h"

namespace sallyport::control {

namespace {

using dataplane::ElasticIpEntry;
using dataplane::FlowRecord;
using dataplane::NatGatewayEntry;
using dataplane::RouteEntry;
using dataplane::RouteKind;
using dataplane::Rule;
using dataplane::SecurityRule;

// Type and code as security rules have them.
constexpr std::uint16_t echo_request = 8 << 8;
constexpr std::uint16_t echo_reply = 0 << 8;

template <typename Map, typename Key>
auto* entry_of(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &found->second;
}

std::uint64_t lengths_of(const std::map<std::uint32_t, std::uint64_t>& lengths, std::uint32_t number) {
    const std::uint64_t* found = entry_of(lengths, number);
    return found == nullptr ? 0 : *found;
}

// The most specific prefix of a table that contains the address: one look for each length that there is.
template <typename Map, typename MakeKey>
typename Map::const_iterator longest_match(const Map& map, std::uint64_t lengths, Ipv4Address address,
                                           const MakeKey& make_key) {
    while (lengths != 0) {
        const auto length = static_cast<std::uint8_t>(std::bit_width(lengths) - 1);
        const auto found = map.find(make_key(Ipv4Prefix(address, length)));
        if (found != map.end()) return found;
        lengths ^= std::uint64_t{1} << length;
    }
    return map.end();
}

// The same for ports: of the entries whose keys differ in their port prefix alone.
template <typename Map, typename Key>
auto* longest_port_match(const Map& map, Key key) {
    const std::uint16_t port = key.port;
    for (int length = 16; length >= 0; --length) {
        key.length = static_cast<std::uint8_t>(length);
        key.port = static_cast<std::uint16_t>(length == 0 ? 0 : port & (0xffffU << (16 - length)));
        if (const auto* found = entry_of(map, key)) return found;
    }
    return static_cast<const typename Map::mapped_type*>(nullptr);
}

}  // namespace

Ends ends_of(const FlowRecord& flow) {
    return {flow.inside,   flow.remote,    flow.external,    flow.zone,
            flow.protocol, flow.is_static, flow.from_outside};
}

std::size_t nat_protocol_of(Protocol protocol) {
    switch (protocol) {
        case Protocol::tcp:
            return NAT_TCP;
        case Protocol::udp:
            return NAT_UDP;
        case Protocol::icmp:
            break;
    }
    return NAT_ICMP;
}

std::uint16_t forwarded_port(const dataplane::PortForwardEntry& forward, std::uint16_t port) {
    return static_cast<std::uint16_t>(forward.to_port + (port - forward.first_port));
}

FlowRules::FlowRules(const dataplane::ForwardingTables& tables) : tables_(tables) {
    for (const auto& [key, subnet] : tables.subnets)
        subnet_lengths_[key.zone] |= std::uint64_t{1} << key.prefix.length();
    for (const auto& [key, route] : tables.routes)
        route_lengths_[key.route_table] |= std::uint64_t{1} << key.destination.length();
}

std::optional<Place> FlowRules::place_of(std::uint16_t zone, Ipv4Address address) const {
    const auto found =
        longest_match(tables_.subnets, lengths_of(subnet_lengths_, zone), address, [zone](Ipv4Prefix prefix) {
            return dataplane::ZonePrefix{zone, prefix};
        });
    if (found == tables_.subnets.end()) return std::nullopt;
    Place place{&found->second, found->first.prefix, {}, found->second.security_groups};
    if (found->second.has_instances) {
        if (const auto* instance = entry_of(tables_.instances, dataplane::ZoneAddress{zone, address})) {
            place.own_elastic_ip = instance->elastic_ip;
            place.groups = instance->security_groups;
        }
    }
    return place;
}

const RouteEntry* FlowRules::route_to(std::uint32_t route_table, Ipv4Address destination,
                                      Ipv4Prefix* prefix) const {
    const auto found = longest_match(tables_.routes, lengths_of(route_lengths_, route_table), destination,
                                     [route_table](Ipv4Prefix candidate) {
                                         return dataplane::RouteKey{route_table, candidate};
                                     });
    if (found == tables_.routes.end()) return nullptr;
    if (prefix != nullptr) *prefix = found->first.destination;
    return &found->second;
}

const ElasticIpEntry* FlowRules::elastic_ip(Ipv4Address address) const {
    return entry_of(tables_.elastic_ips, address);
}

const NatGatewayEntry* FlowRules::nat_gateway(std::uint16_t number) const {
    return entry_of(tables_.nat_gateways, number);
}

const dataplane::PortForwardEntry* FlowRules::port_forward(Protocol protocol,
                                                           const Endpoint& external) const {
    return longest_port_match(
        tables_.port_forwards,
        dataplane::PortForwardKey{external.address, static_cast<std::uint8_t>(protocol), external.port, 16});
}

const dataplane::ForwardedEndpointEntry* FlowRules::forwarded_endpoint(std::uint16_t zone, Protocol protocol,
                                                                       const Endpoint& inside) const {
    return longest_port_match(
        tables_.forwarded_endpoints,
        dataplane::ForwardedEndpointKey{zone, inside.address, static_cast<std::uint8_t>(protocol),
                                        inside.port, 16});
}

// flow_route_refusal() of bpf/lib/find.h.
std::uint32_t FlowRules::route_refusal(std::uint16_t number, const Ends& ends, Place& place,
                                       bool& open) const {
    const auto placed = place_of(ends.zone, ends.instance.address);
    if (!placed) return DROP_FILTERED;
    place = *placed;
    const RouteEntry* route = route_to(place.subnet->route_table, ends.remote.address);
    if (route == nullptr) return DROP_FILTERED;
    open = true;
    if (route->kind == RouteKind::untranslated) {
        const bool same = route->index == number && ends.external.address == ends.instance.address;
        return same ? reason_none : std::uint32_t{DROP_FILTERED};
    }
    if (route->kind != RouteKind::nat_gateway && route->kind != RouteKind::internet_gateway)
        return DROP_FILTERED;
    const ElasticIpEntry* bound = elastic_ip(ends.external.address);
    if (bound == nullptr || bound->nat_gateway != number) return DROP_FILTERED;
    if (bound->instance != Ipv4Address{}) {
        if (bound->instance != ends.instance.address || bound->zone != ends.zone) return DROP_FILTERED;
        open = !ends.from_outside;
        return reason_none;
    }
    if (route->kind != RouteKind::nat_gateway || route->index != number) return DROP_FILTERED;
    if (ends.is_static) {
        const auto* forward = port_forward(ends.protocol, ends.external);
        if (forward == nullptr || forward->address != ends.instance.address || forward->zone != ends.zone ||
            forwarded_port(*forward, ends.external.port) != ends.instance.port)
            return DROP_FILTERED;
    }
    return reason_none;
}

bool FlowRules::group_admits(std::uint16_t number, const Ends& ends) const {
    const auto* group = entry_of(tables_.security_groups, number);
    if (group == nullptr) return false;
    const std::vector<SecurityRule>& rules = ends.from_outside ? group->ingress : group->egress;
    // An echo reply has its identifier where it goes to. Through a gateway it opens nothing.
    const Endpoint& called = ends.from_outside ? ends.instance : ends.remote;
    std::uint16_t port = called.port;
    if (ends.protocol == Protocol::icmp)
        port = ends.message.value_or(ends.inner && called.port != 0 ? echo_reply : echo_request);
    return std::any_of(rules.begin(), rules.end(), [&](const SecurityRule& rule) {
        return rule.remote.contains(ends.remote.address) && rule.ports.contains(port) &&
               (rule.protocol == 0 || rule.protocol == static_cast<std::uint8_t>(ends.protocol)) &&
               (rule.remote_group == 0 ||
                std::ranges::find(ends.remote_groups, rule.remote_group) != ends.remote_groups.end());
    });
}

// security_groups_admit() of bpf/lib/security_group.h.
Admission FlowRules::groups_admit(const Place& place, bool open, const Ends& ends) const {
    if (place.groups.empty()) return {open, 0};
    for (const std::uint16_t number : place.groups) {
        if (group_admits(number, ends)) return {true, number};
    }
    return {};
}

// filter_admits() of bpf/lib/filter.h.
bool FlowRules::filter_admits(const NatGatewayEntry& nat, const Ends& ends, const IsPermitted& is_permitted) {
    switch (nat.filtering[nat_protocol_of(ends.protocol)]) {
        case Rule::endpoint_independent:
            return true;
        case Rule::address_dependent:
            return is_permitted(ends.protocol, ends.external, ends.remote.address);
        case Rule::address_and_port_dependent:
            break;
    }
    return false;
}

// inner_flow_is_allowed() of bpf/lib/inner.h.
std::array<InnerEnd, 2> FlowRules::inner_ends(const dataplane::InnerFlowKey& flow,
                                              std::optional<std::uint16_t> message) const {
    const Place opener = place_of(flow.zone, flow.opener.address).value_or(Place{});
    const Place answerer = place_of(flow.zone, flow.answerer.address).value_or(Place{});
    Ends opening{flow.opener, flow.answerer, {}, flow.zone, flow.protocol};
    opening.inner = true;
    opening.message = message;
    Ends answering{flow.answerer, flow.opener, {}, flow.zone, flow.protocol};
    answering.inner = true;
    answering.from_outside = true;
    answering.message = message;
    opening.remote_groups = answerer.groups;
    answering.remote_groups = opener.groups;
    return {InnerEnd{opener, opening}, InnerEnd{answerer, answering}};
}

bool FlowRules::allows(const dataplane::InnerFlowKey& flow, std::uint16_t message) const {
    const auto ends = inner_ends(flow, message);
    // What comes from behind a router is let in where its answers go to one.
    const bool from_router = ends[0].place.subnet == nullptr;
    const auto& [from, seen] = ends[from_router ? 1 : 0];
    if (from.subnet == nullptr) return false;
    const RouteEntry* route = route_to(from.subnet->route_table, seen.remote.address);
    if (route == nullptr) return false;
    if (route->kind != RouteKind::via && (from_router || route->kind != RouteKind::local)) return false;
    return std::ranges::all_of(
        ends, [this](const InnerEnd& end) { return groups_admit(end.place, true, end.ends).admitted; });
}

// flow_recheck() of bpf/lib/find.h.
bool FlowRules::allows(const FlowRecord& flow, const IsPermitted& is_permitted) const {
    const NatGatewayEntry* nat = nat_gateway(flow.nat_gateway);
    if (nat == nullptr) return false;
    const Ends ends = ends_of(flow);
    Place place;
    bool open = false;
    if (route_refusal(flow.nat_gateway, ends, place, open) != reason_none ||
        !groups_admit(place, open, ends).admitted)
        return false;
    const bool remote_is_here = elastic_ip(flow.remote.address) != nullptr;
    if (remote_is_here != flow.hairpin || (remote_is_here && !nat->hairpin)) return false;
    return flow.is_static || flow.state != "opening_from_outside" || filter_admits(*nat, ends, is_permitted);
}

}  // namespace sallyport::control

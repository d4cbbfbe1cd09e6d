// SPDX-License-Identifier: Apache-2.0
#include "control/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "control/explain_room.h"
#include "control/flow_rules.h"
#include "sallyport/abi/drop_reason.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"

namespace sallyport::control {

namespace {

using dataplane::DeviceEntry;
using dataplane::ElasticIpEntry;
using dataplane::Exhaustion;
using dataplane::FlowRecord;
using dataplane::ForwardingTables;
using dataplane::NatGatewayEntry;
using dataplane::Role;
using dataplane::RouteEntry;
using dataplane::RouteKind;
using dataplane::Rule;

// Addresses that are no single host's (bpf/lib/packet.h).
bool is_multicast_or_broadcast(Ipv4Address address) {
    return address.value() >> 28 == 14 || address.value() == 0xffffffff;
}
bool is_no_source(Ipv4Address address) {
    return address.value() >> 28 >= 14 || address.value() >> 24 == 127 || address.value() >> 24 == 0;
}

// How a packet from outside gets on, be it that it has come from there or that it has turned around.
struct Inward {
    LeavingEndpoint source;
    Endpoint destination;
    bool turned = false;
    std::uint16_t sender_zone = 0;
    std::uint16_t sender_gateway = 0;
};

// How the host gets a packet to its next hop.
struct Way {
    bool resolved = false;
    bool unreachable = false;  // it does not answer ARP
    bool elsewhere = false;    // the host by itself would send it elsewhere
};

class Walk {
  public:
    Walk(const Question& question, const LiveState& live, const Names& names)
        : question_(question),
          live_(live),
          tables_(live.tables),
          rules_(live.tables),
          room_(live, rules_),
          names_(names) {}

    Result<Explanation> run();

  private:
    // How each way ends. `return` them.
    void drop(std::uint32_t reason, Told told = Told::nothing);
    void pass() { answer_.verdict = Verdict::pass; }

    void step(Stage stage, std::string_view name, std::string text) {
        answer_.steps.push_back({stage, std::string(name), std::move(text)});
    }

    // Where the packet comes from.
    Result<void> find_origin();
    [[nodiscard]] std::vector<std::uint16_t> zones_of(Ipv4Address address) const;
    void note_device();

    // The stages, in the order of bpf/README.md.
    Result<void> from_inside();
    Result<void> miss_from_inside();
    Result<void> stay_inside(Ipv4Address router);
    Result<bool> check_inner();
    [[nodiscard]] bool inner_groups_admit(const dataplane::InnerFlowKey& flow, bool noted);
    Result<void> relay(Ipv4Address towards);
    [[nodiscard]] bool is_from_router() const;
    Result<void> open_outwards(std::uint16_t number, const RouteEntry& route, const Place& place,
                               Ipv4Address external);
    Result<void> leave(std::uint16_t number, const LeavingEndpoint& external, bool hairpin);
    Result<void> from_outside(const Inward& packet);
    Result<void> miss_from_outside(const Inward& packet);
    bool source_may_open(const Inward& packet);
    bool leads_back(std::uint16_t number, const Ends& ends, Place& place, bool& open);
    Result<void> enter_static(const Inward& packet, std::uint16_t number, const Endpoint& instance,
                              std::uint16_t zone);
    Result<void> enter_by_mapping(const Inward& packet, std::uint16_t number);
    Result<void> make_inward_flow(const Inward& packet, const Ends& ends, std::uint16_t number);
    Result<void> enter(const Inward& packet, std::uint16_t number, const Endpoint& instance,
                       std::uint16_t zone);
    Result<void> send(const LeavingEndpoint& source, const LeavingEndpoint& destination, std::uint16_t zone);
    Result<std::optional<Way>> find_way(Ipv4Address source, Ipv4Address destination, std::uint16_t zone);

    // Questions that stages ask.
    [[nodiscard]] const dataplane::PortForwardEntry* port_forward(const Endpoint& external) const {
        return rules_.port_forward(question_.protocol, external);
    }
    [[nodiscard]] bool is_private(Ipv4Address address) const;
    [[nodiscard]] bool is_for_host(const Endpoint& destination, bool from_inside);
    [[nodiscard]] bool is_led_inside(const Endpoint& external, bool from_inside) const;
    bool note_groups(const Place& place, bool open, const Ends& ends);
    [[nodiscard]] bool is_cut(const FlowRecord& flow, bool outwards) const;
    [[nodiscard]] bool is_permitted(const Endpoint& external, Ipv4Address remote) const;
    [[nodiscard]] std::uint32_t hairpin_opening_refusal(std::uint16_t number) const;
    [[nodiscard]] std::uint32_t hairpin_refusal(std::uint16_t sender, std::uint16_t sender_zone,
                                                std::uint16_t receiver, std::uint16_t receiver_zone) const;
    [[nodiscard]] bool opens() const;
    [[nodiscard]] Told reset() const;
    [[nodiscard]] Told icmp(Told told) const;
    [[nodiscard]] Told told_by(std::optional<std::uint8_t> icmp_code) const;

    // The flow table.
    Result<void> collect();
    [[nodiscard]] const FlowRecord* outward_flow(std::uint16_t zone, const Endpoint& inside,
                                                 const Endpoint& remote) const;
    [[nodiscard]] const FlowRecord* inward_flow(const Endpoint& external, const Endpoint& remote) const;
    [[nodiscard]] const FlowRecord* mapping_of(std::uint16_t zone, const Endpoint& inside) const;
    [[nodiscard]] const FlowRecord* mapping_at(const Endpoint& external) const;

    // Words.
    [[nodiscard]] std::string gateway_name(std::uint16_t number) const;
    void note_gateway(std::uint16_t number, std::string text);
    void note_elastic_ip(Ipv4Address address, std::string text);
    void note_flow(const FlowRecord& flow);

    const Question& question_;
    const LiveState& live_;
    const ForwardingTables& tables_;
    const FlowRules rules_;
    const Room room_;
    const Names& names_;
    std::uint16_t zone_ = 0;
    const DeviceEntry* device_ = nullptr;  // that the packet comes in by, as far as is known
    std::vector<FlowRecord> flows_;        // those that may have to do with the packet
    Explanation answer_;
};

void Walk::drop(std::uint32_t reason, Told told) {
    answer_.verdict = Verdict::drop;
    answer_.reason = reason;
    answer_.told = told;
    answer_.translation.reset();
}

// Which flows the stages may ask for. What all the others leave free is room_'s to tell.
Result<void> Walk::collect() {
    const auto visited = live_.visit_flows([&](const FlowRecord& flow) {
        if (flow.protocol == question_.protocol &&
            (flow.inside == question_.source || flow.external == question_.destination ||
             flow.remote == question_.destination || flow.remote == question_.source)) {
            flows_.push_back(flow);
        }
        return true;
    });
    if (!visited) return failure_within("read the flow table", visited.error());
    return {};
}

const FlowRecord* Walk::outward_flow(std::uint16_t zone, const Endpoint& inside,
                                     const Endpoint& remote) const {
    const auto found = std::find_if(flows_.begin(), flows_.end(), [&](const FlowRecord& flow) {
        return flow.zone == zone && flow.inside == inside && flow.remote == remote;
    });
    return found == flows_.end() ? nullptr : &*found;
}

const FlowRecord* Walk::inward_flow(const Endpoint& external, const Endpoint& remote) const {
    const auto found = std::find_if(flows_.begin(), flows_.end(), [&](const FlowRecord& flow) {
        return flow.external == external && flow.remote == remote;
    });
    return found == flows_.end() ? nullptr : &*found;
}

const FlowRecord* Walk::mapping_of(std::uint16_t zone, const Endpoint& inside) const {
    const auto found = std::find_if(flows_.begin(), flows_.end(), [&](const FlowRecord& flow) {
        return flow.mapped && flow.zone == zone && flow.inside == inside;
    });
    return found == flows_.end() ? nullptr : &*found;
}

const FlowRecord* Walk::mapping_at(const Endpoint& external) const {
    const auto found = std::find_if(flows_.begin(), flows_.end(), [&](const FlowRecord& flow) {
        return flow.mapped && flow.external == external;
    });
    return found == flows_.end() ? nullptr : &*found;
}

std::vector<std::uint16_t> Walk::zones_of(Ipv4Address address) const {
    std::set<std::uint16_t> zones;
    for (const auto& [key, subnet] : tables_.subnets) {
        if (key.prefix.contains(address)) zones.insert(static_cast<std::uint16_t>(key.zone));
    }
    return {zones.begin(), zones.end()};
}

Result<void> Walk::find_origin() {
    const std::vector<std::uint16_t> zones = zones_of(question_.source.address);
    if (!question_.vpc.empty()) {
        const auto vpc = std::find_if(names_.vpcs.begin(), names_.vpcs.end(),
                                      [&](const auto& numbered) { return numbered.second == question_.vpc; });
        const bool exists = vpc != names_.vpcs.end() && names_.state != nullptr &&
                            std::any_of(names_.state->vpcs.begin(), names_.state->vpcs.end(),
                                        [&](const model::Vpc& known) { return known.name == question_.vpc; });
        if (!exists) return failure(fmt::format("there is no VPC \"{}\"", question_.vpc), EINVAL);
        zone_ = vpc->first;
        answer_.from_inside = true;
    } else if (zones.size() > 1) {
        std::vector<std::string_view> candidates;
        candidates.reserve(zones.size());
        for (const std::uint16_t zone : zones) candidates.push_back(names_.vpc(zone));
        return failure(fmt::format("{} is in a subnet of several VPCs; name the one that is meant: {}",
                                   question_.source.address.to_string(), fmt::join(candidates, ", ")),
                       EINVAL);
    } else if (zones.size() == 1) {
        zone_ = zones.front();
        answer_.from_inside = true;
    }
    if (answer_.from_inside) answer_.vpc = std::string(names_.vpc(zone_));
    return {};
}

// Several devices may have instances of one VPC: the one on which the sender is a neighbour, else any of
// them.
void Walk::note_device() {
    std::vector<std::string_view> candidates;
    bool certain = false;
    for (const auto& [slot, device] : tables_.devices) {
        const bool fits = answer_.from_inside ? device.role != Role::outside && device.zone == zone_
                                              : device.role != Role::inside;
        if (!fits) continue;
        candidates.push_back(device.name);
        const bool neighbour =
            tables_.next_hops.contains(dataplane::Neighbour{device.ifindex, question_.source.address});
        // A device that is outside only comes before one that is both.
        const bool better = device_ == nullptr || (!answer_.from_inside && device_->role == Role::both &&
                                                   device.role == Role::outside);
        if ((neighbour && !certain) || (better && !certain)) device_ = &device;
        certain = certain || neighbour;
    }
    // On one arm it is the source that tells where a packet comes from, whichever VPC is named.
    if (answer_.from_inside && device_ != nullptr && device_->role == Role::both &&
        !rules_.place_of(zone_, question_.source.address) && !is_from_router()) {
        answer_.from_inside = false;
        answer_.vpc.clear();
    }
    const std::string from =
        answer_.from_inside ? fmt::format("from inside, VPC {}", answer_.vpc) : std::string("from outside");
    if (device_ == nullptr) {
        step(Stage::device, "", fmt::format("{}; no device is attached there", from));
    } else if (certain || candidates.size() == 1) {
        step(Stage::device, device_->name, from);
    } else {
        step(Stage::device, "", fmt::format("{}, by {}", from, fmt::join(candidates, " or ")));
    }
}

bool Walk::opens() const {
    return question_.protocol != Protocol::tcp || question_.segment == Segment::syn;
}

Told Walk::reset() const {
    const bool sent = device_ != nullptr && device_->replies_per_second != 0;
    return sent && question_.protocol == Protocol::tcp && question_.segment != Segment::rst ? Told::reset
                                                                                            : Told::nothing;
}

Told Walk::icmp(Told told) const {
    const bool sent = device_ != nullptr && device_->replies_per_second != 0 &&
                      device_->address != Ipv4Address{} && !is_no_source(question_.source.address) &&
                      !(device_->role == Role::outside && is_private(question_.source.address));
    return sent ? told : Told::nothing;
}

bool Walk::is_private(Ipv4Address address) const {
    return std::any_of(tables_.private_prefixes.begin(), tables_.private_prefixes.end(),
                       [address](const Ipv4Prefix& prefix) { return prefix.contains(address); });
}

// packet_is_for_host() of bpf/lib/shared_address.h. Says why, if it is.
bool Walk::is_for_host(const Endpoint& destination, bool from_inside) {
    if (is_multicast_or_broadcast(destination.address)) {
        step(Stage::route, "", "the destination is a multicast or broadcast address");
        return true;
    }
    if (!tables_.local_addresses.contains(destination.address)) return false;
    const ElasticIpEntry* bound = rules_.elastic_ip(destination.address);
    if (bound == nullptr || !bound->shared_with_host) {
        step(Stage::route, "", "the destination is the host's own");
        return true;
    }
    if (is_led_inside(destination, from_inside)) return false;
    note_elastic_ip(destination.address,
                    "shared with the host, and nobody inside has this endpoint: it is the host's");
    return true;
}

// endpoint_is_led_inside() of bpf/lib/shared_address.h. A mapping that rests is not known here.
bool Walk::is_led_inside(const Endpoint& external, bool from_inside) const {
    const ElasticIpEntry& bound = *rules_.elastic_ip(external.address);
    const NatGatewayEntry* nat = rules_.nat_gateway(bound.nat_gateway);
    if (nat == nullptr) return false;
    if (bound.forwards_ports && port_forward(external) != nullptr) return true;
    const bool is_closed_to_others =
        nat->filtering[nat_protocol_of(question_.protocol)] == Rule::address_and_port_dependent;
    if ((question_.protocol != Protocol::icmp || !is_closed_to_others) && mapping_at(external) != nullptr)
        return true;
    const FlowRecord* own = from_inside ? mapping_of(zone_, question_.source) : nullptr;
    return own != nullptr && inward_flow(external, own->external) != nullptr;
}

bool Walk::note_groups(const Place& place, bool open, const Ends& ends) {
    const std::string_view way = ends.from_outside ? "ingress" : "egress";
    const auto [admitted, by] = rules_.groups_admit(place, open, ends);
    if (place.groups.empty()) {
        step(Stage::security_group, "",
             open ? fmt::format("{} has none, which leaves this open", ends.instance.address.to_string())
                  : fmt::format("{} has none, so nobody may come in by its Elastic IP",
                                ends.instance.address.to_string()));
    } else if (admitted) {
        step(Stage::security_group, names_.security_group(by), fmt::format("an {} rule allows it", way));
    } else {
        std::vector<std::string_view> groups;
        groups.reserve(place.groups.size());
        for (const std::uint16_t number : place.groups) groups.push_back(names_.security_group(number));
        step(Stage::security_group, "",
             fmt::format("no {} rule of {} allows it", way, fmt::join(groups, ", ")));
    }
    return admitted;
}

bool Walk::is_permitted(const Endpoint& external, Ipv4Address remote) const {
    return std::any_of(flows_.begin(), flows_.end(), [&](const FlowRecord& flow) {
        return flow.permitted && flow.external == external && flow.remote.address == remote;
    });
}

// Has the configuration changed since a packet of this direction came by, so that it forbids the flow?
bool Walk::is_cut(const FlowRecord& flow, bool outwards) const {
    if ((outwards ? flow.generation : flow.generation_in) == live_.generation) return false;
    return !rules_.allows(flow, [this](Protocol, const Endpoint& external, Ipv4Address remote) {
        return is_permitted(external, remote);
    });
}

std::string Walk::gateway_name(std::uint16_t number) const {
    const std::string_view name =
        number >= INTERNET_GATEWAY_FIRST ? names_.internet_gateway(number) : names_.nat_gateway(number);
    return std::string(name);
}

void Walk::note_gateway(std::uint16_t number, std::string text) {
    step(number >= INTERNET_GATEWAY_FIRST ? Stage::internet_gateway : Stage::nat_gateway,
         gateway_name(number), std::move(text));
}

void Walk::note_elastic_ip(Ipv4Address address, std::string text) {
    step(Stage::elastic_ip, names_.elastic_ip(address), std::move(text));
}

void Walk::note_flow(const FlowRecord& flow) {
    step(Stage::flow, "",
         fmt::format("{}: {} leaves as {}, and what {} sends there comes in to {}", flow.state,
                     flow.inside.to_string(), flow.external.to_string(), flow.remote.to_string(),
                     flow.inside.to_string()));
    note_gateway(flow.nat_gateway, "has the flow");
}

Result<Explanation> Walk::run() {
    if (auto found = find_origin(); !found) return tl::unexpected(found.error());
    if (auto collected = collect(); !collected) return tl::unexpected(collected.error());
    note_device();
    const Inward inward{
        {question_.source.address, question_.source.port}, question_.destination, false, 0, 0};
    const Result<void> walked = answer_.from_inside ? from_inside() : from_outside(inward);
    if (!walked) return tl::unexpected(walked.error());
    return std::move(answer_);
}

Result<void> Walk::from_inside() {
    const FlowRecord* flow = outward_flow(zone_, question_.source, question_.destination);
    if (flow == nullptr) {
        step(Stage::flow, "", "there is none");
        return miss_from_inside();
    }
    answer_.flow = *flow;
    note_flow(*flow);
    if (is_cut(*flow, true)) {
        drop(DROP_FLOW_CUT, reset());
        return {};
    }
    return leave(flow->nat_gateway, {flow->external.address, flow->external.port}, flow->hairpin);
}

// check_miss_from_inside() of bpf/lib/miss.h.
Result<void> Walk::miss_from_inside() {
    const Ipv4Address source = question_.source.address;
    const Ipv4Address destination = question_.destination.address;
    if (is_for_host(question_.destination, true)) {
        pass();
        return {};
    }
    if (is_no_source(source) || is_no_source(destination) || source == destination) {
        drop(DROP_INVALID_ADDRESS);
        return {};
    }
    const auto place = rules_.place_of(zone_, source);
    if (!place) {
        step(Stage::subnet, "", fmt::format("{} is in no subnet of VPC {}", source.to_string(), answer_.vpc));
        if (is_from_router()) {
            step(Stage::route, names_.route_table(rules_.place_of(zone_, destination)->subnet->route_table),
                 fmt::format("leads what {} sends there to a router inside, so that this may come from it",
                             destination.to_string()));
            return stay_inside(destination);
        }
        drop(DROP_SOURCE_NOT_IN_SUBNET);
        return {};
    }
    step(Stage::subnet, names_.subnet(place->subnet->subnet), place->prefix.to_string());
    Ipv4Prefix prefix;
    const RouteEntry* route = rules_.route_to(place->subnet->route_table, destination, &prefix);
    const std::string_view table = names_.route_table(place->subnet->route_table);
    if (route == nullptr) {
        step(Stage::route, table, fmt::format("none to {}", destination.to_string()));
        drop(DROP_NO_ROUTE, icmp(Told::net_unreachable));
        return {};
    }
    const auto note_route = [&](std::string_view target) {
        step(Stage::route, table, fmt::format("{} {}", prefix.to_string(), target));
    };
    std::uint16_t number = route->index;
    Ipv4Address external;
    switch (route->kind) {
        case RouteKind::local:
            note_route("is local: the host forwards it within the VPC");
            return stay_inside({});
        case RouteKind::via:
            note_route(fmt::format("leads to {} inside, as it is", route->via.to_string()));
            return stay_inside(route->via);
        case RouteKind::untranslated:
            note_route(
                fmt::format("leads to NAT gateway {}, which does not translate it", gateway_name(number)));
            external = source;
            break;
        case RouteKind::nat_gateway:
            note_route(fmt::format("leads to NAT gateway {}", gateway_name(number)));
            break;
        case RouteKind::internet_gateway:
            note_route(fmt::format("leads to internet gateway {}", gateway_name(number)));
            break;
        default:
            note_route("is a blackhole");
            drop(DROP_BLACKHOLE_ROUTE);
            return {};
    }
    if (route->kind != RouteKind::untranslated) {
        const ElasticIpEntry* own =
            place->own_elastic_ip == Ipv4Address{} ? nullptr : rules_.elastic_ip(place->own_elastic_ip);
        if (own != nullptr && own->nat_gateway != NO_NAT_GATEWAY && !own->draining) {
            number = own->nat_gateway;
            external = place->own_elastic_ip;
        } else if (route->kind == RouteKind::internet_gateway && place->own_elastic_ip != Ipv4Address{}) {
            note_elastic_ip(place->own_elastic_ip, "is being drained: it takes no new flows");
            drop(DROP_ELASTIC_IP_DRAINING, icmp(Told::prohibited));
            return {};
        } else if (route->kind == RouteKind::internet_gateway) {
            note_gateway(number, fmt::format("{} has no Elastic IP of its own", source.to_string()));
            drop(DROP_INSTANCE_WITHOUT_ELASTIC_IP, icmp(Told::prohibited));
            return {};
        }
    }
    if (tables_.link_broadcasts.contains(dataplane::LinkBroadcast{destination})) {
        step(Stage::route, "", fmt::format("{} is the broadcast address of a link", destination.to_string()));
        drop(DROP_INVALID_ADDRESS);
        return {};
    }
    return open_outwards(number, *route, *place, external);
}

// inner_is_from_router() of bpf/lib/inner.h.
bool Walk::is_from_router() const {
    const auto place = rules_.place_of(zone_, question_.destination.address);
    if (!place) return false;
    const RouteEntry* route = rules_.route_to(place->subnet->route_table, question_.source.address);
    return route != nullptr && route->kind == RouteKind::via;
}

// The same of bpf/lib/inner.h. `towards` is 0.0.0.0 where the host forwards it.
Result<void> Walk::stay_inside(Ipv4Address towards) {
    const auto admitted = check_inner();
    if (!admitted) return tl::unexpected(admitted.error());
    if (!*admitted) return {};
    if (towards != Ipv4Address{}) return relay(towards);
    // The host might give it to another VPC's.
    if (device_ != nullptr && device_->ambiguous) return relay(question_.destination.address);
    pass();
    return {};
}

// check_inner() of bpf/lib/inner.h.
Result<bool> Walk::check_inner() {
    const auto source = rules_.place_of(zone_, question_.source.address);
    const auto destination = rules_.place_of(zone_, question_.destination.address);
    if ((!source || source->groups.empty()) && (!destination || destination->groups.empty())) {
        step(Stage::security_group, "", "neither end has one, which leaves this open");
        return true;
    }
    const dataplane::InnerFlowKey own{zone_, question_.protocol, question_.source, question_.destination};
    const dataplane::InnerFlowKey answered{zone_, question_.protocol, question_.destination,
                                           question_.source};
    for (const dataplane::InnerFlowKey& key : {own, answered}) {
        if (!live_.find_inner_flow) break;
        const auto flow = live_.find_inner_flow(key);
        if (!flow) return tl::unexpected(flow.error());
        const bool is_another = *flow && (*flow)->finished && question_.protocol == Protocol::tcp &&
                                question_.segment == Segment::syn;
        if (!*flow || is_another) continue;
        step(Stage::flow, "",
             fmt::format("the security groups have let {} open one to {}, within the VPC",
                         key.opener.to_string(), key.answerer.to_string()));
        if ((*flow)->generation != live_.generation && !inner_groups_admit(key, false)) {
            drop(DROP_FLOW_CUT);
            return false;
        }
        return true;
    }
    if (inner_groups_admit(own, true)) return true;
    drop(DROP_SECURITY_GROUP, icmp(Told::prohibited));
    return false;
}

// Both ends are asked; what is no instance's has no groups.
bool Walk::inner_groups_admit(const dataplane::InnerFlowKey& flow, bool noted) {
    const auto ends = rules_.inner_ends(flow);
    return std::ranges::all_of(ends, [&](const InnerEnd& end) {
        return noted ? note_groups(end.place, true, end.ends)
                     : rules_.groups_admit(end.place, true, end.ends).admitted;
    });
}

// inner_relay() of bpf/lib/inner.h.
Result<void> Walk::relay(Ipv4Address towards) {
    const bool is_instance = towards == question_.destination.address;
    answer_.verdict = Verdict::forward;
    answer_.translation = Translation{{question_.source.address, question_.source.port},
                                      {question_.destination.address, question_.destination.port}};
    const auto way = find_way(question_.source.address, towards, zone_);
    if (!way) return tl::unexpected(way.error());
    if (!*way || (*way)->resolved) return {};
    if (!is_instance) {
        drop(DROP_NEIGHBOUR_UNREACHABLE, (*way)->unreachable ? icmp(Told::host_unreachable) : Told::nothing);
    } else if ((*way)->elsewhere) {
        drop(DROP_AMBIGUOUS_ROUTE);
    } else {
        answer_.translation.reset();
        pass();
    }
    return {};
}

// wish_flow() and flow_create() of bpf/lib/. `external` is 0.0.0.0 where the NAT gateway is to choose.
Result<void> Walk::open_outwards(std::uint16_t number, const RouteEntry& route, const Place& place,
                                 Ipv4Address external) {
    const NatGatewayEntry* nat = rules_.nat_gateway(number);
    if (nat == nullptr) {
        drop(DROP_INTERNAL_ERROR);
        return {};
    }
    const Ipv4Address chosen_by_configuration = external;
    note_gateway(number, route.kind == RouteKind::untranslated ? "leaves the address as it is"
                         : chosen_by_configuration != Ipv4Address{}
                             ? "translates the instance's own Elastic IP"
                             : "translates it");
    if (!opens()) {
        step(Stage::flow, "", "a TCP segment that is no SYN opens none");
        drop(DROP_TCP_WITHOUT_FLOW, reset());
        return {};
    }
    if (question_.protocol == Protocol::icmp && question_.destination.port != 0) {
        step(Stage::flow, "", "an echo reply opens none");
        drop(DROP_UNSUPPORTED_ICMP);
        return {};
    }
    Ends ends{question_.source, question_.destination, {}, zone_, question_.protocol, false, false};
    if (!note_groups(place, true, ends)) {
        drop(DROP_SECURITY_GROUP, icmp(Told::prohibited));
        return {};
    }
    const bool hairpin = rules_.elastic_ip(question_.destination.address) != nullptr;
    if (hairpin) {
        if (const std::uint32_t refused = hairpin_opening_refusal(number); refused != reason_none) {
            step(Stage::hairpin, names_.elastic_ip(question_.destination.address),
                 refused == DROP_UNSOLICITED ? "nothing answers at this port of an Elastic IP of the gateway"
                                             : "the NAT gateways do not allow it");
            drop(refused);
            return {};
        }
    }
    if (nat->elastic_ips.empty() && external == Ipv4Address{}) {
        step(Stage::elastic_ip, "", "the NAT gateway has none");
        drop(DROP_NAT_GATEWAY_WITHOUT_ELASTIC_IP);
        return {};
    }

    LeavingEndpoint leaving{external, question_.source.port};
    bool is_static = external != Ipv4Address{};
    std::string port_text = "kept";
    if (!is_static && nat->forwards_ports) {
        const auto* forwarded = rules_.forwarded_endpoint(zone_, question_.protocol, question_.source);
        const ElasticIpEntry* bound =
            forwarded == nullptr ? nullptr : rules_.elastic_ip(forwarded->elastic_ip);
        if (bound != nullptr && bound->nat_gateway == number && !bound->draining) {
            is_static = true;
            leaving.address = forwarded->elastic_ip;
            leaving.port = static_cast<std::uint16_t>(forwarded->to_port +
                                                      (question_.source.port - forwarded->first_port));
            port_text = fmt::format("{}, given by the port forward that leads here", *leaving.port);
        }
    }

    const std::size_t protocol = nat_protocol_of(question_.protocol);
    const bool shared_mapping = nat->mapping[protocol] == Rule::endpoint_independent;
    const bool mapped =
        !is_static && (shared_mapping || nat->filtering[protocol] != Rule::address_and_port_dependent);
    const FlowRecord* mapping = mapped && shared_mapping ? mapping_of(zone_, question_.source) : nullptr;
    if (mapping != nullptr) {
        const ElasticIpEntry* bound = rules_.elastic_ip(mapping->external.address);
        if (bound == nullptr || bound->nat_gateway != number) mapping = nullptr;
    }
    const auto refused =
        room_.refusal(number, zone_, question_.source.address, !is_static && mapping == nullptr);
    if (!refused) return tl::unexpected(refused.error());
    const Told exhausted = nat->exhaustion == Exhaustion::not_told ? Told::nothing
                           : nat->exhaustion == Exhaustion::administratively_prohibited
                               ? icmp(Told::prohibited)
                               : icmp(Told::host_unreachable);
    if (*refused != reason_none) {
        drop(*refused, exhausted);
        return {};
    }
    if (mapping != nullptr) {
        leaving = {mapping->external.address, mapping->external.port};
        port_text =
            fmt::format("{}, that of the mapping that {} has", *leaving.port, question_.source.to_string());
        const auto limits = tables_.host_limits.find(number);
        if (nat->limits && limits != tables_.host_limits.end() && limits->second.flows_per_mapping != 0) {
            const auto flows = std::count_if(flows_.begin(), flows_.end(), [&](const FlowRecord& flow) {
                return flow.mapped && flow.zone == zone_ && flow.inside == question_.source;
            });
            if (static_cast<std::uint32_t>(flows) >= limits->second.flows_per_mapping) {
                drop(DROP_MAPPING_FLOW_LIMIT, exhausted);
                return {};
            }
        }
    } else if (!is_static) {
        auto choice = room_.choose_port(question_, number, zone_, mapped);
        if (!choice) return tl::unexpected(choice.error());
        if (!choice->external) {
            step(Stage::port, "", std::move(choice->text));
            drop(DROP_PORT_EXHAUSTED, exhausted);
            return {};
        }
        leaving = *choice->external;
        port_text = std::move(choice->text);
    }
    if (route.kind != RouteKind::untranslated)
        note_elastic_ip(leaving.address,
                        fmt::format("{}{}", leaving.address.to_string(),
                                    chosen_by_configuration != Ipv4Address{} ? ", the instance's own" : ""));
    // A settled endpoint may be in use towards this remote by a flow of another time's configuration.
    if (leaving.port) {
        const FlowRecord* other =
            inward_flow(Endpoint{leaving.address, *leaving.port}, question_.destination);
        if (other != nullptr && (other->zone != zone_ || other->inside != question_.source)) {
            step(Stage::port, "",
                 fmt::format("{} is in use towards this remote by {}", *leaving.port,
                             other->inside.to_string()));
            drop(DROP_PORT_EXHAUSTED, exhausted);
            return {};
        }
    }
    step(Stage::port, "", std::move(port_text));
    return leave(number, leaving, hairpin);
}

// hairpin_refused() of bpf/lib/hairpin.h.
std::uint32_t Walk::hairpin_refusal(std::uint16_t sender, std::uint16_t sender_zone, std::uint16_t receiver,
                                    std::uint16_t receiver_zone) const {
    const NatGatewayEntry* from = rules_.nat_gateway(sender);
    const NatGatewayEntry* to = rules_.nat_gateway(receiver);
    if (from == nullptr || to == nullptr) return DROP_INTERNAL_ERROR;
    const bool same_tenant = from->hairpin_same_tenant || to->hairpin_same_tenant;
    if (!from->hairpin || !to->hairpin || (same_tenant && sender_zone != receiver_zone))
        return DROP_ELASTIC_IP_FROM_INSIDE;
    return reason_none;
}

// hairpin_check_opening() of bpf/lib/hairpin.h.
std::uint32_t Walk::hairpin_opening_refusal(std::uint16_t number) const {
    if (!rules_.nat_gateway(number)->hairpin) return DROP_ELASTIC_IP_FROM_INSIDE;
    const ElasticIpEntry* to = rules_.elastic_ip(question_.destination.address);
    if (to->instance != Ipv4Address{} ||
        (to->forwards_ports && port_forward(question_.destination) != nullptr))
        return reason_none;
    const FlowRecord* receiver = mapping_at(question_.destination);
    if (receiver == nullptr) {
        const FlowRecord* own = mapping_of(zone_, question_.source);
        if (own != nullptr) receiver = inward_flow(question_.destination, own->external);
    }
    if (receiver == nullptr) return DROP_UNSOLICITED;
    return hairpin_refusal(number, zone_, receiver->nat_gateway, receiver->zone);
}

// The packet has a flow outwards that gives it this source.
Result<void> Walk::leave(std::uint16_t number, const LeavingEndpoint& external, bool hairpin) {
    if (!hairpin) {
        return send(external, {question_.destination.address, question_.destination.port}, ZONE_OUTSIDE);
    }
    step(Stage::hairpin, names_.elastic_ip(question_.destination.address),
         fmt::format("an Elastic IP of this gateway: {} turns around", external.to_string()));
    if (external == LeavingEndpoint{question_.destination.address, question_.destination.port}) {
        step(Stage::flow, "", "its own, which leads back to the sender");
        return enter({external, question_.destination, true, zone_, number}, number, question_.source, zone_);
    }
    return from_outside({external, question_.destination, true, zone_, number});
}

Result<void> Walk::from_outside(const Inward& packet) {
    const FlowRecord* flow =
        packet.source.port
            ? inward_flow(packet.destination, Endpoint{packet.source.address, *packet.source.port})
            : nullptr;
    if (flow == nullptr) {
        step(Stage::flow, "", packet.turned ? "there is none inwards" : "there is none");
        return miss_from_outside(packet);
    }
    if (!packet.turned) answer_.flow = *flow;
    note_flow(*flow);
    if (is_cut(*flow, false)) {
        drop(DROP_FLOW_CUT);
        return {};
    }
    if (!packet.turned && flow->hairpin) {
        note_elastic_ip(packet.source.address, "as source of a packet from outside it is forged");
        drop(DROP_ELASTIC_IP_FROM_OUTSIDE);
        return {};
    }
    return enter(packet, flow->nat_gateway, flow->inside, flow->zone);
}

// check_miss_from_outside() of bpf/lib/miss.h.
Result<void> Walk::miss_from_outside(const Inward& packet) {
    const Ipv4Address source = packet.source.address;
    const Ipv4Address destination = packet.destination.address;
    if (is_for_host(packet.destination, false)) {
        pass();
        return {};
    }
    if (is_no_source(source) || is_no_source(destination)) {
        drop(DROP_INVALID_ADDRESS);
        return {};
    }
    const ElasticIpEntry* bound = rules_.elastic_ip(destination);
    if (bound == nullptr) {
        if (is_private(destination)) {
            step(Stage::route, "", "the destination is a prefix of a VPC, which nobody outside can reach");
            drop(DROP_PRIVATE_DESTINATION);
        } else if (device_ != nullptr && device_->role == Role::both && is_private(source)) {
            step(Stage::subnet, "", fmt::format("{} is in no subnet", source.to_string()));
            drop(DROP_SOURCE_NOT_IN_SUBNET);
        } else {
            step(Stage::route, "", "no address of the gateway's: the host does as its own routes say");
            pass();
        }
        return {};
    }
    if (!packet.turned && rules_.elastic_ip(source) != nullptr) {
        note_elastic_ip(source, "as source of a packet from outside it is forged");
        drop(DROP_ELASTIC_IP_FROM_OUTSIDE);
        return {};
    }
    if (bound->instance != Ipv4Address{}) {
        note_elastic_ip(destination, fmt::format("{} has it to itself", bound->instance.to_string()));
        return enter_static(packet, bound->nat_gateway, Endpoint{bound->instance, packet.destination.port},
                            bound->zone);
    }
    if (bound->forwards_ports) {
        if (const auto* forward = port_forward(packet.destination); forward != nullptr) {
            const Endpoint instance{forward->address, forwarded_port(*forward, packet.destination.port)};
            note_elastic_ip(destination, fmt::format("port {} is forwarded to {}", packet.destination.port,
                                                     instance.to_string()));
            return enter_static(packet, bound->nat_gateway, instance, forward->zone);
        }
    }
    note_elastic_ip(destination, "no instance's own, and this port is not forwarded");
    return enter_by_mapping(packet, bound->nat_gateway);
}

// check_inbound_source() of bpf/lib/inbound.h.
bool Walk::source_may_open(const Inward& packet) {
    const Ipv4Address source = packet.source.address;
    if (packet.turned) return true;
    if (source == packet.destination.address || tables_.local_addresses.contains(source)) {
        drop(DROP_INVALID_ADDRESS);
        return false;
    }
    if (is_private(source)) {
        drop(DROP_FILTERED);
        return false;
    }
    return true;
}

// Would the instance's answer leave as it has to?
bool Walk::leads_back(std::uint16_t number, const Ends& ends, Place& place, bool& open) {
    const std::uint32_t refused = rules_.route_refusal(number, ends, place, open);
    if (refused == reason_none) return true;
    step(Stage::route, "",
         fmt::format("what {} sends to {} would not leave by this Elastic IP",
                     ends.instance.address.to_string(), ends.remote.address.to_string()));
    drop(refused);
    return false;
}

// check_inbound_static() of bpf/lib/inbound.h.
Result<void> Walk::enter_static(const Inward& packet, std::uint16_t number, const Endpoint& instance,
                                std::uint16_t zone) {
    const Ipv4Address source = packet.source.address;
    if (!source_may_open(packet)) return {};
    if (!opens() || (question_.protocol == Protocol::icmp && packet.destination.port != 0)) {
        step(Stage::flow, "",
             question_.protocol == Protocol::icmp ? "an echo reply opens none"
                                                  : "a TCP segment that is no SYN opens none");
        drop(DROP_UNSOLICITED);
        return {};
    }
    const Ends ends{instance,
                    Endpoint{source, packet.source.port.value_or(0)},
                    packet.destination,
                    zone,
                    question_.protocol,
                    true,
                    true};
    Place place;
    bool open = false;
    if (!leads_back(number, ends, place, open)) return {};
    note_gateway(number, "leads it inside");
    if (!note_groups(place, open, ends)) {
        drop(DROP_SECURITY_GROUP);
        return {};
    }
    return make_inward_flow(packet, ends, number);
}

// check_inbound() of bpf/lib/inbound.h.
Result<void> Walk::enter_by_mapping(const Inward& packet, std::uint16_t number) {
    const NatGatewayEntry* nat = rules_.nat_gateway(number);
    const FlowRecord* mapping = mapping_at(packet.destination);
    if (nat == nullptr ||
        nat->filtering[nat_protocol_of(question_.protocol)] == Rule::address_and_port_dependent ||
        mapping == nullptr) {
        if (nat != nullptr)
            note_gateway(number, nat->filtering[nat_protocol_of(question_.protocol)] ==
                                         Rule::address_and_port_dependent
                                     ? "lets in only what belongs to a flow"
                                     : "nobody has this port");
        drop(DROP_UNSOLICITED);
        return {};
    }
    const Ipv4Address source = packet.source.address;
    if (!source_may_open(packet)) return {};
    const Endpoint instance = mapping->inside;
    const Ends ends{instance,
                    Endpoint{source, packet.source.port.value_or(0)},
                    packet.destination,
                    mapping->zone,
                    question_.protocol,
                    false,
                    true};
    const auto permitted = [this](Protocol, const Endpoint& external, Ipv4Address remote) {
        return is_permitted(external, remote);
    };
    if (!FlowRules::filter_admits(*nat, ends, permitted)) {
        note_gateway(number, fmt::format("{} has not sent to {} from this port", instance.to_string(),
                                         source.to_string()));
        drop(DROP_FILTERED);
        return {};
    }
    note_gateway(number, fmt::format("the filtering lets it in to {}", instance.to_string()));
    Place place;
    bool open = false;
    if (!leads_back(number, ends, place, open)) return {};
    if (!note_groups(place, open, ends)) {
        drop(DROP_SECURITY_GROUP);
        return {};
    }
    if (!opens()) {
        step(Stage::flow, "", "a TCP segment that is no SYN opens none");
        drop(DROP_UNSOLICITED);
        return {};
    }
    return make_inward_flow(packet, ends, number);
}

// inbound_create() and inbound_created() of bpf/lib/inbound.h. Nobody outside is told of a limit.
Result<void> Walk::make_inward_flow(const Inward& packet, const Ends& ends, std::uint16_t number) {
    const NatGatewayEntry* nat = rules_.nat_gateway(number);
    if (nat == nullptr) {
        drop(DROP_INTERNAL_ERROR);
        return {};
    }
    if (rules_.elastic_ip(packet.destination.address)->draining) {
        note_elastic_ip(packet.destination.address, "is being drained: it takes no new flows");
        drop(DROP_ELASTIC_IP_DRAINING);
        return {};
    }
    const auto refused = room_.refusal(number, ends.zone, ends.instance.address, false);
    if (!refused) return tl::unexpected(refused.error());
    if (*refused != reason_none) {
        drop(*refused);
        return {};
    }
    const auto limits = tables_.host_limits.find(number);
    if (!ends.is_static && nat->limits && limits != tables_.host_limits.end() &&
        limits->second.flows_per_mapping != 0) {
        const auto flows = std::count_if(flows_.begin(), flows_.end(), [&](const FlowRecord& flow) {
            return flow.mapped && flow.external == packet.destination;
        });
        if (static_cast<std::uint32_t>(flows) >= limits->second.flows_per_mapping) {
            drop(DROP_MAPPING_FLOW_LIMIT);
            return {};
        }
    }
    // The instance may have a flow to this very remote by another external port, which its answers will take:
    // a datagram to a mapping is let in all the same.
    const bool elsewhere =
        packet.source.port && outward_flow(ends.zone, ends.instance, ends.remote) != nullptr;
    if (elsewhere && (ends.is_static || question_.protocol == Protocol::tcp)) {
        step(Stage::flow, "", "the instance has one to this remote already, by another external port");
        drop(DROP_UNSOLICITED);
        return {};
    }
    return enter(packet, number, ends.instance, ends.zone);
}

// The packet is let in to an instance.
Result<void> Walk::enter(const Inward& packet, std::uint16_t number, const Endpoint& instance,
                         std::uint16_t zone) {
    if (packet.turned) {
        const std::uint32_t refused =
            hairpin_refusal(packet.sender_gateway, packet.sender_zone, number, zone);
        if (refused != reason_none) {
            step(Stage::hairpin, "", "the NAT gateways do not allow it");
            drop(refused);
            return {};
        }
    }
    return send(packet.source, {instance.address, instance.port}, zone);
}

// `zone` is where the destination is: another VPC may have the same address.
Result<void> Walk::send(const LeavingEndpoint& source, const LeavingEndpoint& destination,
                        std::uint16_t zone) {
    answer_.verdict = Verdict::forward;
    answer_.translation = Translation{source, destination};
    const auto way = find_way(source.address, destination.address, zone);
    if (!way) return tl::unexpected(way.error());
    if (!*way || (*way)->resolved) return {};
    if ((*way)->unreachable) {
        drop(DROP_NEIGHBOUR_UNREACHABLE, icmp(Told::host_unreachable));
    } else if (zone != ZONE_OUTSIDE && (*way)->elsewhere) {
        drop(DROP_AMBIGUOUS_ROUTE);
    }
    return {};
}

// next_hop_ask() of bpf/lib/next_hop.h, which is what answers. Where no way leads there the packet is
// dropped.
Result<std::optional<Way>> Walk::find_way(Ipv4Address source, Ipv4Address destination, std::uint16_t zone) {
    if (device_ == nullptr) {  // nobody asks the host for a packet that cannot come in
        step(Stage::next_hop, "", "as the host's routes say");
        return Way{.resolved = true};
    }
    const auto answer =
        live_.ask_next_hop({device_->ifindex, source, destination, zone != ZONE_OUTSIDE, zone});
    if (!answer)
        return failure_within(fmt::format("ask the host for the way to {}", destination.to_string()),
                              answer.error());
    if (answer->reason != reason_none) {
        step(Stage::next_hop, "",
             fmt::format("{}: {}", destination.to_string(), dataplane::drop_reason_text(answer->reason)));
        drop(answer->reason, told_by(answer->icmp_code));
        return std::nullopt;
    }
    const auto found = tables_.devices.find(answer->device);
    if (found == tables_.devices.end())
        return failure(
            fmt::format("the way to {} leads to a device that is not known", destination.to_string()));
    const DeviceEntry& device = found->second;
    const auto hop = tables_.next_hops.find(dataplane::Neighbour{device.ifindex, answer->towards});
    const dataplane::NextHopEntry known =
        hop == tables_.next_hops.end() ? dataplane::NextHopEntry{} : hop->second;
    const Way way{answer->resolved, !answer->resolved && known.unreachable, answer->elsewhere};
    std::string text = answer->towards == destination
                           ? fmt::format("{} itself", destination.to_string())
                           : fmt::format("the router {}", answer->towards.to_string());
    if (known.resolved) {
        text += ", " + known.destination.to_string();
    } else if (way.unreachable) {
        text += ", which does not answer ARP";
    } else if (!way.resolved) {
        text += ", once the host has resolved it";
    }
    step(Stage::next_hop, device.name, std::move(text));
    return way;
}

Told Walk::told_by(std::optional<std::uint8_t> icmp_code) const {
    constexpr std::uint8_t net_unreachable = 0, host_unreachable = 1, prohibited = 13;
    if (icmp_code == net_unreachable) return icmp(Told::net_unreachable);
    if (icmp_code == host_unreachable) return icmp(Told::host_unreachable);
    if (icmp_code == prohibited) return icmp(Told::prohibited);
    return Told::nothing;
}

}  // namespace

std::string LeavingEndpoint::to_string() const {
    return port ? Endpoint{address, *port}.to_string() : address.to_string();
}

Result<Explanation> explain(const Question& question, const LiveState& live, const Names& names) {
    return Walk(question, live, names).run();
}

}  // namespace sallyport::control

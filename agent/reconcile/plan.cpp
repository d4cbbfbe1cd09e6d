// SPDX-License-Identifier: Apache-2.0
#include "reconcile/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <string_view>

#include "sallyport/abi/flow.h"
#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"

namespace sallyport::reconcile {
namespace {

using dataplane::DeviceEntry;
using dataplane::Exhaustion;
using dataplane::Identifier;
using dataplane::Role;
using dataplane::RouteKind;
using dataplane::Rule;

// The table of subnets that have none, in a VPC without a main one: it knows the VPC's own prefixes only.
// Such tables have no name, so their numbers are made of the zone's, apart from those of named ones.
std::uint32_t implicit_route_table(std::uint32_t zone) {
    return 0x80000000U | zone;
}

Role role_of(model::DeviceRole role) {
    switch (role) {
        case model::DeviceRole::inside:
            return Role::inside;
        case model::DeviceRole::outside:
            return Role::outside;
        case model::DeviceRole::both:
            break;
    }
    return Role::both;
}

// Links of two hosts have no broadcast address (RFC 3021), and lone addresses have no link.
constexpr std::uint8_t prefix_length_with_broadcast = 31;

bool faces_outside(Role role) {
    return role != Role::inside;
}

Rule rule_of(model::EndpointRule rule) {
    switch (rule) {
        case model::EndpointRule::endpoint_independent:
            return Rule::endpoint_independent;
        case model::EndpointRule::address_dependent:
            return Rule::address_dependent;
        case model::EndpointRule::address_and_port_dependent:
            break;
    }
    return Rule::address_and_port_dependent;
}

Exhaustion exhaustion_of(model::IcmpOnExhaustion told) {
    switch (told) {
        case model::IcmpOnExhaustion::administratively_prohibited:
            return Exhaustion::administratively_prohibited;
        case model::IcmpOnExhaustion::none:
            return Exhaustion::not_told;
        case model::IcmpOnExhaustion::host_unreachable:
            break;
    }
    return Exhaustion::host_unreachable;
}

std::array<Rule, NAT_PROTOCOLS> rules_of(const model::PerProtocol& rules) {
    std::array<Rule, NAT_PROTOCOLS> result{};
    result[NAT_TCP] = rule_of(rules.tcp);
    result[NAT_UDP] = rule_of(rules.udp);
    result[NAT_ICMP] = rule_of(rules.icmp);
    return result;
}

std::array<std::chrono::seconds, TIMEOUT_CLASSES> timeouts_of(const model::Timeouts& timeouts) {
    std::array<std::chrono::seconds, TIMEOUT_CLASSES> result{};
    result[TIMEOUT_UDP] = timeouts.udp;
    result[TIMEOUT_ICMP] = timeouts.icmp;
    result[TIMEOUT_TCP_OPENING] = timeouts.tcp_opening;
    result[TIMEOUT_TCP_ESTABLISHED] = timeouts.tcp_established;
    result[TIMEOUT_TCP_CLOSING] = timeouts.tcp_closing;
    result[TIMEOUT_TCP_RESET] = timeouts.tcp_reset;
    return result;
}

dataplane::HostLimits limits_of(const model::Limits& limits) {
    return {.flows = limits.flows_per_host.value_or(0),
            .ports = limits.ports_per_host.value_or(0),
            .new_flows_per_second = limits.new_flows_per_second_per_host.value_or(0),
            .flows_per_mapping = limits.flows_per_mapping.value_or(0)};
}

// Whether the ranges, which are joined, hold every port of this one.
bool hold_all(const std::vector<PortRange>& ranges, const PortRange& ports) {
    return std::ranges::any_of(ranges, [&](const PortRange& range) {
        return range.first <= ports.first && ports.last <= range.last;
    });
}

// Types and codes of messages are to ICMP what ports are to other protocols.
PortRange icmp_messages(IcmpType type, std::optional<std::uint32_t> code) {
    constexpr std::uint32_t codes = 256;
    const std::uint32_t first = type.number * codes + code.value_or(0);
    const std::uint32_t last = type.number * codes + code.value_or(codes - 1);
    return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

class Planner {
  public:
    Planner(const model::DesiredState& desired, const NetworkView& view, const Identifiers& identifiers,
            const std::set<std::string>& draining, const netlink::HostPorts& host_ports)
        : desired_(desired),
          view_(view),
          identifiers_(identifiers),
          draining_(draining),
          of_host_(host_ports) {}

    Plan make() {
        plan_.tables.identifiers = identifiers_.all();
        plan_.tables.gateway.unanswered_capacity =
            desired_.gateway.unanswered_flow_capacity.value_or(desired_.gateway.flow_capacity / 2);
        devices();
        vpcs();
        route_tables();
        subnets();
        security_groups();
        nat_gateways();
        internet_gateways();
        port_forwards();
        elastic_ips();
        host_ports();
        instances();
        local_addresses();
        next_hops();
        wanted_neighbours();
        return std::move(plan_);
    }

  private:
    std::uint32_t zone(std::string_view vpc) const { return identifiers_.at(IDENTIFIER_VPC, vpc); }

    void devices() {
        for (const model::Device& device : desired_.gateway.devices) {
            const netlink::Link* link = view_.link(device.device);
            if (link == nullptr) {
                plan_.missing_devices.push_back(device.device);
                continue;
            }
            if (device.role == model::DeviceRole::outside) {
                if (auto conflict = conflict_with_inside(device.device, link->ifindex)) {
                    plan_.refused_devices.emplace(device.device, *std::move(conflict));
                    continue;
                }
            }
            if (auto vlan = vlan_on(link->ifindex)) {
                plan_.refused_devices.emplace(
                    device.device,
                    fmt::format("{0} is a VLAN of {1}, whose program would take the packets of all "
                                "VLANs for its own: {1} is not used",
                                *vlan, device.device));
                continue;
            }
            DeviceEntry entry;
            entry.name = device.device;
            entry.ifindex = link->ifindex;
            entry.role = role_of(device.role);
            entry.mac = link->mac;
            entry.mtu = static_cast<std::uint16_t>(
                std::min<std::uint32_t>(link->mtu, std::numeric_limits<std::uint16_t>::max()));
            entry.zone = device.role == model::DeviceRole::outside || device.vpc.empty()
                             ? std::uint16_t{ZONE_OUTSIDE}
                             : static_cast<std::uint16_t>(zone(device.vpc));
            entry.address = device.icmp_errors ? own_address(link->ifindex) : Ipv4Address();
            entry.replies_per_second = desired_.gateway.reply_rate_limit;
            entry.ambiguous = entry.role != Role::outside && (overlaps(device.vpc) || is_of_vrf(*link));
            const auto slot = static_cast<std::uint8_t>(identifiers_.at(IDENTIFIER_DEVICE, device.device));
            plan_.attach.push_back({slot, entry.name, entry.ifindex, entry.role});
            plan_.tables.devices.emplace(slot, std::move(entry));
        }
    }

    // Whether another VPC has addresses of this one's.
    bool overlaps(std::string_view name) const {
        const auto vpc = std::ranges::find(desired_.vpcs, name, &model::Vpc::name);
        return vpc != desired_.vpcs.end() && std::ranges::any_of(desired_.vpcs, [&](const model::Vpc& other) {
                   return other.name != name && std::ranges::any_of(other.cidrs, [&](const Ipv4Prefix& cidr) {
                              return std::ranges::any_of(
                                  vpc->cidrs, [&](const Ipv4Prefix& own) { return own.overlaps(cidr); });
                          });
               });
    }

    // Then its routes are not looked at for what comes from outside.
    bool is_of_vrf(const netlink::Link& link) const {
        const netlink::Link* master = link.master == 0 ? nullptr : view_.link(link.master);
        return master != nullptr && master->kind == "vrf";
    }

    // A device of the gateway that is a VLAN of the one with this index. Its packets come by there first.
    std::optional<std::string> vlan_on(std::uint32_t trunk) const {
        for (const model::Device& device : desired_.gateway.devices) {
            const netlink::Link* link = view_.link(device.device);
            // VLANs of VLANs as well, as deep as tags are parsed.
            for (int level = 0; link != nullptr && level < VLAN_TAGS_MAX; ++level) {
                if (link->trunk == 0) break;
                if (link->trunk == trunk) return device.device;
                link = view_.link(link->trunk);
            }
        }
        return std::nullopt;
    }

    // RFC 4787 REQ-7: an outside that has the addresses of the inside, because somebody's DHCP gave it them,
    // draws to itself what the kernel is to send to instances.
    std::optional<std::string> conflict_with_inside(const std::string& name, std::uint32_t ifindex) const {
        for (const netlink::InterfaceAddress& address : view_.addresses()) {
            if (address.ifindex != ifindex) continue;
            const Ipv4Prefix outside(address.address, address.prefix_length);
            for (const model::Subnet& subnet : desired_.subnets) {
                if (!subnet.cidr.contains(outside)) continue;
                return fmt::format(
                    "{} of {} lies in {} of subnet {}: addresses inside and outside conflict, and "
                    "the device is not used",
                    outside.to_string(), name, subnet.cidr.to_string(), subnet.name);
            }
        }
        return std::nullopt;
    }

    // The address that the host speaks with on a device: one with a subnet rather than one without, which
    // may be an Elastic IP that somebody gave to the host.
    Ipv4Address own_address(std::uint32_t ifindex) const {
        Ipv4Address lone;
        for (const netlink::InterfaceAddress& address : view_.addresses()) {
            if (address.ifindex != ifindex) continue;
            if (address.prefix_length < 32) return address.address;
            if (lone == Ipv4Address()) lone = address.address;
        }
        return lone;
    }

    void vpcs() {
        for (const model::Vpc& vpc : desired_.vpcs) {
            for (const Ipv4Prefix& cidr : vpc.cidrs) {
                plan_.tables.private_prefixes.insert(cidr);
                plan_.tables.routes[{implicit_route_table(zone(vpc.name)), cidr}] = {RouteKind::local, 0};
                if (serves(vpc.name, cidr)) plan_.routes.insert(guard_route(cidr));
            }
        }
    }

    // Keeps what is addressed to a private prefix from leaving by the default route when nothing better is
    // known (docs/decisions/0002-kernel-routes.md).
    static netlink::KernelRoute guard_route(const Ipv4Prefix& cidr) {
        netlink::KernelRoute guard;
        guard.destination = cidr;
        guard.type = netlink::RouteType::blackhole;
        guard.metric = guard_route_metric;
        return guard;
    }

    // Whether the host itself stands in the prefix, with an address on a device of the VPC. Where it does
    // not, the operator routes the prefix to somewhere, and a guard might take precedence over that.
    bool serves(std::string_view vpc, const Ipv4Prefix& cidr) const {
        return std::ranges::any_of(plan_.tables.devices, [&](const auto& element) {
            const DeviceEntry& device = element.second;
            return device.role != Role::outside && device.zone == zone(vpc) &&
                   stands_in(device.ifindex, cidr);
        });
    }

    bool stands_in(std::uint32_t ifindex, const Ipv4Prefix& prefix) const {
        return std::ranges::any_of(view_.addresses(), [&](const netlink::InterfaceAddress& address) {
            return address.ifindex == ifindex && prefix.contains(address.address);
        });
    }

    void route_tables() {
        for (const model::RouteTable& table : desired_.route_tables) {
            const std::uint32_t number = identifiers_.at(IDENTIFIER_ROUTE_TABLE, table.name);
            for (const model::Route& route : table.routes) {
                plan_.tables.routes[{number, route.destination}] = route_entry(route);
            }
            untranslated_routes(table, number);
            // The VPC's own prefixes last: nothing takes their place.
            for (const model::Vpc& vpc : desired_.vpcs) {
                if (vpc.name != table.vpc) continue;
                for (const Ipv4Prefix& cidr : vpc.cidrs) {
                    plan_.tables.routes[{number, cidr}] = {RouteKind::local, 0};
                }
            }
        }
    }

    // Destinations that a NAT gateway does not translate are routes of their own: where the table's own route
    // to them is that NAT gateway's, and to it alone.
    void untranslated_routes(const model::RouteTable& table, std::uint32_t number) {
        for (const model::NatGateway& gateway : desired_.nat_gateways) {
            const dataplane::RouteEntry to_gateway = route_entry({{}, model::ToNatGateway{gateway.name}});
            const dataplane::RouteEntry untranslated{RouteKind::untranslated, to_gateway.index};
            for (const Ipv4Prefix& prefix : gateway.no_translation) {
                const model::Route* route = route_to(table, prefix);
                if (route != nullptr && route_entry(*route) == to_gateway) {
                    plan_.tables.routes[{number, prefix}] = untranslated;
                }
                for (const model::Route& within : table.routes) {
                    if (prefix.contains(within.destination) && route_entry(within) == to_gateway) {
                        plan_.tables.routes[{number, within.destination}] = untranslated;
                    }
                }
            }
        }
    }

    // The route that a prefix as a whole takes, or nullptr.
    static const model::Route* route_to(const model::RouteTable& table, const Ipv4Prefix& prefix) {
        const model::Route* best = nullptr;
        for (const model::Route& route : table.routes) {
            if (!route.destination.contains(prefix)) continue;
            if (best == nullptr || best->destination.length() < route.destination.length()) best = &route;
        }
        return best;
    }

    dataplane::RouteEntry route_entry(const model::Route& route) const {
        if (const auto* to = std::get_if<model::ToNatGateway>(&route.target)) {
            const auto number = identifiers_.at(IDENTIFIER_NAT_GATEWAY, to->name);
            return {RouteKind::nat_gateway, static_cast<std::uint16_t>(number)};
        }
        if (const auto* to = std::get_if<model::ToInternetGateway>(&route.target)) {
            const auto number = identifiers_.at(IDENTIFIER_INTERNET_GATEWAY, to->name);
            return {RouteKind::internet_gateway, static_cast<std::uint16_t>(number)};
        }
        if (const auto* to = std::get_if<model::Via>(&route.target)) return {RouteKind::via, 0, to->address};
        return {RouteKind::blackhole, 0};
    }

    void subnets() {
        std::map<std::string_view, std::uint32_t> main_table;  // by VPC
        for (const model::RouteTable& table : desired_.route_tables) {
            if (table.main) main_table[table.vpc] = identifiers_.at(IDENTIFIER_ROUTE_TABLE, table.name);
        }
        for (const model::Subnet& subnet : desired_.subnets) {
            const std::uint32_t its_zone = zone(subnet.vpc);
            dataplane::SubnetEntry entry;
            entry.subnet = identifiers_.at(IDENTIFIER_SUBNET, subnet.name);
            if (!subnet.route_table.empty()) {
                entry.route_table = identifiers_.at(IDENTIFIER_ROUTE_TABLE, subnet.route_table);
            } else if (const auto main = main_table.find(subnet.vpc); main != main_table.end()) {
                entry.route_table = main->second;
            } else {
                entry.route_table = implicit_route_table(its_zone);
            }
            entry.security_groups = group_numbers(subnet.security_groups);
            plan_.tables.subnets[{its_zone, subnet.cidr}] = entry;
        }
    }

    dataplane::SecurityGroupNumbers group_numbers(const std::vector<std::string>& names) const {
        dataplane::SecurityGroupNumbers numbers;
        for (const std::string& name : names) {
            numbers.push_back(static_cast<std::uint16_t>(identifiers_.at(IDENTIFIER_SECURITY_GROUP, name)));
        }
        std::ranges::sort(numbers);
        return numbers;
    }

    void security_groups() {
        for (const model::SecurityGroup& group : desired_.security_groups) {
            dataplane::SecurityGroupEntry entry;
            entry.ingress = security_rules_of(group.ingress);
            entry.egress = group.egress ? security_rules_of(*group.egress)
                                        : std::vector<dataplane::SecurityRule>{dataplane::SecurityRule{}};
            plan_.tables.security_groups.emplace(
                static_cast<std::uint16_t>(identifiers_.at(IDENTIFIER_SECURITY_GROUP, group.name)),
                std::move(entry));
        }
    }

    std::vector<dataplane::SecurityRule> security_rules_of(
        const std::vector<model::SecurityGroupRule>& rules) const {
        std::vector<dataplane::SecurityRule> result;
        for (const model::SecurityGroupRule& rule : rules) {
            dataplane::SecurityRule entry;
            if (rule.protocol) entry.protocol = static_cast<std::uint8_t>(*rule.protocol);
            if (rule.ports) entry.ports = *rule.ports;
            if (rule.icmp_type) entry.ports = icmp_messages(*rule.icmp_type, rule.icmp_code);
            if (const auto* remote = std::get_if<Ipv4Prefix>(&rule.peer)) {
                entry.remote = *remote;
            } else {
                entry.remote_group = static_cast<std::uint16_t>(
                    identifiers_.at(IDENTIFIER_SECURITY_GROUP, std::get<std::string>(rule.peer)));
            }
            result.push_back(entry);
        }
        return result;
    }

    void nat_gateways() {
        std::map<std::string_view, Ipv4Address> address_of;
        for (const model::ElasticIp& elastic_ip : desired_.elastic_ips) {
            address_of[elastic_ip.name] = elastic_ip.address;
        }
        for (const model::NatGateway& gateway : desired_.nat_gateways) {
            const auto number =
                static_cast<std::uint16_t>(identifiers_.at(IDENTIFIER_NAT_GATEWAY, gateway.name));
            dataplane::NatGatewayEntry entry;
            for (const std::string& name : gateway.elastic_ips) {
                const auto address = address_of.find(name);
                if (address == address_of.end()) continue;
                if (draining_.contains(name)) {  // its flows stay those of this NAT gateway
                    owner_[address->second] = number;
                    continue;
                }
                if (entry.elastic_ips.size() == NAT_GATEWAY_ELASTIC_IPS_MAX) {
                    plan_.warnings.push_back(
                        fmt::format("NAT gateway {} uses the first {} of its Elastic IPs only", gateway.name,
                                    NAT_GATEWAY_ELASTIC_IPS_MAX));
                    break;
                }
                entry.elastic_ips.push_back(address->second);
                owner_[address->second] = number;
            }
            entry.ports = gateway.port_range;
            entry.timeouts = timeouts_of(gateway.timeouts);
            entry.mapping = rules_of(gateway.mapping);
            entry.filtering = rules_of(gateway.filtering);
            entry.port_quarantine = gateway.port_quarantine;
            entry.port_quarantine_max = gateway.port_quarantine_max;
            if (const auto& blocks = gateway.port_blocks; blocks.size) {
                entry.port_block_size = static_cast<std::uint16_t>(*blocks.size);
                entry.port_blocks_per_host = static_cast<std::uint16_t>(blocks.blocks_per_host);
                entry.port_block_hold = blocks.hold;
            }
            entry.strict_pairing = gateway.pairing == model::Pairing::strict;
            entry.hairpin = gateway.hairpin != model::Hairpin::off;
            entry.hairpin_same_tenant = gateway.hairpin == model::Hairpin::same_tenant;
            entry.clamp_mss = gateway.tcp_mss_clamp;
            entry.exhaustion = exhaustion_of(gateway.icmp_on_exhaustion);
            entry.lenient_quotes = gateway.icmp_quote_checksum == model::IcmpQuoteChecksum::lenient;
            entry.reset_on_idle = gateway.tcp_reset_on_idle_timeout;
            entry.preserve_port = gateway.preserve_port;
            entry.preserve_parity = gateway.preserve_parity;
            entry.preserve_range = gateway.preserve_range;
            entry.reserves_ports = !gateway.reserved_ports.empty();
            if (entry.reserves_ports) {
                plan_.tables.reserved_ports.emplace(number,
                                                    dataplane::ReservedPorts{joined(gateway.reserved_ports)});
            }
            const dataplane::HostLimits limits = limits_of(gateway.limits);
            entry.limits = limits != dataplane::HostLimits{};
            if (entry.limits) plan_.tables.host_limits.emplace(number, limits);
            plan_.tables.nat_gateways.emplace(number, std::move(entry));
        }
    }

    // Timers and counters like a NAT gateway's; which external address and port a flow has is settled.
    void internet_gateways() {
        for (const model::InternetGateway& gateway : desired_.internet_gateways) {
            const auto number =
                static_cast<std::uint16_t>(identifiers_.at(IDENTIFIER_INTERNET_GATEWAY, gateway.name));
            internet_gateway_of_.emplace(gateway.vpc, number);
            dataplane::NatGatewayEntry entry;
            entry.timeouts = timeouts_of({});
            entry.mapping = rules_of({});
            entry.filtering = rules_of({});
            plan_.tables.nat_gateways.emplace(number, std::move(entry));
        }
    }

    void port_forwards() {
        std::map<std::string_view, const model::ElasticIp*> elastic_ip_of;
        for (const model::ElasticIp& elastic_ip : desired_.elastic_ips)
            elastic_ip_of[elastic_ip.name] = &elastic_ip;
        std::map<std::string_view, std::string_view> vpc_of;  // by Elastic IP of a NAT gateway
        for (const model::NatGateway& gateway : desired_.nat_gateways) {
            for (const std::string& elastic_ip : gateway.elastic_ips) vpc_of[elastic_ip] = gateway.vpc;
        }
        for (const model::PortForward& forward : desired_.port_forwards) {
            const model::ElasticIp& elastic_ip = *elastic_ip_of.at(forward.elastic_ip);
            const Ipv4Address address = elastic_ip.address;
            if (elastic_ip.shared_with_host) {
                // The host's servers come first: a forward over the operator's SSH session would end it.
                if (const auto port = of_host_.first_bound(address, forward.port)) {
                    plan_.warnings.push_back(fmt::format(
                        "port forward {} is not in force: the host, which shares Elastic IP {}, uses port {} "
                        "itself; take another port, or stop what has it there",
                        forward.name, elastic_ip.name, *port));
                    continue;
                }
                if (may_become_the_hosts(forward.port)) {
                    plan_.warnings.push_back(fmt::format(
                        "port forward {} is among the ports {} that the host takes for its own connections, "
                        "and shares Elastic IP {} with it: add {} to the sysctl "
                        "net.ipv4.ip_local_reserved_ports",
                        forward.name, of_host_.ephemeral.to_string(), elastic_ip.name,
                        forward.port.to_string()));
                }
            }
            const dataplane::PortForwardEntry entry{
                .address = forward.to_address,
                .zone = static_cast<std::uint16_t>(zone(vpc_of.at(forward.elastic_ip))),
                .first_port = forward.port.first,
                .to_port = forward.to_port};
            for (const PortPrefix& ports : forward.port.prefixes()) {
                plan_.tables.port_forwards[{address, static_cast<std::uint8_t>(forward.protocol), ports.port,
                                            ports.length}] = entry;
            }
            forwarding_.insert(address);
            if (const auto owner = owner_.find(address); owner != owner_.end())
                plan_.tables.nat_gateways.at(owner->second).forwards_ports = true;
            forwarded_endpoints(forward, address, entry.zone);
        }
    }

    // The kernel may give it to a connection of the host.
    bool may_become_the_hosts(const PortRange& ports) const {
        return ports.first <= of_host_.ephemeral.last && of_host_.ephemeral.first <= ports.last &&
               !hold_all(joined(of_host_.reserved), ports);
    }

    // Of two forwards that lead to the same endpoint it leaves by the first.
    void forwarded_endpoints(const model::PortForward& forward, Ipv4Address elastic_ip, std::uint16_t zone) {
        const PortRange inside{forward.to_port,
                               static_cast<std::uint16_t>(forward.to_port + forward.port.size() - 1)};
        for (const PortPrefix& ports : inside.prefixes()) {
            plan_.tables.forwarded_endpoints.try_emplace(
                {zone, forward.to_address, static_cast<std::uint8_t>(forward.protocol), ports.port,
                 ports.length},
                dataplane::ForwardedEndpointEntry{elastic_ip, forward.to_port, forward.port.first});
        }
    }

    // Instances that have an Elastic IP or security groups of their own.
    void instances() {
        std::map<std::string_view, const model::Subnet*> subnets;
        for (const model::Subnet& subnet : desired_.subnets) subnets[subnet.name] = &subnet;
        std::map<std::string_view, Ipv4Address> elastic_ip_of;
        for (const model::ElasticIp& elastic_ip : desired_.elastic_ips) {
            if (!elastic_ip.instance.empty()) elastic_ip_of[elastic_ip.instance] = elastic_ip.address;
        }
        for (const model::Instance& instance : desired_.instances) {
            const auto elastic_ip = elastic_ip_of.find(instance.name);
            if (elastic_ip == elastic_ip_of.end() && instance.security_groups.empty()) continue;
            const model::Subnet& subnet = *subnets.at(instance.subnet);
            dataplane::InstanceEntry entry;
            if (elastic_ip != elastic_ip_of.end()) entry.elastic_ip = elastic_ip->second;
            entry.security_groups = group_numbers(
                instance.security_groups.empty() ? subnet.security_groups : instance.security_groups);
            const dataplane::ZoneAddress place{zone(subnet.vpc), instance.address};
            plan_.tables.subnets.at({place.zone, subnet.cidr}).has_instances = true;
            plan_.tables.instances.emplace(place, entry);
            if (elastic_ip == elastic_ip_of.end()) continue;
            dataplane::ElasticIpEntry& own = plan_.tables.elastic_ips.at(elastic_ip->second);
            own.instance = instance.address;
            own.zone = static_cast<std::uint16_t>(place.zone);
            if (const auto gateway = internet_gateway_of_.find(subnet.vpc);
                gateway != internet_gateway_of_.end()) {
                own.nat_gateway = gateway->second;
            }
        }
    }

    void elastic_ips() {
        const std::vector<OnLink> subnets = outside_subnets();
        for (const model::ElasticIp& elastic_ip : desired_.elastic_ips) {
            dataplane::ElasticIpEntry entry;
            entry.identifier = identifiers_.at(IDENTIFIER_ELASTIC_IP, elastic_ip.name);
            if (const auto owner = owner_.find(elastic_ip.address); owner != owner_.end()) {
                entry.nat_gateway = owner->second;
            }
            const auto on_link = std::ranges::find_if(
                subnets, [&](const OnLink& on) { return on.prefix.contains(elastic_ip.address); });
            if (on_link != subnets.end()) entry.on_link_device = on_link->slot;
            entry.forwards_ports = forwarding_.contains(elastic_ip.address);
            entry.draining = draining_.contains(elastic_ip.name);
            entry.shared_with_host = elastic_ip.shared_with_host;
            plan_.tables.elastic_ips.emplace(elastic_ip.address, entry);
        }
    }

    // Which ports are the host's on each Elastic IP that it shares. They are kept for it as soon as it is
    // said that it will have the address, so that no flow has them by then.
    void host_ports() {
        for (const model::ElasticIp& elastic_ip : desired_.elastic_ips) {
            if (!elastic_ip.shared_with_host) continue;
            const model::NatGateway* gateway = nullptr;
            for (const model::NatGateway& candidate : desired_.nat_gateways) {
                if (std::ranges::find(candidate.elastic_ips, elastic_ip.name) != candidate.elastic_ips.end())
                    gateway = &candidate;
            }
            dataplane::HostPorts ports{of_host_.on(elastic_ip.address), {}};
            if (gateway != nullptr) {
                ports.blocks = blocks_without(ports.ranges, *gateway);
                if (hold_all(ports.ranges, gateway->port_range)) {
                    plan_.warnings.push_back(fmt::format(
                        "NAT gateway {} has no port of Elastic IP {}: all of {} are the host's, which shares "
                        "the address",
                        gateway->name, elastic_ip.name, gateway->port_range.to_string()));
                }
            }
            plan_.tables.host_ports.emplace(elastic_ip.address, std::move(ports));
        }
    }

    // Port blocks of the NAT gateway of which no instance would get a port.
    static std::vector<std::uint16_t> blocks_without(std::vector<PortRange> ranges,
                                                     const model::NatGateway& gateway) {
        std::vector<std::uint16_t> blocks;
        if (!gateway.port_blocks.size) return blocks;
        ranges.insert(ranges.end(), gateway.reserved_ports.begin(), gateway.reserved_ports.end());
        ranges = joined(std::move(ranges));
        const std::uint32_t size = *gateway.port_blocks.size;
        for (std::uint32_t first = gateway.port_range.first / size * size; first <= gateway.port_range.last;
             first += size) {
            const PortRange given{std::max(static_cast<std::uint16_t>(first), gateway.port_range.first),
                                  static_cast<std::uint16_t>(
                                      std::min<std::uint32_t>(first + size - 1, gateway.port_range.last))};
            if (hold_all(ranges, given)) blocks.push_back(static_cast<std::uint16_t>(first));
        }
        return blocks;
    }

    struct OnLink {
        Ipv4Prefix prefix;
        std::uint8_t slot;
    };

    // Subnets that the host is in on the outside, the most specific first.
    std::vector<OnLink> outside_subnets() const {
        std::vector<OnLink> subnets;
        for (const netlink::InterfaceAddress& address : view_.addresses()) {
            if (address.prefix_length == 32) continue;
            for (const auto& [slot, device] : plan_.tables.devices) {
                if (device.ifindex != address.ifindex || !faces_outside(device.role)) continue;
                subnets.push_back({Ipv4Prefix(address.address, address.prefix_length), slot});
            }
        }
        std::ranges::stable_sort(subnets, std::greater<>(),
                                 [](const OnLink& on) { return on.prefix.length(); });
        return subnets;
    }

    void local_addresses() {
        for (const netlink::InterfaceAddress& address : view_.addresses()) {
            plan_.tables.local_addresses.insert(address.address);
            if (address.prefix_length < prefix_length_with_broadcast)
                plan_.tables.link_broadcasts.insert({broadcast_of(address)});
        }
        for (const Ipv4Address& own : plan_.tables.local_addresses) plan_.tables.link_broadcasts.erase({own});
    }

    static Ipv4Address broadcast_of(const netlink::InterfaceAddress& address) {
        return Ipv4Address(address.address.value() | 0xffffffffU >> address.prefix_length);
    }

    void next_hops() {
        for (const auto& [key, neighbour] : view_.neighbours()) {
            if (auto hop = next_hop_of(neighbour, plan_.tables.devices))
                plan_.tables.next_hops.emplace(key, *hop);
        }
    }

    // What no packet is left to the kernel for, so that nothing else has it resolved: routers that routes
    // lead to, and, where the host's routes cannot be trusted, instances that the configuration leads
    // something to.
    void wanted_neighbours() {
        for (const model::RouteTable& table : desired_.route_tables) {
            for (const model::Route& route : table.routes) {
                if (const auto* via = std::get_if<model::Via>(&route.target))
                    want(zone(table.vpc), via->address, false);
            }
        }
        for (const auto& [key, forward] : plan_.tables.port_forwards)
            want(forward.zone, forward.address, true);
        for (const auto& [address, elastic_ip] : plan_.tables.elastic_ips) {
            if (elastic_ip.instance != Ipv4Address()) want(elastic_ip.zone, elastic_ip.instance, true);
        }
    }

    // On a device of the zone, where the host has an address of their link.
    void want(std::uint32_t zone, Ipv4Address neighbour, bool only_where_ambiguous) {
        for (const auto& [slot, device] : plan_.tables.devices) {
            if (device.role == Role::outside || device.zone != zone) continue;
            if ((device.ambiguous || !only_where_ambiguous) && has_on_link(device.ifindex, neighbour))
                plan_.wanted_neighbours.insert({device.ifindex, neighbour});
        }
    }

    bool has_on_link(std::uint32_t ifindex, Ipv4Address neighbour) const {
        return std::ranges::any_of(view_.addresses(), [&](const netlink::InterfaceAddress& address) {
            return address.ifindex == ifindex &&
                   Ipv4Prefix(address.address, address.prefix_length).contains(neighbour);
        });
    }

    const model::DesiredState& desired_;
    const NetworkView& view_;
    const Identifiers& identifiers_;
    const std::set<std::string>& draining_;
    const netlink::HostPorts& of_host_;
    std::map<Ipv4Address, std::uint16_t> owner_;                     // NAT gateway of an Elastic IP
    std::map<std::string_view, std::uint16_t> internet_gateway_of_;  // by VPC
    std::set<Ipv4Address> forwarding_;                               // Elastic IPs that have port forwards
    Plan plan_;
};

}  // namespace

std::set<Identifier> names_of(const model::DesiredState& desired) {
    std::set<Identifier> names;
    for (const auto& device : desired.gateway.devices) names.insert({IDENTIFIER_DEVICE, device.device});
    for (const auto& vpc : desired.vpcs) names.insert({IDENTIFIER_VPC, vpc.name});
    for (const auto& subnet : desired.subnets) names.insert({IDENTIFIER_SUBNET, subnet.name});
    for (const auto& table : desired.route_tables) names.insert({IDENTIFIER_ROUTE_TABLE, table.name});
    for (const auto& gateway : desired.nat_gateways) names.insert({IDENTIFIER_NAT_GATEWAY, gateway.name});
    for (const auto& gateway : desired.internet_gateways)
        names.insert({IDENTIFIER_INTERNET_GATEWAY, gateway.name});
    for (const auto& group : desired.security_groups) names.insert({IDENTIFIER_SECURITY_GROUP, group.name});
    for (const auto& elastic_ip : desired.elastic_ips) names.insert({IDENTIFIER_ELASTIC_IP, elastic_ip.name});
    return names;
}

Plan make_plan(const model::DesiredState& desired, const NetworkView& view, const Identifiers& identifiers,
               const std::set<std::string>& draining, const netlink::HostPorts& host_ports) {
    return Planner(desired, view, identifiers, draining, host_ports).make();
}

// Next hops are none of it: a flow holds their number. Nor are the host's ports: a flow that has one goes on,
// and servers come and go. Reserved ports are for the sake of what is known of ports that are not to be had.
bool same_to_flows(const dataplane::ForwardingTables& a, const dataplane::ForwardingTables& b) {
    return a.devices == b.devices && a.subnets == b.subnets && a.routes == b.routes &&
           a.private_prefixes == b.private_prefixes && a.nat_gateways == b.nat_gateways &&
           a.elastic_ips == b.elastic_ips && a.local_addresses == b.local_addresses &&
           a.link_broadcasts == b.link_broadcasts && a.instances == b.instances &&
           a.security_groups == b.security_groups && a.port_forwards == b.port_forwards &&
           a.forwarded_endpoints == b.forwarded_endpoints && a.reserved_ports == b.reserved_ports;
}

std::optional<dataplane::NextHopEntry> next_hop_of(const netlink::NeighbourEntry& neighbour,
                                                   const std::map<std::uint8_t, DeviceEntry>& devices) {
    // Groups have the lowest bit of the first byte set; the kernel lists them as neighbours, too.
    const bool is_station = neighbour.mac != MacAddress() && (neighbour.mac.bytes()[0] & 1) == 0;
    const bool failed = neighbour.state == netlink::NeighbourState::failed;
    if (!failed && (!neighbour.usable() || !is_station)) return std::nullopt;
    const auto device = std::find_if(devices.begin(), devices.end(), [&](const auto& element) {
        return element.second.ifindex == neighbour.ifindex;
    });
    if (device == devices.end()) return std::nullopt;
    dataplane::NextHopEntry hop;
    hop.device = device->first;
    hop.mtu = device->second.mtu;
    hop.resolved = !failed;
    hop.unreachable = failed;
    if (!failed) hop.destination = neighbour.mac;
    hop.source = device->second.mac;
    return hop;
}

}  // namespace sallyport::reconcile

// SPDX-License-Identifier: Apache-2.0
#include "dataplane/codec.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <limits>

namespace sallyport::dataplane {
namespace {

constexpr std::uint64_t nanoseconds_per_second = 1'000'000'000;
constexpr std::uint64_t timeout_margin = 2;

void copy_mac(std::uint8_t (&to)[6], const MacAddress& from) {
    std::copy(from.bytes().begin(), from.bytes().end(), to);
}

MacAddress mac_from(const std::uint8_t (&from)[6]) {
    std::array<std::uint8_t, 6> bytes{};
    std::copy(std::begin(from), std::end(from), bytes.begin());
    return MacAddress(bytes);
}

security_group_list encode_groups(const SecurityGroupNumbers& numbers) {
    security_group_list list{};
    for (const std::uint16_t number : numbers) {
        if (list.count == SECURITY_GROUPS_PER_INSTANCE_MAX) break;
        list.number[list.count++] = number;
    }
    return list;
}

SecurityGroupNumbers decode_groups(const security_group_list& list) {
    const auto count = std::min<std::uint16_t>(list.count, SECURITY_GROUPS_PER_INSTANCE_MAX);
    return {std::begin(list.number), std::begin(list.number) + count};
}

security_rule encode_rule(const SecurityRule& rule) {
    security_rule value{};
    value.remote = rule.remote.address().to_network();
    value.mask = rule.remote.length() == 0 ? 0 : htonl(~std::uint32_t{0} << (32 - rule.remote.length()));
    value.first_port = rule.ports.first;
    value.last_port = rule.ports.last;
    value.protocol = rule.protocol;
    value.remote_group = rule.remote_group;
    return value;
}

SecurityRule decode_rule(const security_rule& value) {
    const auto length = static_cast<std::uint8_t>(std::popcount(value.mask));
    return {value.protocol, PortRange{value.first_port, value.last_port},
            Ipv4Prefix(Ipv4Address::from_network(value.remote), length), value.remote_group};
}

// Writes rules into one of a group's arrays; returns how many there are.
std::uint16_t encode_rules(const std::vector<SecurityRule>& rules,
                           security_rule (&to)[SECURITY_GROUP_RULES_MAX]) {
    std::uint16_t count = 0;
    for (const SecurityRule& rule : rules) {
        if (count == SECURITY_GROUP_RULES_MAX) break;
        to[count++] = encode_rule(rule);
    }
    return count;
}

std::vector<SecurityRule> decode_rules(std::uint16_t count,
                                       const security_rule (&from)[SECURITY_GROUP_RULES_MAX]) {
    std::vector<SecurityRule> rules;
    for (std::uint16_t i = 0; i < std::min<std::uint16_t>(count, SECURITY_GROUP_RULES_MAX); ++i)
        rules.push_back(decode_rule(from[i]));
    return rules;
}

void encode_ports(const std::vector<PortRange>& ranges, decltype(port_mask::word)& words) {
    for (const PortRange& range : ranges) {
        for (std::uint32_t port = range.first; port <= range.last; ++port) {
            words[port / 64] |= std::uint64_t{1} << (port % 64);
        }
    }
}

std::vector<PortRange> decode_ports(const decltype(port_mask::word)& words) {
    std::vector<PortRange> ranges;
    std::uint32_t first = 0;
    bool within = false;
    for (std::uint32_t port = 0; port <= 65536; ++port) {
        // Most words go on as the one before ended, and there is a mask for every NAT gateway that may be.
        if (port < 65536 && port % 64 == 0 && words[port / 64] == (within ? ~std::uint64_t{0} : 0)) {
            port += 63;
            continue;
        }
        const bool reserved = port < 65536 && (words[port / 64] >> (port % 64) & 1) != 0;
        if (reserved && !within) first = port;
        if (!reserved && within) {
            ranges.push_back(
                PortRange{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(port - 1)});
        }
        within = reserved;
    }
    return ranges;
}

// Another one for other ports (FNV-1a), never 0: it tells the programs that what they know is of before.
std::uint32_t version_of(const host_ports& value) {
    std::uint32_t hash = 2166136261U;
    const auto take = [&hash](std::uint64_t word) {
        for (int byte = 0; byte < 8; ++byte)
            hash = (hash ^ static_cast<std::uint8_t>(word >> (8 * byte))) * 16777619U;
    };
    std::ranges::for_each(value.word, take);
    std::ranges::for_each(value.block, take);
    return hash == 0 ? 1 : hash;
}

}  // namespace

std::uint16_t encode_timeout(std::chrono::seconds timeout) {
    const auto seconds =
        static_cast<std::uint64_t>(std::clamp<std::int64_t>(timeout.count(), 0, FLOW_TIMEOUT_MAX_SECONDS));
    return static_cast<std::uint16_t>((seconds * nanoseconds_per_second >> FLOW_TIMEOUT_SHIFT) +
                                      timeout_margin);
}

std::chrono::seconds decode_timeout(std::uint16_t units) {
    if (units < timeout_margin) return std::chrono::seconds{0};
    const std::uint64_t nanoseconds = (units - timeout_margin) << FLOW_TIMEOUT_SHIFT;
    return std::chrono::seconds{(nanoseconds + nanoseconds_per_second - 1) / nanoseconds_per_second};
}

std::uint32_t clock_ticks(std::uint64_t monotonic_ns, std::uint64_t offset_ns) {
    return static_cast<std::uint32_t>((monotonic_ns + offset_ns) >> FLOW_TICK_SHIFT);
}

device encode(const DeviceEntry& entry) {
    device value{};
    value.ifindex = entry.ifindex;
    value.address = entry.address.to_network();
    value.mtu = entry.mtu;
    value.zone = entry.zone;
    value.role = static_cast<std::uint8_t>(entry.role);
    value.replies_per_second = entry.replies_per_second;
    value.flags = entry.ambiguous ? DEVICE_AMBIGUOUS : 0;
    copy_mac(value.mac, entry.mac);
    return value;
}

DeviceEntry decode(const device& value, std::string name) {
    DeviceEntry entry;
    entry.name = std::move(name);
    entry.ifindex = value.ifindex;
    entry.address = Ipv4Address::from_network(value.address);
    entry.mtu = value.mtu;
    entry.zone = value.zone;
    entry.role = static_cast<Role>(value.role);
    entry.replies_per_second = value.replies_per_second;
    entry.ambiguous = (value.flags & DEVICE_AMBIGUOUS) != 0;
    entry.mac = mac_from(value.mac);
    return entry;
}

subnet_key encode(const ZonePrefix& key) {
    return subnet_key{32U + key.prefix.length(), htonl(key.zone), key.prefix.address().to_network()};
}

ZonePrefix decode(const subnet_key& key) {
    return ZonePrefix{ntohl(key.zone), Ipv4Prefix(Ipv4Address::from_network(key.address),
                                                  static_cast<std::uint8_t>(key.prefix_length - 32))};
}

subnet encode(const SubnetEntry& entry) {
    return subnet{entry.subnet, entry.route_table,
                  entry.has_instances ? std::uint32_t{SUBNET_HAS_INSTANCES} : 0,
                  encode_groups(entry.security_groups)};
}
SubnetEntry decode(const subnet& value) {
    return SubnetEntry{value.subnet, value.route_table, decode_groups(value.groups),
                       (value.flags & SUBNET_HAS_INSTANCES) != 0};
}

route_key encode(const RouteKey& key) {
    return route_key{32U + key.destination.length(), htonl(key.route_table),
                     key.destination.address().to_network()};
}

RouteKey decode(const route_key& key) {
    return RouteKey{ntohl(key.route_table), Ipv4Prefix(Ipv4Address::from_network(key.destination),
                                                       static_cast<std::uint8_t>(key.prefix_length - 32))};
}

route encode(const RouteEntry& entry) {
    return route{static_cast<std::uint16_t>(entry.kind), entry.index, entry.via.to_network()};
}
RouteEntry decode(const route& value) {
    return RouteEntry{static_cast<RouteKind>(value.target), value.index,
                      Ipv4Address::from_network(value.via)};
}

prefix_key encode(const Ipv4Prefix& prefix) {
    return prefix_key{prefix.length(), prefix.address().to_network()};
}

Ipv4Prefix decode(const prefix_key& key) {
    return Ipv4Prefix(Ipv4Address::from_network(key.address), static_cast<std::uint8_t>(key.prefix_length));
}

nat_gateway encode(const NatGatewayEntry& entry) {
    nat_gateway value{};
    value.flags = NAT_GATEWAY_IN_USE;
    if (entry.strict_pairing) value.flags |= NAT_GATEWAY_STRICT_PAIRING;
    if (entry.hairpin) value.flags |= NAT_GATEWAY_HAIRPIN;
    if (entry.hairpin_same_tenant) value.flags |= NAT_GATEWAY_HAIRPIN_SAME_TENANT;
    if (entry.clamp_mss) value.flags |= NAT_GATEWAY_CLAMP_MSS;
    if (entry.lenient_quotes) value.flags |= NAT_GATEWAY_LENIENT_QUOTES;
    value.icmp_on_exhaustion = static_cast<std::uint8_t>(entry.exhaustion);
    if (entry.reset_on_idle) value.flags |= NAT_GATEWAY_RESET_ON_IDLE;
    if (entry.limits) value.flags |= NAT_GATEWAY_LIMITS;
    if (entry.preserve_port) value.flags |= NAT_GATEWAY_PRESERVE_PORT;
    if (entry.preserve_parity) value.flags |= NAT_GATEWAY_PRESERVE_PARITY;
    if (entry.preserve_range) value.flags |= NAT_GATEWAY_PRESERVE_RANGE;
    if (entry.forwards_ports) value.flags |= NAT_GATEWAY_FORWARDS_PORTS;
    value.reserves_ports = entry.reserves_ports ? 1 : 0;
    for (const Ipv4Address& address : entry.elastic_ips) {
        if (value.elastic_ip_count == NAT_GATEWAY_ELASTIC_IPS_MAX) break;
        value.elastic_ips[value.elastic_ip_count++] = address.to_network();
    }
    value.first_port = entry.ports.first;
    value.last_port = entry.ports.last;
    for (std::size_t i = 0; i < TIMEOUT_CLASSES; ++i) value.timeouts[i] = encode_timeout(entry.timeouts[i]);
    for (std::size_t i = 0; i < NAT_PROTOCOLS; ++i) {
        value.mapping[i] = static_cast<std::uint8_t>(entry.mapping[i]);
        value.filtering[i] = static_cast<std::uint8_t>(entry.filtering[i]);
    }
    if (entry.port_quarantine > std::chrono::seconds::zero())
        value.port_quarantine = encode_timeout(entry.port_quarantine);
    value.port_quarantine_max = entry.port_quarantine_max;
    value.port_block_size = entry.port_block_size;
    value.port_blocks_max = entry.port_blocks_per_host;
    if (entry.port_block_hold > std::chrono::seconds::zero())
        value.port_block_hold = encode_timeout(entry.port_block_hold);
    return value;
}

NatGatewayEntry decode(const nat_gateway& value) {
    NatGatewayEntry entry;
    entry.strict_pairing = (value.flags & NAT_GATEWAY_STRICT_PAIRING) != 0;
    entry.hairpin = (value.flags & NAT_GATEWAY_HAIRPIN) != 0;
    entry.hairpin_same_tenant = (value.flags & NAT_GATEWAY_HAIRPIN_SAME_TENANT) != 0;
    entry.clamp_mss = (value.flags & NAT_GATEWAY_CLAMP_MSS) != 0;
    entry.lenient_quotes = (value.flags & NAT_GATEWAY_LENIENT_QUOTES) != 0;
    entry.exhaustion = static_cast<Exhaustion>(value.icmp_on_exhaustion);
    entry.reset_on_idle = (value.flags & NAT_GATEWAY_RESET_ON_IDLE) != 0;
    entry.limits = (value.flags & NAT_GATEWAY_LIMITS) != 0;
    entry.preserve_port = (value.flags & NAT_GATEWAY_PRESERVE_PORT) != 0;
    entry.preserve_parity = (value.flags & NAT_GATEWAY_PRESERVE_PARITY) != 0;
    entry.preserve_range = (value.flags & NAT_GATEWAY_PRESERVE_RANGE) != 0;
    entry.reserves_ports = value.reserves_ports != 0;
    entry.forwards_ports = (value.flags & NAT_GATEWAY_FORWARDS_PORTS) != 0;
    const auto count = std::min<std::uint32_t>(value.elastic_ip_count, NAT_GATEWAY_ELASTIC_IPS_MAX);
    for (std::uint32_t i = 0; i < count; ++i) {
        entry.elastic_ips.push_back(Ipv4Address::from_network(value.elastic_ips[i]));
    }
    entry.ports = PortRange{value.first_port, value.last_port};
    for (std::size_t i = 0; i < TIMEOUT_CLASSES; ++i) entry.timeouts[i] = decode_timeout(value.timeouts[i]);
    for (std::size_t i = 0; i < NAT_PROTOCOLS; ++i) {
        entry.mapping[i] = static_cast<Rule>(value.mapping[i]);
        entry.filtering[i] = static_cast<Rule>(value.filtering[i]);
    }
    if (value.port_quarantine != 0) entry.port_quarantine = decode_timeout(value.port_quarantine);
    entry.port_quarantine_max = value.port_quarantine_max;
    entry.port_block_size = value.port_block_size;
    entry.port_blocks_per_host = value.port_blocks_max;
    if (value.port_block_hold != 0) entry.port_block_hold = decode_timeout(value.port_block_hold);
    return entry;
}

port_mask encode(const ReservedPorts& ports) {
    port_mask value{};
    encode_ports(ports.ranges, value.word);
    return value;
}

ReservedPorts decode(const port_mask& value) {
    return {decode_ports(value.word)};
}

host_ports encode(const HostPorts& ports) {
    host_ports value{};
    encode_ports(ports.ranges, value.word);
    for (const std::uint16_t first : ports.blocks)
        value.block[first / 64 / 64] |= std::uint64_t{1} << (first / 64 % 64);
    value.version = version_of(value);
    return value;
}

HostPorts decode(const host_ports& value) {
    HostPorts ports{decode_ports(value.word), {}};
    for (std::uint32_t word = 0; word < PORT_SET_WORDS; ++word) {
        if ((value.block[word / 64] >> (word % 64) & 1) != 0)
            ports.blocks.push_back(static_cast<std::uint16_t>(word * 64));
    }
    return ports;
}

host_limits encode(const HostLimits& limits) {
    host_limits value{};
    value.flows = limits.flows;
    value.ports = limits.ports;
    value.new_flows_per_second = limits.new_flows_per_second;
    value.flows_per_mapping = limits.flows_per_mapping;
    return value;
}

HostLimits decode(const host_limits& value) {
    return HostLimits{value.flows, value.ports, value.new_flows_per_second, value.flows_per_mapping};
}

elastic_ip encode(const ElasticIpEntry& entry) {
    elastic_ip value{};
    value.nat_gateway = entry.nat_gateway;
    value.on_link_device = entry.on_link_device;
    if (entry.forwards_ports) value.flags |= ELASTIC_IP_FORWARDS_PORTS;
    if (entry.draining) value.flags |= ELASTIC_IP_DRAINING;
    if (entry.shared_with_host) value.flags |= ELASTIC_IP_SHARED_WITH_HOST;
    value.identifier = entry.identifier;
    value.instance = entry.instance.to_network();
    value.zone = entry.zone;
    return value;
}

ElasticIpEntry decode(const elastic_ip& value) {
    ElasticIpEntry entry;
    entry.nat_gateway = value.nat_gateway;
    entry.on_link_device = value.on_link_device;
    entry.identifier = value.identifier;
    entry.forwards_ports = (value.flags & ELASTIC_IP_FORWARDS_PORTS) != 0;
    entry.draining = (value.flags & ELASTIC_IP_DRAINING) != 0;
    entry.shared_with_host = (value.flags & ELASTIC_IP_SHARED_WITH_HOST) != 0;
    entry.instance = Ipv4Address::from_network(value.instance);
    entry.zone = value.zone;
    return entry;
}

instance_key encode(const ZoneAddress& key) {
    return instance_key{key.zone, key.address.to_network()};
}
ZoneAddress decode(const instance_key& key) {
    return ZoneAddress{key.zone, Ipv4Address::from_network(key.address)};
}

instance encode(const InstanceEntry& entry) {
    return instance{entry.elastic_ip.to_network(), encode_groups(entry.security_groups)};
}
InstanceEntry decode(const instance& value) {
    return InstanceEntry{Ipv4Address::from_network(value.elastic_ip), decode_groups(value.groups)};
}

flow_key encode(const InnerFlowKey& key) {
    constexpr std::uint8_t echo_request = 8;
    flow_key value{};
    value.source = key.opener.address.to_network();
    value.destination = key.answerer.address.to_network();
    value.source_port = htons(key.opener.port);
    value.destination_port = htons(key.answerer.port);
    value.protocol = static_cast<std::uint8_t>(key.protocol);
    value.kind = key.protocol == Protocol::icmp ? echo_request : 0;
    value.zone = key.zone;
    return value;
}
InnerFlowKey decode(const flow_key& value) {
    return {value.zone,
            static_cast<Protocol>(value.protocol),
            {Ipv4Address::from_network(value.source), ntohs(value.source_port)},
            {Ipv4Address::from_network(value.destination), ntohs(value.destination_port)}};
}
// inner_timeout() and inner_flow_get() of bpf/lib/inner.h.
std::optional<InnerFlow> decode(const inner_flow& value, Protocol protocol, std::uint32_t now) {
    InnerFlow flow;
    flow.generation = value.generation;
    flow.finished = (value.seen & INNER_FLOW_FINISHED) == INNER_FLOW_FINISHED;
    flow.answered = (value.seen & INNER_FLOW_ANSWERED) != 0;
    flow.message = value.message;
    flow.timeout_seconds = INNER_FLOW_TIMEOUT;
    if (protocol == Protocol::icmp) flow.timeout_seconds = INNER_FLOW_TIMEOUT_ICMP;
    if (protocol == Protocol::tcp)
        flow.timeout_seconds =
            flow.answered && !flow.finished ? INNER_FLOW_TIMEOUT_TCP_ESTABLISHED : INNER_FLOW_TIMEOUT_TCP;
    const auto age = static_cast<std::int32_t>(now - value.last_seen);
    if (age > static_cast<std::int32_t>(flow.timeout_seconds * FLOW_TOUCH_TICKS)) return std::nullopt;
    flow.idle_seconds = age < 0 ? 0 : static_cast<std::uint32_t>(age) / FLOW_TOUCH_TICKS;
    return flow;
}

security_group encode(const SecurityGroupEntry& entry) {
    security_group value{};
    value.ingress_count = encode_rules(entry.ingress, value.ingress);
    value.egress_count = encode_rules(entry.egress, value.egress);
    return value;
}
SecurityGroupEntry decode(const security_group& value) {
    return SecurityGroupEntry{decode_rules(value.ingress_count, value.ingress),
                              decode_rules(value.egress_count, value.egress)};
}

port_forward_key encode(const PortForwardKey& key) {
    constexpr std::uint32_t bits_before_port = 48;
    return port_forward_key{bits_before_port + key.length, key.elastic_ip.to_network(), key.protocol, 0,
                            htons(key.port)};
}
PortForwardKey decode(const port_forward_key& key) {
    return PortForwardKey{Ipv4Address::from_network(key.elastic_ip), key.protocol, ntohs(key.port),
                          static_cast<std::uint8_t>(key.prefix_length - 48)};
}

port_forward encode(const PortForwardEntry& entry) {
    return port_forward{entry.address.to_network(), entry.zone, entry.first_port, entry.to_port, 0};
}
PortForwardEntry decode(const port_forward& value) {
    return PortForwardEntry{Ipv4Address::from_network(value.address), value.zone, value.first_port,
                            value.to_port};
}

forwarded_endpoint_key encode(const ForwardedEndpointKey& key) {
    constexpr std::uint32_t bits_before_port = 64;
    return forwarded_endpoint_key{bits_before_port + key.length,
                                  key.zone,
                                  key.protocol,
                                  0,
                                  key.address.to_network(),
                                  htons(key.port),
                                  0};
}
ForwardedEndpointKey decode(const forwarded_endpoint_key& key) {
    return ForwardedEndpointKey{key.zone, Ipv4Address::from_network(key.address), key.protocol,
                                ntohs(key.port), static_cast<std::uint8_t>(key.prefix_length - 64)};
}

forwarded_endpoint encode(const ForwardedEndpointEntry& entry) {
    return forwarded_endpoint{entry.elastic_ip.to_network(), entry.first_port, entry.to_port};
}
ForwardedEndpointEntry decode(const forwarded_endpoint& value) {
    return ForwardedEndpointEntry{Ipv4Address::from_network(value.elastic_ip), value.first_port,
                                  value.to_port};
}

neighbour_key encode(const Neighbour& key) {
    return neighbour_key{key.ifindex, key.address.to_network()};
}
Neighbour decode(const neighbour_key& key) {
    return Neighbour{key.ifindex, Ipv4Address::from_network(key.address)};
}

next_hop encode(const Neighbour& key, const NextHopEntry& entry) {
    next_hop value{};
    value.ifindex = key.ifindex;
    value.address = key.address.to_network();
    value.mtu = entry.mtu;
    value.device = entry.device;
    value.state = entry.resolved      ? NEXT_HOP_RESOLVED
                  : entry.unreachable ? NEXT_HOP_UNREACHABLE
                                      : NEXT_HOP_UNRESOLVED;
    copy_mac(value.destination_mac, entry.destination);
    copy_mac(value.source_mac, entry.source);
    return value;
}

NextHopEntry decode(const next_hop& value) {
    NextHopEntry entry;
    entry.device = value.device;
    entry.mtu = value.mtu;
    entry.resolved = value.state == NEXT_HOP_RESOLVED;
    entry.unreachable = value.state == NEXT_HOP_UNREACHABLE;
    entry.destination = mac_from(value.destination_mac);
    entry.source = mac_from(value.source_mac);
    return entry;
}

identifier_key encode(const Identifier& key) {
    identifier_key value{};
    value.kind = key.kind;
    // One byte less, so that there is always an end; names of the model are shorter than that anyway.
    const std::size_t length = std::min(key.name.size(), sizeof value.name - 1);
    std::memcpy(value.name, key.name.data(), length);
    return value;
}

Identifier decode(const identifier_key& key) {
    return Identifier{key.kind, std::string(key.name, strnlen(key.name, sizeof key.name))};
}

DropEvent decode(const drop_event& event) {
    DropEvent result;
    result.time_ns = event.time_ns;
    result.reason = drop_reason_label(event.reason);
    result.device = event.device;
    result.protocol = event.protocol;
    result.source = Endpoint{Ipv4Address::from_network(event.source), ntohs(event.source_port)};
    result.destination =
        Endpoint{Ipv4Address::from_network(event.destination), ntohs(event.destination_port)};
    result.length = event.length;
    result.tcp_flags = event.tcp_flags;
    return result;
}

PortBlockEvent decode(const port_block_event& event) {
    PortBlockEvent result;
    result.time_ns = event.time_ns;
    result.block.elastic_ip = Ipv4Address::from_network(event.elastic_ip);
    result.block.ports = {event.first_port, event.last_port};
    result.block.instance = Ipv4Address::from_network(event.instance);
    result.block.zone = event.zone;
    result.block.nat_gateway = event.nat_gateway;
    result.happening = event.happened == PORT_BLOCK_RELEASED ? PortBlockEvent::Happening::released
                                                             : PortBlockEvent::Happening::allocated;
    return result;
}

}  // namespace sallyport::dataplane

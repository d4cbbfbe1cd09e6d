// SPDX-License-Identifier: Apache-2.0
//
// What the data plane's tables hold, as values: the common language of agent/reconcile, which computes
// them from the model and the kernel's view, and agent/dataplane, which writes them into maps. Numbers
// (zones, route tables, NAT gateways, slots) have been given by then.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/address.h"

namespace sallyport::dataplane {

enum class Role : std::uint8_t { inside = 1, outside = 2, both = 3 };
enum class Mode : std::uint8_t { native, generic };  // how XDP is attached

struct DeviceEntry {
    std::string name;
    std::uint32_t ifindex = 0;
    Ipv4Address address;  // source of ICMP errors sent out of it; 0.0.0.0: none are sent
    std::uint16_t mtu = 0;
    std::uint16_t zone = 0;
    Role role = Role::inside;
    MacAddress mac;
    std::uint32_t replies_per_second = 0;  // ICMP errors and resets that one processor may send out of it
    bool ambiguous = false;                // the host's routes may take what is behind it for something else
    bool operator==(const DeviceEntry&) const = default;
};

struct ZonePrefix {
    std::uint32_t zone = 0;
    Ipv4Prefix prefix;
    auto operator<=>(const ZonePrefix&) const = default;
};

// Numbers of security groups, in order; at most SECURITY_GROUPS_PER_INSTANCE_MAX.
using SecurityGroupNumbers = std::vector<std::uint16_t>;

struct SubnetEntry {
    std::uint32_t subnet = 0;
    std::uint32_t route_table = 0;
    SecurityGroupNumbers security_groups = {};
    bool has_instances = false;  // some of its addresses have entries of their own
    bool operator==(const SubnetEntry&) const = default;
};

struct RouteKey {
    std::uint32_t route_table = 0;
    Ipv4Prefix destination;
    auto operator<=>(const RouteKey&) const = default;
};

enum class RouteKind : std::uint8_t {
    local = 1,
    nat_gateway = 2,
    blackhole = 3,
    untranslated = 4,
    internet_gateway = 5,
    via = 6
};
struct RouteEntry {
    RouteKind kind = RouteKind::blackhole;
    std::uint16_t index = 0;
    Ipv4Address via = {};  // the router, of kind via
    bool operator==(const RouteEntry&) const = default;
};

enum class Rule : std::uint8_t { endpoint_independent, address_dependent, address_and_port_dependent };

enum class Exhaustion : std::uint8_t { host_unreachable, administratively_prohibited, not_told };

// Of a NAT gateway; or of an internet gateway, which has no Elastic IPs of its own and gives out no ports.
struct NatGatewayEntry {
    std::vector<Ipv4Address> elastic_ips;  // at most NAT_GATEWAY_ELASTIC_IPS_MAX
    PortRange ports{1024, 65535};
    std::array<std::chrono::seconds, 6> timeouts{};  // by enum timeout_class
    std::array<Rule, 3> mapping{};                   // by enum nat_protocol
    std::array<Rule, 3> filtering{};
    std::chrono::seconds port_quarantine{0};
    std::uint32_t port_quarantine_max = 0;
    std::uint16_t port_block_size = 0;  // a power of two; 0: there are no blocks
    std::uint16_t port_blocks_per_host = 0;
    std::chrono::seconds port_block_hold{0};
    bool strict_pairing = false;
    bool hairpin = true;
    bool hairpin_same_tenant = false;  // it is on, but only for instances of one VPC
    bool clamp_mss = true;
    Exhaustion exhaustion = Exhaustion::host_unreachable;
    bool lenient_quotes = false;  // ICMP errors may quote headers with a wrong checksum
    bool reset_on_idle = false;
    bool limits = false;  // there are some for this NAT gateway
    bool preserve_port = false;
    bool preserve_parity = false;
    bool preserve_range = false;
    bool reserves_ports = false;  // there are some for this NAT gateway
    bool forwards_ports = false;  // of one of its Elastic IPs
    bool operator==(const NatGatewayEntry&) const = default;
};

// What one instance may have of a NAT gateway; 0: any number.
struct HostLimits {
    std::uint32_t flows = 0;
    std::uint32_t ports = 0;
    std::uint32_t new_flows_per_second = 0;
    std::uint32_t flows_per_mapping = 0;
    bool operator==(const HostLimits&) const = default;
};

// Ports that are never given out: ordered ranges that neither overlap nor touch.
struct ReservedPorts {
    std::vector<PortRange> ranges;
    bool operator==(const ReservedPorts&) const = default;
};

// Ports that are the host's on an Elastic IP that it shares, and that no flow gets: ranges as above.
struct HostPorts {
    std::vector<PortRange> ranges;
    std::vector<std::uint16_t> blocks;  // first ports of port blocks that have no others, in order
    bool operator==(const HostPorts&) const = default;
};

struct ElasticIpEntry {
    std::uint16_t nat_gateway = 0xffff;  // number of a NAT gateway or internet gateway, or NO_NAT_GATEWAY
    std::uint8_t on_link_device = 0xff;  // NO_DEVICE
    std::uint32_t identifier = 0;
    bool forwards_ports = false;
    Ipv4Address instance = {};      // that has it to itself, or 0.0.0.0
    std::uint16_t zone = 0;         // of the instance
    bool draining = false;          // takes no new flows
    bool shared_with_host = false;  // what nobody inside has of it is the host's, if it has the address
    bool operator==(const ElasticIpEntry&) const = default;
};

struct ZoneAddress {
    std::uint32_t zone = 0;
    Ipv4Address address = {};
    auto operator<=>(const ZoneAddress&) const = default;
};

// What holds for an instance, in place of what its subnet says.
struct InstanceEntry {
    Ipv4Address elastic_ip = {};  // its own, or 0.0.0.0
    SecurityGroupNumbers security_groups = {};
    bool operator==(const InstanceEntry&) const = default;
};

struct SecurityRule {
    std::uint8_t protocol = 0;  // 0: any
    PortRange ports{0, 65535};  // of ICMP: 256 * type + code of a message
    Ipv4Prefix remote = {};
    std::uint16_t remote_group = 0;  // that has to hold for the remote; 0: none has to
    bool operator==(const SecurityRule&) const = default;
};

// At most SECURITY_GROUP_RULES_MAX rules each way.
struct SecurityGroupEntry {
    std::vector<SecurityRule> ingress = {};
    std::vector<SecurityRule> egress = {};
    bool operator==(const SecurityGroupEntry&) const = default;
};

// Ports that agree in their first `length` bits.
struct PortForwardKey {
    Ipv4Address elastic_ip = {};
    std::uint8_t protocol = 0;
    std::uint16_t port = 0;
    std::uint8_t length = 16;
    auto operator<=>(const PortForwardKey&) const = default;
};

struct PortForwardEntry {
    Ipv4Address address = {};
    std::uint16_t zone = 0;
    std::uint16_t first_port = 0;  // of the whole range
    std::uint16_t to_port = 0;     // what first_port becomes
    bool operator==(const PortForwardEntry&) const = default;
};

// The same seen from inside: ports of an instance that agree in their first `length` bits.
struct ForwardedEndpointKey {
    std::uint16_t zone = 0;
    Ipv4Address address = {};
    std::uint8_t protocol = 0;
    std::uint16_t port = 0;
    std::uint8_t length = 16;
    auto operator<=>(const ForwardedEndpointKey&) const = default;
};

struct ForwardedEndpointEntry {
    Ipv4Address elastic_ip = {};
    std::uint16_t first_port = 0;  // of the whole range inside
    std::uint16_t to_port = 0;     // what first_port becomes outside
    bool operator==(const ForwardedEndpointEntry&) const = default;
};

struct Neighbour {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
    auto operator<=>(const Neighbour&) const = default;
};

// An address to which all hosts of a link listen.
struct LinkBroadcast {
    Ipv4Address address;
    auto operator<=>(const LinkBroadcast&) const = default;
};

struct NextHopEntry {
    std::uint8_t device = 0;  // slot
    std::uint16_t mtu = 0;
    bool resolved = false;
    MacAddress destination;
    MacAddress source;
    bool unreachable = false;  // it was asked, and did not answer
    bool operator==(const NextHopEntry&) const = default;
};

// Names have numbers of their own per kind (enum identifier_kind); they outlive the agent.
struct Identifier {
    std::uint32_t kind = 0;
    std::string name;
    auto operator<=>(const Identifier&) const = default;
};

// What the security groups have let through of what stays inside, seen from whoever opened it.
struct InnerFlowKey {
    std::uint16_t zone = 0;
    Protocol protocol = Protocol::tcp;
    Endpoint opener;  // of ICMP, those of the question: the identifier, and 0
    Endpoint answerer;
    auto operator<=>(const InnerFlowKey&) const = default;
};
struct InnerFlow {
    std::uint16_t generation = 0;  // of the configuration that it was checked against
    bool finished = false;         // both ends have closed, or one has reset
    bool answered = false;
    std::uint16_t message = 0;  // of ICMP: type * 256 + code of what opened it
    std::uint32_t idle_seconds = 0;
    std::uint32_t timeout_seconds = 0;
};

// What holds for the gateway as a whole.
struct GatewayEntry {
    std::uint32_t unanswered_capacity = 0;  // flows without an answer that may stand at once; 0: any number
    bool operator==(const GatewayEntry&) const = default;
};

// The whole of it. Two of these compared give what has to be written.
struct ForwardingTables {
    GatewayEntry gateway;
    std::map<std::uint8_t, DeviceEntry> devices;  // by slot
    std::map<ZonePrefix, SubnetEntry> subnets;
    std::map<RouteKey, RouteEntry> routes;
    std::set<Ipv4Prefix> private_prefixes;
    std::map<std::uint16_t, NatGatewayEntry> nat_gateways;
    std::map<std::uint16_t, HostLimits> host_limits;  // by NAT gateway, those that have some
    std::map<std::uint16_t, ReservedPorts> reserved_ports;
    std::map<Ipv4Address, HostPorts> host_ports;  // by Elastic IP, those that are shared
    std::map<std::uint16_t, SecurityGroupEntry> security_groups;
    std::map<PortForwardKey, PortForwardEntry> port_forwards;
    std::map<ForwardedEndpointKey, ForwardedEndpointEntry> forwarded_endpoints;
    std::map<Ipv4Address, ElasticIpEntry> elastic_ips;
    std::map<ZoneAddress, InstanceEntry> instances;
    std::set<Ipv4Address> local_addresses;
    std::set<LinkBroadcast> link_broadcasts;
    std::map<Neighbour, NextHopEntry> next_hops;  // the data plane gives each its number
    std::map<Identifier, std::uint32_t> identifiers;
    bool operator==(const ForwardingTables&) const = default;
};

}  // namespace sallyport::dataplane

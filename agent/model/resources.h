// SPDX-License-Identifier: Apache-2.0
//
// What an operator declares: plain values, in the words of the configuration file. A DesiredState is
// made once (by agent/config or the API), checked by validate() and never changed afterwards; whoever
// holds one holds a std::shared_ptr<const DesiredState>.
//
// Every member has an initializer, so that designated initializers may leave any of them out.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/address.h"
#include "core/icmp_type.h"

namespace sallyport::model {

enum class Origin { file, api };

enum class DeviceRole { inside, outside, both };
enum class XdpMode { automatic, native, generic };

struct Device {
    std::string device = {};  // name of the network interface
    DeviceRole role = DeviceRole::inside;
    std::string vpc = {};     // for roles inside and both
    bool icmp_errors = true;  // whether the gateway sends any of its own out of it
    bool operator==(const Device&) const = default;
};

struct Gateway {
    std::string name = {};
    std::vector<Device> devices = {};
    XdpMode xdp = XdpMode::automatic;
    std::uint32_t flow_capacity = 1048576;                       // flows; fixed when the flow table is made
    std::optional<std::uint32_t> unanswered_flow_capacity = {};  // none: half of flow_capacity
    std::uint32_t reply_rate_limit = 1000;  // ICMP errors and resets per second and processor
    bool operator==(const Gateway&) const = default;
};

struct Vpc {
    std::string name = {};
    std::vector<Ipv4Prefix> cidrs = {};
    Origin origin = Origin::file;
    bool operator==(const Vpc&) const = default;
};

struct Subnet {
    std::string name = {};
    std::string vpc = {};
    Ipv4Prefix cidr = {};
    std::string route_table = {};  // empty: the VPC's main table
    std::vector<std::string> security_groups = {};
    Origin origin = Origin::file;
    bool operator==(const Subnet&) const = default;
};

struct ToNatGateway {
    std::string name = {};
    bool operator==(const ToNatGateway&) const = default;
};
struct ToInternetGateway {
    std::string name = {};
    bool operator==(const ToInternetGateway&) const = default;
};
struct Via {
    Ipv4Address address = {};
    bool operator==(const Via&) const = default;
};
struct Blackhole {
    bool operator==(const Blackhole&) const = default;
};
using RouteTarget = std::variant<ToNatGateway, ToInternetGateway, Via, Blackhole>;

struct Route {
    Ipv4Prefix destination = {};
    RouteTarget target = {};
    bool operator==(const Route&) const = default;
};

struct RouteTable {
    std::string name = {};
    std::string vpc = {};
    bool main = false;
    std::vector<Route> routes = {};
    Origin origin = Origin::file;
    bool operator==(const RouteTable&) const = default;
};

struct InternetGateway {
    std::string name = {};
    std::string vpc = {};
    Origin origin = Origin::file;
    bool operator==(const InternetGateway&) const = default;
};

struct ElasticIp {
    std::string name = {};
    Ipv4Address address = {};
    std::string instance = {};  // 1:1 association, or empty
    bool shared_with_host = false;
    Origin origin = Origin::file;
    bool operator==(const ElasticIp&) const = default;
};

enum class EndpointRule { endpoint_independent, address_dependent, address_and_port_dependent };

// One value for each protocol that is translated.
struct PerProtocol {
    EndpointRule tcp = EndpointRule::address_and_port_dependent;
    EndpointRule udp = EndpointRule::address_and_port_dependent;
    EndpointRule icmp = EndpointRule::address_and_port_dependent;
    bool operator==(const PerProtocol&) const = default;
};

enum class Pairing { soft, strict };
enum class Hairpin { off, on, same_tenant };
enum class IcmpOnExhaustion { host_unreachable, administratively_prohibited, none };
enum class IcmpQuoteChecksum { strict, lenient };

// Defaults: what RFC 4787 REQ-5, RFC 5382 REQ-5 and RFC 5508 REQ-2 recommend or ask for.
struct Timeouts {
    std::chrono::seconds udp{300};
    std::chrono::seconds tcp_established{7440};
    std::chrono::seconds tcp_opening{240};
    std::chrono::seconds tcp_closing{240};
    std::chrono::seconds tcp_reset{240};
    std::chrono::seconds icmp{60};
    bool operator==(const Timeouts&) const = default;
};

struct Limits {  // per inside host; none: not limited
    std::optional<std::uint32_t> ports_per_host = {};
    std::optional<std::uint32_t> flows_per_host = {};
    std::optional<std::uint32_t> new_flows_per_second_per_host = {};
    std::optional<std::uint32_t> flows_per_mapping = {};
    bool operator==(const Limits&) const = default;
};

// An inside host's ports come from ranges of its own; without a size, from anywhere.
struct PortBlocks {
    std::optional<std::uint32_t> size = {};
    std::uint32_t blocks_per_host = 4;
    std::chrono::seconds hold{120};
    bool operator==(const PortBlocks&) const = default;
};

struct NatGateway {
    std::string name = {};
    std::string vpc = {};
    std::vector<std::string> elastic_ips = {};
    std::vector<Ipv4Prefix> no_translation = {};  // destinations that see the inside address and port
    // Defaults: TCP shares external ports between remotes, as RFC 7857 section 3 allows, because servers need
    // capacity more than hole punching; only replies come in.
    PerProtocol mapping{EndpointRule::address_and_port_dependent, EndpointRule::endpoint_independent,
                        EndpointRule::endpoint_independent};
    PerProtocol filtering{};
    Pairing pairing = Pairing::soft;
    Hairpin hairpin = Hairpin::on;
    PortRange port_range{1024, 65535};
    std::vector<PortRange> reserved_ports = {};  // never given out
    bool preserve_port = false;
    bool preserve_parity = false;
    bool preserve_range = false;
    PortBlocks port_blocks = {};
    // RFC 6888 REQ-8, where filtering is endpoint_independent.
    std::chrono::seconds port_quarantine{120};
    std::uint32_t port_quarantine_max = 16384;  // ports
    Timeouts timeouts = {};
    bool allow_nonconformant_timeouts = false;  // below the floors of the RFCs, with a warning
    Limits limits = {};
    bool tcp_mss_clamp = true;
    IcmpOnExhaustion icmp_on_exhaustion = IcmpOnExhaustion::host_unreachable;
    IcmpQuoteChecksum icmp_quote_checksum = IcmpQuoteChecksum::strict;
    bool tcp_reset_on_idle_timeout = false;
    bool log_flows = false;
    Origin origin = Origin::file;
    bool operator==(const NatGateway&) const = default;
};

struct Instance {
    std::string name = {};
    std::string subnet = {};
    Ipv4Address address = {};
    std::vector<std::string> security_groups = {};
    Origin origin = Origin::file;
    bool operator==(const Instance&) const = default;
};

struct SecurityGroupRule {
    std::optional<Protocol> protocol = {};                      // none: all
    std::optional<PortRange> ports = {};                        // none: all
    std::optional<IcmpType> icmp_type = {};                     // none: all
    std::optional<std::uint32_t> icmp_code = {};                // none: all
    std::variant<Ipv4Prefix, std::string> peer = Ipv4Prefix{};  // a prefix or a security group
    std::string description = {};
    bool operator==(const SecurityGroupRule&) const = default;
};

struct SecurityGroup {
    std::string name = {};
    std::string vpc = {};
    std::vector<SecurityGroupRule> ingress = {};
    std::optional<std::vector<SecurityGroupRule>> egress = {};  // none: everything may leave
    Origin origin = Origin::file;
    bool operator==(const SecurityGroup&) const = default;
};

struct PortForward {
    std::string name = {};
    std::string elastic_ip = {};
    Protocol protocol = Protocol::tcp;
    PortRange port = {};
    Ipv4Address to_address = {};
    std::uint16_t to_port = 0;
    Origin origin = Origin::file;
    bool operator==(const PortForward&) const = default;
};

struct DesiredState {
    Gateway gateway;
    std::vector<Vpc> vpcs = {};
    std::vector<Subnet> subnets = {};
    std::vector<RouteTable> route_tables = {};
    std::vector<InternetGateway> internet_gateways = {};
    std::vector<ElasticIp> elastic_ips = {};
    std::vector<NatGateway> nat_gateways = {};
    std::vector<Instance> instances = {};
    std::vector<SecurityGroup> security_groups = {};
    std::vector<PortForward> port_forwards = {};
    bool operator==(const DesiredState&) const = default;
};

}  // namespace sallyport::model

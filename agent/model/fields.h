// SPDX-License-Identifier: Apache-2.0
//
// The table of settings: every field of every resource, declared once. The reader of configuration files,
// its messages, the defaults it documents, JSON, the delta and the check for dangling references are all
// derived from it. Heavy to include; for the .cpp files that derive something.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "model/enums.h"
#include "model/kinds.h"
#include "model/resources.h"

namespace sallyport::model {

enum class Need { optional, required };

// What a field of type std::string holds.
enum class Text {
    free,       // anything
    name,       // the object's own name
    reference,  // the name of an object of the kind `refers_to`
    device,     // the name of a network interface
    path,       // an absolute path
};

struct FieldFacts {
    std::string_view name = {};
    Need need = Need::optional;
    std::string_view help = {};
    Text text = Text::free;
    std::optional<Kind> refers_to = {};  // for Text::reference
};

// `Got` is what get() gives: the value itself where there is one in the struct, which may be long.
template <typename OwnerType, typename ValueType, typename Got = ValueType>
struct Field : FieldFacts {
    using Owner = OwnerType;
    using Value = ValueType;
    Got (*get)(const Owner&);
    void (*set)(Owner&, Value);
};

// The table itself: `fields()` gives a tuple of Field, and `one_of`, where there is one, names fields of
// which exactly one must be given. In help texts, `…` marks what is typed.
template <typename T>
struct Schema;

template <typename T>
concept Described = requires {
    Schema<T>::fields();
};

template <Described T>
inline constexpr auto fields_of = Schema<T>::fields();

// Calls visit(const Field<T, …>&) for each field of T.
template <Described T, typename Visit>
constexpr void visit_fields(Visit&& visit) {
    std::apply([&visit](const auto&... field) { (visit(field), ...); }, fields_of<T>);
}

// The value of a key that only ever says "yes", such as `blackhole: true`.
struct True {
    bool operator==(const True&) const = default;
};

namespace detail {

template <typename Member>
struct MemberTypes;
template <typename OwnerType, typename ValueType>
struct MemberTypes<ValueType OwnerType::*> {
    using Owner = OwnerType;
    using Value = ValueType;
};

template <auto Member>
using OwnerOf = typename MemberTypes<decltype(Member)>::Owner;
template <auto Member>
using ValueOf = typename MemberTypes<decltype(Member)>::Value;

}  // namespace detail

// A field that is a member of its struct.
template <auto Member>
constexpr auto field(FieldFacts facts) {
    using Owner = detail::OwnerOf<Member>;
    using Value = detail::ValueOf<Member>;
    return Field<Owner, Value, const Value&>{
        facts,
        [](const Owner& owner) -> const Value& { return owner.*Member; },
        [](Owner& owner, Value value) { owner.*Member = std::move(value); },
    };
}

// The name of an object of another kind, or several of them.
template <auto Member>
constexpr auto reference(Kind kind, FieldFacts facts) {
    facts.text = Text::reference;
    facts.refers_to = kind;
    return field<Member>(facts);
}

// One alternative of a variant: there when the variant holds it. `Part` is the member of the alternative
// that the value stands for, or nullptr where the alternative is the value.
template <auto Member, typename Alternative, auto Part = nullptr>
constexpr auto alternative(FieldFacts facts) {
    using Owner = detail::OwnerOf<Member>;
    if constexpr (!std::is_same_v<decltype(Part), std::nullptr_t>) {
        using Value = std::optional<detail::ValueOf<Part>>;
        return Field<Owner, Value>{
            facts,
            [](const Owner& owner) -> Value {
                const auto* held = std::get_if<Alternative>(&(owner.*Member));
                return held == nullptr ? Value{} : Value{held->*Part};
            },
            [](Owner& owner, Value value) {
                if (value) owner.*Member = Alternative{*std::move(value)};
            },
        };
    } else if constexpr (std::is_empty_v<Alternative>) {
        using Value = std::optional<True>;
        return Field<Owner, Value>{
            facts,
            [](const Owner& owner) -> Value {
                return std::holds_alternative<Alternative>(owner.*Member) ? Value{True{}} : Value{};
            },
            [](Owner& owner, Value value) {
                if (value) owner.*Member = Alternative{};
            },
        };
    } else {
        using Value = std::optional<Alternative>;
        return Field<Owner, Value>{
            facts,
            [](const Owner& owner) -> Value {
                const auto* held = std::get_if<Alternative>(&(owner.*Member));
                return held == nullptr ? Value{} : Value{*held};
            },
            [](Owner& owner, Value value) {
                if (value) owner.*Member = *std::move(value);
            },
        };
    }
}

template <>
struct Schema<Device> {
    static constexpr auto fields() {
        return std::tuple{
            field<&Device::device>({.name = "device",
                                    .need = Need::required,
                                    .help = "Name of the network interface.",
                                    .text = Text::device}),
            field<&Device::role>({.name = "role",
                                  .need = Need::required,
                                  .help = "The realm behind the device: `inside` is private, `outside` is "
                                          "public, `both` makes a gateway with one arm."}),
            reference<&Device::vpc>(Kind::vpcs, {.name = "vpc",
                                                 .help = "The VPC behind the device: needed for the roles "
                                                         "`inside` and `both`, not allowed for `outside`."}),
            field<&Device::icmp_errors>(
                {.name = "icmp_errors",
                 .help = "Whether the gateway sends ICMP errors of its own out of the device (RFC 5508 "
                         "REQ-9). Without them path MTU discovery and traceroute fail. Those of others are "
                         "forwarded all the same."}),
        };
    }
};

template <>
struct Schema<Gateway> {
    static constexpr auto fields() {
        return std::tuple{
            field<&Gateway::name>({.name = "name",
                                   .need = Need::required,
                                   .help = "What the gateway is called in status and logs.",
                                   .text = Text::name}),
            field<&Gateway::devices>(
                {.name = "devices",
                 .need = Need::required,
                 .help = "The network interfaces to attach to. All others are left alone."}),
            field<&Gateway::xdp>({.name = "xdp",
                                  .help = "How to attach: `native` in the driver; `generic` in the network "
                                          "stack, which works everywhere and is slower; `auto` tries native "
                                          "and falls back to generic, which status and metrics then show."}),
            field<&Gateway::flow_capacity>(
                {.name = "flow_capacity",
                 .help = "How many flows can be tracked, 1024 to 67108864; both directions count as one. "
                         "Fixed when the flow table is made: another value takes effect after `sallyport "
                         "detach` and `sallyport reload`."}),
            field<&Gateway::unanswered_flow_capacity>(
                {.name = "unanswered_flow_capacity",
                 .help =
                     "How many flows may wait for their first answer at once, 1 to flow_capacity; half of "
                     "that without this key. An inside host may have as many of them as there is room "
                     "left for all, so one that floods cannot keep the others from working. A new flow "
                     "beyond that is refused; none is ever ended to make room."}),
            field<&Gateway::reply_rate_limit>(
                {.name = "reply_rate_limit",
                 .help = "How many ICMP errors and TCP resets of its own the gateway sends in a second, 1 to "
                         "1000000, for each processor (RFC 1812 section 4.3.2.8). A fifth of it may be sent "
                         "at once."}),
        };
    }
};

template <>
struct Schema<Vpc> {
    static constexpr auto fields() {
        return std::tuple{
            field<&Vpc::name>(
                {.name = "name", .need = Need::required, .help = "Name of the VPC.", .text = Text::name}),
            field<&Vpc::cidrs>(
                {.name = "cidrs",
                 .need = Need::required,
                 .help = "The prefixes of the VPC, up to 64. They must not overlap with each other."}),
        };
    }
};

template <>
struct Schema<SecurityGroupRule> {
    static constexpr std::array<std::string_view, 2> one_of{"cidr", "security_group"};
    static constexpr auto fields() {
        return std::tuple{
            field<&SecurityGroupRule::protocol>(
                {.name = "protocol", .help = "The protocol that the rule allows. Without it: all."}),
            field<&SecurityGroupRule::ports>(
                {.name = "ports",
                 .help = "The destination port, or a range of them. Only for tcp and udp; without it: all."}),
            field<&SecurityGroupRule::icmp_type>(
                {.name = "icmp_type",
                 .help =
                     "The type of ICMP message, as a number from 0 to 255 or by its name, such as "
                     "echo_request. Only for icmp; without it: all. Answers and errors that belong to what "
                     "was let through need no rule. Of what goes through a NAT gateway or an internet "
                     "gateway it is only the echo_request that opens anything, so that rules for other "
                     "types hold for what stays inside the VPC alone."}),
            field<&SecurityGroupRule::icmp_code>(
                {.name = "icmp_code",
                 .help = "The code of the ICMP message, 0 to 255. Only with icmp_type; without it: all."}),
            alternative<&SecurityGroupRule::peer, Ipv4Prefix>(
                {.name = "cidr", .help = "The other end, as a prefix."}),
            alternative<&SecurityGroupRule::peer, std::string>(
                {.name = "security_group",
                 .help = "The other end, as the addresses that have this security group of the same VPC: of "
                         "their own as an instance, or by their subnet. Meant are addresses inside: an "
                         "instance that comes by way of an Elastic IP is not known as one.",
                 .text = Text::reference,
                 .refers_to = Kind::security_groups}),
            field<&SecurityGroupRule::description>({.name = "description", .help = "A note for people."}),
        };
    }
};

template <>
struct Schema<SecurityGroup> {
    static constexpr auto fields() {
        return std::tuple{
            field<&SecurityGroup::name>({.name = "name",
                                         .need = Need::required,
                                         .help = "Name of the security group.",
                                         .text = Text::name}),
            reference<&SecurityGroup::vpc>(
                Kind::vpcs, {.name = "vpc", .need = Need::required, .help = "The VPC that it belongs to."}),
            field<&SecurityGroup::ingress>(
                {.name = "ingress", .help = "What may come in. Without rules: nothing."}),
            field<&SecurityGroup::egress>(
                {.name = "egress", .help = "What may go out. Without this key: everything."}),
        };
    }
};

template <>
struct Schema<ElasticIp> {
    static constexpr auto fields() {
        return std::tuple{
            field<&ElasticIp::name>({.name = "name",
                                     .need = Need::required,
                                     .help = "Name of the Elastic IP.",
                                     .text = Text::name}),
            field<&ElasticIp::address>(
                {.name = "address",
                 .need = Need::required,
                 .help = "The public address. Nothing else may use it; the gateway host itself only with "
                         "shared_with_host."}),
            reference<&ElasticIp::instance>(
                Kind::instances, {.name = "instance",
                                  .help = "The instance that has the address to itself: it leaves with "
                                          "it, ports unchanged, and what its security groups allow "
                                          "comes in. Its VPC needs an internet gateway. Without an "
                                          "instance a NAT gateway may use the address."}),
            field<&ElasticIp::shared_with_host>(
                {.name = "shared_with_host",
                 .help = "The gateway host itself has this address too. What a flow, a mapping or a port "
                         "forward has of it is an instance's; all else is the host's: its servers, its own "
                         "connections, ping. No instance is given a port that the host listens at, or may "
                         "take by itself (net.ipv4.ip_local_port_range, ip_local_reserved_ports); a server "
                         "that starts later has its port within seconds, unless a flow has it still. A "
                         "port forward over a port of such a server is not in force. "
                         "Fragments for instances must come in order there. Not for one with an instance."}),
        };
    }
};

template <>
struct Schema<PerProtocol> {
    static constexpr auto fields() {
        return std::tuple{
            field<&PerProtocol::tcp>({.name = "tcp", .help = "For TCP."}),
            field<&PerProtocol::udp>({.name = "udp", .help = "For UDP."}),
            field<&PerProtocol::icmp>({.name = "icmp", .help = "For ICMP queries."}),
        };
    }
};

template <>
struct Schema<Timeouts> {
    static constexpr auto fields() {
        return std::tuple{
            field<&Timeouts::udp>({.name = "udp", .help = "UDP. At least 120s (RFC 4787 REQ-5)."}),
            field<&Timeouts::tcp_established>({.name = "tcp_established",
                                               .help = "TCP after the handshake, also when one side has "
                                                       "closed. At least 7440s (RFC 5382 REQ-5)."}),
            field<&Timeouts::tcp_opening>({.name = "tcp_opening",
                                           .help = "TCP before the handshake is complete. RFC 5382 REQ-5 has "
                                                   "240s; RFC 7857 section 2.1 allows less."}),
            field<&Timeouts::tcp_closing>(
                {.name = "tcp_closing",
                 .help = "TCP after both sides have closed. At least 240s (RFC 5382 REQ-5)."}),
            field<&Timeouts::tcp_reset>(
                {.name = "tcp_reset", .help = "TCP after a reset. At least 240s (RFC 7857 section 2.2)."}),
            field<&Timeouts::icmp>({.name = "icmp", .help = "ICMP queries. At least 60s (RFC 5508 REQ-2)."}),
        };
    }
};

template <>
struct Schema<Limits> {
    static constexpr auto fields() {
        return std::tuple{
            field<&Limits::ports_per_host>(
                {.name = "ports_per_host",
                 .help = "External ports that one inside host may hold at once: one for each "
                         "endpoint-independent mapping, and one for each flow without such a mapping."}),
            field<&Limits::flows_per_host>(
                {.name = "flows_per_host", .help = "Flows that one inside host may have at once."}),
            field<&Limits::new_flows_per_second_per_host>(
                {.name = "new_flows_per_second_per_host",
                 .help = "New flows that one inside host may start in a second; so many may come at once."}),
            field<&Limits::flows_per_mapping>(
                {.name = "flows_per_mapping",
                 .help = "Flows that one endpoint-independent mapping may carry at once."}),
        };
    }
};

template <>
struct Schema<PortBlocks> {
    static constexpr auto fields() {
        return std::tuple{
            field<&PortBlocks::size>(
                {.name = "size",
                 .help = "Ports of a block: 64, 128, 256, 512, 1024, 2048 or 4096. Without it there are no "
                         "blocks."}),
            field<&PortBlocks::blocks_per_host>(
                {.name = "blocks_per_host", .help = "Blocks that one inside host may have, 1 to 8."}),
            field<&PortBlocks::hold>(
                {.name = "hold",
                 .help = "How long an inside host keeps a block after its last flow, at least 1s."}),
        };
    }
};

template <>
struct Schema<NatGateway> {
    static constexpr auto fields() {
        return std::tuple{
            field<&NatGateway::name>({.name = "name",
                                      .need = Need::required,
                                      .help = "Name of the NAT gateway.",
                                      .text = Text::name}),
            reference<&NatGateway::vpc>(
                Kind::vpcs, {.name = "vpc", .need = Need::required, .help = "The VPC that it serves."}),
            reference<&NatGateway::elastic_ips>(
                Kind::elastic_ips,
                {.name = "elastic_ips",
                 .need = Need::required,
                 .help = "The Elastic IPs that it translates to, 1 to 64. With ports 1024-65535 each of them "
                         "carries 64512 flows to one remote address and port."}),
            field<&NatGateway::no_translation>(
                {.name = "no_translation",
                 .help =
                     "Destinations that are sent to as they are, with the inside address and port (RFC 6888 "
                     "REQ-6), up to 64 prefixes. They need a route back; only replies come in."}),
            field<&NatGateway::mapping>(
                {.name = "mapping",
                 .help = "When an external port is used again. `endpoint_independent`: one port for each "
                         "inside address and port, whatever the remote (RFC 4787 REQ-1). "
                         "`address_and_port_dependent`: ports are shared between remotes, which multiplies "
                         "capacity. One value for all protocols, or one for each."}),
            field<&NatGateway::filtering>({.name = "filtering",
                                           .help = "Who may send to an external port in use from outside. "
                                                   "`address_and_port_dependent`: only "
                                                   "remotes that the inside host has sent to. "
                                                   "`address_dependent`: these addresses from any "
                                                   "of their ports. `endpoint_independent`: anybody (RFC "
                                                   "4787 REQ-8). The two wider ones take "
                                                   "an external port for each flow where mapping is "
                                                   "`address_and_port_dependent`. One value "
                                                   "for all protocols, or one for each."}),
            field<&NatGateway::pairing>(
                {.name = "pairing",
                 .help = "`soft`: an inside host keeps its Elastic IP as long as that has a free port, and "
                         "gets another then. `strict`: it is refused then (RFC 7857 section 4)."}),
            field<&NatGateway::hairpin>(
                {.name = "hairpin",
                 .help = "Whether inside hosts reach each other through Elastic IPs, as public hosts would: "
                         "with external addresses as source, and let in by `filtering`. `off`, `on`, or "
                         "`same_tenant` for hosts of the same VPC only. The NAT gateways of both hosts have "
                         "to allow it."}),
            field<&NatGateway::port_range>({.name = "port_range", .help = "The external ports to use."}),
            field<&NatGateway::reserved_ports>(
                {.name = "reserved_ports",
                 .help = "Ports, or ranges of them, that are never given out (RFC 6056 section 3.2)."}),
            field<&NatGateway::preserve_port>(
                {.name = "preserve_port",
                 .help =
                     "Give TCP and UDP the port that the inside host uses, if it is in port_range and free; "
                     "else one at random. It tells outsiders more about inside hosts than random ports do "
                     "(RFC 6056 section 4)."}),
            field<&NatGateway::preserve_parity>({.name = "preserve_parity",
                                                 .help = "Give even ports to even ones and odd to odd, for "
                                                         "old RTP; a host is refused when none of "
                                                         "that parity is left (RFC 4787 section 4.2.2)."}),
            field<&NatGateway::preserve_range>({.name = "preserve_range",
                                                .help = "Give inside ports below 1024 external ones of "
                                                        "1-1023, and others those of port_range from "
                                                        "1024 on (RFC 4787 section 4.2.1)."}),
            field<&NatGateway::port_blocks>(
                {.name = "port_blocks",
                 .help = "Give each inside host blocks of ports of its own, so that one record for each "
                         "block says "
                         "who had a port (RFC 6888 REQ-14). A block has its ports in every protocol."}),
            field<&NatGateway::port_quarantine>(
                {.name = "port_quarantine",
                 .help =
                     "How long a freed port rests before another inside endpoint gets it, where filtering is "
                     "`endpoint_independent` (RFC 6888 REQ-8); 0s: not at all. TCP needs no rest."}),
            field<&NatGateway::port_quarantine_max>(
                {.name = "port_quarantine_max",
                 .help = "How many ports may rest at once. What is freed beyond that is free at once."}),
            field<&NatGateway::timeouts>(
                {.name = "timeouts",
                 .help = "How long a flow is kept without traffic, at most 65535s each."}),
            field<&NatGateway::allow_nonconformant_timeouts>(
                {.name = "allow_nonconformant_timeouts",
                 .help = "Accept timeouts below the floors of the RFCs, with a warning: established "
                         "connections may break."}),
            field<&NatGateway::limits>(
                {.name = "limits",
                 .help = "Limits for each inside host. Without them: none. They hold for new flows at "
                         "once when they are changed; what stands is kept (RFC 6888 REQ-4)."}),
            field<&NatGateway::tcp_mss_clamp>(
                {.name = "tcp_mss_clamp",
                 .help = "Lower the maximum segment size in TCP handshakes to what the path carries."}),
            field<&NatGateway::icmp_on_exhaustion>(
                {.name = "icmp_on_exhaustion",
                 .help = "What an inside host is told by ICMP when there is no port or no room for its flow: "
                         "`host_unreachable`, which does not abort TCP connections; "
                         "`administratively_prohibited`, as RFC 5508 REQ-8 has it; or `none`."}),
            field<&NatGateway::icmp_quote_checksum>(
                {.name = "icmp_quote_checksum",
                 .help = "ICMP errors that quote an IPv4 header with a wrong checksum: `strict` drops them "
                         "(RFC 5508 REQ-3), `lenient` lets them pass, for routers that lower the TTL before "
                         "they quote."}),
            field<&NatGateway::tcp_reset_on_idle_timeout>(
                {.name = "tcp_reset_on_idle_timeout",
                 .help = "Send a reset to both ends of a TCP connection that is forgotten because it was "
                         "idle for "
                         "too long, instead of silence. With endpoint-independent mapping of TCP only the "
                         "instance "
                         "gets one."}),
            field<&NatGateway::log_flows>({.name = "log_flows", .help = "Write a flow log."}),
        };
    }
};

template <>
struct Schema<InternetGateway> {
    static constexpr auto fields() {
        return std::tuple{
            field<&InternetGateway::name>({.name = "name",
                                           .need = Need::required,
                                           .help = "Name of the internet gateway.",
                                           .text = Text::name}),
            reference<&InternetGateway::vpc>(
                Kind::vpcs, {.name = "vpc", .need = Need::required, .help = "The VPC that it serves."}),
        };
    }
};

template <>
struct Schema<Route> {
    static constexpr std::array<std::string_view, 4> one_of{"nat_gateway", "internet_gateway", "via",
                                                            "blackhole"};
    static constexpr auto fields() {
        return std::tuple{
            field<&Route::destination>(
                {.name = "destination",
                 .need = Need::required,
                 .help = "The prefix that the route is for; 0.0.0.0/0 is everything."}),
            alternative<&Route::target, ToNatGateway, &ToNatGateway::name>(
                {.name = "nat_gateway",
                 .help = "Translate with this NAT gateway of the same VPC.",
                 .text = Text::reference,
                 .refers_to = Kind::nat_gateways}),
            alternative<&Route::target, ToInternetGateway, &ToInternetGateway::name>(
                {.name = "internet_gateway",
                 .help = "Send out with the Elastic IP of the instance, through this internet gateway of the "
                         "same VPC.",
                 .text = Text::reference,
                 .refers_to = Kind::internet_gateways}),
            alternative<&Route::target, Via, &Via::address>(
                {.name = "via",
                 .help = "Send to this router or instance as it is, untranslated. It is an address of a "
                         "subnet of "
                         "the same VPC, and the host is to have an address of its link."}),
            alternative<&Route::target, Blackhole>(
                {.name = "blackhole", .help = "Drop, and count as `blackhole`."}),
        };
    }
};

template <>
struct Schema<RouteTable> {
    static constexpr auto fields() {
        return std::tuple{
            field<&RouteTable::name>({.name = "name",
                                      .need = Need::required,
                                      .help = "Name of the route table.",
                                      .text = Text::name}),
            reference<&RouteTable::vpc>(
                Kind::vpcs, {.name = "vpc", .need = Need::required, .help = "The VPC that it belongs to."}),
            field<&RouteTable::main>(
                {.name = "main", .help = "Use this table for the subnets of the VPC that name none."}),
            field<&RouteTable::routes>(
                {.name = "routes",
                 .help = "The routes. What no route covers is dropped, and counted as `no_route`."}),
        };
    }
};

template <>
struct Schema<Subnet> {
    static constexpr auto fields() {
        return std::tuple{
            field<&Subnet::name>(
                {.name = "name", .need = Need::required, .help = "Name of the subnet.", .text = Text::name}),
            reference<&Subnet::vpc>(
                Kind::vpcs, {.name = "vpc", .need = Need::required, .help = "The VPC that it belongs to."}),
            field<&Subnet::cidr>(
                {.name = "cidr",
                 .need = Need::required,
                 .help = "Its prefix, inside a prefix of the VPC. Subnets of one VPC must not overlap."}),
            reference<&Subnet::route_table>(
                Kind::route_tables,
                {.name = "route_table",
                 .help = "Its route table, of the same VPC. Without it: the main route table of the VPC."}),
            reference<&Subnet::security_groups>(
                Kind::security_groups, {.name = "security_groups",
                                        .help = "Security groups of instances that have none of their own."}),
        };
    }
};

template <>
struct Schema<Instance> {
    static constexpr auto fields() {
        return std::tuple{
            field<&Instance::name>({.name = "name",
                                    .need = Need::required,
                                    .help = "Name of the instance.",
                                    .text = Text::name}),
            reference<&Instance::subnet>(
                Kind::subnets,
                {.name = "subnet", .need = Need::required, .help = "The subnet that it is in."}),
            field<&Instance::address>({.name = "address",
                                       .need = Need::required,
                                       .help = "Its private address, inside the subnet."}),
            reference<&Instance::security_groups>(
                Kind::security_groups,
                {.name = "security_groups",
                 .help =
                     "Its security groups, of the same VPC; without any, those of its subnet. If that has "
                     "none either, everything may leave, port forwards are open, and nothing comes in by "
                     "an Elastic IP of its own."}),
        };
    }
};

template <>
struct Schema<PortForward> {
    static constexpr auto fields() {
        return std::tuple{
            field<&PortForward::name>({.name = "name",
                                       .need = Need::required,
                                       .help = "Name of the port forward.",
                                       .text = Text::name}),
            reference<&PortForward::elastic_ip>(
                Kind::elastic_ips, {.name = "elastic_ip",
                                    .need = Need::required,
                                    .help = "The Elastic IP that is forwarded; a NAT gateway must have it."}),
            field<&PortForward::protocol>(
                {.name = "protocol", .need = Need::required, .help = "`tcp` or `udp`."}),
            field<&PortForward::port>(
                {.name = "port",
                 .need = Need::required,
                 .help =
                     "The external port, or a range of them. No instance is given one of them any more."}),
            Field<PortForward, Endpoint>{
                {.name = "to",
                 .need = Need::required,
                 .help =
                     "Where to: address and first port of an instance of the VPC. What it sends from there "
                     "leaves by the external port. Security groups, if it has any, must let clients in."},
                [](const PortForward& forward) {
                    return Endpoint{forward.to_address, forward.to_port};
                },
                [](PortForward& forward, Endpoint to) {
                    forward.to_address = to.address;
                    forward.to_port = to.port;
                }},
        };
    }
};

}  // namespace sallyport::model

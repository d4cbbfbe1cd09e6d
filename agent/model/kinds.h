// SPDX-License-Identifier: Apache-2.0
//
// The kinds of object, declared once. Whoever has to do something for each of them visits this list, so a
// new kind is one more line here, a struct in resources.h and its fields in fields.h.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

// X(name in files, paths and JSON, type, what one of them is called, help)
//
// In the order of dependence: objects refer to kinds above their own, as far as that can be.
#define SALLYPORT_KINDS(X)                                                                                  \
    X(vpcs, Vpc, "VPC", "Private networks. Their prefixes may overlap with those of other VPCs.")           \
    X(security_groups, SecurityGroup, "security group",                                                     \
      "Stateful, allow-only rules that are checked when a flow is made. A group without rules lets "        \
      "everything out and nothing in.")                                                                     \
    X(elastic_ips, ElasticIp, "Elastic IP",                                                                 \
      "Public addresses that the gateway answers for, bound to a NAT gateway or to one instance.")          \
    X(nat_gateways, NatGateway, "NAT gateway",                                                              \
      "Translate what the subnets routed to them send out. Nothing enters through them unasked.")           \
    X(internet_gateways, InternetGateway, "internet gateway",                                               \
      "Let instances with an Elastic IP of their own out, translated one to one.")                          \
    X(route_tables, RouteTable, "route table",                                                              \
      "Where the packets of a subnet go. The prefixes of the VPC are an implicit local route; the longest " \
      "prefix wins.")                                                                                       \
    X(subnets, Subnet, "subnet", "Parts of a VPC, each with a route table.")                                \
    X(instances, Instance, "instance",                                                                      \
      "Private endpoints. They need not be listed, unless they have an Elastic IP or security groups of "   \
      "their own.")                                                                                         \
    X(port_forwards, PortForward, "port forward", "Ports of an Elastic IP that lead to an instance.")

namespace sallyport::model {

enum class Kind {
#define X(name, Type, word, help) name,
    SALLYPORT_KINDS(X)
#undef X
};

inline constexpr std::array all_kinds{
#define X(name, Type, word, help) Kind::name,
    SALLYPORT_KINDS(X)
#undef X
};

std::string_view to_string(Kind kind);                  // "nat_gateways"
std::string_view word_for(Kind kind);                   // "NAT gateway"
std::string with_article(Kind kind);                    // "an Elastic IP"
std::string_view help_for(Kind kind);                   // a sentence or two for manuals
std::optional<Kind> parse_kind(std::string_view text);  // of "nat_gateways"

// Calls visit(Kind, std::vector<T> DesiredState::*) for each kind.
template <typename Visit>
constexpr void visit_kinds(Visit&& visit) {
#define X(name, Type, word, help) visit(Kind::name, &DesiredState::name);
    SALLYPORT_KINDS(X)
#undef X
}

// The objects of one type: `objects<Vpc>(state)` is `state.vpcs`.
template <typename T>
const std::vector<T>& objects(const DesiredState& state);
#define X(name, Type, word, help)                                              \
    template <>                                                                \
    inline const std::vector<Type>& objects<Type>(const DesiredState& state) { \
        return state.name;                                                     \
    }
SALLYPORT_KINDS(X)
#undef X

// The object of that name, owned by `state`, or nullptr: `find<NatGateway>(state, "egress")`. It looks at
// one object after the other; who looks for many makes a map.
template <typename T>
const T* find(const DesiredState& state, std::string_view name) {
    for (const T& object : objects<T>(state)) {
        if (object.name == name) return &object;
    }
    return nullptr;
}

// [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?
bool is_name(std::string_view text);

}  // namespace sallyport::model

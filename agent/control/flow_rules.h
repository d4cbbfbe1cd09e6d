// SPDX-License-Identifier: Apache-2.0
//
// What tables say of a flow that stands or is to be made: the lookups and the checks of bpf/lib/find.h once
// more, without a packet and without changing anything. explain.h walks by them on the tables that are in
// force, flows_cut.h on those of a plan.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "core/address.h"
#include "dataplane/dataplane.h"
#include "dataplane/tables.h"
#include "sallyport/abi/drop_reason.h"

namespace sallyport::control {

inline constexpr std::uint32_t reason_none = DROP_REASON_NONE;

// Both ends of a flow.
struct Ends {
    Endpoint instance;
    Endpoint remote;
    Endpoint external;
    std::uint16_t zone = 0;
    Protocol protocol = Protocol::tcp;
    bool is_static = false;
    bool from_outside = false;
    bool inner = false;                         // it stays inside
    std::optional<std::uint16_t> message = {};  // of ICMP that does: type * 256 + code, where it is known
    dataplane::SecurityGroupNumbers remote_groups = {};
};
Ends ends_of(const dataplane::FlowRecord& flow);

// What holds for the address of an instance.
struct Place {
    const dataplane::SubnetEntry* subnet = nullptr;
    Ipv4Prefix prefix;
    Ipv4Address own_elastic_ip;
    dataplane::SecurityGroupNumbers groups;
};

// One end of a flow that stays inside, and the flow as it sees it.
struct InnerEnd {
    Place place;  // of no subnet where a router leads there
    Ends ends;
};

// What security groups say. `by` is the number of the one that allows it; 0: there is none.
struct Admission {
    bool admitted = false;
    std::uint16_t by = 0;
};

std::size_t nat_protocol_of(Protocol protocol);  // enum nat_protocol
std::uint16_t forwarded_port(const dataplane::PortForwardEntry& forward, std::uint16_t port);

class FlowRules {
  public:
    // Whether a mapping's external endpoint has sent to this remote address, so that it may send there.
    using IsPermitted = std::function<bool(Protocol protocol, const Endpoint& external, Ipv4Address remote)>;

    // `tables` is not owned, and must not change.
    explicit FlowRules(const dataplane::ForwardingTables& tables);

    // Lookups; nullptr: nothing is found.
    [[nodiscard]] std::optional<Place> place_of(std::uint16_t zone, Ipv4Address address) const;
    [[nodiscard]] const dataplane::RouteEntry* route_to(std::uint32_t route_table, Ipv4Address destination,
                                                        Ipv4Prefix* prefix = nullptr) const;
    [[nodiscard]] const dataplane::ElasticIpEntry* elastic_ip(Ipv4Address address) const;
    [[nodiscard]] const dataplane::NatGatewayEntry* nat_gateway(std::uint16_t number) const;
    [[nodiscard]] const dataplane::PortForwardEntry* port_forward(Protocol protocol,
                                                                  const Endpoint& external) const;
    [[nodiscard]] const dataplane::ForwardedEndpointEntry* forwarded_endpoint(std::uint16_t zone,
                                                                              Protocol protocol,
                                                                              const Endpoint& inside) const;

    // Is it what the configuration would make on NAT gateway `number`? Otherwise the reason. Fills in where
    // the instance is, and whether what has no security groups may have the flow.
    [[nodiscard]] std::uint32_t route_refusal(std::uint16_t number, const Ends& ends, Place& place,
                                              bool& open) const;
    [[nodiscard]] Admission groups_admit(const Place& place, bool open, const Ends& ends) const;
    [[nodiscard]] static bool filter_admits(const dataplane::NatGatewayEntry& nat, const Ends& ends,
                                            const IsPermitted& is_permitted);

    // Whose security groups are asked about a flow that stays inside: its opener's, and then the other end's.
    [[nodiscard]] std::array<InnerEnd, 2> inner_ends(const dataplane::InnerFlowKey& flow,
                                                     std::optional<std::uint16_t> message = {}) const;

    // Would a flow that stands outlive being checked again? One that stays inside has to have a route there,
    // too.
    [[nodiscard]] bool allows(const dataplane::InnerFlowKey& flow, std::uint16_t message) const;
    [[nodiscard]] bool allows(const dataplane::FlowRecord& flow, const IsPermitted& is_permitted) const;

  private:
    [[nodiscard]] bool group_admits(std::uint16_t number, const Ends& ends) const;

    const dataplane::ForwardingTables& tables_;
    // Which lengths of prefix there are, a bit each, so that only those are looked for.
    std::map<std::uint32_t, std::uint64_t> subnet_lengths_;  // by zone
    std::map<std::uint32_t, std::uint64_t> route_lengths_;   // by route table
};

}  // namespace sallyport::control

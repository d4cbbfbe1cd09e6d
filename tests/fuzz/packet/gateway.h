// SPDX-License-Identifier: Apache-2.0
//
// A small gateway on the host that packets are thrown at:
//
//   10.0.0.0/24, 10.0.1.0/24 (zone 1) -- slot 0, inside | slot 1, outside -- 198.51.100.0/24, router .254
//                  10.1.0.0/24 (zone 2) -- slot 2, both ways: to 203.0.113.20 as well
//
// NAT gateway 0 has two Elastic IPs, 1 has one with four ports, 2 has none, 3 is not in use. Of the first and
// the last Elastic IP a range of ports may be forwarded; the second may be an instance's own, behind an
// internet gateway. Two security groups may hold for subnets and instances. 10.0.0.12 may be a router to
// 203.0.113.0/24. The first and the last Elastic IP may be addresses of the host as well.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "core/address.h"
#include "host/programs.h"
#include "support/packet.h"
#include "support/program_lab.h"

namespace sallyport::fuzz {

using support::Bytes;
using support::Role;

inline constexpr std::uint8_t inside_slot = 0, outside_slot = 1, both_slot = 2;

struct Run {
    int action = -1;
    Bytes frame;
    std::uint32_t egress = 0;
};

struct Endpoint {
    Ipv4Address address;
    std::uint16_t port;
    bool operator==(const Endpoint&) const = default;
};

// Somebody outside, and an instance, as both know themselves. An echo's identifier is the instance's port.
struct Ends {
    std::uint8_t protocol;
    Endpoint instance, remote;
    bool operator==(const Ends&) const = default;
};

class Gateway {
  public:
    Gateway();

    // As it was in the beginning.
    void reset();

    // The result is there until the world's next run.
    const Run& run(int world, std::uint8_t slot, bool express, const Bytes& frame, std::uint64_t random);

    // What happens to a gateway beside packets; each `what` and `value` means something.
    void change(std::uint8_t what, std::uint8_t value);
    void advance(std::uint64_t milliseconds) { host_now_ns += milliseconds * 1'000'000; }

    [[nodiscard]] bool is_elastic_ip(Ipv4Address address) const;
    [[nodiscard]] bool is_draining(Ipv4Address address) const;
    // Is the Elastic IP an address of the host as well?
    [[nodiscard]] bool is_shared(Ipv4Address address) const;
    // The same since no flow was there, so that none has this port, which is the host's?
    [[nodiscard]] bool is_kept_for_host(Ipv4Address address, std::uint16_t port) const;
    // Would the host take what goes to one VPC for the other's?
    [[nodiscard]] static bool is_ambiguous();
    // Has a NAT gateway another mapping than in the beginning, or had for a while?
    [[nodiscard]] bool mapping_has_changed() const { return mapping_changed_; }
    // Who else may send to an external endpoint of this address, while its NAT gateway says so.
    [[nodiscard]] endpoint_rule filtering_of(Ipv4Address elastic_ip, std::uint8_t protocol) const;

    // What the configuration says, worked out from what was chosen and not from the programs' maps.
    // Where what is sent to an external endpoint is led to, whoever may be allowed to.
    [[nodiscard]] std::optional<Endpoint> led_inside(std::uint8_t protocol, Endpoint external) const;
    // Where what an endpoint of an instance begins has to leave from, if that is not a NAT gateway's choice.
    [[nodiscard]] std::optional<Endpoint> static_external(std::uint8_t protocol, Endpoint instance) const;
    // Has an instance this Elastic IP to itself?
    [[nodiscard]] bool is_own(Ipv4Address elastic_ip) const;
    // Does the instance's route to the remote lead to whatever has the Elastic IP?
    [[nodiscard]] bool routes(Ipv4Address instance, Ipv4Address remote, Ipv4Address elastic_ip) const;
    // Do the instance's security groups allow the flow, if the instance begins it, or the remote?
    [[nodiscard]] bool lets_out(const Ends& ends) const;
    [[nodiscard]] bool lets_in(const Ends& ends, Ipv4Address elastic_ip) const;
    // Do the route tables lead what one sends to the other to a router inside?
    [[nodiscard]] bool leads_via_router(Ipv4Address source, Ipv4Address destination) const;
    // Do the security groups of both ends allow what the first begins? What is called is the second one's
    // port, or ICMP's type and code.
    [[nodiscard]] bool allows_inside(std::uint8_t protocol, Ipv4Address opener, Ipv4Address answerer,
                                     std::uint16_t called) const;
    // Are both instances of the device's VPC?
    static bool is_inside(std::uint8_t slot, Ipv4Address one, Ipv4Address other);
    static Role role_of(std::uint8_t slot);
    // Of whoever sends on a device, so that the frame looks as if it were for the gateway.
    static const std::array<std::uint8_t, 6>& mac_of(std::uint8_t slot);

  private:
    struct Forward {
        std::uint16_t first, last;  // of the Elastic IP
        Endpoint to;                // where the first leads to
    };
    using Groups = unsigned;  // a bit each

    void configure();
    void put_nat_gateway(std::uint32_t number);
    void bind(std::size_t place, bool bound);
    void share(std::size_t place, bool shared);
    void new_generation();
    void lead_inside(std::uint8_t value);
    void secure(std::uint8_t value);
    void forward(std::size_t place, const std::optional<Forward>& forward);
    void put_instances();
    void put_subnet(std::size_t place);
    void put_group(std::size_t number, std::size_t ingress, std::size_t egress);
    void add_route(std::uint32_t table, Ipv4Prefix to, route_target target, std::uint16_t index,
                   Ipv4Address via = {});
    void remove_route(std::uint32_t table, Ipv4Prefix to);
    [[nodiscard]] std::uint16_t nat_gateway_of(Ipv4Address elastic_ip) const;
    [[nodiscard]] Groups groups_of(Ipv4Address instance) const;
    struct Asked {
        std::uint8_t protocol;
        std::uint16_t called;
        Ipv4Address remote;
        Groups groups_of_remote;
    };
    [[nodiscard]] bool rule_allows(Groups groups, bool inward, const Asked& asked) const;
    [[nodiscard]] bool rule_allows(const Ends& ends, bool inward) const;
    [[nodiscard]] const struct route* route_to(Ipv4Address instance, Ipv4Address remote) const;

    bool changed_ = true, mapping_changed_ = false;
    std::array<Run, HOST_WORLDS> runs_;  // which keep their memory
    std::array<bool, 3> bound_{}, draining_{}, shared_{};
    std::array<bool, 3> shared_from_start_{};         // no flow was there
    std::array<std::optional<Forward>, 3> forwards_;  // by place of the Elastic IP
    std::optional<Ipv4Address> owner_;                // of the second Elastic IP
    std::array<Groups, 3> subnet_groups_{};
    std::map<Ipv4Address, Groups> instance_groups_;  // of those that have others than their subnet
    struct RulesOfGroup {
        std::size_t ingress = 0, egress = 0;  // numbers of sets of rules
    };
    std::array<RulesOfGroup, 2> groups_;
    std::map<std::pair<std::uint32_t, Ipv4Prefix>, route> routes_;
};

inline constexpr std::array<Ipv4Address, 3> elastic_ips{
    Ipv4Address(198, 51, 100, 10), Ipv4Address(198, 51, 100, 11), Ipv4Address(198, 51, 100, 12)};

}  // namespace sallyport::fuzz

// SPDX-License-Identifier: Apache-2.0
//
// A small gateway on the host that packets are thrown at:
//
//   10.0.0.0/24, 10.0.1.0/24 (zone 1) -- slot 0, inside | slot 1, outside -- 198.51.100.0/24, router .254
//                  10.1.0.0/24 (zone 2) -- slot 2, both ways: to 203.0.113.20 as well
//
// NAT gateway 0 has two Elastic IPs, 1 has one with four ports, 2 has none, 3 is not in use.
#pragma once

#include <array>
#include <cstdint>
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
    // Has a NAT gateway another mapping than in the beginning, or had for a while?
    [[nodiscard]] bool mapping_has_changed() const { return mapping_changed_; }
    // Who else may send to an external endpoint of this address, while its NAT gateway says so.
    static endpoint_rule filtering_of(Ipv4Address elastic_ip, std::uint8_t protocol);
    static Role role_of(std::uint8_t slot);
    // Of whoever sends on a device, so that the frame looks as if it were for the gateway.
    static const std::array<std::uint8_t, 6>& mac_of(std::uint8_t slot);

  private:
    void configure();
    void put_nat_gateway(std::uint32_t number);
    void bind(std::size_t place, bool bound);
    void new_generation();

    bool changed_ = true, mapping_changed_ = false;
    std::array<Run, HOST_WORLDS> runs_;  // which keep their memory
    std::array<bool, 3> bound_{};
};

inline constexpr std::array<Ipv4Address, 3> elastic_ips{
    Ipv4Address(198, 51, 100, 10), Ipv4Address(198, 51, 100, 11), Ipv4Address(198, 51, 100, 12)};

}  // namespace sallyport::fuzz

// SPDX-License-Identifier: Apache-2.0
//
// The network that gateways are measured in, out of namespaces without names, which end with the object:
//
//   inside                  gateway                          outside
//   inst0 ----------------- lan0 | wan0 ------------------- net0
//   10.0.1.11               10.0.1.1 | 198.51.100.1         198.51.100.254, behind it 203.0.113.10
//
// A program at inst0 and net0 counts what arrives and drops it; frames are sent out of the same devices.
// Neighbours are permanent entries, so nothing but the benchmark's frames is on the wires.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bench/flow_driver.h"

struct wire_bpf;

namespace sallyport::bench {

inline constexpr const char* instance_address = "10.0.1.11";
inline constexpr const char* remote_address = "203.0.113.10";
inline constexpr const char* gateway_address = "198.51.100.1";
inline constexpr const char* elastic_ip_address = "198.51.100.10";

enum class Place { inside, gateway, outside };
// Of a packet. `out` leaves the inside.
enum class Direction { out, in };

using Mac = std::array<std::uint8_t, 6>;
inline constexpr Mac instance_mac{2, 0, 0, 0, 1, 0x11}, lan_mac{2, 0, 0, 0, 1, 1}, wan_mac{2, 0, 0, 0, 2, 1},
    router_mac{2, 0, 0, 0, 2, 0xfe};

// Runs a command of the shell; throws where it fails.
void shell(const std::string& command);

class Topology {
  public:
    Topology();
    ~Topology();
    Topology(const Topology&) = delete;
    Topology& operator=(const Topology&) = delete;

    // The calling thread does `what` in a namespace and comes back.
    void within(Place place, const std::function<void()>& what) const;

    // Sends `count` frames of `bytes` through the gateway. Gives the processor time per packet in
    // nanoseconds: that of this thread, which must be bound to one processor, and of its softirq thread.
    // Throws unless exactly as many arrived as were sent.
    double send(FlowDriver& driver, Direction direction, std::uint32_t count, std::size_t bytes);

    // What FlowDriver::aim() wants to know.
    [[nodiscard]] std::uint32_t sender(Direction direction) const;
    // Addresses of the last packet that arrived.
    [[nodiscard]] std::string arrived_from(Direction direction) const;
    [[nodiscard]] std::string arrived_for(Direction direction) const;

    // Attaches the program of that name to lan0 and wan0: "forward" or "pass".
    void attach_to_gateway(const std::string& program);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::bench

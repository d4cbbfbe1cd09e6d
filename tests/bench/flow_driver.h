// SPDX-License-Identifier: Apache-2.0
//
// Many flows, driven through a program from within the kernel (driver.bpf.c).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/packet.h"

extern "C" {
#include "bench/driver.h"
}

namespace sallyport::bench {

class FlowDriver {
  public:
    explicit FlowDriver(std::uint32_t most_tuples);
    ~FlowDriver();
    FlowDriver(const FlowDriver&) = delete;
    FlowDriver& operator=(const FlowDriver&) = delete;

    // The packets to come: the headers of `like` with these ports, one after another, over and over.
    void aim(const support::Packet& like, const std::vector<tuple>& tuples, std::uint32_t ifindex = 0);

    // Runs `program` on `count` frames; processor time per frame in nanoseconds, the driver's own included.
    double call(int program, std::uint32_t count);
    // The same into a program that does nothing: what to take off.
    double call_empty(std::uint32_t count);

    // Sends `count` live frames of `bytes` out of the device that was aimed at, `batch` at a time.
    void send(std::uint32_t count, std::size_t bytes, std::uint32_t batch = 64);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// `flows` different pairs of ports, in an order that no cache can guess, the same in every run.
std::vector<tuple> scattered_tuples(std::uint32_t flows, std::uint32_t per_remote_port = 10000);

}  // namespace sallyport::bench

// SPDX-License-Identifier: Apache-2.0
//
// The capture that a client has asked for. Packets wait in the data plane until the client asks for them, so
// that one that is slow costs no memory here, and a capture whose client is gone ends by itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "dataplane/dataplane.h"

namespace sallyport::control {

struct TimedPacket {
    std::chrono::sys_time<std::chrono::nanoseconds> time;
    dataplane::CapturedPacket packet;
};

struct CaptureBatch {
    std::vector<TimedPacket> packets;
    std::uint64_t lost = 0;  // since the capture began
};

class Captures {
  public:
    static constexpr std::chrono::seconds patience{10};
    static constexpr std::size_t batch_packets = 2000;

    Captures(dataplane::Dataplane& dataplane, const Clock& clock) : dataplane_(dataplane), clock_(clock) {}

    // The number names the capture, and no other one of this agent or of an earlier one. Fails with EBUSY
    // while there is another one.
    Result<std::uint64_t> begin(const dataplane::CaptureRequest& request);
    // What has been captured since the last call, a batch of it.
    Result<CaptureBatch> take(std::uint64_t capture);
    // All that is left of it.
    Result<CaptureBatch> end(std::uint64_t capture);
    // Ends a capture that nobody has asked about for longer than `patience`. To be called now and then.
    void tick();

    // Keeps a client that waits until it is let go, or until this object goes.
    void hold(std::shared_ptr<void> waiting) { waiting_.push_back(std::move(waiting)); }
    void let_go(const void* waiting) {
        std::erase_if(waiting_, [waiting](const auto& held) { return held.get() == waiting; });
    }

  private:
    [[nodiscard]] Result<void> check(std::uint64_t capture) const;

    dataplane::Dataplane& dataplane_;
    const Clock& clock_;
    struct Running {
        std::uint64_t number = 0;
        std::chrono::nanoseconds asked_at{0};  // CLOCK_MONOTONIC
        // When CLOCK_MONOTONIC was zero. One for the whole capture: the packets stay in order.
        std::chrono::sys_time<std::chrono::nanoseconds> zero;
    };
    std::optional<Running> running_;
    std::uint64_t newest_ = 0;
    std::vector<std::shared_ptr<void>> waiting_;
};

}  // namespace sallyport::control

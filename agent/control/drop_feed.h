// SPDX-License-Identifier: Apache-2.0
//
// The newest drop events, numbered, for those who watch. The data plane sends events only while somebody
// asks for them, so that a flood of drops costs nothing when nobody looks.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/clock.h"
#include "dataplane/dataplane.h"

namespace sallyport::control {

struct NumberedDrop {
    std::uint64_t sequence = 0;
    std::chrono::system_clock::time_point time;
    dataplane::DropEvent event;
};

struct DropBatch {
    std::vector<NumberedDrop> events;
    std::uint64_t next = 0;    // to ask for what comes after this batch
    std::uint64_t missed = 0;  // events between the one asked for and the first of the batch, forgotten
};

class DropFeed {
  public:
    static constexpr std::size_t kept_events = 8192;
    static constexpr std::size_t batch_events = 1000;

    DropFeed(dataplane::Dataplane& dataplane, const Clock& clock) : dataplane_(dataplane), clock_(clock) {}

    // Somebody watches: events are sent for a while from now.
    Result<void> watch();

    // What came after number `after`; a number that was never given out counts as the newest.
    [[nodiscard]] DropBatch after(std::uint64_t after) const;
    [[nodiscard]] std::uint64_t newest() const { return newest_; }

    // Takes over what the data plane has to tell and then calls those who wait. To be called when
    // Dataplane::drop_events_fd() is readable.
    void poll();

    using Waiter = std::uint64_t;
    Waiter wait(std::function<void()> done);  // called once: when events came, or by end_waiting()
    void end_waiting(Waiter waiter);

  private:
    dataplane::Dataplane& dataplane_;
    const Clock& clock_;
    std::deque<NumberedDrop> events_;
    std::uint64_t newest_ = 0;
    std::map<Waiter, std::function<void()>> waiters_;
    Waiter next_waiter_ = 1;
};

}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "control/drop_feed.h"

#include <algorithm>
#include <utility>

namespace sallyport::control {

namespace {
// Longer than the longest wait of a query and the way to the next one.
constexpr std::chrono::seconds watch_duration{45};
}  // namespace

Result<void> DropFeed::watch() {
    return dataplane_.watch_drops(watch_duration);
}

DropBatch DropFeed::after(std::uint64_t after) const {
    DropBatch batch;
    after = std::min(after, newest_);
    batch.next = after;
    if (events_.empty()) return batch;
    const std::uint64_t oldest = events_.front().sequence;
    if (after + 1 < oldest) batch.missed = oldest - after - 1;
    const std::uint64_t first = std::max(after + 1, oldest);
    for (std::uint64_t sequence = first; sequence <= newest_ && batch.events.size() < batch_events;
         ++sequence) {
        batch.events.push_back(events_[sequence - oldest]);
        batch.next = sequence;
    }
    return batch;
}

void DropFeed::poll() {
    const auto wall = clock_.wall();
    const auto monotonic = clock_.monotonic();
    const std::uint64_t before = newest_;
    // An error here means that events are lost, which watching allows; the counters have them all.
    (void)dataplane_.poll_drop_events([&](const dataplane::DropEvent& event) {
        const auto age = monotonic - std::chrono::nanoseconds(event.time_ns);
        const auto time = wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(age);
        events_.push_back({++newest_, time, event});
        if (events_.size() > kept_events) events_.pop_front();
    });
    if (newest_ == before) return;
    for (auto& [number, call] : std::exchange(waiters_, {})) call();
}

DropFeed::Waiter DropFeed::wait(std::function<void()> done) {
    waiters_.emplace(next_waiter_, std::move(done));
    return next_waiter_++;
}

void DropFeed::end_waiting(Waiter waiter) {
    if (auto node = waiters_.extract(waiter)) node.mapped()();
}

}  // namespace sallyport::control

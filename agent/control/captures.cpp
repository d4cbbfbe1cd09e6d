// SPDX-License-Identifier: Apache-2.0
#include "control/captures.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace sallyport::control {

Result<std::uint64_t> Captures::begin(const dataplane::CaptureRequest& request) {
    if (auto begun = dataplane_.begin_capture(request); !begun) return tl::make_unexpected(begun.error());
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch());
    newest_ = std::max(newest_ + 1, static_cast<std::uint64_t>(now.count()));
    const auto monotonic = clock_.monotonic();
    running_ = Running{newest_, monotonic,
                       std::chrono::time_point_cast<std::chrono::nanoseconds>(clock_.wall()) - monotonic};
    return newest_;
}

Result<void> Captures::check(std::uint64_t capture) const {
    if (running_ && running_->number == capture) return {};
    return failure(
        "there is no such capture: it has ended, by itself where nobody asked for its packets for " +
            std::to_string(patience.count()) + " s",
        ENOENT);
}

Result<CaptureBatch> Captures::take(std::uint64_t capture) {
    if (auto known = check(capture); !known) return tl::make_unexpected(known.error());
    running_->asked_at = clock_.monotonic();
    CaptureBatch batch;
    const auto lost = dataplane_.poll_capture(batch_packets, [&](dataplane::CapturedPacket packet) {
        const auto time = running_->zero + std::chrono::nanoseconds(packet.time_ns);
        batch.packets.push_back({time, std::move(packet)});
    });
    if (!lost) {
        running_.reset();
        return tl::make_unexpected(lost.error());
    }
    batch.lost = *lost;
    return batch;
}

Result<CaptureBatch> Captures::end(std::uint64_t capture) {
    if (auto known = check(capture); !known) return tl::make_unexpected(known.error());
    const auto zero = std::exchange(running_, std::nullopt)->zero;
    CaptureBatch batch;
    const auto lost = dataplane_.end_capture([&](dataplane::CapturedPacket packet) {
        const auto time = zero + std::chrono::nanoseconds(packet.time_ns);
        batch.packets.push_back({time, std::move(packet)});
    });
    if (!lost) return tl::make_unexpected(lost.error());
    batch.lost = *lost;
    return batch;
}

void Captures::tick() {
    if (!running_ || clock_.monotonic() - running_->asked_at <= patience) return;
    std::ignore = end(running_->number);
}

}  // namespace sallyport::control

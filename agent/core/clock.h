// SPDX-License-Identifier: Apache-2.0
//
// Time behind an interface, so that anything that waits can be tested without waiting.
#pragma once

#include <chrono>

namespace sallyport {

class Clock {
  public:
    virtual ~Clock() = default;
    // CLOCK_MONOTONIC: the clock of the data plane.
    [[nodiscard]] virtual std::chrono::nanoseconds monotonic() const = 0;
    [[nodiscard]] virtual std::chrono::system_clock::time_point wall() const = 0;
};

class SystemClock final : public Clock {
  public:
    [[nodiscard]] std::chrono::nanoseconds monotonic() const override;
    [[nodiscard]] std::chrono::system_clock::time_point wall() const override;
};

class ManualClock final : public Clock {
  public:
    [[nodiscard]] std::chrono::nanoseconds monotonic() const override { return now_; }
    [[nodiscard]] std::chrono::system_clock::time_point wall() const override {
        return std::chrono::system_clock::time_point{} +
               std::chrono::duration_cast<std::chrono::system_clock::duration>(now_);
    }
    void advance(std::chrono::nanoseconds by) { now_ += by; }

  private:
    std::chrono::nanoseconds now_{0};
};

}  // namespace sallyport

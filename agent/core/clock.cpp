// SPDX-License-Identifier: Apache-2.0
#include "core/clock.h"

#include <ctime>

namespace sallyport {

std::chrono::nanoseconds SystemClock::monotonic() const {
    // Asked for by name: the standard does not promise that std::chrono::steady_clock is this clock.
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::chrono::system_clock::time_point SystemClock::wall() const {
    return std::chrono::system_clock::now();
}

}  // namespace sallyport

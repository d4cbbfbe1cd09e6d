// SPDX-License-Identifier: Apache-2.0
#include "core/clock.h"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

using namespace std::chrono_literals;

TEST(SystemClock, NeverGoesBack) {
    const SystemClock clock;
    const auto before = clock.monotonic();
    EXPECT_GT(before, 0ns);
    EXPECT_GE(clock.monotonic(), before);
    EXPECT_GT(clock.wall().time_since_epoch(), 0ns);
}

TEST(ManualClock, MovesOnlyByHand) {
    ManualClock clock;
    EXPECT_EQ(clock.monotonic(), 0ns);
    clock.advance(300s);
    EXPECT_EQ(clock.monotonic(), 300s);
    EXPECT_EQ(clock.wall().time_since_epoch(), 300s);
}

}  // namespace
}  // namespace sallyport

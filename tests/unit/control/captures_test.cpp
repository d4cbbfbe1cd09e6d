// SPDX-License-Identifier: Apache-2.0
#include "control/captures.h"

#include <gtest/gtest.h>

#include "dataplane/memory_dataplane.h"

namespace sallyport::control {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

class CapturesTest : public testing::Test {
  protected:
    CapturesTest() {
        EXPECT_TRUE(dataplane_.prepare(1000));
        const std::vector<dataplane::AttachRequest> devices{{0, "lan0", 2, dataplane::Role::inside}};
        EXPECT_TRUE(dataplane_.attach(devices, dataplane::ModeWish::automatic));
    }
    void arrive(int count) {
        for (int i = 0; i < count; ++i)
            kernel_->captured.push_back({static_cast<std::uint64_t>(clock_.monotonic().count()), 0,
                                         dataplane::CapturePoint::received, 60, "bytes"});
    }

    ManualClock clock_;
    std::shared_ptr<dataplane::MemoryKernel> kernel_ = std::make_shared<dataplane::MemoryKernel>();
    dataplane::MemoryDataplane dataplane_{kernel_};
    Captures captures_{dataplane_, clock_};
};

TEST_F(CapturesTest, GivesWhatWasCapturedWithItsTimeInBatches) {
    clock_.advance(seconds{5});
    const auto capture = captures_.begin({});
    ASSERT_TRUE(capture);
    clock_.advance(seconds{2});
    arrive(Captures::batch_packets + 1);
    clock_.advance(seconds{1});
    kernel_->captured_lost = 3;
    const auto batch = captures_.take(*capture);
    ASSERT_TRUE(batch);
    ASSERT_EQ(batch->packets.size(), Captures::batch_packets);
    EXPECT_EQ(batch->packets[0].time.time_since_epoch(), nanoseconds(seconds{7}));
    EXPECT_EQ(batch->packets[0].packet.bytes, "bytes");
    EXPECT_EQ(batch->lost, 3U);
    EXPECT_EQ(captures_.take(*capture)->packets.size(), 1U);
    EXPECT_EQ(captures_.take(*capture)->packets.size(), 0U);
}

TEST_F(CapturesTest, ThereIsOneAtATime) {
    const auto first = captures_.begin({});
    ASSERT_TRUE(first);
    const auto second = captures_.begin({});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
    EXPECT_TRUE(captures_.take(*first)) << "the first goes on";
    arrive(2);
    EXPECT_EQ(captures_.end(*first)->packets.size(), 2U);
    const auto third = captures_.begin({});
    ASSERT_TRUE(third);
    EXPECT_NE(*third, *first);
    EXPECT_EQ(captures_.take(*first).error().code, ENOENT);
    EXPECT_EQ(captures_.end(*first).error().code, ENOENT);
}

TEST_F(CapturesTest, EndsWhenItsClientIsGone) {
    const auto capture = captures_.begin({});
    ASSERT_TRUE(capture);
    clock_.advance(Captures::patience);
    captures_.tick();
    ASSERT_TRUE(captures_.take(*capture));
    clock_.advance(Captures::patience);
    captures_.tick();
    EXPECT_TRUE(dataplane_.capturing());
    clock_.advance(seconds{1});
    captures_.tick();
    EXPECT_FALSE(dataplane_.capturing());
    EXPECT_EQ(captures_.take(*capture).error().code, ENOENT);
}

TEST_F(CapturesTest, EndsWhenTheProgramOfADeviceIsReplaced) {
    const auto capture = captures_.begin({});
    ASSERT_TRUE(capture);
    const std::vector<dataplane::AttachRequest> changed{{0, "lan0", 2, dataplane::Role::both}};
    ASSERT_TRUE(dataplane_.attach(changed, dataplane::ModeWish::automatic));
    EXPECT_EQ(captures_.take(*capture).error().code, ESTALE);
    EXPECT_EQ(captures_.take(*capture).error().code, ENOENT);
    EXPECT_TRUE(captures_.begin({}));
}

}  // namespace
}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "control/drop_feed.h"

#include <gtest/gtest.h>

#include "dataplane/memory_dataplane.h"

namespace sallyport::control {
namespace {

class DropFeedTest : public testing::Test {
  protected:
    DropFeedTest() : dataplane_(kernel_), feed_(dataplane_, clock_) {
        EXPECT_TRUE(dataplane_.prepare(1024));
        EXPECT_TRUE(feed_.watch());
        clock_.advance(std::chrono::seconds{100});
    }
    void drop(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            dataplane::DropEvent event;
            event.time_ns = 99'500'000'000;
            event.reason = "unsolicited";
            kernel_->drop_events.push_back(event);
        }
        feed_.poll();
    }

    std::shared_ptr<dataplane::MemoryKernel> kernel_ = std::make_shared<dataplane::MemoryKernel>();
    dataplane::MemoryDataplane dataplane_;
    ManualClock clock_;
    DropFeed feed_;
};

TEST_F(DropFeedTest, NumbersEventsAndTellsWhenTheyWere) {
    drop(2);
    const DropBatch batch = feed_.after(0);
    ASSERT_EQ(batch.events.size(), 2u);
    EXPECT_EQ(batch.events[0].sequence, 1u);
    EXPECT_EQ(batch.next, 2u);
    EXPECT_EQ(batch.events[0].time, clock_.wall() - std::chrono::milliseconds{500});
    EXPECT_TRUE(feed_.after(2).events.empty());
    EXPECT_EQ(feed_.after(2).next, 2u);
}

TEST_F(DropFeedTest, ForgetsTheOldestAndSaysHowManyWereMissed) {
    drop(DropFeed::kept_events + 10);
    const DropBatch batch = feed_.after(4);
    EXPECT_EQ(batch.missed, 6u);
    EXPECT_EQ(batch.events.front().sequence, 11u);
    EXPECT_EQ(batch.events.size(), DropFeed::batch_events);
    EXPECT_EQ(feed_.after(batch.next).events.front().sequence, batch.next + 1);
}

TEST_F(DropFeedTest, ANumberOfAnEarlierAgentCountsAsTheNewest) {
    drop(3);
    const DropBatch batch = feed_.after(1'000'000);
    EXPECT_TRUE(batch.events.empty());
    EXPECT_EQ(batch.next, 3u);
}

TEST_F(DropFeedTest, WaitersAreCalledOnce) {
    int calls = 0;
    feed_.wait([&] { ++calls; });
    feed_.poll();
    EXPECT_EQ(calls, 0) << "nothing came";
    drop(1);
    drop(1);
    EXPECT_EQ(calls, 1);
    const auto waiter = feed_.wait([&] { ++calls; });
    feed_.end_waiting(waiter);
    feed_.end_waiting(waiter);
    EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace sallyport::control

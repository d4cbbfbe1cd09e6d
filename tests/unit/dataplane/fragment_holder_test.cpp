// SPDX-License-Identifier: Apache-2.0
#include "dataplane/fragment_holder.h"

#include <gtest/gtest.h>

#include <utility>

#include "support/packet.h"

namespace sallyport::dataplane {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t source = 1, other_source = 2;

HeldFragment fragment(std::uint32_t from, std::uint16_t identification, std::uint16_t offset = 8,
                      std::chrono::nanoseconds came = 0s) {
    support::Packet packet = support::udp().from("192.0.2.1").to("192.0.2.2").with_payload(100);
    packet.fragment_offset = offset;
    HeldFragment held;
    held.datagram = {1, from, 9, identification, 17};
    held.came = came;
    held.frame = packet.frame();
    return held;
}

std::size_t frame_bytes() {
    return fragment(source, 1).frame.size();
}

TEST(FragmentHolder, ReleasesADatagramInTheOrderOfOffsets) {
    FragmentHolder holder;
    EXPECT_TRUE(holder.empty());
    for (const std::uint16_t offset : std::initializer_list<std::uint16_t>{24, 8, 16})
        EXPECT_TRUE(holder.take(fragment(source, 1, offset)).empty());
    EXPECT_TRUE(holder.take(fragment(source, 2)).empty());
    EXPECT_EQ(holder.bytes(), 4 * frame_bytes());
    const DatagramKey key = fragment(source, 1).datagram;
    EXPECT_TRUE(holder.holds(key));

    const auto released = holder.release(key);
    ASSERT_EQ(released.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i)
        EXPECT_EQ(released[i].frame, fragment(source, 1, static_cast<std::uint16_t>(8 * (i + 1))).frame);
    EXPECT_FALSE(holder.holds(key));
    EXPECT_TRUE(holder.release(key).empty());
    EXPECT_EQ(holder.datagrams(), std::vector{fragment(source, 2).datagram});
    EXPECT_EQ(holder.bytes(), frame_bytes());
}

TEST(FragmentHolder, KnowsOffsetsBehindVlanTags) {
    FragmentHolder holder;
    for (const std::uint16_t offset : std::initializer_list<std::uint16_t>{16, 8}) {
        HeldFragment held = fragment(source, 1, offset);
        const std::vector<std::uint8_t> tags{0x88, 0xa8, 0, 7, 0x81, 0, 0, 9};
        held.frame.insert(held.frame.begin() + 12, tags.begin(), tags.end());
        EXPECT_TRUE(holder.take(std::move(held)).empty());
    }
    const auto released = holder.release(fragment(source, 1).datagram);
    ASSERT_EQ(released.size(), 2U);
    EXPECT_LT(released[0].frame[14 + 8 + 7], released[1].frame[14 + 8 + 7]);
}

TEST(FragmentHolder, TellsDatagramsApart) {
    FragmentHolder holder;
    const HeldFragment like = fragment(source, 1);
    std::vector<HeldFragment> others(6, like);
    others[1].datagram.zone = 2;
    others[2].datagram.source = 7;
    others[3].datagram.destination = 7;
    others[4].datagram.identification = 7;
    others[5].datagram.protocol = 6;
    for (HeldFragment& other : others) EXPECT_TRUE(holder.take(std::move(other)).empty());
    EXPECT_EQ(holder.datagrams().size(), 6U);
    EXPECT_EQ(holder.release(like.datagram).size(), 1U);
    EXPECT_EQ(holder.datagrams().size(), 5U);

    const fragment_key bytes = like.datagram.bytes();
    EXPECT_EQ(DatagramKey::from(bytes), like.datagram);
    EXPECT_EQ(bytes.zero0, 0);
}

TEST(FragmentHolder, GivesUpAfterTheWaitThatBeganWithTheFirstThatCame) {
    FragmentHolder holder;
    EXPECT_TRUE(holder.take(fragment(source, 1, 8, 10s)).empty());
    EXPECT_TRUE(holder.take(fragment(source, 2, 8, 11s)).empty());
    EXPECT_TRUE(holder.take(fragment(source, 1, 16, 11500ms)).empty());
    EXPECT_TRUE(holder.give_up(11999ms).empty());
    EXPECT_EQ(holder.give_up(12s).size(), 2U);
    EXPECT_EQ(holder.datagrams().size(), 1U);
    EXPECT_EQ(holder.give_up_all().size(), 1U);
    EXPECT_TRUE(holder.empty());
    EXPECT_EQ(holder.bytes(), 0U);
}

TEST(FragmentHolder, AFloodOfOneSourceTakesNothingFromAnother) {
    FragmentHolder holder({.datagrams = 10});
    EXPECT_TRUE(holder.take(fragment(other_source, 1)).empty());
    std::size_t gone = 0;
    for (std::uint16_t i = 0; i < 1000; ++i)
        for (const HeldFragment& dropped : holder.take(fragment(source, i))) {
            EXPECT_EQ(dropped.datagram, fragment(source, static_cast<std::uint16_t>(gone)).datagram)
                << "the oldest goes first";
            ++gone;
        }
    EXPECT_EQ(gone, 1000U - 9U);
    EXPECT_TRUE(holder.holds(fragment(other_source, 1).datagram));
    EXPECT_EQ(holder.datagrams().size(), 10U);
}

TEST(FragmentHolder, OfForgedSourcesTheOldestGoes) {
    FragmentHolder holder({.datagrams = 10});
    for (std::uint32_t from = 0; from < 100; ++from) {
        const auto gone = holder.take(fragment(from, 1));
        ASSERT_EQ(gone.size(), from < 10 ? 0U : 1U);
        if (!gone.empty()) {
            EXPECT_EQ(gone[0].datagram.source, from - 10);
        }
    }
}

TEST(FragmentHolder, KeepsItsBounds) {
    FragmentHolder holder({.fragments_of_datagram = 4, .bytes = 10 * frame_bytes()});
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(holder.take(fragment(source, 1)).empty());
    EXPECT_EQ(holder.take(fragment(source, 1)).size(), 1U) << "a datagram has no more fragments than that";
    for (std::uint16_t i = 2; i < 8; ++i) EXPECT_TRUE(holder.take(fragment(source, i)).empty());
    EXPECT_EQ(holder.take(fragment(source, 8)).size(), 4U) << "the oldest datagram went whole";
    EXPECT_EQ(holder.bytes(), 7 * frame_bytes());

    HeldFragment giant = fragment(source, 9);
    giant.frame.resize(11 * frame_bytes());
    EXPECT_EQ(holder.take(std::move(giant)).size(), 1U);
    EXPECT_EQ(holder.bytes(), 7 * frame_bytes());
}

TEST(FragmentHolder, EachFragmentLeavesOnce) {
    FragmentHolder holder({.datagrams = 5, .fragments_of_datagram = 3, .bytes = 8 * frame_bytes()});
    std::size_t in = 0, out = 0;
    for (std::uint32_t i = 0; i < 5000; ++i) {
        ++in;
        out += holder.take(fragment(i * 7919 % 4, static_cast<std::uint16_t>(i * 31 % 3), 8, 1ms * i)).size();
        if (i % 5 == 0)
            out += holder.release(fragment(i % 4, static_cast<std::uint16_t>(i % 3)).datagram).size();
        if (i % 50 == 0) out += holder.give_up(1ms * i - 20ms + 2s).size();
        EXPECT_LE(holder.datagrams().size(), 5U);
        EXPECT_LE(holder.bytes(), 8 * frame_bytes());
    }
    out += holder.give_up_all().size();
    EXPECT_EQ(in, out);
    EXPECT_EQ(holder.bytes(), 0U);
}

}  // namespace
}  // namespace sallyport::dataplane

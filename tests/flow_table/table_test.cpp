// SPDX-License-Identifier: Apache-2.0
//
// The table's parts, one by one.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "support/world.h"

namespace sallyport::flow_table {
namespace {

// How far counts are from even, in standard deviations of the chi-square statistic.
double unevenness(const std::vector<std::uint32_t>& counts) {
    double sum = 0;
    for (const std::uint32_t count : counts) sum += count;
    const double mean = sum / static_cast<double>(counts.size());
    double statistic = 0;
    for (const std::uint32_t count : counts) statistic += (count - mean) * (count - mean) / mean;
    const auto freedom = static_cast<double>(counts.size() - 1);
    return (statistic - freedom) / std::sqrt(2 * freedom);
}

class Hash : public TableTest {};

TEST_F(Hash, BothChoicesLieInOneRegionAndDiffer) {
    reset({.regions = 37, .port_sets = 1, .seed = {5, 6, 7, 8}});
    std::mt19937 random(1);
    const auto any = [&random] { return static_cast<std::uint32_t>(random()); };
    for (int i = 0; i < 200'000; ++i) {
        const flow_key key = forward_key(any(), static_cast<std::uint16_t>(any()), any(), 443);
        const table_home home = table_home_of(&key);
        ASSERT_LT(home.region, 37U);
        ASSERT_EQ(home.first / FLOW_REGION_BUCKETS, home.region);
        ASSERT_EQ(home.second / FLOW_REGION_BUCKETS, home.region);
        ASSERT_NE(home.first, home.second);
        ASSERT_NE(home.tag, 0);
    }
}

// Keys as a gateway sees them, which differ in a few bits only.
TEST_F(Hash, SpreadsEvenlyOverRegionsBucketsAndTags) {
    constexpr std::uint32_t regions = 64;
    constexpr std::size_t buckets = std::size_t{regions} * FLOW_REGION_BUCKETS;
    reset({.regions = regions, .port_sets = 1, .seed = {0xdeadbeef, 0x1337, 0xc0ffee, 0x99}});
    std::vector<std::uint32_t> by_region(regions), by_first(buckets), by_second(buckets), by_tag(256);
    for (std::uint32_t instance = 0; instance < 64; ++instance)
        for (std::uint16_t port = 1024; port < 1024 + 4096; ++port) {
            const flow_key key = forward_key(address(10, 0, 0, instance), port, remote_, 443);
            const table_home home = table_home_of(&key);
            ++by_region[home.region];
            ++by_first[home.first];
            ++by_second[home.second];
            ++by_tag[home.tag >> 8];
        }
    // A sequence may be more even than chance; it must not be less.
    EXPECT_LT(unevenness(by_region), 6);
    EXPECT_LT(unevenness(by_first), 6);
    EXPECT_LT(unevenness(by_second), 6);
    EXPECT_LT(unevenness(by_tag), 6);
}

TEST_F(Hash, FollowsFromTheSeed) {
    const flow_key key = forward_key(address(10, 0, 0, 1), 1024, remote_, 443);
    std::set<std::uint64_t> seen;
    for (std::uint32_t word = 0; word < 4; ++word)
        for (std::uint32_t bit = 0; bit < 32; ++bit) {
            table_shape shape = default_shape;
            shape.seed[word] ^= 1U << bit;
            reset(shape);
            EXPECT_TRUE(seen.insert(table_hash(&key)).second) << "bit " << bit << " of word " << word;
        }
    reset(default_shape);
    EXPECT_TRUE(seen.insert(table_hash(&key)).second);
    EXPECT_EQ(table_hash(&key), table_hash(&key));
}

TEST_F(Hash, EachBitOfTheKeyCounts) {
    const flow_key key = forward_key(address(10, 0, 0, 1), 1024, remote_, 443);
    std::set<std::uint64_t> seen{table_hash(&key)};
    for (std::size_t bit = 0; bit < 8 * sizeof key; ++bit) {
        std::array<std::uint8_t, sizeof key> bytes{};
        std::memcpy(bytes.data(), &key, sizeof key);
        bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ 1U << bit % 8);
        flow_key other{};
        std::memcpy(&other, bytes.data(), sizeof other);
        EXPECT_TRUE(seen.insert(table_hash(&other)).second);
    }
}

// Every lane with every value, beside lanes that would carry or borrow.
TEST(Tags, ZeroLanesAreFoundExactly) {
    for (const std::uint64_t beside : {0x0000ULL, 0x0001ULL, 0x7fffULL, 0x8000ULL, 0x8001ULL, 0xffffULL})
        for (unsigned lane = 0; lane < 4; ++lane)
            for (std::uint64_t value = 0; value <= 0xffff; ++value) {
                std::uint64_t lanes = 0, expected = 0;
                for (unsigned i = 0; i < 4; ++i) {
                    const std::uint64_t one = i == lane ? value : beside;
                    lanes |= one << 16 * i;
                    if (one == 0) expected |= 0x8000ULL << 16 * i;
                }
                ASSERT_EQ(table_tag_zero_lanes(lanes), expected) << std::hex << lanes;
            }
}

TEST(Tags, LanesAreNumberedAndCounted) {
    for (unsigned set = 1; set < 16; ++set) {
        std::uint64_t tops = 0;
        unsigned lowest = 4, count = 0;
        for (unsigned lane = 0; lane < 4; ++lane)
            if (set >> lane & 1) {
                tops |= 0x8000ULL << 16 * lane;
                lowest = std::min(lowest, lane);
                ++count;
            }
        EXPECT_EQ(table_tag_lane(tops), lowest);
        EXPECT_EQ(table_tag_lane_count(tops), count);
    }
    EXPECT_EQ(table_tag_lane_count(0), 0U);
}

class Entries : public TableTest {
  protected:
    // Entries whose first and second choice are two given buckets.
    std::vector<flow_entry> entries_for(std::uint32_t first, std::uint32_t second_choice,
                                        std::size_t count) const {
        std::vector<flow_entry> made;
        for (std::uint32_t i = 0; made.size() < count; ++i) {
            flow_entry entry{};
            entry.key = forward_key(i, 9, remote_, 443);
            entry.flow_id = i + 1;
            entry.last_seen = table_now();
            entry.timeout = 100;
            entry.peer_slot = ~0U;
            const table_home home = table_home_of(&entry.key);
            if (home.first == first && home.second == second_choice) made.push_back(entry);
        }
        return made;
    }
    static int insert(const flow_entry& entry) {
        std::uint32_t slot = 0;
        return table_insert(&entry, &slot);
    }
    static bool there(const flow_entry& entry) {
        flow_view view{};
        const flow_entry* found = table_find(&entry.key, &view);
        EXPECT_EQ(found != nullptr, table_find_further(&entry.key, &view) != ~0U);
        EXPECT_TRUE(found == nullptr || found->flow_id == entry.flow_id);
        return found != nullptr;
    }
    static bool remove(const flow_entry& entry, int removal = TABLE_REMOVE_ANY) {
        flow_entry removed{};
        return table_remove(&entry, removal, table_now(), &removed) != 0;
    }
    void sound() const {
        for (const std::string& fault : audit(regions_, Pairs::no)) ADD_FAILURE() << fault;
    }
};

TEST_F(Entries, InsertFindRemove) {
    const flow_entry entry = entries_for(3, 9, 1)[0];
    EXPECT_FALSE(there(entry));
    std::uint32_t slot = 0, again = 0;
    EXPECT_EQ(table_insert(&entry, &slot), TABLE_INSERTED);
    EXPECT_EQ(FLOW_SLOT_BUCKET(slot), 3U);
    EXPECT_TRUE(there(entry));
    EXPECT_EQ(std::memcmp(table_at(slot), &entry, sizeof entry), 0);
    EXPECT_EQ(table_insert(&entry, &again), TABLE_EXISTS);
    EXPECT_EQ(again, slot);
    sound();
    flow_entry other = entry;  // the slot's next owner
    other.flow_id ^= 1;
    EXPECT_FALSE(remove(other));
    EXPECT_TRUE(remove(entry));
    EXPECT_FALSE(remove(entry));
    EXPECT_FALSE(there(entry));
    EXPECT_EQ(table_at(slot)->flow_id, 0U);
    sound();
}

TEST_F(Entries, TheSameTagIsNotTheSameKey) {
    std::vector<flow_entry> entries = entries_for(3, 9, 1);
    const table_home home = table_home_of(&entries[0].key);
    for (std::uint32_t i = 0; entries.size() < 4; ++i) {
        flow_entry entry = entries[0];
        entry.key.destination = i;
        entry.flow_id = 1000 + i;
        const table_home other = table_home_of(&entry.key);
        if (other.first == home.first && other.tag >> 4 == home.tag >> 4) entries.push_back(entry);
        // Sixteen bits are long to wait for: the tags of all of them are made equal below.
    }
    std::vector<std::uint32_t> slots(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i)
        ASSERT_EQ(table_insert(&entries[i], &slots[i]), TABLE_INSERTED);
    for (const std::uint32_t slot : slots)
        table_buckets()[home.first].tags.tag[FLOW_SLOT_NUMBER(slot)] = home.tag;
    EXPECT_TRUE(there(entries[0]));
    flow_entry stranger = entries[0];
    stranger.key.zone = 77;
    EXPECT_FALSE(there(stranger));
}

TEST_F(Entries, SpillToTheSecondChoiceAndBack) {
    const std::vector<flow_entry> entries = entries_for(3, 9, 30);
    std::size_t spilled = 0;
    for (const flow_entry& entry : entries) {
        std::uint32_t slot = 0;
        ASSERT_EQ(table_insert(&entry, &slot), TABLE_INSERTED);
        spilled += FLOW_SLOT_BUCKET(slot) == 9;
        ASSERT_EQ(table_buckets()[3].tags.spilled, spilled);
        sound();
    }
    EXPECT_EQ(spilled, 15U);
    for (const flow_entry& entry : entries) EXPECT_TRUE(there(entry));
    for (const flow_entry& entry : entries) EXPECT_EQ(insert(entry), TABLE_EXISTS);

    // Both are full now, and nothing that lives makes room.
    const flow_entry more = entries_for(3, 9, 31).back();
    EXPECT_EQ(insert(more), TABLE_FULL);
    flow_entry victim{};
    EXPECT_FALSE(table_make_room(&more.key, table_now(), &victim));
    sound();

    for (const flow_entry& entry : entries) {
        EXPECT_TRUE(remove(entry));
        sound();
    }
    EXPECT_EQ(table_buckets()[3].tags.spilled, 0);
    EXPECT_EQ(table_entries(), 0U);
    EXPECT_EQ(insert(more), TABLE_INSERTED);
    EXPECT_TRUE(there(more));
}

// What flow_find_seated() counts on.
TEST_F(Entries, MostSitAtTheirSeatOrNextToItAtHalfLoad) {
    const std::uint32_t half = regions_ * FLOW_REGION_BUCKETS * FLOW_BUCKET_ENTRIES / 2;
    ASSERT_GT(half, 0U);
    std::uint32_t seated = 0;
    for (std::uint32_t i = 0; i < half; ++i) {
        flow_entry entry{};
        entry.key = forward_key(i, 9, remote_, 443);
        entry.flow_id = i + 1;
        entry.peer_slot = ~0U;
        std::uint32_t slot = 0;
        ASSERT_EQ(table_insert(&entry, &slot), TABLE_INSERTED);
        const table_home home = table_home_of(&entry.key);
        const std::uint32_t number = FLOW_SLOT_NUMBER(slot);
        seated += FLOW_SLOT_BUCKET(slot) == home.first && (number == home.seat || number == (home.seat ^ 1U));
    }
    RecordProperty("seated_per_mille", static_cast<int>(seated * 1000ULL / half));
    EXPECT_GT(seated, half * 85 / 100);
    sound();
}

TEST_F(Entries, WhatTimedOutMakesRoom) {
    const std::vector<flow_entry> entries = entries_for(3, 9, 31);
    for (std::size_t i = 0; i < 30; ++i) ASSERT_EQ(insert(entries[i]), TABLE_INSERTED);
    flow_view view{};
    table_find(&entries[17].key, &view)->timeout = 1;
    advance(20 * second);
    flow_entry victim{};
    ASSERT_TRUE(table_make_room(&entries[30].key, table_now(), &victim));
    EXPECT_EQ(victim.flow_id, entries[17].flow_id);
    EXPECT_FALSE(remove(entries[16], TABLE_REMOVE_EXPIRED));
    EXPECT_TRUE(remove(victim, TABLE_REMOVE_EXPIRED));
    EXPECT_EQ(insert(entries[30]), TABLE_INSERTED);
    sound();
}

class Expiry : public TableTest {
  protected:
    // The two entries of a UDP flow; 300 seconds.
    void open() {
        ASSERT_EQ(table_open(&key_, 1, 0, 0), 0);
        flow_view view{};
        forward_ = table_find(&key_, &view);
        ASSERT_NE(forward_, nullptr);
        table_reverse_key(forward_, &answer_);
        reverse_ = table_find(&answer_, &view);
        ASSERT_NE(reverse_, nullptr);
    }
    bool lives() const {
        return !table_expired(forward_, table_now()) && !table_expired(reverse_, table_now());
    }
    bool expired() const {
        return table_expired(forward_, table_now()) && table_expired(reverse_, table_now());
    }

    flow_key key_ = forward_key(address(10, 0, 1, 5), 5000, remote_, 53, udp), answer_{};
    flow_entry *forward_ = nullptr, *reverse_ = nullptr;
};

TEST_F(Expiry, EitherDirectionKeepsAFlowAlive) {
    open();
    EXPECT_EQ(table_peer(forward_), reverse_);
    EXPECT_EQ(table_peer(reverse_), forward_);
    for (int i = 0; i < 4; ++i) {
        advance(200 * second);
        table_touch(i % 2 != 0 ? &key_ : &answer_);
        EXPECT_TRUE(lives());
    }
    advance(290 * second);
    EXPECT_TRUE(lives());
    flow_view view{};
    EXPECT_NE(table_lookup(&key_, &view), nullptr);
    advance(12 * second);
    EXPECT_TRUE(expired());
    // Absent on read, in both directions, and gone for good.
    EXPECT_EQ(table_lookup(&answer_, &view), nullptr);
    EXPECT_EQ(table_find(&key_, &view), nullptr);
    EXPECT_EQ(table_idle_timeouts(1), 1U);
    expect_sound();
}

TEST_F(Expiry, IsCheckedAgainBeforeAnEntryIsRemoved) {
    open();
    advance(301 * second);
    EXPECT_TRUE(expired());
    const flow_entry seen = *forward_;
    table_touch(&answer_);  // between the agent's look and the reaper's
    EXPECT_EQ(table_end(&seen, TABLE_REMOVE_EXPIRED), 0);
    EXPECT_TRUE(lives());
    advance(302 * second);
    const reap_request request{FLOW_SLOT(0, 0), 12345};  // somebody else's number
    EXPECT_EQ(table_reap(&request, 1, REAP_EXPIRED), 0U);
    EXPECT_EQ(table_end(&seen, TABLE_REMOVE_EXPIRED), 1);
    EXPECT_EQ(table_end(&seen, TABLE_REMOVE_EXPIRED), 0);
    expect_sound();
}

TEST_F(Expiry, TheReaperEndsAFlowByEitherSlot) {
    for (const bool by_reverse : {false, true}) {
        open();
        ASSERT_TRUE(forward_ != nullptr && reverse_ != nullptr);
        const reap_request request{by_reverse ? forward_->peer_slot : reverse_->peer_slot, forward_->flow_id};
        EXPECT_EQ(table_reap(&request, 1, REAP_EXPIRED), 0U);
        advance(303 * second);
        EXPECT_EQ(table_reap(&request, 1, REAP_EXPIRED), 1U);
        EXPECT_EQ(table_reap(&request, 1, REAP_EXPIRED), 0U);
        flow_view view{};
        EXPECT_EQ(table_find(&key_, &view), nullptr);
        EXPECT_EQ(table_find(&answer_, &view), nullptr);
        expect_sound();
    }
}

// Ticks have 32 bits: they turn over once in nine years.
TEST_F(Expiry, TicksMayWrapAround) {
    host_now_ns = (std::uint64_t{1} << 58) - 100 * second;  // tick 2^32 is 100 seconds away
    open();
    const std::uint32_t before = table_now();
    advance(200 * second);
    EXPECT_LT(table_now(), before);
    EXPECT_TRUE(lives());
    advance(90 * second);
    EXPECT_TRUE(lives());
    advance(15 * second);
    EXPECT_TRUE(expired());
    // A processor whose clock is a moment behind takes what it sees for new, not for nine years old.
    forward_->last_seen = table_now() + 3;
    EXPECT_TRUE(lives());
}

class Mappings : public TableTest {
  protected:
    flow_key key(std::uint32_t remote_number, std::uint16_t port = 5000) const {
        return forward_key(address(10, 0, 1, 5), port, address(203, 0, 113, remote_number), 53, udp);
    }
    const flow_entry* mapping(std::uint16_t port = 5000) const {
        flow_key name{};
        const flow_key any = key(1, port);
        table_mapping_key(&any, &name);
        flow_view view{};
        return table_find(&name, &view);
    }
};

TEST_F(Mappings, CountTheirFlowsAndGoWithTheLast) {
    flow_view view{};
    std::set<std::uint32_t> ports;
    for (std::uint32_t i = 1; i <= 5; ++i) {
        const flow_key one = key(i);
        ASSERT_EQ(table_open(&one, 1, 0, 0), 0);
        ASSERT_NE(table_find(&one, &view), nullptr);
        EXPECT_EQ(view.flags & FLOW_MAPPED, FLOW_MAPPED);
        ports.insert(view.new_port);
        ASSERT_NE(mapping(), nullptr);
        EXPECT_EQ(mapping()->references, i);
        expect_sound();
    }
    EXPECT_EQ(ports.size(), 1U) << "one port for all remotes (RFC 4787 REQ-1)";
    EXPECT_EQ(table_entries(), 2 * (5U + 1));
    for (std::uint32_t i = 1; i <= 5; ++i) {
        const flow_key one = key(i);
        const flow_entry known = *table_find(&one, &view);
        EXPECT_EQ(table_end(&known, TABLE_REMOVE_ANY), 1);
        if (i < 5) {
            EXPECT_EQ(mapping()->references, 5 - i);
        }
        expect_sound();
    }
    EXPECT_EQ(mapping(), nullptr);
    EXPECT_EQ(table_entries(), 0U);
}

TEST_F(Mappings, OpeningTheSameFlowTwiceTakesOneReference) {
    const flow_key one = key(1);
    ASSERT_EQ(table_open(&one, 1, 0, 0), 0);
    ASSERT_EQ(table_open(&one, 1, 0, 0), 0);  // as a second processor that also found none
    EXPECT_EQ(mapping()->references, 1U);
    EXPECT_EQ(table_entries(), 4U);
    expect_sound();
}

TEST_F(Mappings, MoveWithTheirElasticIp) {
    const flow_key one = key(1), two = key(2);
    ASSERT_EQ(table_open(&one, 1, 0, 0), 0);
    const std::uint32_t other = address(198, 51, 100, 77);
    table_unbind(elastic_ip_);
    gateway(1, {other});
    ASSERT_EQ(table_open(&two, 1, 0, 0), 0);
    flow_view view{};
    ASSERT_NE(table_find(&two, &view), nullptr);
    EXPECT_EQ(view.new_address, other);
    EXPECT_EQ(mapping()->new_address, other);
    EXPECT_EQ(mapping()->references, 1U);
    expect_sound();
}

TEST_F(Mappings, AFlowLivesOnWhenItsConfigurationDoesAndIsCutWhenItDoesNot) {
    table_subnet(1, address(10, 0, 1, 0), 24, 5);
    table_route(5, 0, 0, 1);
    const flow_key one = key(1);
    ASSERT_EQ(table_open(&one, 1, 1, 0), 0);
    EXPECT_EQ(table_recheck(&one, 2), 0);
    flow_view view{};
    ASSERT_NE(table_find(&one, &view), nullptr);
    EXPECT_EQ(view.generation, 2);
    table_unroute(5, 0, 0);
    EXPECT_EQ(table_recheck(&one, 3), DROP_FLOW_CUT);
    EXPECT_EQ(table_entries(), 0U);
}

}  // namespace
}  // namespace sallyport::flow_table

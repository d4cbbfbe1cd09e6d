// SPDX-License-Identifier: Apache-2.0
//
// External ports: exact to the last one, unpredictable, and the table's room as it fills.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <set>
#include <unordered_set>

#include "support/world.h"

namespace sallyport::flow_table {
namespace {

class Ports : public TableTest {
  protected:
    // Room for flows of 160,000 ports and more.
    Ports() { reset({.regions = 512, .port_sets = 16, .seed = {11, 22, 33, 44}}); }

    // The n-th of as many flows as are wanted, from several instances.
    flow_key nth(std::uint32_t n, std::uint32_t remote, std::uint8_t protocol = tcp) const {
        return forward_key(address(10, 0, n >> 20, n >> 14 & 0x3f),
                           static_cast<std::uint16_t>(1024 + n % 0x4000), remote, 443, protocol);
    }
    // As a packet does it: what has timed out on this very tuple is ended first.
    static int open(const flow_key& key) {
        flow_view view{};
        return table_lookup(&key, &view) != nullptr ? 0 : table_open(&key, 1, 0, 0);
    }
    static int end(const flow_key& key) {
        flow_view view{};
        const flow_entry* entry = table_find(&key, &view);
        if (entry == nullptr) return 0;
        const flow_entry known = *entry;
        return table_end(&known, TABLE_REMOVE_ANY);
    }

    // Opens flows until one is refused; counts them, and checks what they were given.
    std::uint32_t fill(std::uint32_t remote, std::uint8_t protocol, std::uint32_t at_most) {
        std::unordered_set<std::uint64_t> given;
        const nat_gateway& limits = *table_nat_gateway(1);
        for (std::uint32_t n = 0; n < at_most; ++n) {
            const flow_key key = nth(n, remote, protocol);
            const int reason = open(key);
            if (reason != 0) {
                EXPECT_EQ(reason, DROP_PORT_EXHAUSTED);
                EXPECT_EQ(open(key), DROP_PORT_EXHAUSTED);
                return n;
            }
            flow_view view{};
            EXPECT_NE(table_find(&key, &view), nullptr);
            const std::uint16_t port = network(view.new_port);
            EXPECT_TRUE(port >= limits.first_port && port <= limits.last_port) << port;
            EXPECT_TRUE(given.insert(std::uint64_t{view.new_address} << 16 | port).second)
                << "given twice: " << port;
            if (HasFailure()) return n;
        }
        return at_most;
    }
    // With everything in use, each end of a flow frees one port and no more.
    void expect_one_for_one(std::uint32_t count, std::uint8_t protocol) {
        std::uint32_t fresh = count + 1;
        for (const std::uint32_t n : std::set<std::uint32_t>{0, count / 3, count / 2, count - 1}) {
            ASSERT_EQ(end(nth(n, remote_, protocol)), 1);
            EXPECT_EQ(open(nth(fresh++, remote_, protocol)), 0);
            EXPECT_EQ(open(nth(fresh, remote_, protocol)), DROP_PORT_EXHAUSTED);
        }
    }

    static constexpr std::uint32_t all_ports = 64512;  // 1024 to 65535
    const std::uint32_t second_ip_ = address(198, 51, 100, 11);
};

// A virtual machine's processor may stand still for longer than a flow's timeout, and anywhere. What it had
// made of the flow so far is removed meanwhile by who wants the port, and it begins anew.
TEST_F(Ports, AreClaimedAnewByAProcessorThatStoodStill) {
    static int removed;
    removed = 0;
    const table_observer observer{.inserted =
                                      [](const flow_entry* entry) {
                                          if (entry->key.zone != ZONE_OUTSIDE || removed > 0) return;
                                          flow_view view{};
                                          flow_entry alone = *table_find(&entry->key, &view);
                                          advance(10'000 * second);
                                          removed +=
                                              table_remove(&alone, TABLE_REMOVE_EXPIRED, table_now(), &alone);
                                      },
                                  .removing = nullptr,
                                  .kept = nullptr};
    table_observe(&observer);
    const flow_key key = nth(0, remote_);
    EXPECT_EQ(table_open(&key, 1, 0, 0), 0);
    EXPECT_EQ(removed, 1);
    table_observe(nullptr);
    EXPECT_EQ(table_entries(), 2U);
    EXPECT_EQ(table_unanswered(), 1U);
    expect_sound();
}

TEST_F(Ports, OneElasticIpHoldsExactlyItsPortsTowardsOneRemote) {
    EXPECT_EQ(fill(remote_, tcp, all_ports + 10), all_ports);
    expect_one_for_one(all_ports, tcp);
    EXPECT_EQ(table_entries(), 2 * all_ports);
    // Another remote is not touched by that (RFC 7857 section 3).
    EXPECT_EQ(open(nth(0, address(203, 0, 113, 99))), 0);
    expect_sound();
}

TEST_F(Ports, TwoElasticIpsHoldTwiceAsMany) {
    gateway(1, {elastic_ip_, second_ip_});
    EXPECT_EQ(fill(remote_, tcp, 2 * all_ports + 10), 2 * all_ports);
    expect_one_for_one(2 * all_ports, tcp);
    expect_sound();
}

TEST_F(Ports, FourRemotesSharePorts) {
    reset({.regions = 768, .port_sets = 16, .seed = {11, 22, 33, 44}});
    for (std::uint32_t to = 1; to <= 4; ++to) EXPECT_EQ(fill(address(203, 0, 113, to), tcp, 60'000), 60'000U);
    EXPECT_EQ(table_entries(), 2 * 4 * 60'000U);
    expect_sound();
}

TEST_F(Ports, EndpointIndependentMappingsHaveAPortEach) {
    EXPECT_EQ(fill(remote_, udp, all_ports + 10), all_ports);
    expect_one_for_one(all_ports, udp);
    // A flow to another remote needs no further port.
    EXPECT_EQ(open(nth(1, address(203, 0, 113, 99), udp)), 0);
    expect_sound();
}

TEST_F(Ports, SmallRangesAreExactAsWell) {
    for (const auto& [first, last] : std::initializer_list<std::pair<std::uint16_t, std::uint16_t>>{
             {2000, 2009}, {64, 127}, {63, 64}, {65535, 65535}, {4095, 8192}}) {
        reset({.regions = 64, .port_sets = 2, .seed = {1, 2, 3, last}});
        gateway(1, {elastic_ip_}, first, last);
        const std::uint32_t count = last - first + 1U;
        for (const std::uint8_t protocol : {tcp, udp}) {
            EXPECT_EQ(fill(remote_, protocol, count + 1), count);
            expect_one_for_one(count, protocol);
        }
        expect_sound();
    }
}

// The agent is away: no one ages flows but those that need their ports.
TEST_F(Ports, AreFoundAgainWhenTheirFlowsTimedOut) {
    gateway(1, {elastic_ip_}, 2000, 9999);
    for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(fill(address(203, 0, 113, 7), tcp, 8001), 8000U);
        EXPECT_EQ(fill(remote_, udp, 8001), 8000U);
        advance(400 * second);
    }
    // All but one live on: that one is found without a search that ends in vain for ever.
    EXPECT_EQ(fill(remote_, tcp, 8001), 8000U);
    advance(200 * second);
    for (std::uint32_t n = 0; n < 8000; ++n) {
        const flow_key key = nth(n, remote_);
        if (n != 4711) table_touch(&key);
    }
    advance(100 * second);
    std::uint32_t refused = 0;
    while (refused < 100 && open(nth(10'000, remote_)) != 0) ++refused;
    EXPECT_LE(refused, 8000U / 512 + 1);
    EXPECT_EQ(open(nth(10'001, remote_)), DROP_PORT_EXHAUSTED);
    expect_sound();
}

TEST_F(Ports, SetsAreTakenFromRemotesThatAreQuiet) {
    reset({.regions = 32, .port_sets = 2, .seed = {9, 9, 9, 9}});
    gateway(1, {elastic_ip_}, 2000, 2099);
    std::set<const port_set*> sets;
    for (std::uint32_t to = 1; to <= 20; ++to) {
        const std::uint32_t remote = address(203, 0, 113, to);
        EXPECT_EQ(fill(remote, tcp, 101), 100U) << "remote " << to;
        const port_set_key key{.elastic_ip = elastic_ip_,
                               .remote = remote,
                               .remote_port = network(std::uint16_t{443}),
                               .protocol = tcp,
                               .part = 0,
                               .block = 0,
                               .zero0 = 0};
        const port_set* set = table_port_set_of(&key);
        ASSERT_NE(set, nullptr);
        EXPECT_TRUE(set->key.remote == remote);
        sets.insert(set);
        advance(61 * second);  // and all sets are free to take
    }
    EXPECT_EQ(sets.size(), 2U);
    expect_sound();
}

// Between the moment that a processor takes a set and the one that its key is written, the set is nobody's.
TEST_F(Ports, ASetThatIsBeingTakenIsNotTakenTwice) {
    reset({.regions = 8, .port_sets = 1, .seed = {9, 9, 9, 9}});
    gateway(1, {elastic_ip_}, 2000, 2001);
    const port_set_key key{.elastic_ip = elastic_ip_,
                           .remote = remote_,
                           .remote_port = network(std::uint16_t{443}),
                           .protocol = tcp,
                           .part = 0,
                           .block = 0,
                           .zero0 = 0};
    table_port_sets()[0].last_used = table_now();
    EXPECT_EQ(fill(remote_, tcp, 3), 2U);
    EXPECT_EQ(table_port_set_of(&key), nullptr);
    advance(2 * second);  // whoever had it is gone
    EXPECT_EQ(open(nth(5, remote_)), DROP_PORT_EXHAUSTED);
    EXPECT_EQ(table_port_set_of(&key), table_port_sets());
}

// RFC 6056: no port is likelier than another, and none follows from the one before.
TEST_F(Ports, AreUnpredictable) {
    constexpr std::uint32_t claims = 10'000, classes = 63;
    std::vector<std::uint32_t> by_value(classes), by_step(classes);
    std::uint32_t before = 0;
    for (std::uint32_t n = 0; n < claims; ++n) {
        const flow_key key = nth(n, remote_);
        ASSERT_EQ(open(key), 0);
        flow_view view{};
        ASSERT_NE(table_find(&key, &view), nullptr);
        const std::uint32_t port = network(view.new_port);
        ASSERT_GE(port, 1024U);
        const std::uint32_t place = port - 1024;
        ++by_value[place * classes / all_ports];
        ++by_step[(place + all_ports - before) % all_ports * classes / all_ports];
        before = place;
    }
    for (const std::vector<std::uint32_t>& counts : {by_value, by_step}) {
        double statistic = 0;
        for (const std::uint32_t count : counts)
            statistic += std::pow(count - double{claims} / classes, 2) / (double{claims} / classes);
        EXPECT_LT(statistic, 120) << "62 degrees of freedom: chance gives 120 once in 70,000 times";
    }
}

TEST_F(Ports, CostWhenFewAreLeft) {
    using clock = std::chrono::steady_clock;
    std::uint32_t standing = 0;
    for (const double load : {0.0, 0.5, 0.9, 0.99, 0.999}) {
        while (standing < load * all_ports) ASSERT_EQ(open(nth(standing++, remote_)), 0);
        constexpr std::uint32_t claims = 50;
        clock::duration taken{};
        for (std::uint32_t n = 0; n < claims; ++n) {
            const flow_key key = nth(100'000 + n, remote_);
            const auto began = clock::now();
            ASSERT_EQ(open(key), 0);
            taken += clock::now() - began;
            ASSERT_EQ(end(key), 1);
        }
        std::printf("a new flow with %5.1f %% of the ports in use: %6.0f ns\n", load * 100,
                    std::chrono::duration<double, std::nano>(taken).count() / claims);
    }
}

class Fill : public TableTest {};

// The agent makes a table so large that flow_capacity is seven tenths of its entries: up to there two choices
// of bucket have room for each. What comes beyond is printed.
TEST_F(Fill, NothingIsRefusedBelowTheLoadThatTheTableIsSizedFor) {
    for (const std::uint32_t regions : {64U, 128U, 256U, 1024U}) {
        const std::uint32_t entries = regions * FLOW_REGION_BUCKETS * FLOW_BUCKET_ENTRIES;
        reset({.regions = regions, .port_sets = 1, .seed = {regions, regions * 77, ~regions, 0x12345678}});
        std::uint32_t inserted = 0, refused = 0, first_refused = 0;
        for (std::uint32_t n = 0; inserted + refused < entries; ++n) {
            flow_entry entry{};
            entry.key = forward_key(static_cast<std::uint32_t>(host_random()),
                                    static_cast<std::uint16_t>(host_random()),
                                    static_cast<std::uint32_t>(host_random()), 443);
            entry.flow_id = n + 1;
            std::uint32_t slot = 0;
            const int result = table_insert(&entry, &slot);
            inserted += result == TABLE_INSERTED;
            if (result != TABLE_FULL) continue;
            if (refused++ == 0) first_refused = inserted;
        }
        const auto percent = [entries](std::uint32_t part) { return 100.0 * part / entries; };
        std::printf(
            "first refused at a load of %.1f %%; %.1f %% stand after as many tries as there are entries\n",
            percent(first_refused), percent(inserted));
        EXPECT_GT(percent(first_refused), 70);
        for (const std::string& fault : audit(regions, Pairs::no)) ADD_FAILURE() << fault;
    }
}

}  // namespace
}  // namespace sallyport::flow_table

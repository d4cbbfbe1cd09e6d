// SPDX-License-Identifier: Apache-2.0
#include "dataplane/flow_scan.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <vector>

#include "dataplane/codec.h"

namespace sallyport::dataplane {
namespace {

constexpr std::uint32_t ticks_per_unit = 1U << FLOW_TICKS_PER_TIMEOUT_SHIFT;

// A flow table in ordinary memory, filled by hand.
class FlowScanTest : public testing::Test {
  protected:
    static constexpr std::uint32_t now = 1'000'000;

    flow_entry& put(std::uint32_t slot, std::uint32_t flow_id, std::uint32_t peer, bool forward) {
        flow_bucket& bucket = buckets_[FLOW_SLOT_BUCKET(slot)];
        bucket.tags.tag[FLOW_SLOT_NUMBER(slot)] = 1;
        flow_entry& entry = bucket.entry[FLOW_SLOT_NUMBER(slot)];
        entry.key.protocol = static_cast<std::uint8_t>(Protocol::tcp);
        entry.flow_id = flow_id;
        entry.peer_slot = peer;
        entry.last_seen = now;
        entry.timeout = 10;
        entry.flags = forward ? FLOW_FORWARD : 0;
        return entry;
    }

    void pair(std::uint32_t forward, std::uint32_t reverse, std::uint32_t flow_id) {
        put(forward, flow_id, reverse, true);
        put(reverse, flow_id, forward, false);
    }

    flow_entry& at(std::uint32_t slot) {
        return buckets_[FLOW_SLOT_BUCKET(slot)].entry[FLOW_SLOT_NUMBER(slot)];
    }

    void age(std::uint32_t slot, std::uint32_t ticks) { at(slot).last_seen = now - ticks; }

    std::vector<FlowRecord> flows(std::uint32_t when = now) {
        std::vector<FlowRecord> result;
        FlowScan(buckets_, when).visit([&](const FlowRecord& record) {
            result.push_back(record);
            return true;
        });
        return result;
    }

    std::map<std::uint32_t, std::uint32_t> expired(std::uint32_t when = now) {  // flow_id by slot
        std::map<std::uint32_t, std::uint32_t> result;
        FlowScan(buckets_, when).expired(0, buckets_.size(), [&](const reap_request& request) {
            EXPECT_TRUE(result.emplace(request.slot, request.flow_id).second);
        });
        return result;
    }

    std::vector<flow_bucket> buckets_ = std::vector<flow_bucket>(FLOW_REGION_BUCKETS);
};

using Expired = std::map<std::uint32_t, std::uint32_t>;

TEST_F(FlowScanTest, a_flow_is_listed_once_with_both_directions) {
    pair(FLOW_SLOT(3, 14), FLOW_SLOT(60, 0), 77);
    flow_entry& forward = at(FLOW_SLOT(3, 14));
    forward.key.source = Ipv4Address(10, 0, 1, 5).to_network();
    forward.key.source_port = htons(1234);
    forward.key.destination = Ipv4Address(203, 0, 113, 10).to_network();
    forward.key.destination_port = htons(443);
    forward.key.zone = 3;
    forward.new_address = Ipv4Address(198, 51, 100, 10).to_network();
    forward.new_port = htons(4321);
    forward.nat_gateway = 7;
    forward.state = FLOW_STATE_ESTABLISHED;
    forward.packets = 11;
    forward.bytes = 1100;
    forward.generation = 5;
    forward.timeout = encode_timeout(std::chrono::seconds{300});
    age(FLOW_SLOT(3, 14), 100 * 15);
    at(FLOW_SLOT(60, 0)).packets = 22;
    at(FLOW_SLOT(60, 0)).bytes = 2200;
    age(FLOW_SLOT(60, 0), 30);

    const auto listed = flows();
    ASSERT_EQ(listed.size(), 1U);
    const FlowRecord& flow = listed[0];
    EXPECT_EQ(flow.inside.to_string(), "10.0.1.5:1234");
    EXPECT_EQ(flow.external.to_string(), "198.51.100.10:4321");
    EXPECT_EQ(flow.remote.to_string(), "203.0.113.10:443");
    EXPECT_EQ(flow.protocol, Protocol::tcp);
    EXPECT_EQ(flow.zone, 3);
    EXPECT_EQ(flow.nat_gateway, 7);
    EXPECT_EQ(flow.state, "established");
    EXPECT_EQ(flow.packets_out, 11U);
    EXPECT_EQ(flow.bytes_out, 1100U);
    EXPECT_EQ(flow.packets_in, 22U);
    EXPECT_EQ(flow.bytes_in, 2200U);
    EXPECT_EQ(flow.idle_seconds, 2U);  // of the direction that was used last
    EXPECT_EQ(flow.timeout_seconds, 300U);
    EXPECT_EQ(flow.generation, 5U);
    EXPECT_EQ(flow.slot, std::uint32_t{FLOW_SLOT(3, 14)});
    EXPECT_EQ(flow.flow_id, 77U);
}

TEST_F(FlowScanTest, a_flow_tells_how_it_came_about) {
    pair(FLOW_SLOT(3, 14), FLOW_SLOT(60, 0), 77);
    at(FLOW_SLOT(3, 14)).generation = 5;
    at(FLOW_SLOT(3, 14)).flags |= FLOW_MAPPED | FLOW_PERMITTED | FLOW_COUNTED;
    at(FLOW_SLOT(60, 0)).generation = 6;
    FlowRecord flow = flows().at(0);
    EXPECT_EQ(flow.generation, 5U);
    EXPECT_EQ(flow.generation_in, 6U);
    EXPECT_TRUE(flow.mapped);
    EXPECT_TRUE(flow.permitted);
    EXPECT_FALSE(flow.from_outside || flow.is_static || flow.hairpin);
    at(FLOW_SLOT(3, 14)).flags = FLOW_FORWARD | FLOW_STATIC | FLOW_HAIRPIN;
    at(FLOW_SLOT(60, 0)).flags = FLOW_FROM_OUTSIDE;
    flow = flows().at(0);
    EXPECT_TRUE(flow.from_outside && flow.is_static && flow.hairpin);
    EXPECT_FALSE(flow.mapped || flow.permitted);
}

TEST_F(FlowScanTest, a_connection_that_stood_is_known_with_its_numbers) {
    pair(FLOW_SLOT(3, 14), FLOW_SLOT(60, 0), 77);
    flow_entry& forward = at(FLOW_SLOT(3, 14));
    flow_entry& reverse = at(FLOW_SLOT(60, 0));
    forward.key.protocol = 6;
    forward.key.source = Ipv4Address(10, 0, 1, 5).to_network();
    forward.key.source_port = htons(1234);
    forward.key.destination = Ipv4Address(203, 0, 113, 10).to_network();
    forward.key.destination_port = htons(443);
    forward.key.zone = 3;
    forward.new_address = Ipv4Address(198, 51, 100, 10).to_network();
    forward.new_port = htons(4321);
    forward.nat_gateway = 7;
    forward.tcp_acknowledged = 5001;
    reverse.tcp_acknowledged = 1001;
    const FlowScan scan(buckets_, now);
    const reap_request request{FLOW_SLOT(3, 14), 77};
    for (const int state :
         {FLOW_STATE_ESTABLISHED, FLOW_STATE_FIN_FROM_INSIDE, FLOW_STATE_FIN_FROM_OUTSIDE}) {
        forward.state = static_cast<std::uint8_t>(state);
        const auto connection = scan.connection_of(request);
        ASSERT_TRUE(connection);
        EXPECT_EQ(connection->inside.to_string(), "10.0.1.5:1234");
        EXPECT_EQ(connection->external.to_string(), "198.51.100.10:4321");
        EXPECT_EQ(connection->remote.to_string(), "203.0.113.10:443");
        EXPECT_EQ(connection->zone, 3);
        EXPECT_EQ(connection->nat_gateway, 7);
        EXPECT_EQ(connection->expected_inside, 5001U);
        EXPECT_EQ(connection->expected_by_remote, 1001U);
    }
    for (const int state :
         {FLOW_STATE_OPENING, FLOW_STATE_OPENING_FROM_OUTSIDE, FLOW_STATE_CLOSING, FLOW_STATE_RESET}) {
        forward.state = static_cast<std::uint8_t>(state);
        EXPECT_FALSE(scan.connection_of(request));
    }
    forward.state = FLOW_STATE_ESTABLISHED;
    EXPECT_FALSE(scan.connection_of({FLOW_SLOT(60, 0), 77})) << "not the forward entry";
    EXPECT_FALSE(scan.connection_of({FLOW_SLOT(3, 14), 78})) << "another flow";
    forward.flags |= FLOW_MAPPED;
    ASSERT_TRUE(scan.connection_of(request));
    EXPECT_FALSE(scan.connection_of(request)->expected_by_remote) << "the mapping's number stands there";
    forward.key.protocol = 17;
    EXPECT_FALSE(scan.connection_of(request));
    EXPECT_FALSE(scan.is_gone(FLOW_SLOT(3, 14), 77));
    EXPECT_TRUE(scan.is_gone(FLOW_SLOT(3, 14), 78));
}

TEST_F(FlowScanTest, either_direction_keeps_a_flow_alive) {
    pair(1, 2, 5);
    age(1, 10 * ticks_per_unit + 1);
    EXPECT_EQ(flows().size(), 1U);
    EXPECT_EQ(expired(), Expired{});
    age(1, 0);
    age(2, 10 * ticks_per_unit + 1);
    EXPECT_EQ(flows().size(), 1U);
    EXPECT_EQ(expired(), Expired{});
}

TEST_F(FlowScanTest, a_flow_expires_one_tick_after_its_timeout) {
    pair(1, 2, 5);
    age(1, 10 * ticks_per_unit);
    age(2, 10 * ticks_per_unit);
    EXPECT_EQ(expired(), Expired{});
    EXPECT_EQ(flows().size(), 1U);
    EXPECT_EQ(FlowScan(buckets_, now).count().flows, 1U);
    EXPECT_EQ(expired(now + 1), (Expired{{1, 5}}));  // its forward entry stands for both
    EXPECT_EQ(flows(now + 1).size(), 0U);
    EXPECT_EQ(FlowScan(buckets_, now + 1).count().flows, 0U);
    EXPECT_EQ(FlowScan(buckets_, now + 1).count().entries, 2U);
}

TEST_F(FlowScanTest, the_clock_may_wrap_around) {
    pair(1, 2, 5);
    at(1).last_seen = at(2).last_seen = 0xffffffff - 3;
    EXPECT_EQ(expired(10), Expired{});
    EXPECT_EQ(flows(10).size(), 1U);
    EXPECT_EQ(expired(10 * ticks_per_unit), (Expired{{1, 5}}));
}

TEST_F(FlowScanTest, an_entry_from_a_moment_ahead_is_new_and_not_old) {
    pair(1, 2, 5);
    at(1).last_seen = at(2).last_seen = now + 3;
    EXPECT_EQ(expired(), Expired{});
    ASSERT_EQ(flows().size(), 1U);
    EXPECT_EQ(flows()[0].idle_seconds, 0U);
}

TEST_F(FlowScanTest, a_reverse_entry_whose_forward_entry_is_gone_is_a_leftover) {
    put(2, 5, 1, false);
    EXPECT_EQ(expired(), Expired{});  // perhaps its forward entry is about to come
    EXPECT_EQ(expired(now + 11 * ticks_per_unit), (Expired{{2, 5}}));
    put(1, 6, 9, true);  // the slot was given to another flow
    EXPECT_EQ(expired(now + 11 * ticks_per_unit).count(2), 1U);
}

TEST_F(FlowScanTest, a_forward_entry_without_its_reverse_is_listed_and_expires) {
    put(1, 5, 2, true);
    ASSERT_EQ(flows().size(), 1U);
    EXPECT_EQ(flows()[0].packets_in, 0U);
    EXPECT_EQ(expired(now + 11 * ticks_per_unit), (Expired{{1, 5}}));
}

TEST_F(FlowScanTest, a_mapping_is_no_flow_and_stays_while_it_is_referred_to) {
    pair(1, 2, 5);
    at(1).key.kind = at(2).key.kind = FLOW_KIND_MAPPING;
    at(1).references = 1;
    EXPECT_TRUE(flows().empty());
    EXPECT_EQ(FlowScan(buckets_, now).count().mappings, 1U);
    EXPECT_EQ(FlowScan(buckets_, now).count().flows, 0U);
    const std::uint32_t later = now + 11 * ticks_per_unit;
    EXPECT_EQ(expired(later), Expired{});
    EXPECT_EQ(FlowScan(buckets_, later).count().mappings, 1U);
    at(1).references = 0;  // its port rests now
    EXPECT_EQ(FlowScan(buckets_, now).count().mappings, 0U);
    EXPECT_EQ(expired(), Expired{});
    EXPECT_EQ(expired(later), (Expired{{1, 5}}));
    EXPECT_EQ(FlowScan(buckets_, later).count().mappings, 0U);
}

TEST_F(FlowScanTest, a_block_is_listed_once_until_it_is_removed) {
    pair(FLOW_SLOT(3, 14), FLOW_SLOT(60, 0), 77);  // a flow is none
    pair(FLOW_SLOT(4, 1), FLOW_SLOT(61, 0), 78);
    for (const auto slot : {std::uint32_t{FLOW_SLOT(4, 1)}, std::uint32_t{FLOW_SLOT(61, 0)}}) {
        at(slot).key.kind = FLOW_KIND_BLOCK;
        at(slot).key.protocol = PORT_BLOCK_PROTOCOL;
    }
    flow_entry& forward = at(FLOW_SLOT(4, 1));
    forward.key.source = Ipv4Address(10, 0, 1, 5).to_network();
    forward.key.zone = 3;
    forward.new_address = Ipv4Address(198, 51, 100, 10).to_network();
    forward.new_port = htons(2048);
    forward.last_port = 2559;
    forward.nat_gateway = 7;
    age(FLOW_SLOT(4, 1), 100 * ticks_per_unit);

    const auto blocks = [&] {
        std::vector<PortBlock> result;
        FlowScan(buckets_, now).visit_port_blocks([&](const PortBlock& block) { result.push_back(block); });
        return result;
    };
    EXPECT_EQ(blocks(), (std::vector{PortBlock{
                            Ipv4Address(198, 51, 100, 10), {2048, 2559}, Ipv4Address(10, 0, 1, 5), 3, 7}}));
    forward.flow_id = 0;
    EXPECT_TRUE(blocks().empty());
}

TEST_F(FlowScanTest, a_permit_is_no_flow_and_goes_when_nobody_touches_it) {
    put(1, 5, 0, false).key.kind = FLOW_KIND_PERMIT;
    EXPECT_TRUE(flows().empty());
    EXPECT_EQ(FlowScan(buckets_, now).count().flows, 0U);
    EXPECT_EQ(FlowScan(buckets_, now).count().mappings, 0U);
    EXPECT_EQ(expired(), Expired{});
    EXPECT_EQ(expired(now + 11 * ticks_per_unit), (Expired{{1, 5}}));
}

TEST_F(FlowScanTest, an_entry_that_is_being_written_or_removed_is_passed_over) {
    pair(1, FLOW_SLOT(5, 0), 5);
    at(1).flow_id = 0;
    EXPECT_TRUE(flows().empty());
    at(1).flow_id = 5;
    EXPECT_EQ(flows().size(), 1U);
}

TEST_F(FlowScanTest, entries_without_a_tag_are_not_there) {
    pair(1, 2, 5);
    buckets_[0].tags.tag[1] = 0;
    EXPECT_TRUE(flows().empty());
    EXPECT_EQ(FlowScan(buckets_, now).count().entries, 1U);
}

TEST_F(FlowScanTest, the_visitor_may_stop) {
    for (std::uint32_t i = 0; i < 10; ++i) pair(FLOW_SLOT(i, 0), FLOW_SLOT(i, 1), i + 1);
    int seen = 0;
    FlowScan(buckets_, now).visit([&](const FlowRecord&) { return ++seen < 3; });
    EXPECT_EQ(seen, 3);
}

TEST_F(FlowScanTest, a_slice_is_looked_at_alone) {
    for (std::uint32_t i = 0; i < 10; ++i) {
        pair(FLOW_SLOT(i, 0), FLOW_SLOT(i, 1), i + 1);
        age(FLOW_SLOT(i, 0), 1000 * ticks_per_unit);
        age(FLOW_SLOT(i, 1), 1000 * ticks_per_unit);
    }
    std::size_t found = 0;
    FlowScan(buckets_, now).expired(2, 3, [&](const reap_request& request) {
        EXPECT_GE(FLOW_SLOT_BUCKET(request.slot), 2U);
        EXPECT_LT(FLOW_SLOT_BUCKET(request.slot), 5U);
        ++found;
    });
    EXPECT_EQ(found, 3U);
    EXPECT_EQ(expired().size(), 10U);
}

TEST_F(FlowScanTest, a_peer_slot_that_points_nowhere_does_no_harm) {
    put(1, 5, 0xffffffff, true);
    put(3, 6, FLOW_SLOT(4, 15), true);
    EXPECT_EQ(flows().size(), 2U);
    EXPECT_EQ(expired(now + 1000 * ticks_per_unit).size(), 2U);
}

TEST_F(FlowScanTest, next_hops_in_use_are_those_that_entries_name) {
    pair(1, 2, 5);
    at(1).next_hop = 9;
    at(2).next_hop = 65535;
    at(3).next_hop = 4;  // no tag: not there
    const auto in_use = FlowScan(buckets_, now).next_hops_in_use();
    EXPECT_TRUE(in_use[9]);
    EXPECT_TRUE(in_use[65535]);
    EXPECT_FALSE(in_use[4]);
}

}  // namespace
}  // namespace sallyport::dataplane

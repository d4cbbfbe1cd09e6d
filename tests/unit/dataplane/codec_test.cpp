// SPDX-License-Identifier: Apache-2.0
#include "dataplane/codec.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>

namespace sallyport::dataplane {
namespace {

using std::chrono::seconds;

TEST(Codec, a_timeout_is_never_shorter_than_asked_for_and_hardly_longer) {
    // A flow's time is stored at most once in FLOW_TOUCH_TICKS, so it may look that much older than it is.
    constexpr std::int64_t tick = std::int64_t{1} << FLOW_TICK_SHIFT;
    constexpr std::int64_t unit = std::int64_t{1} << FLOW_TIMEOUT_SHIFT;
    for (std::int64_t s = 0; s <= FLOW_TIMEOUT_MAX_SECONDS; ++s) {
        const std::int64_t encoded = encode_timeout(seconds{s}) * unit;
        const std::int64_t wanted = s * 1'000'000'000;
        ASSERT_GE(encoded - (FLOW_TOUCH_TICKS + 1) * tick, wanted) << s;
        ASSERT_LE(encoded, wanted + 2 * unit) << s;
    }
}

TEST(Codec, a_timeout_read_back_is_encoded_the_same) {
    for (int units = 2; units <= 0xffff; ++units) {
        const auto decoded = decode_timeout(static_cast<std::uint16_t>(units));
        if (decoded > seconds{FLOW_TIMEOUT_MAX_SECONDS}) break;
        ASSERT_EQ(encode_timeout(decoded), units);
    }
    for (const int s : {10, 60, 120, 240, 300, 7440})
        EXPECT_EQ(decode_timeout(encode_timeout(seconds{s})), seconds{s});
}

TEST(Codec, the_clock_wraps_around) {
    EXPECT_EQ(clock_ticks(0, 0), 0U);
    EXPECT_EQ(clock_ticks(std::uint64_t{5} << FLOW_TICK_SHIFT, std::uint64_t{2} << FLOW_TICK_SHIFT), 7U);
    EXPECT_EQ(clock_ticks(std::uint64_t{0x1'0000'0003} << FLOW_TICK_SHIFT, 0), 3U);
}

TEST(Codec, keys_of_tries_are_in_network_order) {
    const subnet_key key = encode(ZonePrefix{0x00000102, Ipv4Prefix(Ipv4Address(10, 1, 2, 0), 24)});
    EXPECT_EQ(key.prefix_length, 56U);
    EXPECT_EQ(ntohl(key.zone), 0x00000102U);
    std::uint8_t bytes[4];
    std::memcpy(bytes, &key.address, sizeof bytes);
    EXPECT_EQ(bytes[0], 10);
    EXPECT_EQ(bytes[2], 2);
    EXPECT_EQ(encode(RouteKey{1, Ipv4Prefix()}).prefix_length, 32U);
    EXPECT_EQ(encode(Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 8)).prefix_length, 8U);
}

TEST(Codec, a_longest_name_keeps_its_end) {
    const Identifier identifier{2, std::string(63, 'x')};
    EXPECT_EQ(decode(encode(identifier)), identifier);
    EXPECT_EQ(encode(identifier).name[63], 0);
}

TEST(Codec, a_next_hop_that_is_not_resolved_says_so) {
    NextHopEntry entry;
    EXPECT_EQ(encode(Neighbour{1, Ipv4Address(10, 0, 0, 1)}, entry).state, NEXT_HOP_UNRESOLVED);
    entry.resolved = true;
    EXPECT_EQ(encode(Neighbour{1, Ipv4Address(10, 0, 0, 1)}, entry).state, NEXT_HOP_RESOLVED);
    entry.resolved = false;
    entry.unreachable = true;
    EXPECT_EQ(encode(Neighbour{1, Ipv4Address(10, 0, 0, 1)}, entry).state, NEXT_HOP_UNREACHABLE);
}

TEST(Codec, ports_of_the_host_have_a_version_that_follows_from_them) {
    const HostPorts some{{{22, 22}, {32768, 60999}}, {32768, 65472}};
    EXPECT_EQ(decode(encode(some)), some);
    EXPECT_EQ(decode(encode(HostPorts{})), HostPorts{});
    EXPECT_NE(encode(HostPorts{}).version, 0U);
    EXPECT_EQ(encode(some).version, encode(some).version);
    const std::set<std::uint32_t> versions{
        encode(HostPorts{}).version, encode(some).version, encode(HostPorts{some.ranges, {}}).version,
        encode(HostPorts{{{23, 23}, {32768, 60999}}, {32768, 65472}}).version};
    EXPECT_EQ(versions.size(), 4U);
}

TEST(Codec, a_flow_that_stays_inside_lives_as_long_as_the_programs_say) {
    const auto lives_for = [](Protocol protocol, std::uint8_t seen) {
        inner_flow value{};
        value.last_seen = 0xffff0000;  // the clock wraps around
        value.seen = seen;
        std::uint32_t passed = 0;
        while (decode(value, protocol, value.last_seen + (passed + 1) * FLOW_TOUCH_TICKS)) ++passed;
        const auto flow = decode(value, protocol, value.last_seen + passed * FLOW_TOUCH_TICKS);
        EXPECT_EQ(flow->idle_seconds, passed);
        EXPECT_EQ(flow->timeout_seconds, passed);
        EXPECT_EQ(decode(value, protocol, value.last_seen - 1)->idle_seconds, 0U);
        return passed;
    };
    EXPECT_EQ(lives_for(Protocol::udp, INNER_FLOW_ANSWERED), std::uint32_t{INNER_FLOW_TIMEOUT});
    EXPECT_EQ(lives_for(Protocol::icmp, 0), std::uint32_t{INNER_FLOW_TIMEOUT_ICMP});
    EXPECT_EQ(lives_for(Protocol::tcp, 0), std::uint32_t{INNER_FLOW_TIMEOUT_TCP});
    EXPECT_EQ(lives_for(Protocol::tcp, INNER_FLOW_ANSWERED),
              std::uint32_t{INNER_FLOW_TIMEOUT_TCP_ESTABLISHED});
    EXPECT_EQ(lives_for(Protocol::tcp, INNER_FLOW_ANSWERED | INNER_FLOW_FINISHED),
              std::uint32_t{INNER_FLOW_TIMEOUT_TCP});
    const InnerFlowKey key{
        3, Protocol::tcp, {Ipv4Address(10, 0, 1, 11), 4000}, {Ipv4Address(10, 0, 2, 50), 5432}};
    EXPECT_EQ(decode(encode(key)), key);
}

TEST(Codec, reserved_ports_are_read_as_they_were_written) {
    const std::vector<std::vector<PortRange>> sets{
        {},
        {{0, 65535}},
        {{0, 0}, {63, 64}, {127, 300}, {320, 383}, {65535, 65535}},
        {{64, 127}, {1024, 65534}},
        {{1, 62}, {65472, 65535}},
    };
    for (const auto& ranges : sets) EXPECT_EQ(decode(encode(ReservedPorts{ranges})).ranges, ranges);
}

TEST(Codec, a_nat_gateway_is_marked_in_use) {
    EXPECT_NE(encode(NatGatewayEntry{}).flags & NAT_GATEWAY_IN_USE, 0U);
}

}  // namespace
}  // namespace sallyport::dataplane

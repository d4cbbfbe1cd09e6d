// SPDX-License-Identifier: Apache-2.0
// RFC 6888 REQ-4 and REQ-5: what one subscriber may have of a NAT gateway.
#include <fmt/format.h>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// struct host_limits, of which a test names what it is about.
struct Quota {
    std::uint32_t ports = 0, flows = 0, new_flows_per_second = 0, flows_per_mapping = 0;
};

class SubscriberLimits : public ConformanceTest {
  protected:
    void limit(const Quota& quota) {
        struct host_limits limits {};
        limits.ports = quota.ports;
        limits.flows = quota.flows;
        limits.new_flows_per_second = quota.new_flows_per_second;
        limits.flows_per_mapping = quota.flows_per_mapping;
        lab().change_host_limits(0, limits);
        change_gateway([](struct nat_gateway& gateway) { gateway.flags |= NAT_GATEWAY_LIMITS; });
    }
    static Packet endpoint(int n, const char* host = H1) {
        return udp().from(host, static_cast<std::uint16_t>(2000 + n)).to(S1, 7000);
    }
    static Packet connection(int n, const char* host = H1) {
        return tcp().from(host, static_cast<std::uint16_t>(2000 + n)).to(S1, 443);
    }
};

ROW(SubscriberLimits, ExternalPortsAreLimitedForEachHost, "6888-REQ-4") {
    limit({.ports = 100});
    std::vector<Mapping> mappings;
    for (int i = 0; i < 40; i++) mappings.push_back(map(endpoint(i)));
    for (int i = 0; i < 40; i++) map(connection(i));
    for (std::uint16_t i = 0; i < 20; i++) mappings.push_back(map(ping().from(H1, i).to(S1)));
    EXPECT_EQ(from_inside(endpoint(100)).drop_reason, "port_limit");
    EXPECT_EQ(from_inside(connection(100)).drop_reason, "port_limit");
    EXPECT_EQ(from_inside(ping().from(H1, 100).to(S1)).drop_reason, "port_limit");
    for (const Mapping& mapping : mappings) EXPECT_TRUE(alive(mapping));
    for (int i = 0; i < 100; i++) map(endpoint(i, H2));
    EXPECT_EQ(from_inside(endpoint(100, H2)).drop_reason, "port_limit");
}

ROW(SubscriberLimits, MayBeChangedWhileFlowsStand, "6888-REQ-4a", "6888-REQ-5a") {
    limit({.ports = 50, .flows = 60});
    std::vector<Mapping> mappings;
    for (int i = 0; i < 50; i++) mappings.push_back(map(endpoint(i)));
    EXPECT_EQ(from_inside(endpoint(50)).drop_reason, "port_limit");
    limit({.ports = 10, .flows = 12});
    for (const Mapping& mapping : mappings) EXPECT_TRUE(alive(mapping)) << "below what is in use";
    EXPECT_EQ(from_inside(endpoint(50)).drop_reason, "flow_limit");
    limit({.ports = 51, .flows = 200, .flows_per_mapping = 2});
    map(endpoint(50));
    map(endpoint(50).to(S2, 7000));
    EXPECT_EQ(from_inside(endpoint(50).to(S2, 7001)).drop_reason, "mapping_flow_limit");
    limit({.flows_per_mapping = 3});
    map(endpoint(50).to(S2, 7001));
    limit({.new_flows_per_second = 1});
    map(connection(0));
    EXPECT_EQ(from_inside(connection(1)).drop_reason, "new_flow_rate");
}

ROW(SubscriberLimits, SessionsAreLimitedForEachMappingAndHost, "6888-REQ-5") {
    limit({.flows = 1100, .flows_per_mapping = 1000});
    for (int i = 0; i < 1000; i++) map(endpoint(0).to(S1, static_cast<std::uint16_t>(10000 + i)));
    EXPECT_EQ(from_inside(endpoint(0).to(S1, 11000)).drop_reason, "mapping_flow_limit");
    for (int i = 1; i <= 100; i++) map(endpoint(i));
    EXPECT_EQ(from_inside(endpoint(101)).drop_reason, "flow_limit");
    EXPECT_EQ(from_inside(connection(0)).drop_reason, "flow_limit");
    map(endpoint(0, H2));
}

// A second of a flood in steps of a hundredth: the flooder gets what it may, and the other host all it asks
// for.
ROW(SubscriberLimits, AFloodOfNewFlowsStaysWithItsHost, "6888-REQ-4c", "6888-REQ-5b") {
    limit({.new_flows_per_second = 1000});
    lab().set_unanswered_capacity(32768);
    idle(seconds(3));  // what the host was refused before is forgotten
    int opened = 0, refused = 0, others = 0;
    const auto began = std::chrono::steady_clock::now();
    for (int step = 0; step < 100; step++) {
        for (int i = 0; i < 100; i++) {
            Outcome outcome = from_inside(endpoint(step * 100 + i).to(S1, static_cast<std::uint16_t>(1 + i)));
            opened += outcome.drop_reason.empty();
            refused += outcome.drop_reason == "new_flow_rate";
            if (i % 20 == 0) {
                Mapping other = map(connection(step * 5 + i / 20, H2));
                others += in(answer_to(other.seen, syn | ack)).has_value();
            }
        }
        lab().advance(milliseconds(10));
    }
    // The lab's clock is the machine's, shifted: the time that the test itself takes counts as well.
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    EXPECT_EQ(opened + refused, 10000);
    EXPECT_GE(opened, 1900) << "a second's worth at once, and what the second allowed";
    EXPECT_LE(opened, 2020 + 1000 * took.count());
    EXPECT_EQ(others, 500) << "every new flow of the other host was made and answered";
    figure("new flows of another host while one floods with a limit of 1000/s: made",
           fmt::format("{} of 500", others));
    lab().set_unanswered_capacity(0);

    // What a flood of 500,000 refused flows a second takes of one processor, and so the most that another
    // host's packet waits behind those that come in the same millisecond.
    const auto cost = lab().time(Role::inside, endpoint(60000).frame(), 100000);
    figure("a new flow that is refused for its host's rate", fmt::format("{} ns", cost));
    EXPECT_LT(cost * 500, 1'000'000u) << "another host's packet would wait for more than a millisecond";
}

}  // namespace
}  // namespace sallyport::support

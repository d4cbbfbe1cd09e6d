// SPDX-License-Identifier: Apache-2.0
#include "model/delta.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/model/sample.h"

namespace sallyport::model {
namespace {

TEST(Delta, OfEqualStatesIsEmpty) {
    EXPECT_TRUE(delta(sample_state(), sample_state()).empty());
    EXPECT_TRUE(delta({}, {}).empty());
}

TEST(Delta, FromNothingCreatesEverything) {
    const std::vector<Change> expected{
        {"gateway", "gw1", ChangeType::create, {}},
        {"vpcs", "main", ChangeType::create, {}},
        {"elastic_ips", "eip-1", ChangeType::create, {}},
        {"elastic_ips", "eip-2", ChangeType::create, {}},
        {"nat_gateways", "egress", ChangeType::create, {}},
        {"route_tables", "private", ChangeType::create, {}},
        {"subnets", "app", ChangeType::create, {}},
    };
    EXPECT_EQ(delta({}, sample_state()), expected);
    std::vector<Change> removed = expected;
    for (Change& change : removed) change.change = ChangeType::remove;
    EXPECT_EQ(delta(sample_state(), {}), removed);
}

TEST(Delta, NamesTheFieldsThatDiffer) {
    DesiredState changed = sample_state();
    changed.nat_gateways[0].elastic_ips.emplace_back("eip-2");
    changed.nat_gateways[0].timeouts.udp = std::chrono::seconds(400);
    changed.elastic_ips[1].address = Ipv4Address(198, 51, 100, 12);
    changed.gateway.flow_capacity = 2048;
    changed.route_tables[0].routes[1].target = ToNatGateway{"egress"};
    const std::vector<Change> expected{
        {"gateway", "gw1", ChangeType::update, {"flow_capacity"}},
        {"elastic_ips", "eip-2", ChangeType::update, {"address"}},
        {"nat_gateways", "egress", ChangeType::update, {"elastic_ips", "timeouts"}},
        {"route_tables", "private", ChangeType::update, {"routes"}},
    };
    EXPECT_EQ(delta(sample_state(), changed), expected);
}

TEST(Delta, TakesARenamedObjectForAnother) {
    DesiredState changed = sample_state();
    changed.elastic_ips[1].name = "eip-0";
    const std::vector<Change> expected{{"elastic_ips", "eip-0", ChangeType::create, {}},
                                       {"elastic_ips", "eip-2", ChangeType::remove, {}}};
    EXPECT_EQ(delta(sample_state(), changed), expected);
}

TEST(Delta, DoesNotMindOrderOrOrigin) {
    DesiredState state = sample_state();
    state.nat_gateways[0].elastic_ips = {"eip-1", "eip-2"};
    DesiredState changed = state;
    std::ranges::reverse(changed.elastic_ips);
    std::ranges::reverse(changed.nat_gateways[0].elastic_ips);
    std::ranges::reverse(changed.route_tables[0].routes);
    std::ranges::reverse(changed.gateway.devices);
    changed.vpcs[0].origin = Origin::api;
    EXPECT_TRUE(delta(state, changed).empty());
}

TEST(Delta, CountsHowOftenAnElementIsListed) {
    DesiredState one = sample_state();
    DesiredState other = sample_state();
    const Route first = one.route_tables[0].routes[0];
    const Route second = one.route_tables[0].routes[1];
    one.route_tables[0].routes = {first, first, second};
    other.route_tables[0].routes = {first, second, second};
    EXPECT_EQ(delta(one, other).size(), 1U);
}

TEST(ChangeType, HasWords) {
    EXPECT_EQ(to_string(ChangeType::create), "create");
    EXPECT_EQ(to_string(ChangeType::update), "update");
    EXPECT_EQ(to_string(ChangeType::remove), "delete");
}

}  // namespace
}  // namespace sallyport::model

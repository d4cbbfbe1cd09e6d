// SPDX-License-Identifier: Apache-2.0
#include "control/flows_cut.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"
#include "unit/control/parsed.h"

namespace sallyport::control {
namespace {

using dataplane::FlowRecord;
using dataplane::ForwardingTables;
using dataplane::InnerFlowKey;
using dataplane::RouteKind;
using dataplane::Rule;

constexpr std::uint16_t zone = 1;
constexpr std::uint16_t nat = 3;
constexpr std::uint16_t igw = INTERNET_GATEWAY_FIRST;
constexpr std::uint32_t private_table = 1;
constexpr std::uint32_t public_table = 2;
constexpr std::uint16_t group = 5;
constexpr std::uint16_t generation = 7;

// 10.0.1.0/24 leaves by NAT gateway `nat`, which forwards TCP port 8080 to 10.0.1.12:80; 10.0.2.50 has an
// Elastic IP of its own and a security group.
class FlowsCutTest : public testing::Test {
  protected:
    FlowsCutTest() {
        tables_.subnets[{zone, prefix("10.0.1.0/24")}] = {1, private_table, {}, false};
        tables_.subnets[{zone, prefix("10.0.2.0/24")}] = {2, public_table, {}, true};
        tables_.routes[{private_table, prefix("0.0.0.0/0")}] = {RouteKind::nat_gateway, nat};
        tables_.routes[{private_table, prefix("192.0.2.0/24")}] = {RouteKind::untranslated, nat};
        tables_.routes[{public_table, prefix("0.0.0.0/0")}] = {RouteKind::internet_gateway, igw};
        tables_.nat_gateways[nat].elastic_ips = {address("198.51.100.10"), address("198.51.100.12")};
        tables_.nat_gateways[nat].filtering.fill(Rule::endpoint_independent);
        tables_.nat_gateways[igw];
        tables_.elastic_ips[address("198.51.100.10")] = {nat, 0xff, 1, true, {}, 0};
        tables_.elastic_ips[address("198.51.100.12")] = {nat, 0xff, 2, false, {}, 0};
        tables_.elastic_ips[address("198.51.100.11")] = {igw, 0xff, 3, false, address("10.0.2.50"), zone};
        tables_.port_forwards[{address("198.51.100.10"), 6, 8080, 16}] = {address("10.0.1.12"), zone, 8080,
                                                                          80};
        tables_.instances[{zone, address("10.0.2.50")}] = {address("198.51.100.11"), {group}};
        tables_.security_groups[group] = {{{6, {5432, 5432}, prefix("0.0.0.0/0")}},
                                          {{0, {0, 65535}, prefix("203.0.113.0/24")}}};
    }

    FlowRecord& flow(std::string_view inside, std::string_view external, std::string_view remote,
                     std::uint16_t gateway = nat) {
        FlowRecord record;
        record.zone = zone;
        record.nat_gateway = gateway;
        record.inside = endpoint(inside);
        record.external = endpoint(external);
        record.remote = endpoint(remote);
        record.state = "established";
        record.generation = record.generation_in = generation;
        return flows_.emplace_back(record);
    }
    FlowRecord& outward() { return flow("10.0.1.11:4000", "198.51.100.10:2000", "203.0.113.10:443"); }
    FlowRecord& forwarded() {
        FlowRecord& record = flow("10.0.1.12:80", "198.51.100.10:8080", "203.0.113.10:4000");
        record.is_static = record.from_outside = true;
        return record;
    }
    FlowRecord& own(std::string_view inside, std::string_view external, bool from_outside) {
        FlowRecord& record = flow(inside, external, "203.0.113.10:4000", igw);
        record.is_static = true;
        record.from_outside = from_outside;
        return record;
    }

    std::uint64_t cut_by(const std::function<void(ForwardingTables&)>& change) {
        ForwardingTables planned = tables_;
        change(planned);
        const auto count = count_flows_cut(tables_, generation, planned, visit_, visit_inner_);
        EXPECT_TRUE(count);
        return count.value_or(999);
    }

    // From 10.0.1.11 to the instance that has the security group.
    dataplane::InnerFlow& inner(Protocol protocol, std::uint16_t port, std::uint16_t message = 0) {
        const Endpoint answerer{address("10.0.2.50"), port};
        dataplane::InnerFlow flow;
        flow.generation = generation;
        flow.message = message;
        return inner_flows_
            .emplace_back(InnerFlowKey{zone, protocol, endpoint("10.0.1.11:4000"), answerer}, flow)
            .second;
    }

    ForwardingTables tables_;
    std::vector<FlowRecord> flows_;
    std::deque<std::pair<InnerFlowKey, dataplane::InnerFlow>> inner_flows_;
    VisitFlows visit_ = [this](const std::function<bool(const FlowRecord&)>& visit) -> Result<void> {
        for (const FlowRecord& record : flows_) {
            if (!visit(record)) break;
        }
        return {};
    };
    VisitInnerFlows visit_inner_ = [this](const auto& visit) -> Result<void> {
        for (const auto& [key, flow] : inner_flows_) {
            if (!visit(key, flow)) break;
        }
        return {};
    };
};

TEST_F(FlowsCutTest, WhatStaysAllowedIsNotCut) {
    outward();
    forwarded();
    own("10.0.2.50:5432", "198.51.100.11:5432", true);
    flow("10.0.1.11:7", "10.0.1.11:7", "192.0.2.5:53");
    EXPECT_EQ(cut_by([](ForwardingTables&) {}), 0u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.routes[{private_table, prefix("203.0.113.128/25")}] = {};
                  planned.nat_gateways[9];
                  planned.security_groups[group].ingress.push_back({17, {53, 53}, prefix("0.0.0.0/0")});
              }),
              0u);
}

TEST_F(FlowsCutTest, ARouteThatLeadsElsewhereCutsWhatItLed) {
    outward();
    forwarded();
    flow("10.0.1.11:7", "10.0.1.11:7", "192.0.2.5:53");
    own("10.0.2.50:5432", "198.51.100.11:5432", true);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.routes[{private_table, prefix("203.0.113.0/24")}] = {RouteKind::blackhole, 0};
              }),
              2u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.routes[{private_table, prefix("0.0.0.0/0")}] = {RouteKind::nat_gateway, 4};
              }),
              2u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.routes.erase({private_table, prefix("192.0.2.0/24")});
              }),
              1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.subnets.erase({zone, prefix("10.0.1.0/24")});
              }),
              3u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.routes.clear(); }), 4u);
}

TEST_F(FlowsCutTest, AnElasticIpThatMovesOrGoesCutsWhatHasIt) {
    outward();
    flow("10.0.1.11:4000", "198.51.100.12:2000", "203.0.113.10:443");
    own("10.0.2.50:5432", "198.51.100.11:5432", true);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.elastic_ips.erase(address("198.51.100.12")); }),
              1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.elastic_ips[address("198.51.100.10")].nat_gateway = 4;
              }),
              1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.elastic_ips[address("198.51.100.11")].instance = address("10.0.2.51");
              }),
              1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.elastic_ips[address("198.51.100.10")].instance = address("10.0.1.11");
                  planned.elastic_ips[address("198.51.100.10")].zone = zone;
              }),
              0u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.nat_gateways.erase(nat); }), 2u);
    // The remote becomes an address of the gateway, so that the flow would have to turn around.
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.elastic_ips[address("203.0.113.10")] = {nat, 0xff, 9, false, {}, 0};
              }),
              3u);
}

TEST_F(FlowsCutTest, APortForwardThatGoesCutsItsFlowsAlone) {
    outward();
    forwarded();
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.port_forwards.clear(); }), 1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.port_forwards.begin()->second.to_port = 81; }),
              1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.port_forwards.clear();
                  planned.port_forwards[{address("198.51.100.10"), 6, 8080, 15}] = {address("10.0.1.12"),
                                                                                    zone, 8080, 80};
              }),
              0u);
}

TEST_F(FlowsCutTest, SecurityGroupsAreAskedForTheWayThatAFlowWasOpened) {
    own("10.0.2.50:5432", "198.51.100.11:5432", true);
    own("10.0.2.50:6000", "198.51.100.11:6000", false);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.security_groups[group].ingress.clear(); }), 1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.security_groups[group].egress.clear(); }), 1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.security_groups.clear(); }), 2u);
    // Without any, nobody may come in and everybody may leave.
    EXPECT_EQ(
        cut_by([](ForwardingTables& planned) { planned.instances.begin()->second.security_groups = {}; }),
        1u);
}

TEST_F(FlowsCutTest, RulesOfIcmpAreAskedForTheEchoRequestThatOpenedIt) {
    own("10.0.2.50:77", "198.51.100.11:77", false).protocol = Protocol::icmp;
    own("10.0.2.50:78", "198.51.100.11:78", true).protocol = Protocol::icmp;
    const auto rule_of = [](PortRange messages) {
        return [messages](ForwardingTables& planned) {
            planned.security_groups[group].egress = {{1, messages, prefix("0.0.0.0/0")}};
            planned.security_groups[group].ingress = planned.security_groups[group].egress;
        };
    };
    rule_of({0x0800, 0x0800})(tables_);
    EXPECT_EQ(cut_by(rule_of({0x0800, 0x08ff})), 0u);
    EXPECT_EQ(cut_by(rule_of({0, 0xffff})), 0u);
    EXPECT_EQ(cut_by(rule_of({0, 0x00ff})), 2u) << "an echo reply opens nothing here";
    EXPECT_EQ(cut_by(rule_of({0x0801, 0x08ff})), 2u);
}

TEST_F(FlowsCutTest, NoRemoteOutsideHasASecurityGroup) {
    own("10.0.2.50:5432", "198.51.100.11:5432", true);
    own("10.0.2.50:6000", "198.51.100.11:6000", false);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.security_groups[group].ingress.front().remote_group = group;
              }),
              1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.security_groups[group].egress.front().remote_group = group;
              }),
              1u);
}

TEST_F(FlowsCutTest, ARouteToARouterInsideLeadsNoFlow) {
    outward();
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.routes[{private_table, prefix("203.0.113.0/24")}] = {RouteKind::via, 0,
                                                                               address("10.0.1.1")};
              }),
              1u);
}

TEST_F(FlowsCutTest, DrainingLetsFlowsGoOn) {
    outward();
    forwarded();
    own("10.0.2.50:5432", "198.51.100.11:5432", true);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  for (auto& [external, entry] : planned.elastic_ips) entry.draining = true;
                  planned.nat_gateways[nat].elastic_ips = {address("198.51.100.12")};
              }),
              0u);
}

TEST_F(FlowsCutTest, TheFilteringIsAskedForWhatNothingElseLetIn) {
    FlowRecord& unanswered = outward();
    unanswered.state = "opening_from_outside";
    unanswered.from_outside = unanswered.mapped = true;
    const auto filtering = [](Rule rule) {
        return [rule](ForwardingTables& planned) { planned.nat_gateways[nat].filtering.fill(rule); };
    };
    EXPECT_EQ(cut_by(filtering(Rule::endpoint_independent)), 0u);
    EXPECT_EQ(cut_by(filtering(Rule::address_and_port_dependent)), 1u);
    EXPECT_EQ(cut_by(filtering(Rule::address_dependent)), 1u);
    FlowRecord& other = flow("10.0.1.11:4000", "198.51.100.10:2000", "203.0.113.10:80");
    other.mapped = other.permitted = true;
    EXPECT_EQ(cut_by(filtering(Rule::address_dependent)), 0u);
    other.remote = endpoint("203.0.113.11:80");
    EXPECT_EQ(cut_by(filtering(Rule::address_dependent)), 1u);
    flows_.front().state = "established";
    EXPECT_EQ(cut_by(filtering(Rule::address_and_port_dependent)), 0u);
}

TEST_F(FlowsCutTest, AFlowThatIsLostAlreadyIsNotLostByTheChange) {
    outward().generation = generation - 1;
    const auto close = [](ForwardingTables& planned) { planned.routes.clear(); };
    EXPECT_EQ(cut_by(close), 1u) << "what is in force allows it";
    tables_.nat_gateways.erase(nat);
    EXPECT_EQ(cut_by(close), 0u);
    flows_.front().generation = generation;
    EXPECT_EQ(cut_by(close), 1u) << "it was checked";
    flows_.front().generation_in = generation - 1;
    EXPECT_EQ(cut_by(close), 0u);
}

TEST_F(FlowsCutTest, ATableThatCannotBeReadIsAnError) {
    const auto error_of = [this] {
        const auto count = count_flows_cut(tables_, generation, tables_, visit_, visit_inner_);
        return count ? "" : count.error().message;
    };
    const VisitFlows readable =
        std::exchange(visit_, [](const auto&) -> Result<void> { return failure("no map"); });
    EXPECT_EQ(error_of(), "read the flow table: no map");
    visit_ = readable;
    visit_inner_ = [](const auto&) -> Result<void> { return failure("no map"); };
    EXPECT_EQ(error_of(), "read the flows that stay inside: no map");
}

class InnerFlowsCutTest : public FlowsCutTest {
  protected:
    InnerFlowsCutTest() {
        for (const std::uint32_t table : {private_table, public_table})
            tables_.routes[{table, prefix("10.0.0.0/16")}] = {RouteKind::local, 0};
        tables_.security_groups[group].ingress = {{6, {5432, 5432}, prefix("10.0.1.0/24")},
                                                  {1, {8 << 8, (8 << 8) + 255}, prefix("10.0.1.0/24")},
                                                  {1, {13 << 8, (13 << 8) + 255}, prefix("10.0.1.0/24")}};
    }
    void forbid(ForwardingTables& planned, std::size_t rule) {
        auto& rules = planned.security_groups[group].ingress;
        rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(rule));
    }
};

TEST_F(InnerFlowsCutTest, ARuleThatGoesCutsWhatItAllowed) {
    inner(Protocol::tcp, 5432);
    inner(Protocol::icmp, 0, 8 << 8);
    inner(Protocol::icmp, 0, 13 << 8);
    EXPECT_EQ(cut_by([](ForwardingTables&) {}), 0u);
    for (std::size_t rule = 0; rule < 3; ++rule)
        EXPECT_EQ(cut_by([&](ForwardingTables& planned) { forbid(planned, rule); }), 1u) << rule;
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.security_groups[group].ingress.clear(); }), 3u);
    // Without a security group everything is open.
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.instances.clear(); }), 0u);
}

TEST_F(InnerFlowsCutTest, SoDoesTheOpenersOwnGroup) {
    inner(Protocol::tcp, 5432);
    const auto give_group = [](ForwardingTables& planned, std::vector<dataplane::SecurityRule> egress) {
        planned.subnets[{zone, prefix("10.0.1.0/24")}].security_groups = {6};
        planned.security_groups[6] = {{}, std::move(egress)};
    };
    EXPECT_EQ(cut_by([&](ForwardingTables& planned) { give_group(planned, {}); }), 1u);
    EXPECT_EQ(cut_by([&](ForwardingTables& planned) {
                  give_group(planned, {{6, {5432, 5432}, prefix("10.0.2.0/24")}});
              }),
              0u);
}

TEST_F(InnerFlowsCutTest, ARuleForAGroupAsksWhoHasIt) {
    inner(Protocol::tcp, 5432);
    tables_.security_groups[6] = {{}, {dataplane::SecurityRule{}}};
    tables_.subnets[{zone, prefix("10.0.1.0/24")}].security_groups = {6};
    tables_.security_groups[group].ingress[0].remote_group = 6;
    EXPECT_EQ(cut_by([](ForwardingTables&) {}), 0u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.subnets[{zone, prefix("10.0.1.0/24")}].security_groups.clear();
              }),
              1u);
}

TEST_F(InnerFlowsCutTest, ARouteThatLeadsOutOrNowhereDoes) {
    inner(Protocol::tcp, 5432);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.routes[{private_table, prefix("10.0.2.0/24")}] = {RouteKind::blackhole, 0};
              }),
              1u);
    EXPECT_EQ(cut_by([](ForwardingTables& planned) {
                  planned.routes[{private_table, prefix("10.0.2.0/24")}] = {RouteKind::via, 0,
                                                                            address("10.0.1.12")};
              }),
              0u);
}

TEST_F(InnerFlowsCutTest, FromBehindARouterTheRouteOfTheAnswersCounts) {
    tables_.routes[{public_table, prefix("192.168.0.0/16")}] = {RouteKind::via, 0, address("10.0.2.12")};
    tables_.security_groups[group].ingress[0].remote = prefix("0.0.0.0/0");
    dataplane::InnerFlow flow;
    flow.generation = generation;
    inner_flows_.emplace_back(
        InnerFlowKey{zone, Protocol::tcp, endpoint("192.168.0.9:4000"), endpoint("10.0.2.50:5432")}, flow);
    EXPECT_EQ(cut_by([](ForwardingTables&) {}), 0u);
    for (const RouteKind other : {RouteKind::local, RouteKind::blackhole})
        EXPECT_EQ(cut_by([other](ForwardingTables& planned) {
                      planned.routes[{public_table, prefix("192.168.0.0/16")}] = {other, 0};
                  }),
                  1u);
}

TEST_F(InnerFlowsCutTest, WhatIsForbiddenAlreadyOrFinishedIsLostAnyway) {
    inner(Protocol::tcp, 5432).finished = true;
    inner(Protocol::tcp, 5433).generation = generation - 1;  // nobody has asked yet
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.security_groups[group].ingress.clear(); }), 0u);
    inner(Protocol::tcp, 5432).generation = generation - 1;
    EXPECT_EQ(cut_by([](ForwardingTables& planned) { planned.security_groups[group].ingress.clear(); }), 1u);
}

}  // namespace
}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "control/explain.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sallyport/abi/drop_reason.h"
#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"
#include "unit/control/parsed.h"

namespace sallyport::control {
namespace {

using dataplane::FlowRecord;
using dataplane::ForwardingTables;
using dataplane::Role;
using dataplane::RouteKind;
using dataplane::Rule;

constexpr std::uint16_t main_zone = 1;
constexpr std::uint16_t other_zone = 2;
constexpr std::uint16_t egress = 1;
constexpr std::uint16_t igw = INTERNET_GATEWAY_FIRST;
constexpr std::uint32_t private_table = 1;
constexpr std::uint32_t public_table = 2;
constexpr std::uint16_t web_group = 1;
constexpr std::uint16_t db_group = 2;

// Subnet app leaves by NAT gateway egress, which has 198.51.100.10 and forwards its TCP port 8080 to
// 10.0.1.12:80; instance db, 10.0.2.50 in subnet db, has 198.51.100.11 to itself.
class ExplainTest : public testing::Test {
  protected:
    ExplainTest() {
        tables_.devices[0] = {"lan0", 2, address("10.0.1.1"), 1500, main_zone, Role::inside, {}, 1000};
        tables_.devices[1] = {"wan0", 3, address("198.51.100.1"), 1500, 0, Role::outside, {}, 1000};
        tables_.subnets[{main_zone, prefix("10.0.1.0/24")}] = {1, private_table, {}, false};
        tables_.subnets[{main_zone, prefix("10.0.2.0/24")}] = {2, public_table, {}, true};
        for (const std::uint32_t table : {private_table, public_table})
            tables_.routes[{table, prefix("10.0.0.0/16")}] = {RouteKind::local, 0};
        tables_.routes[{private_table, prefix("0.0.0.0/0")}] = {RouteKind::nat_gateway, egress};
        tables_.routes[{private_table, prefix("203.0.113.128/25")}] = {RouteKind::blackhole, 0};
        tables_.routes[{private_table, prefix("192.0.2.0/24")}] = {RouteKind::untranslated, egress};
        tables_.routes[{public_table, prefix("0.0.0.0/0")}] = {RouteKind::internet_gateway, igw};
        tables_.private_prefixes = {prefix("10.0.0.0/16")};
        dataplane::NatGatewayEntry& nat = tables_.nat_gateways[egress];
        nat.elastic_ips = {address("198.51.100.10")};
        nat.mapping = {Rule::address_and_port_dependent, Rule::endpoint_independent,
                       Rule::endpoint_independent};
        nat.filtering.fill(Rule::address_and_port_dependent);
        nat.forwards_ports = true;
        tables_.nat_gateways[igw];
        tables_.elastic_ips[address("198.51.100.10")] = {egress, 0xff, 1, true, {}, 0};
        tables_.elastic_ips[address("198.51.100.11")] = {igw,      0xff, 2, false, address("10.0.2.50"),
                                                         main_zone};
        tables_.port_forwards[{address("198.51.100.10"), 6, 8080, 16}] = {address("10.0.1.12"), main_zone,
                                                                          8080, 80};
        tables_.forwarded_endpoints[{main_zone, address("10.0.1.12"), 6, 80, 16}] = {address("198.51.100.10"),
                                                                                     80, 8080};
        tables_.instances[{main_zone, address("10.0.2.50")}] = {address("198.51.100.11"), {db_group}};
        tables_.security_groups[db_group] = {{{6, {5432, 5432}, prefix("0.0.0.0/0")}},
                                             {{0, {0, 65535}, prefix("203.0.113.0/24")}}};
        tables_.local_addresses = {address("10.0.1.1"), address("198.51.100.1")};
        names_.vpcs = {{main_zone, "main"}, {other_zone, "other"}};
        names_.subnets = {{1, "app"}, {2, "db"}};
        names_.route_tables = {{private_table, "private"}, {public_table, "public"}};
        names_.nat_gateways = {{egress, "egress"}};
        names_.internet_gateways = {{igw, "igw"}};
        names_.security_groups = {{web_group, "web"}, {db_group, "db"}};
        names_.elastic_ips = {{address("198.51.100.10"), "eip-1"}, {address("198.51.100.11"), "eip-2"}};
        auto state = std::make_shared<model::DesiredState>();
        state->vpcs = {{.name = "main"}, {.name = "other"}};
        names_.state = state;
    }

    static Question question(std::string_view protocol, std::string_view source, std::string_view destination,
                             Segment segment = Segment::syn) {
        return {*parse_protocol(protocol), endpoint(source), endpoint(destination), segment, ""};
    }

    Result<Explanation> ask(const Question& question) {
        const LiveState live{
            tables_, generation_,
            [this](const std::function<bool(const FlowRecord&)>& visit) -> Result<void> {
                for (const FlowRecord& flow : flows_) {
                    if (!visit(flow)) break;
                }
                return {};
            },
            [this](const dataplane::InnerFlowKey& key) -> Result<std::optional<dataplane::InnerFlow>> {
                const auto found = inner_flows_.find(key);
                if (found == inner_flows_.end()) return std::nullopt;
                return found->second;
            },
            [this](const dataplane::NextHopQuestion& asked) { return way_of(asked); }};
        return explain(question, live, names_);
    }

    // A host with a route to everything that does not say another way: by the first device of the right sort
    // on which it is a neighbour, or else by the first one.
    Result<dataplane::NextHopAnswer> way_of(const dataplane::NextHopQuestion& asked) {
        asked_.push_back(asked);
        if (const auto other = ways_.find(asked.destination); other != ways_.end()) return other->second;
        dataplane::NextHopAnswer answer;
        answer.reason = DROP_WRONG_EGRESS_DEVICE;
        for (const auto& [slot, device] : tables_.devices) {
            const bool fits = asked.inward ? device.role != Role::outside && device.zone == asked.zone
                                           : device.role != Role::inside;
            const auto hop = tables_.next_hops.find({device.ifindex, asked.destination});
            const bool is_neighbour = hop != tables_.next_hops.end();
            if (!fits || (answer.reason == 0 && !is_neighbour)) continue;
            answer = {0, {}, slot, asked.destination, is_neighbour && hop->second.resolved, false};
            if (is_neighbour) break;
        }
        return answer;
    }

    // "forward SOURCE > DESTINATION", "drop REASON, told …" or "pass".
    std::string verdict(std::string_view protocol, std::string_view source, std::string_view destination,
                        Segment segment = Segment::syn) {
        const auto answer = ask(question(protocol, source, destination, segment));
        if (!answer) return "error: " + answer.error().message;
        last_ = *answer;
        if (answer->verdict == Verdict::forward)
            return "forward " + answer->translation->source.to_string() + " > " +
                   answer->translation->destination.to_string();
        if (answer->verdict == Verdict::pass) return "pass";
        const std::string_view told = to_string(answer->told);
        return "drop " + std::string(dataplane::drop_reason_label(answer->reason)) +
               (told.empty() ? "" : ", told " + std::string(told));
    }

    // What the last answer says of a stage; empty: it was not come by.
    [[nodiscard]] std::string found(Stage stage) const {
        const auto step = std::find_if(last_.steps.begin(), last_.steps.end(),
                                       [stage](const Step& one) { return one.stage == stage; });
        if (step == last_.steps.end()) return {};
        return step->name.empty() ? step->text : step->name + ": " + step->text;
    }

    FlowRecord& add_flow(std::string_view protocol, std::string_view inside, std::string_view external,
                         std::string_view remote) {
        FlowRecord flow;
        flow.protocol = *parse_protocol(protocol);
        flow.zone = main_zone;
        flow.nat_gateway = egress;
        flow.inside = endpoint(inside);
        flow.external = endpoint(external);
        flow.remote = endpoint(remote);
        flow.state = "established";
        flow.mapped = flow.protocol != Protocol::tcp;
        flows_.push_back(flow);
        return flows_.back();
    }

    dataplane::NatGatewayEntry& nat() { return tables_.nat_gateways[egress]; }

    ForwardingTables tables_;
    Names names_;
    std::uint16_t generation_ = 0;
    std::vector<FlowRecord> flows_;
    std::map<dataplane::InnerFlowKey, dataplane::InnerFlow> inner_flows_;
    std::map<Ipv4Address, dataplane::NextHopAnswer> ways_;  // by destination
    std::vector<dataplane::NextHopQuestion> asked_;
    Explanation last_;
};

TEST_F(ExplainTest, ANewFlowLeavesByTheNatGateway) {
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443"),
              "forward 198.51.100.10 > 203.0.113.10:443");
    EXPECT_EQ(found(Stage::device), "lan0: from inside, VPC main");
    EXPECT_EQ(found(Stage::subnet), "app: 10.0.1.0/24");
    EXPECT_EQ(found(Stage::route), "private: 0.0.0.0/0 leads to NAT gateway egress");
    EXPECT_EQ(found(Stage::nat_gateway), "egress: translates it");
    EXPECT_EQ(found(Stage::elastic_ip), "eip-1: 198.51.100.10");
    EXPECT_EQ(found(Stage::port), "one of the NAT gateway's, chosen at random");
    EXPECT_EQ(found(Stage::next_hop), "wan0: 203.0.113.10 itself, once the host has resolved it");
    EXPECT_TRUE(last_.from_inside);
    EXPECT_EQ(last_.vpc, "main");
}

TEST_F(ExplainTest, APacketOfAFlowIsTranslatedBothWays) {
    add_flow("tcp", "10.0.1.11:40000", "198.51.100.10:2100", "203.0.113.10:443");
    for (const Segment segment : {Segment::syn, Segment::ack, Segment::rst, Segment::fin}) {
        EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", segment),
                  "forward 198.51.100.10:2100 > 203.0.113.10:443");
        EXPECT_EQ(verdict("tcp", "203.0.113.10:443", "198.51.100.10:2100", segment),
                  "forward 203.0.113.10:443 > 10.0.1.11:40000");
    }
    ASSERT_TRUE(last_.flow);
    EXPECT_EQ(last_.flow->external, endpoint("198.51.100.10:2100"));
}

TEST_F(ExplainTest, AFlowThatTheConfigurationForbidsByNowIsCut) {
    add_flow("tcp", "10.0.1.11:40000", "198.51.100.10:2100", "203.0.113.200:443");  // a blackhole by now
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.200:443", Segment::ack),
              "forward 198.51.100.10:2100 > 203.0.113.200:443")
        << "nothing has changed";
    generation_ = 1;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.200:443", Segment::ack),
              "drop flow_cut, told tcp reset");
    EXPECT_EQ(verdict("tcp", "203.0.113.200:443", "198.51.100.10:2100", Segment::ack), "drop flow_cut");
    flows_.front().remote = endpoint("203.0.113.10:443");
    tables_.subnets.begin()->second.security_groups = {web_group};
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::rst), "drop flow_cut");
    tables_.security_groups[web_group].ingress = {{6, {40000, 40000}, prefix("0.0.0.0/0")}};
    flows_.front().from_outside = true;  // it was opened by what ingress is about
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::ack),
              "forward 198.51.100.10:2100 > 203.0.113.10:443");
    flows_.front().state = "opening_from_outside";
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::ack),
              "drop flow_cut, told tcp reset")
        << "nothing but the filtering would let it in";
    flows_.front().is_static = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::rst), "drop flow_cut")
        << "no port is forwarded";
    flows_.front().generation_in = 1;
    EXPECT_EQ(verdict("tcp", "203.0.113.10:443", "198.51.100.10:2100", Segment::ack),
              "forward 203.0.113.10:443 > 10.0.1.11:40000")
        << "this direction has been checked";
}

TEST_F(ExplainTest, WhatOpensNoFlowIsToldSo) {
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::ack),
              "drop tcp_without_flow, told tcp reset");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::syn_ack),
              "drop tcp_without_flow, told tcp reset");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::rst), "drop tcp_without_flow");
    EXPECT_EQ(verdict("icmp", "10.0.1.11:0", "203.0.113.10:7"), "drop unsupported_icmp");
    EXPECT_EQ(verdict("icmp", "10.0.1.11:7", "203.0.113.10"), "forward 198.51.100.10 > 203.0.113.10:0");
    tables_.devices[0].replies_per_second = 0;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "203.0.113.10:443", Segment::ack), "drop tcp_without_flow");
}

TEST_F(ExplainTest, RoutesDecide) {
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "10.0.1.99:53"), "pass");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "10.0.2.50:53"), "drop security_group, told icmp 3/13");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "10.0.1.1:53"), "pass") << "the host itself";
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "224.0.0.1:53"), "pass");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "203.0.113.200:53"), "drop blackhole_route");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "192.0.2.5:53"), "forward 10.0.1.11:5000 > 192.0.2.5:53");
    EXPECT_EQ(found(Stage::port), "kept");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "127.0.0.1:53"), "drop invalid_address");
    tables_.link_broadcasts.insert({address("198.51.100.255")});
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "198.51.100.255:53"), "drop invalid_address");
    tables_.routes.erase({private_table, prefix("0.0.0.0/0")});
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "203.0.113.10:53"), "drop no_route, told icmp 3/0");
    tables_.devices[0].address = {};
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "203.0.113.10:53"), "drop no_route");
}

TEST_F(ExplainTest, AnElasticIpOfItsOwnComesFirst) {
    EXPECT_EQ(verdict("tcp", "10.0.2.50:4567", "203.0.113.10:80"),
              "forward 198.51.100.11:4567 > 203.0.113.10:80");
    EXPECT_EQ(found(Stage::security_group), "db: an egress rule allows it");
    EXPECT_EQ(found(Stage::elastic_ip), "eip-2: 198.51.100.11, the instance's own");
    tables_.routes[{public_table, prefix("0.0.0.0/0")}] = {RouteKind::nat_gateway, egress};
    EXPECT_EQ(verdict("tcp", "10.0.2.50:4567", "203.0.113.10:80"),
              "forward 198.51.100.11:4567 > 203.0.113.10:80");
    tables_.routes[{public_table, prefix("0.0.0.0/0")}] = {RouteKind::internet_gateway, igw};
    EXPECT_EQ(verdict("tcp", "10.0.2.51:4567", "203.0.113.10:80"),
              "drop instance_without_elastic_ip, told icmp 3/13");
}

TEST_F(ExplainTest, SecurityGroupsDecide) {
    EXPECT_EQ(verdict("tcp", "10.0.2.50:4567", "192.0.2.1:80"), "drop security_group, told icmp 3/13");
    EXPECT_EQ(found(Stage::security_group), "no egress rule of db allows it");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.11:5432"),
              "forward 203.0.113.10:9 > 10.0.2.50:5432");
    EXPECT_EQ(found(Stage::security_group), "db: an ingress rule allows it");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.11:22"), "drop security_group");
    EXPECT_EQ(verdict("udp", "203.0.113.10:9", "198.51.100.11:5432"), "drop security_group");
    tables_.instances.begin()->second.security_groups.clear();
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.11:5432"), "drop security_group");
    EXPECT_EQ(verdict("tcp", "10.0.2.50:4567", "192.0.2.1:80"), "forward 198.51.100.11:4567 > 192.0.2.1:80");
}

TEST_F(ExplainTest, AForwardedPortLeadsInsideAndOutAgain) {
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"),
              "forward 203.0.113.10:9 > 10.0.1.12:80");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080", Segment::ack), "drop unsolicited");
    EXPECT_EQ(verdict("udp", "203.0.113.10:9", "198.51.100.10:8080"), "drop unsolicited");
    EXPECT_EQ(verdict("tcp", "203.0.113.200:9", "198.51.100.10:8080"), "drop filtered")
        << "the instance may not answer a blackhole";
    EXPECT_EQ(verdict("tcp", "10.0.9.9:9", "198.51.100.10:8080"), "drop filtered") << "a forged source";
    EXPECT_EQ(verdict("tcp", "198.51.100.1:9", "198.51.100.10:8080"), "drop invalid_address");
    EXPECT_EQ(verdict("tcp", "10.0.1.12:80", "203.0.113.10:443"),
              "forward 198.51.100.10:8080 > 203.0.113.10:443");
    EXPECT_EQ(found(Stage::port), "8080, given by the port forward that leads here");
    add_flow("tcp", "10.0.1.11:4000", "198.51.100.10:8080", "203.0.113.10:443");  // older than the forward
    EXPECT_EQ(verdict("tcp", "10.0.1.12:80", "203.0.113.10:443"), "drop port_exhausted, told icmp 3/1");
}

TEST_F(ExplainTest, FromOutsideNothingElseGetsIn) {
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:22"), "drop unsolicited");
    EXPECT_EQ(found(Stage::device), "wan0: from outside");
    EXPECT_EQ(verdict("icmp", "203.0.113.10:9", "198.51.100.10"), "drop unsolicited");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "10.0.1.11:22"), "drop private_destination");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.1:22"), "pass") << "the host itself";
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "192.0.2.77:22"), "pass");
    EXPECT_EQ(verdict("tcp", "198.51.100.11:9", "198.51.100.10:8080"), "drop elastic_ip_from_outside");
    EXPECT_EQ(verdict("tcp", "127.0.0.1:9", "198.51.100.10:8080"), "drop invalid_address");
    EXPECT_EQ(verdict("icmp", "203.0.113.10:0", "198.51.100.11:5"), "drop unsolicited")
        << "a reply to nothing";
    tables_.devices[1].role = Role::both;
    EXPECT_EQ(verdict("tcp", "10.0.9.9:9", "192.0.2.77:22"), "drop source_not_in_subnet");
}

TEST_F(ExplainTest, FilteringLetsInWhomItIsSetTo) {
    FlowRecord& flow = add_flow("udp", "10.0.1.11:5000", "198.51.100.10:2100", "203.0.113.10:53");
    EXPECT_EQ(verdict("udp", "203.0.113.10:54", "198.51.100.10:2100"), "drop unsolicited");
    nat().filtering[NAT_UDP] = Rule::address_dependent;
    flow.permitted = true;
    EXPECT_EQ(verdict("udp", "203.0.113.10:54", "198.51.100.10:2100"),
              "forward 203.0.113.10:54 > 10.0.1.11:5000");
    EXPECT_EQ(verdict("udp", "203.0.113.11:54", "198.51.100.10:2100"), "drop filtered");
    nat().filtering[NAT_UDP] = Rule::endpoint_independent;
    EXPECT_EQ(verdict("udp", "203.0.113.11:54", "198.51.100.10:2100"),
              "forward 203.0.113.11:54 > 10.0.1.11:5000");
    EXPECT_EQ(verdict("udp", "203.0.113.200:54", "198.51.100.10:2100"), "drop filtered");
    EXPECT_EQ(verdict("udp", "10.0.9.9:54", "198.51.100.10:2100"), "drop filtered");
    EXPECT_EQ(verdict("udp", "203.0.113.11:54", "198.51.100.10:2101"), "drop unsolicited");
    nat().filtering[NAT_TCP] = Rule::endpoint_independent;
    add_flow("tcp", "10.0.1.11:5000", "198.51.100.10:2200", "203.0.113.10:80").mapped = true;
    EXPECT_EQ(verdict("tcp", "203.0.113.11:1", "198.51.100.10:2200", Segment::ack), "drop unsolicited");
    EXPECT_EQ(verdict("tcp", "203.0.113.11:1", "198.51.100.10:2200"),
              "forward 203.0.113.11:1 > 10.0.1.11:5000");
}

TEST_F(ExplainTest, AMappingGivesItsPortToAllRemotes) {
    add_flow("udp", "10.0.1.11:5000", "198.51.100.10:2100", "203.0.113.10:53");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "203.0.113.11:99"),
              "forward 198.51.100.10:2100 > 203.0.113.11:99");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5001", "203.0.113.11:99"), "forward 198.51.100.10 > 203.0.113.11:99");
    nat().limits = true;
    tables_.host_limits[egress].flows_per_mapping = 1;
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "203.0.113.11:99"), "drop mapping_flow_limit, told icmp 3/1");
}

TEST_F(ExplainTest, PortsRunOut) {
    nat().ports = {8079, 8081};  // the one in the middle is forwarded
    nat().exhaustion = dataplane::Exhaustion::administratively_prohibited;
    add_flow("tcp", "10.0.1.11:1", "198.51.100.10:8079", "203.0.113.10:443");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "forward 198.51.100.10 > 203.0.113.10:443");
    nat().reserves_ports = true;
    tables_.reserved_ports[egress].ranges = {{8081, 8081}};
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "drop port_exhausted, told icmp 3/13");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.11:443"), "forward 198.51.100.10 > 203.0.113.11:443");
    nat().elastic_ips.push_back(address("198.51.100.12"));
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "forward 198.51.100.12 > 203.0.113.10:443");
    nat().elastic_ips.clear();
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "drop nat_gateway_without_elastic_ip");
}

TEST_F(ExplainTest, WhatNobodyInsideHasOfASharedAddressIsTheHosts) {
    const Ipv4Address shared = address("198.51.100.10");
    tables_.local_addresses.insert(shared);
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"), "pass") << "it is not marked";
    tables_.elastic_ips[shared].shared_with_host = true;
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"),
              "forward 203.0.113.10:9 > 10.0.1.12:80");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:22"), "pass");
    EXPECT_NE(found(Stage::elastic_ip).find("it is the host's"), std::string::npos);
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "198.51.100.10:22"), "pass");
    EXPECT_EQ(verdict("icmp", "203.0.113.10:9", "198.51.100.10:0"), "pass");
    EXPECT_EQ(verdict("icmp", "203.0.113.10:0", "198.51.100.10:9"), "pass");
    // A mapping is its instance's, whoever sends.
    add_flow("udp", "10.0.1.11:5000", "198.51.100.10:6000", "203.0.113.10:53").mapped = true;
    EXPECT_EQ(verdict("udp", "203.0.113.11:53", "198.51.100.10:6000"), "drop unsolicited");
    EXPECT_EQ(verdict("udp", "203.0.113.11:53", "198.51.100.10:6001"), "pass");
    EXPECT_EQ(verdict("tcp", "203.0.113.11:53", "198.51.100.10:6000"), "pass");
    // The host's ping may have the identifier of an instance's.
    add_flow("icmp", "10.0.1.11:7", "198.51.100.10:700", "203.0.113.10:0").mapped = true;
    EXPECT_EQ(verdict("icmp", "203.0.113.11:0", "198.51.100.10:700"), "pass");
    nat().filtering.fill(Rule::endpoint_independent);
    EXPECT_NE(verdict("icmp", "203.0.113.11:0", "198.51.100.10:700"), "pass");
    tables_.local_addresses.erase(shared);
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:22"), "drop unsolicited")
        << "an Elastic IP like any other until the host has it";
}

TEST_F(ExplainTest, APortOfTheHostIsNotGiven) {
    nat().ports = {8079, 8081};
    tables_.host_ports[address("198.51.100.10")].ranges = {{8079, 8081}};
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "drop port_exhausted, told icmp 3/1");
    EXPECT_EQ(verdict("icmp", "10.0.1.11:9", "203.0.113.10:0"), "forward 198.51.100.10 > 203.0.113.10:0");
    nat().elastic_ips.push_back(address("198.51.100.12"));
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "forward 198.51.100.12 > 203.0.113.10:443");
}

TEST_F(ExplainTest, APortIsKeptWhereThatIsAskedFor) {
    nat().preserve_port = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:4000", "203.0.113.10:443"),
              "forward 198.51.100.10:4000 > 203.0.113.10:443");
    EXPECT_EQ(found(Stage::port), "kept");
    add_flow("tcp", "10.0.1.12:4000", "198.51.100.10:4000", "203.0.113.10:443");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:4000", "203.0.113.10:443"),
              "forward 198.51.100.10 > 203.0.113.10:443");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:80", "203.0.113.10:443"), "forward 198.51.100.10 > 203.0.113.10:443");
    nat().port_block_size = 512;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:4001", "203.0.113.10:443"),
              "forward 198.51.100.10 > 203.0.113.10:443");
    EXPECT_EQ(found(Stage::port), "one of the instance's port blocks, chosen at random");
    nat().port_block_size = 0;
    nat().preserve_range = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:80", "203.0.113.10:443"),
              "forward 198.51.100.10:80 > 203.0.113.10:443");
}

TEST_F(ExplainTest, LimitsRefuse) {
    nat().limits = true;
    tables_.host_limits[egress].flows = 1;
    add_flow("tcp", "10.0.1.11:1", "198.51.100.10:2100", "203.0.113.10:443").state = "opening";
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "drop flow_limit, told icmp 3/1");
    EXPECT_EQ(verdict("tcp", "10.0.1.12:9", "203.0.113.10:443"), "forward 198.51.100.10 > 203.0.113.10:443");
    tables_.host_limits[egress] = {};
    tables_.host_limits[egress].ports = 1;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "drop port_limit, told icmp 3/1");
    tables_.gateway.unanswered_capacity = 2;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "drop unanswered_limit, told icmp 3/1");
    EXPECT_EQ(verdict("tcp", "10.0.1.12:9", "203.0.113.10:443"), "forward 198.51.100.10 > 203.0.113.10:443");
}

TEST_F(ExplainTest, InstancesMeetAtElasticIps) {
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "198.51.100.10:8080"), "forward 198.51.100.10 > 10.0.1.12:80");
    EXPECT_EQ(found(Stage::hairpin), "eip-1: an Elastic IP of this gateway: 198.51.100.10 turns around");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "198.51.100.11:5432"), "forward 198.51.100.10 > 10.0.2.50:5432");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "198.51.100.11:22"), "drop security_group");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "198.51.100.10:22"), "drop unsolicited");
    FlowRecord& receiver = add_flow("udp", "10.0.1.12:6000", "198.51.100.10:2100", "203.0.113.10:53");
    EXPECT_EQ(verdict("udp", "10.0.1.11:9", "198.51.100.10:2100"), "drop unsolicited") << "it is filtered";
    nat().filtering[NAT_UDP] = Rule::endpoint_independent;
    EXPECT_EQ(verdict("udp", "10.0.1.11:9", "198.51.100.10:2100"), "forward 198.51.100.10 > 10.0.1.12:6000");
    receiver.zone = other_zone;
    nat().hairpin_same_tenant = true;
    EXPECT_EQ(verdict("udp", "10.0.1.11:9", "198.51.100.10:2100"), "drop elastic_ip_from_inside");
    nat().hairpin = false;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "198.51.100.10:8080"), "drop elastic_ip_from_inside");
}

TEST_F(ExplainTest, AnInstanceMeetsItselfAtItsOwnMapping) {
    add_flow("udp", "10.0.1.11:5000", "198.51.100.10:2100", "203.0.113.10:53");
    EXPECT_EQ(verdict("udp", "10.0.1.11:5000", "198.51.100.10:2100"),
              "forward 198.51.100.10:2100 > 10.0.1.11:5000");
}

TEST_F(ExplainTest, AHairpinFlowHasTwoHalves) {
    FlowRecord& sender = add_flow("tcp", "10.0.1.11:9", "198.51.100.10:2100", "198.51.100.10:8080");
    sender.hairpin = true;  // before the next one is added
    FlowRecord& receiver = add_flow("tcp", "10.0.1.12:80", "198.51.100.10:8080", "198.51.100.10:2100");
    receiver.hairpin = receiver.is_static = receiver.from_outside = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "198.51.100.10:8080", Segment::ack),
              "forward 198.51.100.10:2100 > 10.0.1.12:80");
    EXPECT_EQ(verdict("tcp", "10.0.1.12:80", "198.51.100.10:2100", Segment::ack),
              "forward 198.51.100.10:8080 > 10.0.1.11:9");
    EXPECT_EQ(verdict("tcp", "198.51.100.10:2100", "198.51.100.10:8080", Segment::ack),
              "drop elastic_ip_from_outside");
}

TEST_F(ExplainTest, NeighboursAreNamed) {
    tables_.next_hops[{3, address("198.51.100.9")}] = {1, 1500, true, {}, {}, false};
    EXPECT_EQ(verdict("udp", "10.0.1.11:9", "198.51.100.9:53"), "forward 198.51.100.10 > 198.51.100.9:53");
    EXPECT_EQ(found(Stage::next_hop), "wan0: 198.51.100.9 itself, 00:00:00:00:00:00");
    tables_.next_hops.begin()->second = {1, 1500, false, {}, {}, true};
    EXPECT_EQ(verdict("udp", "10.0.1.11:9", "198.51.100.9:53"), "drop neighbour_unreachable, told icmp 3/1");
    tables_.devices[2] = {"lan1", 4, address("10.0.2.1"), 1500, main_zone, Role::inside, {}, 1000};
    EXPECT_EQ(verdict("udp", "10.0.1.11:9", "203.0.113.9:53"), "forward 198.51.100.10 > 203.0.113.9:53");
    EXPECT_EQ(found(Stage::device), "from inside, VPC main, by lan0 or lan1");
    tables_.next_hops[{4, address("10.0.1.11")}] = {2, 1500, true, {}, {}, false};
    EXPECT_EQ(verdict("udp", "10.0.1.11:9", "203.0.113.9:53"), "forward 198.51.100.10 > 203.0.113.9:53");
    EXPECT_EQ(found(Stage::device), "lan1: from inside, VPC main");
}

TEST_F(ExplainTest, TheHostsRoutesDecideWhereItGoes) {
    const auto ask_with = [&](const dataplane::NextHopAnswer& way) {
        ways_[address("203.0.113.10")] = ways_[address("10.0.1.12")] = way;
        return verdict("udp", "10.0.1.11:9", "203.0.113.10:53");
    };
    const std::string forward = "forward 198.51.100.10 > 203.0.113.10:53";
    EXPECT_EQ(ask_with({DROP_NO_KERNEL_ROUTE, 0, 0, {}, false, false}),
              "drop no_kernel_route, told icmp 3/0");
    EXPECT_EQ(found(Stage::next_hop).substr(0, 14), "203.0.113.10: ");
    EXPECT_EQ(asked_.back(),
              (dataplane::NextHopQuestion{2, address("198.51.100.10"), address("203.0.113.10"), false, 0}));
    EXPECT_EQ(ask_with({DROP_NO_KERNEL_ROUTE, 1, 0, {}, false, false}),
              "drop no_kernel_route, told icmp 3/1");
    EXPECT_EQ(ask_with({DROP_NO_KERNEL_ROUTE, 13, 0, {}, false, false}),
              "drop no_kernel_route, told icmp 3/13");
    EXPECT_EQ(ask_with({DROP_NO_KERNEL_ROUTE, {}, 0, {}, false, false}), "drop no_kernel_route");
    EXPECT_EQ(ask_with({DROP_WRONG_EGRESS_DEVICE, {}, 0, {}, false, false}), "drop wrong_egress_device");
    EXPECT_EQ(ask_with({DROP_FORWARDING_DISABLED, {}, 0, {}, false, false}), "drop forwarding_disabled");

    const Ipv4Address router = address("198.51.100.1");
    EXPECT_EQ(ask_with({0, {}, 1, router, true, false}), forward);
    EXPECT_EQ(found(Stage::next_hop), "wan0: the router 198.51.100.1");
    tables_.next_hops[{3, router}] = {1, 1500, true, {}, {}, false};
    EXPECT_EQ(ask_with({0, {}, 1, router, true, false}), forward);
    EXPECT_EQ(found(Stage::next_hop), "wan0: the router 198.51.100.1, 00:00:00:00:00:00");
    tables_.next_hops[{3, router}] = {1, 1500, false, {}, {}, true};
    EXPECT_EQ(ask_with({0, {}, 1, router, false, false}), "drop neighbour_unreachable, told icmp 3/1");
    EXPECT_EQ(found(Stage::next_hop), "wan0: the router 198.51.100.1, which does not answer ARP");

    // To an instance, which the host by itself would look for elsewhere, it cannot be left to the host.
    ask_with({0, {}, 0, address("10.0.1.12"), false, true});
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"), "drop ambiguous_route");
    EXPECT_EQ(asked_.back(), (dataplane::NextHopQuestion{3, address("203.0.113.10"), address("10.0.1.12"),
                                                         true, main_zone}));
    ask_with({0, {}, 0, address("10.0.1.12"), true, true});
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"),
              "forward 203.0.113.10:9 > 10.0.1.12:80");
}

TEST_F(ExplainTest, WhereTheHostWouldTakeItForAnothersItIsRelayed) {
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.1.12:80"), "pass");
    tables_.devices[0].ambiguous = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.1.12:80"), "pass") << "the host resolves it first";
    tables_.next_hops[{2, address("10.0.1.12")}].resolved = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.1.12:80"), "forward 10.0.1.11:40000 > 10.0.1.12:80");
    ways_[address("10.0.1.12")] = {0, {}, 0, address("10.0.1.12"), false, true};
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.1.12:80"), "drop ambiguous_route");
}

TEST_F(ExplainTest, VpcsThatOverlapAreToldApart) {
    tables_.subnets[{other_zone, prefix("10.0.1.0/24")}] = {3, 3, {}, false};
    Question asked = question("tcp", "10.0.1.11:9", "203.0.113.10:443");
    auto answer = ask(asked);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, EINVAL);
    EXPECT_EQ(answer.error().message,
              "10.0.1.11 is in a subnet of several VPCs; name the one that is meant: main, other");
    asked.vpc = "other";
    answer = ask(asked);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->reason, std::uint32_t{DROP_NO_ROUTE});
    EXPECT_EQ(answer->told, Told::nothing) << "it has no device";
    asked.vpc = "main";
    answer = ask(asked);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->verdict, Verdict::forward);
    asked.source = endpoint("10.0.77.1:9");
    answer = ask(asked);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->reason, std::uint32_t{DROP_SOURCE_NOT_IN_SUBNET});
    asked.vpc = "third";
    answer = ask(asked);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().message, "there is no VPC \"third\"");
}

TEST_F(ExplainTest, WhatIsOfAnotherVpcIsNoWayToAnInstance) {
    tables_.devices[2] = {"lan1", 4, address("10.0.1.1"), 1500, other_zone, Role::inside, {}, 1000};
    tables_.next_hops[{4, address("10.0.1.12")}] = {2, 1500, true, {}, {}, false};
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"),
              "forward 203.0.113.10:9 > 10.0.1.12:80");
    EXPECT_EQ(found(Stage::next_hop), "lan0: 10.0.1.12 itself, once the host has resolved it");
    tables_.next_hops[{2, address("10.0.1.12")}] = {0, 1500, true, {}, {}, false};
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"),
              "forward 203.0.113.10:9 > 10.0.1.12:80");
    EXPECT_EQ(found(Stage::next_hop), "lan0: 10.0.1.12 itself, 00:00:00:00:00:00");
}

TEST_F(ExplainTest, OnOneArmTheSourceTellsWhereAPacketComesFrom) {
    tables_.devices.erase(1);
    tables_.devices[0].role = Role::both;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:9", "203.0.113.10:443"), "forward 198.51.100.10 > 203.0.113.10:443");
    EXPECT_EQ(found(Stage::device), "lan0: from inside, VPC main");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:9", "198.51.100.10:8080"),
              "forward 203.0.113.10:9 > 10.0.1.12:80");
    EXPECT_EQ(found(Stage::device), "lan0: from outside");
    Question asked = question("tcp", "10.0.77.1:9", "203.0.113.10:443");
    asked.vpc = "main";
    const auto answer = ask(asked);
    ASSERT_TRUE(answer);
    EXPECT_FALSE(answer->from_inside);
    EXPECT_EQ(answer->reason, std::uint32_t{DROP_SOURCE_NOT_IN_SUBNET});
}

TEST_F(ExplainTest, AFlowTableThatCannotBeReadIsAnError) {
    const LiveState live{
        tables_, 0, [](const auto&) -> Result<void> { return failure("no memory", ENOMEM); }, {}, {}};
    const auto answer = explain(question("tcp", "10.0.1.11:9", "203.0.113.10:443"), live, names_);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().message, "read the flow table: no memory");
}

TEST_F(ExplainTest, security_groups_hold_for_what_stays_inside) {
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.1.12:80"), "pass") << "neither has any";
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.2.50:5432"), "pass");
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.2.50:5433"), "drop security_group, told icmp 3/13");
    tables_.security_groups[db_group].ingress[0].remote_group = web_group;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.2.50:5432"), "drop security_group, told icmp 3/13");
    EXPECT_EQ(verdict("tcp", "203.0.113.10:40000", "198.51.100.11:5432"), "drop security_group");
    tables_.subnets[{main_zone, prefix("10.0.1.0/24")}].security_groups = {web_group};
    tables_.security_groups[web_group] = {{}, {dataplane::SecurityRule{}}};
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "10.0.2.50:5432"), "pass");
    EXPECT_EQ(verdict("tcp", "10.0.2.50:5432", "10.0.1.11:40000", Segment::syn_ack),
              "drop security_group, told icmp 3/13");
    const dataplane::InnerFlowKey opened{main_zone, Protocol::tcp, endpoint("10.0.1.11:40000"),
                                         endpoint("10.0.2.50:5432")};
    inner_flows_[opened].generation = generation_;
    EXPECT_EQ(verdict("tcp", "10.0.2.50:5432", "10.0.1.11:40000", Segment::syn_ack), "pass");
    inner_flows_[opened].finished = true;
    EXPECT_EQ(verdict("tcp", "10.0.2.50:5432", "10.0.1.11:40000", Segment::ack), "pass");
    EXPECT_EQ(verdict("tcp", "10.0.2.50:5432", "10.0.1.11:40000"), "drop security_group, told icmp 3/13");
    tables_.security_groups[db_group].ingress.clear();
    ++generation_;
    EXPECT_EQ(verdict("tcp", "10.0.2.50:5432", "10.0.1.11:40000", Segment::ack), "drop flow_cut");
}

TEST_F(ExplainTest, icmp_is_asked_about_by_its_type) {
    tables_.security_groups[db_group].ingress = {{1, {0x800, 0x8ff}, prefix("0.0.0.0/0")}};
    EXPECT_EQ(verdict("icmp", "10.0.1.11:7", "10.0.2.50:0"), "pass");
    EXPECT_EQ(verdict("icmp", "10.0.1.11:0", "10.0.2.50:7"), "drop security_group, told icmp 3/13");
    EXPECT_EQ(verdict("icmp", "203.0.113.10:7", "198.51.100.11:0"), "forward 203.0.113.10:7 > 10.0.2.50:0");
    tables_.security_groups[db_group].ingress = {{1, {0x000, 0x0ff}, prefix("0.0.0.0/0")}};
    EXPECT_EQ(verdict("icmp", "10.0.1.11:0", "10.0.2.50:7"), "pass");
    EXPECT_EQ(verdict("icmp", "203.0.113.10:7", "198.51.100.11:0"), "drop security_group");
}

TEST_F(ExplainTest, a_router_inside) {
    tables_.routes[{private_table, prefix("192.168.0.0/16")}] = {RouteKind::via, 0, address("10.0.1.254")};
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "192.168.1.1:443"), "drop neighbour_unreachable");
    dataplane::NextHopEntry& hop = tables_.next_hops[{2, address("10.0.1.254")}];
    hop.resolved = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "192.168.1.1:443", Segment::ack),
              "forward 10.0.1.11:40000 > 192.168.1.1:443");
    hop.resolved = false;
    hop.unreachable = true;
    EXPECT_EQ(verdict("tcp", "10.0.1.11:40000", "192.168.1.1:443"),
              "drop neighbour_unreachable, told icmp 3/1");
    Question back = question("tcp", "192.168.1.1:443", "10.0.1.11:40000", Segment::syn_ack);
    back.vpc = "main";
    EXPECT_EQ(ask(back)->verdict, Verdict::pass);
    tables_.next_hops[{2, address("10.0.1.11")}].resolved = true;
    EXPECT_EQ(ask(back)->verdict, Verdict::forward);
    back.destination = endpoint("10.0.2.50:40000");  // whose table does not lead there
    EXPECT_EQ(ask(back)->reason, std::uint32_t{DROP_SOURCE_NOT_IN_SUBNET});
}

}  // namespace
}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "model/validate.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "model/in_force.h"
#include "unit/model/sample.h"

namespace sallyport::model {
namespace {

using namespace std::chrono_literals;

struct Case {
    const char* name;
    std::function<void(DesiredState&)> change;
    std::vector<std::string> paths;  // of all faults or warnings, in the order of the rules
};

std::vector<std::string> paths_of(const std::vector<Fault>& faults) {
    std::vector<std::string> paths;
    for (const Fault& fault : faults) {
        paths.push_back(fault.path);
        EXPECT_FALSE(fault.message.empty());
    }
    return paths;
}

Ipv4Prefix prefix(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d, std::uint8_t length) {
    return {Ipv4Address(a, b, c, d), length};
}

void add_subnet(DesiredState& state, std::string name, Ipv4Prefix cidr) {
    state.subnets.push_back({.name = std::move(name), .vpc = "main", .cidr = cidr});
}

void add_instance(DesiredState& state, std::string name, Ipv4Address address) {
    state.instances.push_back({.name = std::move(name), .subnet = "app", .address = address});
}

TEST(Validate, FindsNothingInASoundState) {
    EXPECT_EQ(paths_of(validate(sample_state())), std::vector<std::string>{});
    EXPECT_EQ(paths_of(warnings(sample_state())), std::vector<std::string>{});
}

const std::vector<Case> fault_cases{
    {"name_form",
     [](DesiredState& s) { s.vpcs.push_back({.name = "Main_2", .cidrs = {prefix(10, 0, 0, 0, 8)}}); },
     {"vpcs[1].name"}},
    {"gateway_name", [](DesiredState& s) { s.gateway.name = ""; }, {"gateway.name"}},
    {"name_twice",
     [](DesiredState& s) {
         s.elastic_ips.push_back({.name = "eip-1", .address = Ipv4Address(192, 0, 2, 1)});
     },
     {"elastic_ips[2].name"}},
    {"same_name_in_two_kinds", [](DesiredState& s) { add_subnet(s, "main", prefix(10, 0, 9, 0, 24)); }, {}},
    {"dangling_device",
     [](DesiredState& s) { s.gateway.devices[0].vpc = "none"; },
     {"gateway.devices[0].vpc"}},
    {"dangling_route",
     [](DesiredState& s) { s.route_tables[0].routes[0].target = ToNatGateway{"none"}; },
     {"route_tables[0].routes[0].nat_gateway"}},
    {"dangling_list",
     [](DesiredState& s) { s.nat_gateways[0].elastic_ips.emplace_back("none"); },
     {"nat_gateways[0].elastic_ips[1]"}},
    {"dangling_in_rule",
     [](DesiredState& s) {
         s.security_groups.push_back({.name = "g", .vpc = "main"});
         s.security_groups[0].ingress.push_back({.peer = std::string("none")});
     },
     {"security_groups[0].ingress[0].security_group"}},
    {"shared_and_an_instances",
     [](DesiredState& s) {
         add_instance(s, "db", Ipv4Address(10, 0, 1, 5));
         s.elastic_ips[1].instance = "db";
         s.elastic_ips[1].shared_with_host = true;
     },
     {"elastic_ips[1].shared_with_host"}},
    {"shared_too_many",
     [](DesiredState& s) {
         for (std::uint8_t i = 0; i < 255; ++i) {
             s.elastic_ips.push_back(
                 {.name = "more-" + std::to_string(i), .address = Ipv4Address(192, 0, 2, i)});
         }
         for (ElasticIp& elastic_ip : s.elastic_ips) elastic_ip.shared_with_host = true;
     },
     {"elastic_ips[256].shared_with_host"}},
    {"capacity_low", [](DesiredState& s) { s.gateway.flow_capacity = 1023; }, {"gateway.flow_capacity"}},
    {"capacity_high", [](DesiredState& s) { s.gateway.flow_capacity = 67108865; }, {"gateway.flow_capacity"}},
    {"reply_rate_low", [](DesiredState& s) { s.gateway.reply_rate_limit = 0; }, {"gateway.reply_rate_limit"}},
    {"reply_rate_high",
     [](DesiredState& s) { s.gateway.reply_rate_limit = 1000001; },
     {"gateway.reply_rate_limit"}},
    {"reply_rate_most", [](DesiredState& s) { s.gateway.reply_rate_limit = 1000000; }, {}},
    {"capacity_least", [](DesiredState& s) { s.gateway.flow_capacity = 1024; }, {}},
    {"unanswered_none",
     [](DesiredState& s) { s.gateway.unanswered_flow_capacity = 0; },
     {"gateway.unanswered_flow_capacity"}},
    {"unanswered_most",
     [](DesiredState& s) { s.gateway.unanswered_flow_capacity = s.gateway.flow_capacity; },
     {}},
    {"unanswered_too_many",
     [](DesiredState& s) { s.gateway.unanswered_flow_capacity = s.gateway.flow_capacity + 1; },
     {"gateway.unanswered_flow_capacity"}},
    {"capacity_most", [](DesiredState& s) { s.gateway.flow_capacity = 67108864; }, {}},
    {"device_twice",
     [](DesiredState& s) {
         s.gateway.devices.push_back({"lan0", DeviceRole::outside, ""});
     },
     {"gateway.devices[2].device"}},
    {"device_name",
     [](DesiredState& s) { s.gateway.devices[0].device = "a/b"; },
     {"gateway.devices[0].device"}},
    {"inside_without_vpc",
     [](DesiredState& s) { s.gateway.devices[0].vpc = ""; },
     {"gateway.devices[0].vpc"}},
    {"both_without_vpc",
     [](DesiredState& s) { s.gateway.devices[1].role = DeviceRole::both; },
     {"gateway.devices[1].vpc"}},
    {"vpc_on_outside",
     [](DesiredState& s) { s.gateway.devices[1].vpc = "main"; },
     {"gateway.devices[1].vpc"}},
    {"vpc_without_prefix", [](DesiredState& s) { s.vpcs.push_back({.name = "v"}); }, {"vpcs[1].cidrs"}},
    {"vpc_overlap",
     [](DesiredState& s) { s.vpcs[0].cidrs.push_back(prefix(10, 0, 128, 0, 17)); },
     {"vpcs[0].cidrs[1]"}},
    {"two_vpcs_overlap",
     [](DesiredState& s) { s.vpcs.push_back({.name = "v", .cidrs = {prefix(10, 0, 0, 0, 8)}}); },
     {}},
    {"vpc_everything",
     [](DesiredState& s) { s.vpcs.push_back({.name = "v", .cidrs = {Ipv4Prefix()}}); },
     {"vpcs[1].cidrs[0]"}},
    {"subnet_outside",
     [](DesiredState& s) { add_subnet(s, "b", prefix(10, 1, 0, 0, 24)); },
     {"subnets[1].cidr"}},
    {"subnet_overlap",
     [](DesiredState& s) { add_subnet(s, "b", prefix(10, 0, 1, 128, 25)); },
     {"subnets[1].cidr"}},
    {"subnet_around",
     [](DesiredState& s) { add_subnet(s, "b", prefix(10, 0, 0, 0, 20)); },
     {"subnets[1].cidr"}},
    {"subnet_is_the_vpc", [](DesiredState& s) { s.subnets[0].cidr = prefix(10, 0, 0, 0, 16); }, {}},
    {"table_of_another_vpc",
     [](DesiredState& s) {
         s.vpcs.push_back({.name = "v", .cidrs = {prefix(10, 0, 0, 0, 8)}});
         s.route_tables.push_back({.name = "t", .vpc = "v"});
         s.subnets[0].route_table = "t";
     },
     {"subnets[0].route_table"}},
    {"target_of_another_vpc",
     [](DesiredState& s) {
         s.vpcs.push_back({.name = "v", .cidrs = {prefix(10, 0, 0, 0, 8)}});
         s.route_tables.push_back(
             {.name = "t", .vpc = "v", .routes = {{Ipv4Prefix(), ToNatGateway{"egress"}}}});
     },
     {"route_tables[1].routes[0].nat_gateway"}},
    {"two_main_tables",
     [](DesiredState& s) { s.route_tables.push_back({.name = "t", .vpc = "main", .main = true}); },
     {"route_tables[1].main"}},
    {"destination_twice",
     [](DesiredState& s) {
         s.route_tables[0].routes.push_back({Ipv4Prefix(), Blackhole{}});
     },
     {"route_tables[0].routes[2].destination"}},
    {"destination_local",
     [](DesiredState& s) {
         s.route_tables[0].routes.push_back({prefix(10, 0, 0, 0, 16), Blackhole{}});
     },
     {"route_tables[0].routes[2].destination"}},
    {"destination_within_the_vpc",
     [](DesiredState& s) {
         s.route_tables[0].routes.push_back({prefix(10, 0, 7, 0, 24), Blackhole{}});
     },
     {}},
    {"two_internet_gateways",
     [](DesiredState& s) {
         s.internet_gateways.push_back({.name = "a", .vpc = "main"});
         s.internet_gateways.push_back({.name = "b", .vpc = "main"});
     },
     {"internet_gateways[1].vpc"}},
    {"same_address",
     [](DesiredState& s) { s.elastic_ips[1].address = s.elastic_ips[0].address; },
     {"elastic_ips[1].address"}},
    {"multicast_address",
     [](DesiredState& s) { s.elastic_ips[1].address = Ipv4Address(224, 0, 0, 1); },
     {"elastic_ips[1].address"}},
    {"elastic_ip_in_two_nat_gateways",
     [](DesiredState& s) {
         s.nat_gateways.push_back(s.nat_gateways[0]);
         s.nat_gateways[1].name = "other";
     },
     {"nat_gateways[1].elastic_ips[0]"}},
    {"elastic_ip_listed_twice",
     [](DesiredState& s) { s.nat_gateways[0].elastic_ips.emplace_back("eip-1"); },
     {"nat_gateways[0].elastic_ips[1]"}},
    {"elastic_ip_of_instance_and_nat_gateway",
     [](DesiredState& s) {
         add_instance(s, "db", Ipv4Address(10, 0, 1, 5));
         s.elastic_ips[0].instance = "db";
     },
     {"nat_gateways[0].elastic_ips[0]"}},
    {"instance_with_two_elastic_ips",
     [](DesiredState& s) {
         add_instance(s, "db", Ipv4Address(10, 0, 1, 5));
         s.elastic_ips[1].instance = "db";
         s.elastic_ips.push_back({.name = "eip-3", .address = Ipv4Address(192, 0, 2, 1), .instance = "db"});
     },
     {"elastic_ips[2].instance"}},
    {"no_elastic_ip",
     [](DesiredState& s) { s.nat_gateways[0].elastic_ips.clear(); },
     {"nat_gateways[0].elastic_ips"}},
    {"port_zero",
     [](DesiredState& s) {
         s.nat_gateways[0].port_range = {0, 65535};
     },
     {"nat_gateways[0].port_range"}},
    {"ports_backwards",
     [](DesiredState& s) {
         s.nat_gateways[0].port_range = {2000, 1000};
     },
     {"nat_gateways[0].port_range"}},
    {"no_translation_twice",
     [](DesiredState& s) {
         s.nat_gateways[0].no_translation = {Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24),
                                             Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24)};
     },
     {"nat_gateways[0].no_translation[1]"}},
    {"no_translation_of_multicast",
     [](DesiredState& s) { s.nat_gateways[0].no_translation = {Ipv4Prefix(Ipv4Address(224, 0, 0, 0), 8)}; },
     {"nat_gateways[0].no_translation[0]"}},
    {"no_translation_of_an_elastic_ip",
     [](DesiredState& s) {
         s.nat_gateways[0].no_translation = {Ipv4Prefix(Ipv4Address(198, 51, 100, 0), 24)};
     },
     {"nat_gateways[0].no_translation[0]"}},
    {"too_many_without_translation",
     [](DesiredState& s) {
         for (std::uint8_t i = 0; i < 65; ++i)
             s.nat_gateways[0].no_translation.push_back(Ipv4Prefix(Ipv4Address(192, 0, 2, i), 32));
     },
     {"nat_gateways[0].no_translation"}},
    {"mapping",
     [](DesiredState& s) { s.nat_gateways[0].mapping.udp = EndpointRule::address_dependent; },
     {"nat_gateways[0].mapping.udp"}},
    {"udp_floor",
     [](DesiredState& s) { s.nat_gateways[0].timeouts.udp = 119s; },
     {"nat_gateways[0].timeouts.udp"}},
    {"udp_at_floor", [](DesiredState& s) { s.nat_gateways[0].timeouts.udp = 120s; }, {}},
    {"established_floor",
     [](DesiredState& s) { s.nat_gateways[0].timeouts.tcp_established = 7439s; },
     {"nat_gateways[0].timeouts.tcp_established"}},
    {"opening_may_be_lower", [](DesiredState& s) { s.nat_gateways[0].timeouts.tcp_opening = 5s; }, {}},
    {"closing_floor",
     [](DesiredState& s) { s.nat_gateways[0].timeouts.tcp_closing = 239s; },
     {"nat_gateways[0].timeouts.tcp_closing"}},
    {"reset_floor",
     [](DesiredState& s) { s.nat_gateways[0].timeouts.tcp_reset = 239s; },
     {"nat_gateways[0].timeouts.tcp_reset"}},
    {"icmp_floor",
     [](DesiredState& s) { s.nat_gateways[0].timeouts.icmp = 59s; },
     {"nat_gateways[0].timeouts.icmp"}},
    {"floors_waived",
     [](DesiredState& s) {
         s.nat_gateways[0].allow_nonconformant_timeouts = true;
         s.nat_gateways[0].timeouts = {1s, 1s, 1s, 1s, 10s, 1s};
     },
     {}},
    {"floors_waived_and_yet_too_short",
     [](DesiredState& s) {
         s.nat_gateways[0].allow_nonconformant_timeouts = true;
         s.nat_gateways[0].timeouts = {0s, 1s, 0s, 1s, 9s, 1s};
     },
     {"nat_gateways[0].timeouts.udp", "nat_gateways[0].timeouts.tcp_opening",
      "nat_gateways[0].timeouts.tcp_reset"}},
    {"timeout_too_long",
     [](DesiredState& s) { s.nat_gateways[0].timeouts.udp = 65536s; },
     {"nat_gateways[0].timeouts.udp"}},
    {"timeout_longest", [](DesiredState& s) { s.nat_gateways[0].timeouts.udp = 65535s; }, {}},
    {"limit_of_zero",
     [](DesiredState& s) { s.nat_gateways[0].limits.flows_per_host = 0; },
     {"nat_gateways[0].limits.flows_per_host"}},
    {"instance_outside",
     [](DesiredState& s) { add_instance(s, "db", Ipv4Address(10, 0, 2, 5)); },
     {"instances[0].address"}},
    {"instance_address_twice",
     [](DesiredState& s) {
         add_instance(s, "a", Ipv4Address(10, 0, 1, 5));
         add_instance(s, "b", Ipv4Address(10, 0, 1, 5));
     },
     {"instances[1].address"}},
    {"egress_rules",
     [](DesiredState& s) {
         s.security_groups.push_back({.name = "g", .vpc = "main"});
         s.security_groups[0].egress.emplace();
     },
     {}},
    {"too_many_rules",
     [](DesiredState& s) {
         s.security_groups.push_back({.name = "g", .vpc = "main"});
         s.security_groups[0].ingress.resize(61);
         s.security_groups[0].egress.emplace(61);
     },
     {"security_groups[0].ingress", "security_groups[0].egress"}},
    {"too_many_groups_of_a_subnet",
     [](DesiredState& s) {
         for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
             s.security_groups.push_back({.name = name, .vpc = "main"});
             s.subnets[0].security_groups.emplace_back(name);
         }
     },
     {"subnets[0].security_groups"}},
    {"forwards_overlap",
     [](DesiredState& s) {
         const auto add = [&s](std::string name, PortRange port, Protocol protocol = Protocol::tcp) {
             s.port_forwards.push_back({.name = std::move(name),
                                        .elastic_ip = "eip-1",
                                        .protocol = protocol,
                                        .port = port,
                                        .to_address = Ipv4Address(10, 0, 1, 5),
                                        .to_port = 80});
         };
         add("wide", {1000, 2000});
         add("narrow", {1100, 1200});
         add("behind-narrow", {1500, 1600});
         add("beside", {2001, 2100});
         add("other-protocol", {1000, 2000}, Protocol::udp);
     },
     {"port_forwards[1].port", "port_forwards[2].port"}},
    {"ports_of_icmp",
     [](DesiredState& s) {
         s.security_groups.push_back({.name = "g", .vpc = "main"});
         s.security_groups[0].ingress.push_back({.protocol = Protocol::icmp, .ports = PortRange{8, 8}});
     },
     {"security_groups[0].ingress[0].ports"}},
    {"icmp_types_where_they_mean_nothing",
     [](DesiredState& s) {
         s.security_groups.push_back({.name = "g", .vpc = "main"});
         s.security_groups[0].ingress = {
             {.protocol = Protocol::icmp, .icmp_type = IcmpType{8}, .icmp_code = 0},
             {.protocol = Protocol::tcp, .icmp_type = IcmpType{8}},
             {.icmp_type = IcmpType{8}},
             {.protocol = Protocol::icmp, .icmp_code = 1},
             {.protocol = Protocol::icmp, .icmp_type = IcmpType{3}, .icmp_code = 256}};
     },
     {"security_groups[0].ingress[1].icmp_type", "security_groups[0].ingress[2].icmp_type",
      "security_groups[0].ingress[3].icmp_code", "security_groups[0].ingress[4].icmp_code"}},
    {"a_router_of_no_subnet",
     [](DesiredState& s) {
         s.route_tables[0].routes.push_back({prefix(8, 0, 0, 0, 8), Via{Ipv4Address(10, 0, 0, 1)}});
         s.route_tables[0].routes.push_back({prefix(9, 0, 0, 0, 8), Via{Ipv4Address(10, 0, 1, 1)}});
     },
     {"route_tables[0].routes[2].via"}},
    {"a_group_of_another_vpc",
     [](DesiredState& s) {
         s.vpcs.push_back({.name = "second", .cidrs = {prefix(172, 16, 0, 0, 16)}});
         s.security_groups.push_back({.name = "g", .vpc = "main"});
         s.security_groups.push_back({.name = "h", .vpc = "second"});
         s.security_groups[0].ingress = {{.peer = std::string("g")}, {.peer = std::string("h")}};
     },
     {"security_groups[0].ingress[1].security_group"}},
};

class Faults : public testing::TestWithParam<Case> {};

TEST_P(Faults, AreFoundWhereTheyAre) {
    DesiredState state = sample_state();
    GetParam().change(state);
    EXPECT_EQ(paths_of(validate(state)), GetParam().paths);
}

const auto case_name = [](const auto& test) { return std::string(test.param.name); };
INSTANTIATE_TEST_SUITE_P(Validate, Faults, testing::ValuesIn(fault_cases), case_name);

TEST(Validate, BoundsTheNumberOfObjects) {
    DesiredState state = sample_state();
    state.nat_gateways[0].elastic_ips.clear();
    for (int i = 0; i < 65; ++i) {
        const std::string name = "more-" + std::to_string(i);
        const Ipv4Address address(203, 0, 113, static_cast<std::uint8_t>(i));
        state.elastic_ips.push_back({.name = name, .address = address});
        state.nat_gateways[0].elastic_ips.push_back(name);
    }
    EXPECT_EQ(paths_of(validate(state)), std::vector<std::string>{"nat_gateways[0].elastic_ips"});
    state.nat_gateways[0].elastic_ips.pop_back();
    EXPECT_EQ(paths_of(validate(state)), std::vector<std::string>{});
}

TEST(Validate, ReportsAllFaultsAtOnce) {
    DesiredState state = sample_state();
    state.gateway.flow_capacity = 1;
    state.nat_gateways[0].timeouts.udp = 1s;
    state.subnets[0].cidr = prefix(192, 168, 0, 0, 24);
    state.subnets[0].route_table = "none";
    EXPECT_EQ(validate(state).size(), 4U);
}

TEST(Validate, NamesTheFloorAndBothPlaces) {
    DesiredState state = sample_state();
    state.nat_gateways[0].timeouts.icmp = 30s;
    state.elastic_ips[1].address = state.elastic_ips[0].address;
    const auto faults = validate(state);
    ASSERT_EQ(faults.size(), 2U);
    EXPECT_EQ(faults[0].other_path, "elastic_ips[0].address");
    EXPECT_EQ(faults[1].message,
              "30s is below the floor of 60s (RFC 5508 REQ-2); expected 60s to 65535s, or "
              "allow_nonconformant_timeouts: true");
    EXPECT_EQ(faults[1].read, "30s");
}

const std::vector<Case> warning_cases{
    {"no_outside_device", [](DesiredState& s) { s.gateway.devices.pop_back(); }, {"gateway.devices"}},
    {"one_arm",
     [](DesiredState& s) {
         s.gateway.devices = {{"eth0", DeviceRole::both, "main"}};
     },
     {}},
    {"no_devices",
     [](DesiredState& s) { s.gateway.devices.clear(); },
     {"gateway.devices", "gateway.devices"}},
    {"subnet_without_routes", [](DesiredState& s) { s.route_tables[0].main = false; }, {"subnets[0]"}},
    {"elastic_ip_in_a_vpc",
     [](DesiredState& s) { s.elastic_ips[1].address = Ipv4Address(10, 0, 9, 9); },
     {"elastic_ips[1].address"}},
    {"unused_nat_gateway", [](DesiredState& s) { s.route_tables[0].routes.clear(); }, {"nat_gateways[0]"}},
    {"low_timeout",
     [](DesiredState& s) {
         s.nat_gateways[0].allow_nonconformant_timeouts = true;
         s.nat_gateways[0].timeouts.udp = 30s;
     },
     {"nat_gateways[0].timeouts.udp"}},
    {"via_route",
     [](DesiredState& s) {
         s.route_tables[0].routes.push_back({prefix(8, 0, 0, 0, 8), Via{Ipv4Address(10, 0, 1, 1)}});
     },
     {}},
    {"association_without_an_internet_gateway",
     [](DesiredState& s) {
         add_instance(s, "db", Ipv4Address(10, 0, 1, 5));
         s.elastic_ips[1].instance = "db";
     },
     {"elastic_ips[1].instance"}},
    {"association_is_in_force",
     [](DesiredState& s) {
         add_instance(s, "db", Ipv4Address(10, 0, 1, 5));
         s.internet_gateways.push_back({.name = "igw", .vpc = "main"});
         s.elastic_ips[1].instance = "db";
     },
     {}},
    {"shared_with_host_is_in_force", [](DesiredState& s) { s.elastic_ips[1].shared_with_host = true; }, {}},
    {"rules_for_security_groups_are_in_force",
     [](DesiredState& s) {
         s.security_groups.push_back({.name = "g", .vpc = "main", .ingress = {{.peer = "g"}}});
     },
     {}},
    {"limits_are_in_force", [](DesiredState& s) { s.nat_gateways[0].limits.flows_per_host = 10; }, {}},
    {"every_filtering_is_in_force",
     [](DesiredState& s) {
         s.nat_gateways[0].filtering = {EndpointRule::endpoint_independent, EndpointRule::address_dependent,
                                        EndpointRule::endpoint_independent};
     },
     {}},
    {"hairpin_is_in_force", [](DesiredState& s) { s.nat_gateways[0].hairpin = Hairpin::same_tenant; }, {}},
    {"clamping_of_the_mss_is_in_force", [](DesiredState& s) { s.nat_gateways[0].tcp_mss_clamp = true; }, {}},
    {"log_flows", [](DesiredState& s) { s.nat_gateways[0].log_flows = true; }, {"nat_gateways[0].log_flows"}},
    {"every_mapping_is_in_force",
     [](DesiredState& s) {
         s.nat_gateways[0].mapping = {EndpointRule::endpoint_independent,
                                      EndpointRule::address_and_port_dependent,
                                      EndpointRule::address_and_port_dependent};
     },
     {}},
    {"strict_pairing_is_in_force", [](DesiredState& s) { s.nat_gateways[0].pairing = Pairing::strict; }, {}},
};

class Warnings : public testing::TestWithParam<Case> {};

TEST_P(Warnings, AreGivenWhereTheyBelong) {
    DesiredState state = sample_state();
    GetParam().change(state);
    EXPECT_EQ(paths_of(warnings(state)), GetParam().paths);
}

INSTANTIATE_TEST_SUITE_P(Validate, Warnings, testing::ValuesIn(warning_cases), case_name);

TEST(InForce, SaysThatAndNoMore) {
    DesiredState state = sample_state();
    state.nat_gateways[0].log_flows = true;
    const auto found = not_in_force(state);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].message, "a flow log is accepted but not yet in force in this version");
}

}  // namespace
}  // namespace sallyport::model

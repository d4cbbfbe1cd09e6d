// SPDX-License-Identifier: Apache-2.0
#include "model/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "unit/model/sample.h"

namespace sallyport::model {
namespace {

using nlohmann::json;

TEST(Json, SpellsObjectsAsTheFileDoes) {
    const DesiredState state = sample_state();
    EXPECT_EQ(to_json(state.nat_gateways[0]), json::parse(R"({
        "name": "egress", "vpc": "main", "elastic_ips": ["eip-1"], "origin": "file", "no_translation": [],
        "mapping": {"tcp": "address_and_port_dependent", "udp": "endpoint_independent", "icmp": "endpoint_independent"},
        "filtering": {"tcp": "address_and_port_dependent", "udp": "address_and_port_dependent",
                      "icmp": "address_and_port_dependent"},
        "pairing": "soft", "hairpin": "on", "port_range": "1024-65535",
        "reserved_ports": [], "preserve_port": false, "preserve_parity": false, "preserve_range": false,
        "port_blocks": {"blocks_per_host": 4, "hold": "120s"},
        "port_quarantine": "120s", "port_quarantine_max": 16384,
        "timeouts": {"udp": "300s", "tcp_established": "7440s", "tcp_opening": "240s", "tcp_closing": "240s",
                     "tcp_reset": "240s", "icmp": "60s"},
        "allow_nonconformant_timeouts": false, "limits": {}, "tcp_mss_clamp": true,
        "icmp_on_exhaustion": "host_unreachable", "icmp_quote_checksum": "strict",
        "tcp_reset_on_idle_timeout": false, "log_flows": false})"));
    EXPECT_EQ(to_json(state.route_tables[0]), json::parse(R"({
        "name": "private", "vpc": "main", "main": true, "origin": "file",
        "routes": [{"destination": "0.0.0.0/0", "nat_gateway": "egress"},
                   {"destination": "192.0.2.0/24", "blackhole": true}]})"));
    EXPECT_EQ(to_json(state.gateway), json::parse(R"({
        "name": "gw1", "xdp": "auto", "flow_capacity": 1048576, "reply_rate_limit": 1000,
        "devices": [{"device": "lan0", "role": "inside", "vpc": "main", "icmp_errors": true},
                    {"device": "wan0", "role": "outside", "icmp_errors": true}]})"));
}

TEST(Json, LeavesOutWhatIsNotSet) {
    const DesiredState state = sample_state();
    EXPECT_EQ(to_json(state.subnets[0]),
              json::parse(R"({"name": "app", "vpc": "main", "cidr": "10.0.1.0/24", "security_groups": [],
                              "origin": "file"})"));
    EXPECT_EQ(to_json(state.elastic_ips[0]),
              json::parse(R"({"name": "eip-1", "address": "198.51.100.10", "shared_with_host": false,
                              "origin": "file"})"));
}

TEST(Json, KnowsRulesAndForwards) {
    SecurityGroup group{.name = "web", .vpc = "main"};
    group.ingress.push_back(
        {.protocol = Protocol::tcp, .ports = PortRange{80, 443}, .description = "the web"});
    group.ingress.push_back({.peer = std::string("db")});
    group.ingress.push_back({.protocol = Protocol::icmp, .icmp_type = IcmpType{8}, .icmp_code = 0});
    group.origin = Origin::api;
    EXPECT_EQ(to_json(group), json::parse(R"({"name": "web", "vpc": "main", "origin": "api", "ingress": [
        {"protocol": "tcp", "ports": "80-443", "cidr": "0.0.0.0/0", "description": "the web"},
        {"security_group": "db"},
        {"protocol": "icmp", "icmp_type": "echo_request", "icmp_code": 0, "cidr": "0.0.0.0/0"}]})"));
    const PortForward forward{.name = "web",
                              .elastic_ip = "eip-1",
                              .port = {8080, 8080},
                              .to_address = Ipv4Address(10, 0, 1, 12),
                              .to_port = 80};
    EXPECT_EQ(to_json(forward), json::parse(R"({"name": "web", "elastic_ip": "eip-1", "protocol": "tcp",
        "port": "8080", "to": "10.0.1.12:80", "origin": "file"})"));
}

TEST(Json, FindsByKindAndName) {
    const DesiredState state = sample_state();
    EXPECT_EQ(to_json(state, Kind::elastic_ips).size(), 2U);
    EXPECT_EQ(to_json(state, Kind::elastic_ips)[1].at("name"), "eip-2");
    EXPECT_EQ(to_json(state, Kind::elastic_ips, "eip-2"), to_json(state.elastic_ips[1]));
    EXPECT_EQ(to_json(state, Kind::elastic_ips, "egress"), std::nullopt);
    EXPECT_EQ(to_json(state, Kind::instances), json::array());
}

TEST(Json, HoldsTheWholeState) {
    const json whole = to_json(sample_state());
    EXPECT_EQ(whole.size(), all_kinds.size() + 1);
    EXPECT_EQ(whole.at("gateway").at("name"), "gw1");
    EXPECT_EQ(whole.at("vpcs")[0].at("cidrs")[0], "10.0.0.0/16");
}

TEST(Json, WritesChanges) {
    EXPECT_EQ(to_json(Change{"elastic_ips", "eip-2", ChangeType::update, {"address"}}),
              json::parse(
                  R"({"kind": "elastic_ips", "name": "eip-2", "change": "update", "fields": ["address"]})"));
}

}  // namespace
}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/file.h"

namespace sallyport::config {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view smallest =
    "api_version: sallyport/v1\n"
    "gateway: { name: gw1, devices: [] }\n";

tl::expected<Loaded, std::vector<Fault>> load_more(std::string_view more) {
    return load_text(std::string(smallest) + std::string(more), "f");
}

std::string faults_of(std::string_view more) {
    std::string text;
    const auto loaded = load_more(more);
    if (loaded) return "accepted";
    for (const Fault& fault : loaded.error()) text += fault.to_string() + "\n";
    return text;
}

TEST(Load, ReadsTheSampleOfTheManual) {
    const auto loaded = load_file(std::string(GOLDEN_DIR) + "/design_sample.yaml");
    ASSERT_TRUE(loaded) << loaded.error().front().to_string();
    const model::DesiredState& state = loaded->state;
    ASSERT_EQ(state.gateway.devices.size(), 2U);
    EXPECT_EQ(state.gateway.devices[0], (model::Device{"lan0", model::DeviceRole::inside, "main"}));
    EXPECT_EQ(state.gateway.flow_capacity, 1048576U);
    ASSERT_EQ(state.nat_gateways.size(), 1U);
    EXPECT_EQ(state.nat_gateways[0].timeouts.udp, 300s);
    EXPECT_EQ(state.nat_gateways[0].elastic_ips, std::vector<std::string>{"eip-1"});
    EXPECT_EQ(state.nat_gateways[0].origin, model::Origin::file);
    ASSERT_EQ(state.route_tables.size(), 1U);
    EXPECT_EQ(state.route_tables[0].routes[0].target, model::RouteTarget(model::ToNatGateway{"egress"}));
    EXPECT_EQ(state.route_tables[0].routes[1].target, model::RouteTarget(model::Blackhole{}));
    EXPECT_EQ(state.elastic_ips[1].instance, "db");
    EXPECT_EQ(state.security_groups[0].ingress[0].ports, (PortRange{5432, 5432}));
    EXPECT_EQ(std::get<Ipv4Prefix>(state.security_groups[0].ingress[0].peer), Ipv4Prefix());
    EXPECT_EQ(state.port_forwards[0].to_address, Ipv4Address(10, 0, 1, 12));
    EXPECT_EQ(state.port_forwards[0].to_port, 80);
    EXPECT_TRUE(loaded->warnings.empty());
}

TEST(Load, ReadsTheExamplesWithoutAWarning) {
    int examples = 0;
    for (const auto& entry : std::filesystem::directory_iterator(EXAMPLES_DIR)) {
        if (entry.path().extension() != ".yaml") continue;
        const auto loaded = load_file(entry.path().string());
        ASSERT_TRUE(loaded) << loaded.error().front().to_string();
        for (const Fault& warning : loaded->warnings) ADD_FAILURE() << warning.to_string();
        EXPECT_FALSE(loaded->state.nat_gateways.empty());
        ++examples;
    }
    EXPECT_GE(examples, 2);
}

TEST(Load, ReadsJson) {
    const auto loaded = load_text(
        R"({"api_version": "sallyport/v1", "gateway": {"name": "gw1", "devices": [], "flow_capacity": 2048}})",
        "f");
    ASSERT_TRUE(loaded) << loaded.error().front().to_string();
    EXPECT_EQ(loaded->state.gateway.flow_capacity, 2048U);
}

TEST(Load, TakesOneRuleOrOneForEachProtocol) {
    using model::EndpointRule;
    const auto loaded = load_more(
        "vpcs: [ { name: v, cidrs: [10.0.0.0/8] } ]\n"
        "elastic_ips: [ { name: a, address: 192.0.2.1 }, { name: b, address: 192.0.2.2 } ]\n"
        "nat_gateways:\n"
        "  - { name: a, vpc: v, elastic_ips: [a], mapping: endpoint_independent }\n"
        "  - { name: b, vpc: v, elastic_ips: [b], mapping: { udp: address_and_port_dependent } }\n");
    ASSERT_TRUE(loaded) << loaded.error().front().to_string();
    EXPECT_EQ(loaded->state.nat_gateways[0].mapping.tcp, EndpointRule::endpoint_independent);
    EXPECT_EQ(loaded->state.nat_gateways[0].mapping.icmp, EndpointRule::endpoint_independent);
    EXPECT_EQ(loaded->state.nat_gateways[1].mapping.tcp, EndpointRule::address_and_port_dependent);
    EXPECT_EQ(loaded->state.nat_gateways[1].mapping.udp, EndpointRule::address_and_port_dependent);
    EXPECT_EQ(loaded->state.nat_gateways[1].mapping.icmp, EndpointRule::endpoint_independent);
}

TEST(Load, ReadsTheApiSection) {
    const auto loaded = load_more(
        "api: { listen: 127.0.0.1:8443, insecure_loopback: true, "
        "cors: { allowed_origins: [https://console.example.net] } }\n");
    ASSERT_TRUE(loaded) << loaded.error().front().to_string();
    EXPECT_EQ(loaded->api.listen, (Endpoint{Ipv4Address(127, 0, 0, 1), 8443}));
    EXPECT_TRUE(loaded->api.insecure_loopback);
    EXPECT_EQ(loaded->api.cors.allowed_origins,
              std::vector{*WebOrigin::parse("https://console.example.net")});
}

TEST(Load, ReportsAllFaultsInTheOrderOfTheFile) {
    const auto loaded = load_text(
        "api_version: sallyport/v2\n"
        "gateway: { name: gw1, devices: [], xdp: fast }\n"
        "subnets: [ { name: a, vpc: nowhere, cidr: 10.0.0.1/8, colour: red } ]\n",
        "f");
    ASSERT_FALSE(loaded);
    std::vector<std::string> paths;
    for (const Fault& fault : loaded.error()) paths.push_back(fault.path);
    EXPECT_EQ(paths, (std::vector<std::string>{"api_version", "gateway.xdp", "subnets[0].vpc",
                                               "subnets[0].cidr", "subnets[0].colour"}));
}

TEST(Load, FillsEveryPartOfAFault) {
    const auto loaded = load_more("vpcs:\n  - name: v\n    cidrs: [10.0.0.0]\n");
    ASSERT_FALSE(loaded);
    ASSERT_EQ(loaded.error().size(), 1U);
    const Fault& fault = loaded.error().front();
    EXPECT_EQ(fault.file, "f");
    EXPECT_EQ(fault.line, 5);
    EXPECT_EQ(fault.column, 13);
    EXPECT_EQ(fault.path, "vpcs[0].cidrs[0]");
    EXPECT_EQ(fault.read, "10.0.0.0");
    EXPECT_EQ(fault.expected, "a prefix such as 10.0.0.0/16");
    EXPECT_EQ(fault.to_string(), "f:5:13: vpcs[0].cidrs[0]: " + fault.message);
}

TEST(Load, DrawsNoConclusionsFromWhatIsAtFault) {
    // The bad prefix reads as 0.0.0.0/0 nowhere: no overlap and no "outside of VPC" follows from it.
    const std::string said = faults_of(
        "vpcs: [ { name: v, cidrs: [10.0.0.0/16] } ]\n"
        "subnets:\n"
        "  - { name: a, vpc: v, cidr: 10.0.1.0/33 }\n"
        "  - { name: b, vpc: v, cidr: 10.0.2.0/24 }\n");
    EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
}

TEST(Load, KnowsWhichNamesItCouldNotRead) {
    // With an object that could not be read, nobody can say that a name refers to nothing.
    EXPECT_EQ(faults_of("vpcs: [ [ main ] ]\nsubnets: [ { name: a, vpc: main, cidr: 10.0.0.0/8 } ]\n"),
              "f:3:9: vpcs[0]: a list was read; expected a map with the keys name and cidrs\n");
    // With one whose name could be read, anybody can.
    const std::string said = faults_of(
        "vpcs: [ { name: main, cidrs: [x] } ]\n"
        "subnets: [ { name: a, vpc: mian, cidr: 10.0.0.0/8 } ]\n");
    EXPECT_NE(said.find("there is no VPC \"mian\""), std::string::npos) << said;
}

TEST(Load, DoesNotLetControlCharactersThrough) {
    const std::string said = faults_of("vpcs: [ { name: \"\\e[31m\", cidrs: [10.0.0.0/16] } ]\n");
    EXPECT_EQ(said.find('\x1b'), std::string::npos);
    EXPECT_NE(said.find("\\x1b[31m"), std::string::npos) << said;
}

TEST(Load, ListsAHundredFaultsAtMost) {
    std::string text = "vpcs:\n";
    for (int i = 0; i < 300; ++i) text += "  - { name: v" + std::to_string(i) + ", cidrs: [nothing] }\n";
    const auto loaded = load_more(text);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().size(), 101U);
    EXPECT_EQ(loaded.error().back().to_string(), "f: and 200 more");
}

TEST(Load, RefusesHugeFilesAndMissingOnes) {
    EXPECT_EQ(load_text(std::string((16U << 20) + 1, '#'), "f").error().front().to_string(),
              "f: the file has 16777217 bytes; expected at most 16777216");
    EXPECT_EQ(load_file("/nonexistent/sallyport.yaml").error().front().to_string(),
              "/nonexistent/sallyport.yaml: open /nonexistent/sallyport.yaml: No such file or directory");
}

TEST(Load, ReadsManyObjectsInReasonableTime) {
    std::string text = "vpcs: [ { name: v, cidrs: [10.0.0.0/8] } ]\nsubnets:\n";
    for (int i = 0; i < 20000; ++i) {
        text += "  - { name: s" + std::to_string(i) + ", vpc: v, cidr: 10." + std::to_string(i / 256) + "." +
                std::to_string(i % 256) + ".0/24 }\n";
    }
    text += "route_tables:\n  - name: main\n    vpc: v\n    main: true\n    routes:\n";
    for (int i = 0; i < 20000; ++i) {
        text += "      - { destination: 11." + std::to_string(i / 256) + "." + std::to_string(i % 256) +
                ".0/24, blackhole: true }\n";
    }
    const auto started = std::chrono::steady_clock::now();
    const auto loaded = load_more(text);
    const auto took = std::chrono::steady_clock::now() - started;
    ASSERT_TRUE(loaded) << loaded.error().front().to_string();
    EXPECT_EQ(loaded->state.route_tables[0].routes.size(), 20000U);
    EXPECT_LT(took, 30s);  // nothing in it is quadratic; a loaded machine takes a few seconds at most
}

}  // namespace
}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
#include "config/object.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/document.h"
#include "unit/model/sample.h"

namespace sallyport::config {
namespace {

using model::Kind;
using Texts = std::vector<std::string>;

Texts pointers_of(const std::vector<Fault>& faults) {
    Texts pointers;
    for (const Fault& fault : faults) pointers.push_back(fault.pointer.value_or("none"));
    std::ranges::sort(pointers);
    return pointers;
}

std::vector<Fault> faults_of(Kind kind, std::string_view json, std::string_view name = {}) {
    const auto made = with_object(model::sample_state(), read_object(kind, json, name));
    return made ? std::vector<Fault>{} : made.error();
}

TEST(Object, IsReadLikeOneOfTheFile) {
    const auto state = with_object(
        model::sample_state(),
        read_object(Kind::nat_gateways, R"({"name": "second", "vpc": "main", "elastic_ips": ["eip-2"],
                    "timeouts": {"udp": "400s"}, "limits": {"flows_per_host": 5}, "hairpin": "off",
                    "reserved_ports": [5000, "6000-6010"], "log_flows": true})"));
    ASSERT_TRUE(state) << state.error().front().to_string();
    const auto* made = model::find<model::NatGateway>(*state, "second");
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(made->timeouts.udp, std::chrono::seconds{400});
    EXPECT_EQ(made->timeouts.icmp, std::chrono::seconds{60});
    EXPECT_EQ(made->limits.flows_per_host, 5u);
    EXPECT_EQ(made->reserved_ports, (std::vector<PortRange>{{5000, 5000}, {6000, 6010}}));
    EXPECT_EQ(made->origin, model::Origin::api);
    EXPECT_EQ(state->nat_gateways.size(), 2u);
}

TEST(Object, AllFaultsAreToldAtOnceEachWithItsPointer) {
    EXPECT_EQ(pointers_of(faults_of(Kind::nat_gateways, R"({"name": "Bad_", "vpc": "other", "surprise": 1,
                  "elastic_ips": ["eip-1", "eip-9"], "timeouts": {"udp": 300}, "log_flows": "yes"})")),
              (Texts{"/elastic_ips/0", "/elastic_ips/1", "/log_flows", "/name", "/surprise", "/timeouts/udp",
                     "/vpc"}));
    EXPECT_EQ(pointers_of(faults_of(Kind::route_tables, R"({"name": "t", "vpc": "main", "routes": [
                  {"destination": "0.0.0.0/0", "nat_gateway": "gone"}, {"destination": "1.2.3.4/8"}]})")),
              (Texts{"/routes/0/nat_gateway", "/routes/1", "/routes/1/destination"}));
    EXPECT_EQ(pointers_of(faults_of(Kind::vpcs, R"({"a/b~c": 1, "name": 5})")),
              (Texts{"/a~1b~0c", "/cidrs", "/name"}));
    EXPECT_EQ(pointers_of(faults_of(Kind::subnets, R"({"name":"two","vpc":"main","cidr":"10.0.1.128/25"})")),
              Texts{"/cidr"});
}

TEST(Object, WhatIsNoObjectIsToldAsOne) {
    for (const char* text : {"", "{", "[]", "7", "null", "{\"name\": \"a\"} x", "\"\xff\"",
                             R"({"name": "a", "name": "b"})", "[[[[[[[[[[[[[[[[[[[[[[[["}) {
        const auto faults = faults_of(Kind::vpcs, text);
        ASSERT_EQ(faults.size(), 1u) << text;
        EXPECT_TRUE(faults[0].pointer) << text;
        EXPECT_FALSE(faults[0].message.empty()) << text;
    }
    EXPECT_EQ(faults_of(Kind::vpcs, R"({"name": "a", "name": "b"})")[0].pointer, "/name");
}

TEST(Object, ChangeThatBreaksAnotherObjectNamesIt) {
    const auto faults = faults_of(Kind::vpcs, R"({"name": "main", "cidrs": ["10.9.0.0/16"]})");
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].pointer, "/cidrs");
    EXPECT_TRUE(faults[0].message.starts_with("subnet \"app\": 10.0.1.0/24 is outside")) << faults[0].message;
}

TEST(Object, ItsNameIsThatOfThePathAndItsOriginTheApi) {
    constexpr const char* whole = R"({"name": "eip-3", "address": "198.51.100.12", "origin": "api"})";
    EXPECT_TRUE(faults_of(Kind::elastic_ips, whole).empty());
    EXPECT_TRUE(faults_of(Kind::elastic_ips, whole, "eip-3").empty());
    EXPECT_TRUE(faults_of(Kind::elastic_ips, R"({"address": "198.51.100.12"})", "eip-3").empty());
    EXPECT_EQ(pointers_of(faults_of(Kind::elastic_ips, R"({"address": "198.51.100.12"})")), Texts{"/name"});
    EXPECT_EQ(pointers_of(faults_of(Kind::elastic_ips, whole, "eip-4")), Texts{"/name"});
    EXPECT_EQ(pointers_of(faults_of(Kind::elastic_ips, R"({"address": "198.51.100.12"})", "Bad_")),
              Texts{"/name"});
    EXPECT_EQ(pointers_of(faults_of(Kind::elastic_ips,
                                    R"({"name": "e", "address": "198.51.100.12", "origin": "file"})")),
              Texts{"/origin"});
}

TEST(Object, MergePatchChangesWhatItNames) {
    model::ElasticIp before{.name = "eip-3",
                            .address = Ipv4Address(198, 51, 100, 12),
                            .instance = "db",
                            .origin = model::Origin::api};
    const Draft patched = patch_object(before, R"({"instance": null, "shared_with_host": true})");
    ASSERT_TRUE(patched.faults.empty());
    before.instance.clear();
    before.shared_with_host = true;
    EXPECT_EQ(std::get<model::ElasticIp>(patched.object), before);
    EXPECT_EQ(pointers_of(patch_object(before, R"({"name": "other"})").faults), Texts{"/name"});
    EXPECT_EQ(pointers_of(patch_object(before, R"({"address": null})").faults), Texts{"/address"});
    EXPECT_EQ(pointers_of(patch_object(before, R"({"x": 1, "x": 2})").faults), Texts{"/x"});
    EXPECT_FALSE(patch_object(before, "[]").legible);
}

TEST(Object, AllOfTheApiBecomeATextAndComeBack) {
    model::DesiredState state = model::sample_state();
    state.vpcs.push_back({.name = "api", .cidrs = {Ipv4Prefix(Ipv4Address(10, 9, 0, 0), 16)}});
    state.security_groups.push_back({.name = "web", .vpc = "api"});
    state.security_groups.back().ingress.push_back(
        {.protocol = Protocol::tcp, .ports = PortRange{80, 90}, .peer = "web", .description = "a \"note\""});
    state.security_groups.back().egress.emplace();
    state.elastic_ips.push_back({.name = "e", .address = Ipv4Address(198, 51, 100, 30), .instance = "i"});
    model::NatGateway nat = state.nat_gateways.front();
    nat.name = "n";
    nat.limits.ports_per_host = 7;
    nat.port_blocks.size = 512;
    nat.mapping.tcp = model::EndpointRule::endpoint_independent;
    nat.no_translation = {Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24)};
    state.nat_gateways.push_back(nat);
    state.internet_gateways.push_back({.name = "igw", .vpc = "api"});
    state.route_tables.push_back({.name = "t", .vpc = "api"});
    state.route_tables.back().routes = {
        {Ipv4Prefix(), model::ToNatGateway{"n"}},
        {Ipv4Prefix(Ipv4Address(1, 0, 0, 0), 8), model::ToInternetGateway{"igw"}},
        {Ipv4Prefix(Ipv4Address(2, 0, 0, 0), 8), model::Via{{}}},
        {Ipv4Prefix(Ipv4Address(3, 0, 0, 0), 8), model::Blackhole{}}};
    state.subnets.push_back({.name = "s", .vpc = "api", .cidr = Ipv4Prefix(Ipv4Address(10, 9, 0, 0), 24)});
    state.instances.push_back({.name = "i", .subnet = "s", .address = Ipv4Address(10, 9, 0, 5)});
    state.port_forwards.push_back({.name = "p",
                                   .elastic_ip = "e",
                                   .protocol = Protocol::udp,
                                   .port = {80, 80},
                                   .to_address = Ipv4Address(10, 9, 0, 5),
                                   .to_port = 8080});
    model::visit_kinds([&](Kind, auto objects) { (state.*objects).back().origin = model::Origin::api; });

    const std::vector<model::Object> objects = model::objects_of(state, model::Origin::api);
    EXPECT_EQ(objects.size(), model::all_kinds.size());
    for (const model::Object& object : objects) {
        const auto read = read_object_text(model::kind_of(object), object_text(object));
        ASSERT_TRUE(read) << read.error().front().to_string();
        EXPECT_EQ(*read, object);
    }
    EXPECT_FALSE(read_object_text(Kind::vpcs, "{}"));
    EXPECT_FALSE(read_object_text(Kind::vpcs, "[]"));
    EXPECT_FALSE(read_object_text(Kind::vpcs, "nonsense"));
}

constexpr const char* file_text =
    "api_version: sallyport/v1\n"
    "gateway:\n"
    "  name: gw1\n"
    "  devices: [ { device: lan0, role: inside, vpc: main }, { device: wan0, role: outside } ]\n"
    "vpcs: [ { name: main, cidrs: [10.0.0.0/16] } ]\n"
    "elastic_ips:\n"
    "  - { name: eip-1, address: 198.51.100.10 }\n"
    "nat_gateways: [ { name: egress, vpc: main, elastic_ips: [eip-1] } ]\n";

tl::expected<Loaded, std::vector<Fault>> joined(std::vector<model::Object> objects) {
    for (model::Object& object : objects)
        std::visit([](auto& held) { held.origin = model::Origin::api; }, object);
    return join(*load_text(file_text, "f"), {{"f", std::string(file_text)}}, objects);
}

std::string only_fault(std::vector<model::Object> objects) {
    const auto result = joined(std::move(objects));
    if (result || result.error().size() != 1) return "not one fault";
    return result.error().front().to_string();
}

TEST(Join, TheFileComesFirstAndItsWarningsFollowFromBoth) {
    ASSERT_EQ(load_text(file_text, "f")->warnings.size(), 1u) << "nothing leads to the NAT gateway";
    model::RouteTable table{
        .name = "t", .vpc = "main", .routes = {{Ipv4Prefix(), model::ToNatGateway{"egress"}}}};
    model::Subnet subnet{.name = "s", .vpc = "main", .cidr = Ipv4Prefix(Ipv4Address(10, 0, 1, 0), 24)};
    const auto both = joined({table, subnet});
    ASSERT_TRUE(both) << both.error().front().to_string();
    EXPECT_EQ(both->state.route_tables.size(), 1u);
    ASSERT_EQ(both->warnings.size(), 1u);
    EXPECT_TRUE(both->warnings[0].to_string().starts_with("subnet \"s\": subnet \"s\" has no route table"))
        << both->warnings[0].to_string();
    EXPECT_EQ(joined({})->warnings, load_text(file_text, "f")->warnings);
    EXPECT_EQ(joined({subnet})->warnings.size(), 2u);
}

TEST(Join, MoreWarningsThanAreListedAreCounted) {
    std::string text(file_text);
    text += "security_groups:\n";
    for (int i = 0; i < 150; ++i) text += "  - { name: g" + std::to_string(i) + ", vpc: main }\n";
    text += "subnets:\n";
    for (int i = 0; i < 150; ++i)
        text += "  - { name: s" + std::to_string(i) + ", vpc: main, cidr: 10.0." + std::to_string(i) +
                ".0/24 }\n";
    const auto file = load_text(text, "f");
    ASSERT_TRUE(file) << file.error().front().to_string();
    ASSERT_EQ(file->warnings.size(), faults_most + 1);
    const auto both = join(*file, {{"f", text}},
                           {model::Subnet{.name = "s",
                                          .vpc = "main",
                                          .cidr = Ipv4Prefix(Ipv4Address(10, 0, 200, 0), 24),
                                          .origin = model::Origin::api}});
    ASSERT_TRUE(both) << both.error().front().to_string();
    EXPECT_EQ(both->warnings.size(), faults_most + 1);
    EXPECT_TRUE(both->warnings.front().to_string().starts_with("subnet \"s\""))
        << "those of the API come first";
    EXPECT_TRUE(both->warnings.back().message.starts_with("and "));
}

TEST(Join, WhatDoesNotGoTogetherIsToldWithTheObjectsName) {
    EXPECT_EQ(
        only_fault({model::ElasticIp{.name = "eip-1", .address = Ipv4Address(198, 51, 100, 12)}}),
        "f:7:13: elastic_ips[0].name: Elastic IP \"eip-1\", made through the API: there is an Elastic IP "
        "\"eip-1\" already; expected another name");
    const std::string overlap =
        only_fault({model::ElasticIp{.name = "eip-2", .address = Ipv4Address(198, 51, 100, 10)}});
    EXPECT_TRUE(
        overlap.starts_with("f:7:29: elastic_ips[0].address: Elastic IP \"eip-2\", made through the API: "))
        << overlap;
    const std::string dangling = only_fault({model::InternetGateway{.name = "i", .vpc = "gone"}});
    EXPECT_TRUE(dangling.find("internet gateway \"i\", made through the API: there is no VPC \"gone\"") !=
                std::string::npos)
        << dangling;
}

}  // namespace
}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
#include "model/kinds.h"

#include <gtest/gtest.h>

#include <set>

#include "model/enums.h"
#include "unit/model/sample.h"

namespace sallyport::model {
namespace {

TEST(Kinds, AreNineWithDifferentNames) {
    std::set<std::string_view> names;
    for (const Kind kind : all_kinds) {
        names.insert(to_string(kind));
        EXPECT_EQ(parse_kind(to_string(kind)), kind);
        EXPECT_FALSE(word_for(kind).empty());
        EXPECT_FALSE(help_for(kind).empty());
    }
    EXPECT_EQ(names, (std::set<std::string_view>{"vpcs", "subnets", "route_tables", "internet_gateways",
                                                 "elastic_ips", "nat_gateways", "instances",
                                                 "security_groups", "port_forwards"}));
    EXPECT_FALSE(parse_kind("vpc"));
    EXPECT_EQ(with_article(Kind::elastic_ips), "an Elastic IP");
    EXPECT_EQ(with_article(Kind::vpcs), "a VPC");
}

TEST(Kinds, AreVisitedInTheirOrder) {
    std::vector<Kind> visited;
    visit_kinds([&](Kind kind, auto) { visited.push_back(kind); });
    EXPECT_TRUE(std::equal(visited.begin(), visited.end(), all_kinds.begin(), all_kinds.end()));
}

TEST(Kinds, FindObjectsByName) {
    const DesiredState state = sample_state();
    ASSERT_NE(find<NatGateway>(state, "egress"), nullptr);
    EXPECT_EQ(find<NatGateway>(state, "egress")->vpc, "main");
    EXPECT_EQ(find<Vpc>(state, "egress"), nullptr);
    EXPECT_EQ(&objects<Subnet>(state), &state.subnets);
}

TEST(Names, HaveOneForm) {
    for (const char* name : {"a", "7", "eip-1", "a--b", "0a"}) EXPECT_TRUE(is_name(name)) << name;
    EXPECT_TRUE(is_name(std::string(63, 'a')));
    for (const char* name : {"", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "ä"})
        EXPECT_FALSE(is_name(name)) << name;
    EXPECT_FALSE(is_name(std::string(64, 'a')));
}

TEST(Enums, ReadWhatTheyPrint) {
    for (const auto& [value, word] : enum_words<EndpointRule>)
        EXPECT_EQ(parse_enum<EndpointRule>(word), value);
    EXPECT_EQ(to_string(XdpMode::automatic), "auto");
    EXPECT_EQ(to_string(Hairpin::same_tenant), "same_tenant");
    EXPECT_FALSE(parse_enum<DeviceRole>("Inside"));
}

}  // namespace
}  // namespace sallyport::model

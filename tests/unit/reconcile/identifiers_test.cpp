// SPDX-License-Identifier: Apache-2.0
#include "reconcile/identifiers.h"

#include <gtest/gtest.h>

#include <chrono>

#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"

namespace sallyport::reconcile {
namespace {

using dataplane::Identifier;

std::set<Identifier> gateways(std::uint32_t first, std::uint32_t count) {
    std::set<Identifier> names;
    for (std::uint32_t i = 0; i < count; ++i) {
        names.insert({IDENTIFIER_NAT_GATEWAY, "g" + std::to_string(first + i)});
    }
    return names;
}

bool never(std::uint32_t, std::uint32_t) {
    return false;
}

TEST(Identifiers, each_kind_counts_from_its_first_number) {
    Identifiers identifiers;
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_VPC, "a"},
                                     {IDENTIFIER_VPC, "b"},
                                     {IDENTIFIER_NAT_GATEWAY, "a"},
                                     {IDENTIFIER_DEVICE, "lan0"}},
                                    never));
    EXPECT_EQ(identifiers.at(IDENTIFIER_VPC, "a"), 1U);  // zone 0 is the outside
    EXPECT_EQ(identifiers.at(IDENTIFIER_VPC, "b"), 2U);
    EXPECT_EQ(identifiers.at(IDENTIFIER_NAT_GATEWAY, "a"), 0U);
    EXPECT_EQ(identifiers.at(IDENTIFIER_DEVICE, "lan0"), 0U);
    EXPECT_EQ(identifiers.name_of(IDENTIFIER_VPC, 2), "b");
    EXPECT_EQ(identifiers.name_of(IDENTIFIER_VPC, 3), "");
}

TEST(Identifiers, a_name_that_comes_back_has_its_number_again) {
    Identifiers identifiers;
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_VPC, "a"}, {IDENTIFIER_VPC, "b"}}, never));
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_VPC, "b"}}, never));
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_VPC, "b"}, {IDENTIFIER_VPC, "c"}}, never));
    EXPECT_EQ(identifiers.at(IDENTIFIER_VPC, "c"), 3U);
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_VPC, "a"}}, never));
    EXPECT_EQ(identifiers.at(IDENTIFIER_VPC, "a"), 1U);
}

TEST(Identifiers, numbers_that_were_found_are_kept) {
    Identifiers identifiers(Numbers{{{IDENTIFIER_VPC, "old"}, 40}});
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_VPC, "old"}, {IDENTIFIER_VPC, "new"}}, never));
    EXPECT_EQ(identifiers.at(IDENTIFIER_VPC, "old"), 40U);
    EXPECT_EQ(identifiers.at(IDENTIFIER_VPC, "new"), 41U);
}

TEST(Identifiers, when_all_are_given_the_longest_free_that_no_flow_carries_is_next) {
    Identifiers identifiers;
    ASSERT_TRUE(identifiers.provide(gateways(0, INTERNET_GATEWAY_FIRST), never));
    const std::uint32_t g7 = identifiers.at(IDENTIFIER_NAT_GATEWAY, "g7");
    const std::uint32_t g9 = identifiers.at(IDENTIFIER_NAT_GATEWAY, "g9");

    auto names = gateways(0, INTERNET_GATEWAY_FIRST);
    names.erase({IDENTIFIER_NAT_GATEWAY, "g9"});
    ASSERT_TRUE(identifiers.provide(names, never));
    names.erase({IDENTIFIER_NAT_GATEWAY, "g7"});
    ASSERT_TRUE(identifiers.provide(names, never));

    names.insert({IDENTIFIER_NAT_GATEWAY, "x"});
    Identifiers carried = identifiers;
    ASSERT_TRUE(identifiers.provide(names, never));
    EXPECT_EQ(identifiers.at(IDENTIFIER_NAT_GATEWAY, "x"), g9);
    ASSERT_TRUE(carried.provide(names, [&](std::uint32_t, std::uint32_t number) { return number == g9; }));
    EXPECT_EQ(carried.at(IDENTIFIER_NAT_GATEWAY, "x"), g7);

    names.insert({IDENTIFIER_NAT_GATEWAY, "y"});
    EXPECT_FALSE(carried.provide(names, [&](std::uint32_t, std::uint32_t) { return true; }));
}

TEST(Identifiers, gaps_are_filled_before_a_name_loses_its_number) {
    Identifiers identifiers(
        Numbers{{{IDENTIFIER_DEVICE, "first"}, 0}, {{IDENTIFIER_DEVICE, "last"}, DEVICES_MAX - 1}});
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_DEVICE, "new"}}, never));
    EXPECT_EQ(identifiers.at(IDENTIFIER_DEVICE, "new"), 1U);
    EXPECT_EQ(identifiers.at(IDENTIFIER_DEVICE, "first"), 0U);
}

TEST(Identifiers, names_that_went_are_forgotten_rather_than_the_table_overflowing) {
    Numbers many;
    for (std::uint32_t i = 0; i < IDENTIFIERS_MAX - 1; ++i) {
        many[{IDENTIFIER_ELASTIC_IP, "e" + std::to_string(i)}] = i + 1;
    }
    many[{IDENTIFIER_VPC, "gone"}] = 5;
    Identifiers identifiers(std::move(many));
    ASSERT_TRUE(identifiers.provide({{IDENTIFIER_ELASTIC_IP, "e3"}, {IDENTIFIER_ELASTIC_IP, "new"}}, never));
    EXPECT_EQ(identifiers.at(IDENTIFIER_ELASTIC_IP, "e3"), 4U);
    EXPECT_LT(identifiers.all().size(), 10U);
    EXPECT_EQ(identifiers.at(IDENTIFIER_VPC, "gone"), 5U);  // flows may carry it
}

TEST(Identifiers, ten_thousand_names_take_no_time) {
    std::set<Identifier> names;
    for (int i = 0; i < 10'000; ++i) names.insert({IDENTIFIER_ELASTIC_IP, "e" + std::to_string(i)});
    Identifiers identifiers;
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(identifiers.provide(names, never));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds{500});
}

}  // namespace
}  // namespace sallyport::reconcile

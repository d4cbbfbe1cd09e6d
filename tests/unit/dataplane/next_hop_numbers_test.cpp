// SPDX-License-Identifier: Apache-2.0
#include "dataplane/next_hop_numbers.h"

#include <gtest/gtest.h>

#include "sallyport/abi/limits.h"

namespace sallyport::dataplane {
namespace {

Neighbour neighbour(std::uint32_t i) {
    return {1, Ipv4Address(i)};
}

TEST(NextHopNumbers, counts_from_one_and_is_stable) {
    NextHopNumbers numbers;
    EXPECT_EQ(numbers.give(neighbour(7)), 1U);
    EXPECT_EQ(numbers.give(neighbour(8)), 2U);
    EXPECT_EQ(numbers.give(neighbour(7)), 1U);
    EXPECT_EQ(numbers.number_of(neighbour(9)), std::nullopt);
}

TEST(NextHopNumbers, one_set_aside_goes_to_the_same_neighbour_only) {
    NextHopNumbers numbers;
    numbers.give(neighbour(7));
    numbers.set_aside(neighbour(7));
    EXPECT_EQ(numbers.number_of(neighbour(7)), std::nullopt);
    EXPECT_EQ(numbers.give(neighbour(8)), 2U);
    EXPECT_EQ(numbers.give(neighbour(7)), 1U);
}

TEST(NextHopNumbers, what_was_found_is_not_given_again) {
    NextHopNumbers numbers;
    numbers.found_in_use(neighbour(1), 3);
    numbers.found_set_aside(neighbour(2), 9);
    EXPECT_EQ(numbers.give(neighbour(5)), 10U);
    EXPECT_EQ(numbers.give(neighbour(2)), 9U);
    EXPECT_EQ(numbers.number_of(neighbour(1)), 3U);
}

TEST(NextHopNumbers, when_all_are_given_those_that_no_flow_names_come_back) {
    NextHopNumbers numbers;
    for (std::uint32_t i = 1; i < NEXT_HOPS_MAX; ++i) ASSERT_EQ(numbers.give(neighbour(i)), i);
    numbers.set_aside(neighbour(10));
    numbers.set_aside(neighbour(20));
    EXPECT_EQ(numbers.give(neighbour(100000)), std::nullopt);

    std::vector<bool> named(NEXT_HOPS_MAX, false);
    named[10] = true;
    numbers.reclaim(named);
    EXPECT_EQ(numbers.give(neighbour(100000)), 20U);
    EXPECT_EQ(numbers.give(neighbour(100001)), std::nullopt);
    EXPECT_EQ(numbers.give(neighbour(10)), 10U);
}

}  // namespace
}  // namespace sallyport::dataplane

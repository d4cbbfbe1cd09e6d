// SPDX-License-Identifier: Apache-2.0
#include "core/duration.h"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

using namespace std::chrono_literals;

TEST(Duration, ParsesEveryUnitAndSums) {
    EXPECT_EQ(*parse_duration("300s"), 300s);
    EXPECT_EQ(*parse_duration("5m"), 300s);
    EXPECT_EQ(*parse_duration("2h"), 7200s);
    EXPECT_EQ(*parse_duration("1d"), 86400s);
    EXPECT_EQ(*parse_duration("2h4m"), 7440s);
    EXPECT_EQ(*parse_duration("0s"), 0s);
}

TEST(Duration, SaysWhatIsWrong) {
    const auto message = [](std::string_view text) { return parse_duration(text).error().message; };
    EXPECT_EQ(message("300"), "\"300\" is no duration: the unit is missing (s, m, h or d)");
    EXPECT_EQ(message("300 s"), "\"300 s\" is no duration: the unit must be s, m, h or d");
    EXPECT_EQ(message("300x"), "\"300x\" is no duration: the unit must be s, m, h or d");
    EXPECT_EQ(message("s"), "\"s\" is no duration: a whole number with a unit is wanted");
    EXPECT_EQ(message("-5s"), "\"-5s\" is no duration: a whole number with a unit is wanted");
    EXPECT_EQ(message("4m2h"), "\"4m2h\" is no duration: larger units come first, each of them once");
    EXPECT_EQ(message("1s1s"), "\"1s1s\" is no duration: larger units come first, each of them once");
    EXPECT_EQ(message("99999999999s"), "\"99999999999s\" is no duration: the number is too large");
    EXPECT_EQ(message("4294967295d"), "\"4294967295d\" is no duration: it is longer than 100 years");
    EXPECT_FALSE(parse_duration(""));
    EXPECT_FALSE(parse_duration("1.5s"));
    EXPECT_FALSE(parse_duration("1ms"));
}

TEST(Duration, PrintsWhatItParses) {
    EXPECT_EQ(format_duration(7440s), "7440s");
    EXPECT_EQ(*parse_duration(format_duration(7440s)), 7440s);
}

}  // namespace
}  // namespace sallyport

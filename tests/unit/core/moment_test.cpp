// SPDX-License-Identifier: Apache-2.0
#include "core/moment.h"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::system_clock::time_point known{std::chrono::seconds{1767323045}};

TEST(Moment, IsReadInEveryFormOfRfc3339AndInUnixSeconds) {
    for (const char* text : {"2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02 03:04:05Z",
                             "2026-01-02T04:04:05+01:00", "2026-01-01T21:34:05-05:30", "1767323045"}) {
        ASSERT_TRUE(parse_moment(text)) << text;
        EXPECT_EQ(parse_moment(text)->first, known) << text;
        EXPECT_EQ(parse_moment(text)->last, known + 999'999us) << text;
    }
}

TEST(Moment, WithAFractionIsThatMomentAlone) {
    EXPECT_EQ(*parse_moment("2026-01-02T03:04:05.678901Z"), (Moment{known + 678'901us, known + 678'901us}));
    EXPECT_EQ(parse_moment("2026-01-02T03:04:05.5Z")->last, known + 500ms);
    EXPECT_EQ(parse_moment("2026-01-02T03:04:05.6789019999Z")->first, known + 678'901us);
}

TEST(Moment, OfADayOrAnHourThatIsNotIsRefused) {
    EXPECT_TRUE(parse_moment("2024-02-29T00:00:00Z"));
    EXPECT_TRUE(parse_moment("9214646399"));
    EXPECT_FALSE(parse_moment("9214646400"));
    EXPECT_TRUE(parse_moment("2261-12-31T23:59:59-23:59"));
    EXPECT_TRUE(parse_moment("2016-12-31T23:59:60Z"));
    for (const char* text : {"",
                             "x",
                             "-1",
                             "now",
                             "12345678901",
                             "1767323045.5",
                             "2026-01-02",
                             "2026-01-02T03:04:05",
                             "2026-01-02T03:04Z",
                             "2026-02-29T00:00:00Z",
                             "2026-13-01T00:00:00Z",
                             "2026-00-01T00:00:00Z",
                             "2026-01-02T24:00:00Z",
                             "2026-01-02T03:60:00Z",
                             "2026-01-02T03:04:61Z",
                             "2026-01-02T03:04:05.Z",
                             "2026-01-02T03:04:05+1:00",
                             "2026-01-02T03:04:05+24:00",
                             "2026-01-02T03:04:05Zx",
                             "1969-12-31T23:59:59Z",
                             "1970-01-01T00:00:00+01:00",
                             "2026-1-2T03:04:05Z",
                             "9999-01-01T00:00:00Z",
                             "9999999999"}) {
        EXPECT_FALSE(parse_moment(text)) << text;
    }
    EXPECT_EQ(parse_moment("now").error().message,
              "\"now\" is no time: 2026-01-02T03:04:05Z or so is wanted, or seconds since 1970");
}

TEST(Moment, PrintsWhatItParses) {
    EXPECT_EQ(format_moment(known), "2026-01-02T03:04:05.000000Z");
    EXPECT_EQ(format_moment(known + 678'901us), "2026-01-02T03:04:05.678901Z");
    EXPECT_EQ(parse_moment(format_moment(known + 1us))->first, known + 1us);
}

}  // namespace
}  // namespace sallyport

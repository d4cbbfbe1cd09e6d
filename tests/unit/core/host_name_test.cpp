// SPDX-License-Identifier: Apache-2.0
#include "core/host_name.h"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

TEST(HostName, EqualHostsAreEqualAsText) {
    EXPECT_EQ(HostName::parse("GW1.Example.NET")->to_string(), "gw1.example.net");
    EXPECT_EQ(HostName::parse("10.0.0.1")->to_string(), "10.0.0.1");
    EXPECT_EQ(HostName::parse("[2001:DB8:0:0::1]")->to_string(), "[2001:db8::1]");
    EXPECT_EQ(*HostName::parse("Localhost"), *HostName::parse("localhost"));
    EXPECT_EQ(HostName::parse("xn--bcher-kva.example")->to_string(), "xn--bcher-kva.example");
    EXPECT_EQ(HostName::parse("under_score.example")->to_string(), "under_score.example");
}

TEST(HostName, RefusesWhatIsNoHost) {
    for (const std::string text :
         {"",          ".",   "a.",        ".a",   "a..b",   "-a",       "a-",     "*",
          "*.a",       "a b", "a/b",       "a:80", "user@a", "\xc3\xbc", "10.0.0", "10.0.0.1.",
          "256.1.1.1", "1",   "010.0.0.1", "[::1", "::1",    "[]",       "[::g]",  "[127.0.0.1]"}) {
        EXPECT_FALSE(HostName::parse(text)) << text;
    }
    EXPECT_FALSE(HostName::parse(std::string_view("a\0b", 3)));
    EXPECT_FALSE(HostName::parse(std::string_view("[::1\0]", 6)));
    EXPECT_FALSE(HostName::parse(std::string(64, 'a')));
    EXPECT_TRUE(HostName::parse(std::string(63, 'a')));
    std::string longest;
    for (int i = 0; i < 127; ++i) longest += i == 0 ? "a" : ".a";
    EXPECT_TRUE(HostName::parse(longest));
    EXPECT_FALSE(HostName::parse("a." + longest));
}

}  // namespace
}  // namespace sallyport

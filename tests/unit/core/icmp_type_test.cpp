// SPDX-License-Identifier: Apache-2.0
#include "core/icmp_type.h"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

TEST(IcmpType, is_read_as_a_number_or_by_its_name) {
    EXPECT_EQ(IcmpType::parse("8").value().number, 8);
    EXPECT_EQ(IcmpType::parse("echo_request").value().number, 8);
    EXPECT_EQ(IcmpType::parse("255").value().to_string(), "255");
    EXPECT_EQ(IcmpType::parse("3").value().to_string(), "destination_unreachable");
    for (const char* wrong : {"", "256", "-1", "8 ", "echo", "Echo_request", "8.0"})
        EXPECT_FALSE(IcmpType::parse(wrong)) << wrong;
}

TEST(IcmpType, every_name_is_read_back) {
    for (const std::string_view name : icmp_type_names())
        EXPECT_EQ(IcmpType::parse(name).value().to_string(), name);
}

}  // namespace
}  // namespace sallyport

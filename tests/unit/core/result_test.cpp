// SPDX-License-Identifier: Apache-2.0
#include "core/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace sallyport {
namespace {

Result<int> half(int number) {
    if (number % 2 != 0) return failure("odd", 7);
    return number / 2;
}

Result<void> check(int number) {
    const auto result = half(number);
    if (!result) return failure_within("check", result.error());
    return {};
}

TEST(Result, CarriesAValueOrAnError) {
    EXPECT_EQ(*half(4), 2);
    EXPECT_EQ(half(3).error().message, "odd");
    EXPECT_EQ(half(3).error().code, 7);
    EXPECT_TRUE(check(4));
}

TEST(Result, ReadsFromTheOutsideIn) {
    EXPECT_EQ(check(3).error().within("apply revision 42").message, "apply revision 42: check: odd");
    EXPECT_EQ(check(3).error().code, 7);
}

TEST(Result, TakesErrnoWhereItIsSet) {
    errno = ENOSPC;
    const Result<void> result = system_failure("update map");
    EXPECT_EQ(result.error().message, "update map: No space left on device");
    EXPECT_EQ(result.error().code, ENOSPC);
}

TEST(Result, HoldsMoveOnlyValues) {
    Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
    EXPECT_EQ(**result, 5);
}

}  // namespace
}  // namespace sallyport

// SPDX-License-Identifier: Apache-2.0
#include "core/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace sallyport {
namespace {

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

std::array<int, 2> open_pipe() {
    std::array<int, 2> ends{-1, -1};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    return ends;
}

TEST(UniqueFd, ClosesWhenItGoes) {
    const auto [reader, writer] = open_pipe();
    {
        const UniqueFd first(reader);
        const UniqueFd second(writer);
        EXPECT_TRUE(first);
        EXPECT_TRUE(is_open(reader));
    }
    EXPECT_FALSE(is_open(reader));
    EXPECT_FALSE(is_open(writer));
}

TEST(UniqueFd, MovesAndReleases) {
    const auto [reader, writer] = open_pipe();
    UniqueFd first(reader);
    UniqueFd second(std::move(first));
    EXPECT_EQ(second.get(), reader);
    UniqueFd third(writer);
    third = std::move(second);
    EXPECT_FALSE(is_open(writer));
    const int fd = third.release();
    EXPECT_FALSE(third);
    EXPECT_TRUE(is_open(fd));
    third.reset(fd);
    third.reset(fd);  // its own descriptor again: stays open
    EXPECT_TRUE(is_open(fd));
    third.reset();
    EXPECT_FALSE(is_open(fd));
}

TEST(UniqueFd, EmptyHoldsNothing) {
    const UniqueFd none;
    EXPECT_FALSE(none);
    EXPECT_EQ(none.get(), -1);
}

}  // namespace
}  // namespace sallyport

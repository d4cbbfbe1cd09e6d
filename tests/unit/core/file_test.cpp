// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace sallyport {
namespace {

class File : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "sallyport-file-XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
    [[nodiscard]] std::ptrdiff_t files() const {
        return std::distance(std::filesystem::directory_iterator(folder_),
                             std::filesystem::directory_iterator());
    }

  private:
    std::filesystem::path folder_;
};

TEST_F(File, ReadsWhatWasWritten) {
    const std::string content = std::string(200000, 'x') + '\0' + "end";
    ASSERT_TRUE(write_file(path("a"), content));
    const auto read = read_file(path("a"));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, content);
}

TEST_F(File, ReplacesAndLeavesNothingBeside) {
    ASSERT_TRUE(write_file(path("a"), "one"));
    ASSERT_TRUE(write_file(path("a"), "two", 0600));
    EXPECT_EQ(*read_file(path("a")), "two");
    EXPECT_EQ(files(), 1);
    struct stat status {};
    ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST_F(File, FailsWithThePathAndTheCause) {
    const auto missing = read_file(path("missing"));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ENOENT);
    EXPECT_EQ(missing.error().message, "open " + path("missing") + ": No such file or directory");
    EXPECT_EQ(read_file(path(".")).error().code, EISDIR);
    EXPECT_FALSE(write_file(path("no/such/folder"), "x"));
    std::filesystem::create_directory(path("folder"));
    EXPECT_FALSE(write_file(path("folder"), "x"));
    EXPECT_EQ(files(), 1);  // the file written beside it is gone
}

TEST_F(File, RefusesMoreThanAllowed) {
    ASSERT_TRUE(write_file(path("a"), "12345"));
    EXPECT_EQ(*read_file(path("a"), 5), "12345");
    EXPECT_EQ(read_file(path("a"), 4).error().code, EFBIG);
    EXPECT_EQ(read_file("/dev/zero", 100000).error().code, EFBIG);
}

TEST_F(File, ReadsAnEmptyFile) {
    ASSERT_TRUE(write_file(path("a"), ""));
    EXPECT_EQ(*read_file(path("a")), "");
}

}  // namespace
}  // namespace sallyport

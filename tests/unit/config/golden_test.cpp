// SPDX-License-Identifier: Apache-2.0
//
// Each file in tests/golden/config has what is said about it beside it. With SALLYPORT_GOLDEN_UPDATE set in
// the environment, the expectations are written anew: read the difference before committing it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "config/load.h"
#include "core/file.h"

namespace sallyport::config {
namespace {

std::vector<std::string> golden_names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_DIR)) {
        if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
    }
    std::ranges::sort(names);
    return names;
}

std::string said_about(const std::string& text, const std::string& file_name) {
    std::string said;
    const auto loaded = load_text(text, file_name);
    if (loaded) {
        for (const Fault& warning : loaded->warnings) said += "warning: " + warning.to_string() + "\n";
        return said + "accepted\n";
    }
    for (const Fault& fault : loaded.error()) said += fault.to_string() + "\n";
    return said;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, SaysWhatIsExpected) {
    const std::string base = std::string(GOLDEN_DIR) + "/" + GetParam();
    const auto text = read_file(base + ".yaml");
    ASSERT_TRUE(text) << text.error().message;
    const std::string said = said_about(*text, GetParam() + ".yaml");
    if (std::getenv("SALLYPORT_GOLDEN_UPDATE") != nullptr) {
        ASSERT_TRUE(write_file(base + ".expected", said));
    }
    const auto expected = read_file(base + ".expected");
    ASSERT_TRUE(expected) << expected.error().message;
    EXPECT_EQ(said, *expected);
}

INSTANTIATE_TEST_SUITE_P(Config, Golden, testing::ValuesIn(golden_names()),
                         [](const auto& test) { return test.param; });

TEST(GoldenFolder, HasNoExpectationWithoutAFile) {
    for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_DIR)) {
        if (entry.path().extension() != ".expected") continue;
        EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(entry.path()).replace_extension(".yaml")))
            << entry.path();
    }
}

}  // namespace
}  // namespace sallyport::config

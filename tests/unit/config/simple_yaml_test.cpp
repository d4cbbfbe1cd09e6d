// SPDX-License-Identifier: Apache-2.0
//
// The quick reader of YAML is right when it gives what yaml-cpp gives, or nothing.
#include "config/simple_yaml.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/file.h"

namespace sallyport::config {
namespace {

// Whether it was read quickly; fails the test where yaml-cpp reads something else.
bool is_simple(const std::string& text) {
    const auto quick = parse_simple_yaml(text);
    if (!quick) return false;
    std::vector<Fault> faults;
    const Node root = parse_any_yaml(text, "f", faults);
    EXPECT_TRUE(faults.empty()) << "yaml-cpp refuses what was read quickly: " << faults.front().to_string()
                                << "\n"
                                << text;
    EXPECT_TRUE(root == *quick) << "yaml-cpp reads something else:\n" << text;
    return true;
}

TEST(SimpleYaml, ReadsWhatConfigurationsAreMadeOf) {
    EXPECT_TRUE(is_simple("a: 1\n"));
    EXPECT_TRUE(is_simple("a: 1"));
    EXPECT_TRUE(is_simple("# first\n\na: 1  # why\n  # indented\nb: [ x, y ]\n\n#last"));
    EXPECT_TRUE(is_simple("a:\n  b: c\n  d:\n    e: f\ng: h\n"));
    EXPECT_TRUE(is_simple("a:  # comment\n  b: c\n"));
    EXPECT_TRUE(is_simple("a:\n- x\n- y\nb: z\n"));
    EXPECT_TRUE(is_simple("a:\n  - x\n  -   y\nb:\n  - c: d\n    e: f\n  - { g: h, i: [] }\n  - []\n"));
    EXPECT_TRUE(is_simple("a:\n  - b:\n      - c\n    d:\n    - e\n  - f: g\n"));
    EXPECT_TRUE(is_simple("a: { b: c, d: { e: [f, \"g\", 'h'] } }\n"));
    EXPECT_TRUE(is_simple("a: [ b,  # one\n     c\n     , d\n   ]\n"));
    EXPECT_TRUE(is_simple("a: {\n  b: c,\n  d: e\n  }\n"));
    EXPECT_TRUE(is_simple("to: 10.0.1.12:80\nurl: [ https://a.example:8443 ]\n"));
    EXPECT_TRUE(is_simple("description: two words, a comma; and (brackets) - done\n"));
    EXPECT_TRUE(is_simple("description: \"two: words # and more, {all} of it\"\nb: 'x'  # y\n"));
    EXPECT_TRUE(is_simple("description: für alle, ä€𐍈\n"));
    EXPECT_TRUE(is_simple("a: [ä€𐍈 b , c]\n"));
    EXPECT_TRUE(is_simple("a: 1\na: 2\n"));  // duplicate keys are another's business
}

TEST(SimpleYaml, LeavesTheRestToOthers) {
    for (const char* text : {"",
                             "\n",
                             "# only\n",
                             "a",
                             "a:\n",
                             "a: ~\n",
                             "a: null\n",
                             "null: a\n",
                             "- a\n",
                             "{a: b}\n",
                             "a: &x b\n",
                             "a: *x\n",
                             "a: !t b\n",
                             "a: |\n  b\n",
                             "a: >\n  b\n",
                             "a: b\n  c\n",
                             "a: [b\n  c]\n",
                             "a: \"b\n  c\"\n",
                             "a: \"b\\n\"\n",
                             "a: 'it''s'\n",
                             "a: b: c\n",
                             "a: {b}\n",
                             "a: {b:c}\n",
                             "a: {b: c, }\n",
                             "a: [b, ]\n",
                             "a: [b: c]\n",
                             "a: [b,, c]\n",
                             "a: {b: }\n",
                             "\"a\": b\n",
                             "a: {\"b\": c}\n",
                             "a: [\"b\": c]\n",
                             "? a\n",
                             "---\na: b\n",
                             "a: b\n---\nc: d\n",
                             "a: b\n...\n",
                             "%YAML 1.2\n",
                             "a:\tb\n",
                             "a: b\r\n",
                             "a: b#c\n",
                             "a: [b]#c\n",
                             "a:\n  b: c\n d: e\n",
                             "a:\n - b\n  - c\n",
                             "a:\n  - - b\n",
                             "a:\n  -\n    b\n",
                             " a: b\n",
                             "a: b\n c: d\n",
                             "a: [b\n",
                             "a: {b: c\n",
                             "a: {b: c]\n",
                             "a: b]\n",
                             "a: {b: c} d\n",
                             "a: {b: c}: d\n",
                             "a: [\nb]\n",
                             "a: -1\n",
                             "a: .5\n",
                             "a: @b\n",
                             "a: `b\n",
                             "a: %b\n",
                             "a: b: \n",
                             "a: :b\n",
                             "a b: c\n"})
        EXPECT_FALSE(is_simple(text)) << text;
}

TEST(SimpleYaml, StopsWhereTheDocumentIsBoundToStop) {
    const auto nested = [](std::size_t depth) {
        return "a: " + std::string(depth - 1, '[') + "x" + std::string(depth - 1, ']') + "\n";
    };
    EXPECT_TRUE(is_simple(nested(depth_most)));
    EXPECT_FALSE(is_simple(nested(depth_most + 1)));
}

TEST(SimpleYaml, ReadsEveryExample) {
    std::size_t read = 0;
    for (const auto& file : std::filesystem::directory_iterator(EXAMPLES_DIR)) {
        if (file.path().extension() != ".yaml") continue;
        EXPECT_TRUE(is_simple(*read_file(file.path()))) << file.path();
        ++read;
    }
    EXPECT_GT(read, 0U);
}

// Texts of pieces that mean something, put together in any order, and configurations with one change.
class SimpleYamlSpoilt : public testing::TestWithParam<unsigned> {};

TEST_P(SimpleYamlSpoilt, IsReadAsYamlCppReadsIt) {
    std::minstd_rand random(GetParam());
    const auto one_of = [&](std::size_t count) { return std::size_t{random()} / 8 % count; };
    const std::vector<std::string> pieces{
        "a",    "b: ",         "c:",   " ",       "  ",      "    ", "\n",    "\n  ", "\n- ",   "\n  - ",
        "- ",   "{ ",          " }",   "[",       "]",       ", ",   ",",     ": ",   ":",      "#",
        " # c", "\"x\"",       "'y'",  "\"",      "'",       "1",    "~",     "null", "ä",      "-",
        ".",    "/",           "*x",   "&x",      "!",       "|",    ">",     "%",    "@",      "?",
        "\\",   "=",           "…",    "true",    "k: v",    "\n\n", "\nk: ", "- x",  "{k: v}", "[v, w]",
        "a b",  "10.0.0.1:80", "--- ", "\n---\n", "\n...\n", "?? "};
    std::size_t simple = 0;
    for (int number = 0; number < 3000; ++number) {
        std::string text = "k: ";
        for (std::size_t count = one_of(12); count > 0; --count) text += pieces[one_of(pieces.size())];
        if (one_of(2) == 0) text += "\n";
        if (is_simple(text)) ++simple;
    }
    EXPECT_GT(simple, 20U);

    const std::string sound =
        "gateway:\n  name: gw1  # x\n  devices:\n    - { device: lan0, role: inside }\n    - { device: wan0 "
        "}\n"
        "vpcs: [ { name: main, cidrs: [10.0.0.0/16, \"10.1.0.0/16\"] } ]\nroute_tables:\n  - name: p\n"
        "    routes:\n      - { destination: 0.0.0.0/0,\n          nat_gateway: e }\n    main: true\n\nx: 'y "
        "z'\n";
    for (int number = 0; number < 1000; ++number) {
        std::string text = sound;
        for (std::size_t count = 1 + one_of(2); count > 0; --count) {
            const std::size_t at = one_of(text.size());
            const std::string& piece = pieces[one_of(pieces.size())];
            one_of(3) == 0 ? text.insert(at, piece)
                           : text.replace(at, one_of(4), one_of(3) == 0 ? "" : piece);
        }
        is_simple(text);
        if (HasFailure()) break;
    }
}

INSTANTIATE_TEST_SUITE_P(Random, SimpleYamlSpoilt, testing::Range(1u, 9u));

}  // namespace
}  // namespace sallyport::config

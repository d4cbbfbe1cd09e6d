// SPDX-License-Identifier: Apache-2.0
#include "config/document.h"

#include <gtest/gtest.h>

namespace sallyport::config {
namespace {

std::string first_fault(std::string_view text) {
    std::vector<Fault> faults;
    parse_document(text, "f", faults);
    return faults.empty() ? "" : faults.front().to_string();
}

TEST(Document, KnowsThePlaceOfEveryValue) {
    std::vector<Fault> faults;
    const Node root = parse_document("a: 1\nlist:\n  - { b: two, c: \"3\" }\n  - x\n", "f", faults);
    ASSERT_TRUE(faults.empty());
    const Place c = find_place(root, "list[0].c");
    EXPECT_TRUE(c.exact);
    EXPECT_EQ(c.mark.line, 3);
    EXPECT_EQ(c.mark.column, 18);
    EXPECT_EQ(find_place(root, "list[1]").mark.line, 4);
    EXPECT_EQ(root.children[1].children[0].keys[1].mark.column, 15);
    EXPECT_TRUE(root.children[1].children[0].children[1].quoted);
    EXPECT_FALSE(root.children[1].children[0].children[0].quoted);
}

TEST(Document, FindsWhatHoldsAMissingValue) {
    std::vector<Fault> faults;
    const Node root = parse_document("list:\n  - { b: two }\n", "f", faults);
    const Place missing = find_place(root, "list[0].c");
    EXPECT_FALSE(missing.exact);
    EXPECT_EQ(missing.mark.line, 2);
    EXPECT_FALSE(find_place(root, "list[7].c").exact);
    EXPECT_FALSE(find_place(root, "other.thing[1]").exact);
    EXPECT_TRUE(find_place(root, "").exact);
}

TEST(Document, KeepsDuplicateKeys) {
    std::vector<Fault> faults;
    const Node root = parse_document("a: 1\na: 2\n", "f", faults);
    ASSERT_EQ(root.keys.size(), 2U);
    EXPECT_EQ(root.child("a")->scalar, "1");
    EXPECT_EQ(root.child("b"), nullptr);
}

TEST(Document, RefusesWhatIsNoText) {
    EXPECT_EQ(first_fault("a: \xff\n"),
              "f:1:4: the byte 0xff is no part of a UTF-8 character; expected text in UTF-8");
    EXPECT_NE(first_fault("a: \xc0\xaf\n"), "");          // overlong
    EXPECT_NE(first_fault("a: \xed\xa0\x80\n"), "");      // surrogate
    EXPECT_NE(first_fault("a: \xf4\x90\x80\x80\n"), "");  // beyond the last character
    EXPECT_NE(first_fault("a: \xe2\x82"), "");            // cut short
    EXPECT_NE(first_fault("\xff\xfe\x61\0"), "");         // UTF-16
    EXPECT_NE(first_fault(std::string_view("a: \0b\n", 6)), "");
    EXPECT_EQ(first_fault("a: ä€𐍈\n"), "");
    EXPECT_EQ(first_fault("\xef\xbb\xbf"
                          "a: 1\n"),
              "");  // a byte order mark of UTF-8
}

TEST(Document, RefusesTabsInIndentationOnly) {
    EXPECT_EQ(first_fault("a:\n\tb: 1\n"), "f:2:1: a tab was read in the indentation; expected spaces");
    EXPECT_EQ(first_fault("a: 1\t# a comment\n"), "");
}

TEST(Document, RefusesWhatAConfigurationNeverNeeds) {
    EXPECT_EQ(first_fault("a: &x 1\n"),
              "f:1:4: an anchor was read; expected a plain value, as anchors are not accepted");
    EXPECT_NE(first_fault("a: &x 1\nb: *x\n").find("anchor"), std::string::npos);
    EXPECT_NE(first_fault("a: !!int 1\n").find("tag"), std::string::npos);
    EXPECT_NE(first_fault("a: !<x> [1]\n").find("tag"), std::string::npos);
    EXPECT_EQ(first_fault("a: 1\n---\nb: 2\n"),
              "f:2:1: a second document begins here; expected one document");
    EXPECT_EQ(first_fault("? [1, 2]\n: 3\n"),
              "f:1:3: a list or a map was read where a key belongs; expected a plain word");
    EXPECT_EQ(first_fault(std::string(17, '[') + std::string(17, ']')),
              "f:1:17: the nesting is too deep; expected at most 16 levels");
}

TEST(Document, RefusesAliasBombsWithoutExpandingThem) {
    std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n";
    for (char name = 'b'; name <= 'z'; ++name) {
        bomb += std::string(1, name) + ": &" + name + " [";
        for (int i = 0; i < 9; ++i) bomb += std::string("*") + static_cast<char>(name - 1) + ",";
        bomb += "]\n";
    }
    EXPECT_NE(first_fault(bomb), "");
}

TEST(Document, SaysWhenThereIsNothing) {
    for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "~\n"}) {
        EXPECT_EQ(first_fault(text), "f:1:1: the file is empty; expected api_version and gateway at least")
            << text;
    }
}

TEST(Document, SurvivesBrokenYaml) {
    for (const char* text : {"a: [1, 2\n", "a: {b: 1\n",
                             "a: 'x\n",    "a: \"\\q\"\n",
                             "]",          "}",
                             ": :",        "- a\nb: 1\n",
                             "%",          "%YAML 9.9\n---\na: 1\n",
                             "a: b: c\n",  "a: |\n",
                             "? ",         "- - - -",
                             "a: !",       "a: &",
                             "a: *",       "!<",
                             "\"",         "@",
                             "`"}) {
        std::vector<Fault> faults;
        parse_document(text, "f", faults);
    }
    EXPECT_NE(first_fault("a: [1, 2\n").find("this is no valid YAML"), std::string::npos);
}

}  // namespace
}  // namespace sallyport::config

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

// What a text becomes, as one line: lists in [], maps in {}, quoted texts in quotes, ~ for no value.
std::string shown(const Node& node) {
    if (node.type == Node::Type::null) return "~";
    if (node.type == Node::Type::scalar) return node.quoted ? '"' + node.scalar + '"' : node.scalar;
    const bool is_map = node.type == Node::Type::map;
    std::string text;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
        if (!text.empty()) text += ", ";
        if (is_map) text += node.keys[i].text + ": ";
        text += shown(node.children[i]);
    }
    return is_map ? '{' + text + '}' : '[' + text + ']';
}

std::string read(std::string_view text) {
    std::vector<Fault> faults;
    const Node root = parse_document(text, "f", faults);
    return faults.empty() ? shown(root) : faults.front().to_string();
}

TEST(Document, ReadsWhatConfigurationsAreMadeOf) {
    EXPECT_EQ(read("a: 1"), "{a: 1}");
    EXPECT_EQ(read("# first\n\na: 1  # why\n  # indented\nb: [ x, y ]\n\n#last"), "{a: 1, b: [x, y]}");
    EXPECT_EQ(read("a:\n  b: c\n  d:\n    e: f\ng: h\n"), "{a: {b: c, d: {e: f}}, g: h}");
    EXPECT_EQ(read("a:\n- x\n- y\nb: z\n"), "{a: [x, y], b: z}");
    EXPECT_EQ(read("a:\n  - x\nb:\n  - c: d\n    e: f\n  - { g: h, i: [] }\n  - []\n"),
              "{a: [x], b: [{c: d, e: f}, {g: h, i: []}, []]}");
    EXPECT_EQ(read("a:\n  - b:\n      - c\n    d:\n    - e\n  - f: g\n"), "{a: [{b: [c], d: [e]}, {f: g}]}");
    EXPECT_EQ(read("a: [ b,  # one\n     c\n     , d\n   ]\n"), "{a: [b, c, d]}");
    EXPECT_EQ(read("a: {\n  b: c,\n  d: e, }\n"), "{a: {b: c, d: e}}");
    EXPECT_EQ(read("to: 10.0.1.12:80\nurl: [ https://a.example:8443 ]\n"),
              "{to: 10.0.1.12:80, url: [https://a.example:8443]}");
    EXPECT_EQ(read("a: two words, a comma; and (brackets) - done\n"),
              "{a: two words, a comma; and (brackets) - done}");
    EXPECT_EQ(read("a: \"two: words # and, {all}\"\nb: 'it''s'  # y\n"),
              "{a: \"two: words # and, {all}\", b: \"it's\"}");
    EXPECT_EQ(read("a: für alle, ä€𐍈\nb: [ä€𐍈 b , c]\n"), "{a: für alle, ä€𐍈, b: [ä€𐍈 b, c]}");
    EXPECT_EQ(read("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), "{a: \"x\ny\n\", b: \"x y\"}");
    EXPECT_EQ(read("a: x\n  y\n"), "{a: x y}");
    EXPECT_EQ(read("---\na: b\n...\n"), "{a: b}");
    EXPECT_EQ(read("a: b\r\nc: d\r\n"), "{a: b, c: d}");
}

TEST(Document, KnowsWhereThereIsNoValueAndWhereThereIsText) {
    EXPECT_EQ(read("a:\nb: ~\nc: null\nd: Null\ne: NULL\nf:\n"), "{a: ~, b: ~, c: ~, d: ~, e: ~, f: ~}");
    EXPECT_EQ(read("a: ''\nb: '~'\nc: \"null\"\nd: nil\n"), "{a: \"\", b: \"~\", c: \"null\", d: nil}");
    EXPECT_EQ(read("a: [~, '']\nb: [x, ]\n-: y\n"), "{a: [~, \"\"], b: [x], -: y}");
    EXPECT_EQ(read("null: a\n'b': c\n"), "{null: a, b: c}");  // keys are names
}

TEST(Document, KnowsPlacesInBytesWhateverComesBefore) {
    const auto place = [](std::string_view text, std::string_view path) {
        std::vector<Fault> faults;
        const Node root = parse_document(text, "f", faults);
        EXPECT_TRUE(faults.empty()) << faults.front().to_string();
        const Place found = find_place(root, path);
        EXPECT_TRUE(found.exact);
        return std::pair(found.mark.line, found.mark.column);
    };
    EXPECT_EQ(place("ä: 'é'\nb: [ 'ä€𐍈', c ]\n", "b[1]"), std::pair(2, 19));
    EXPECT_EQ(place("a: 1\r\nb: 2\r\n", "b"), std::pair(2, 4));
    EXPECT_EQ(place("\xef\xbb\xbfk: 1\n", "k"), std::pair(1, 4));
    // These end a line for YAML 1.1, but not for an editor.
    EXPECT_EQ(place("a: 'x\xc2\x85y'\nb: 2\n", "b"), std::pair(2, 4));
    EXPECT_EQ(place("a: x # \xe2\x80\xa8\nb: 2\n", "b"), std::pair(2, 4));
    EXPECT_EQ(place("a: 1\rb: 2\n", "b"), std::pair(1, 9));
    EXPECT_EQ(place("a:\nb: 2\n", "a"), std::pair(1, 3));
}

TEST(Document, RefusesInvisibleCharactersBeyondAscii) {
    for (const char* character : {"\xc2\x80", "\xc2\x9f", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"})
        EXPECT_NE(first_fault(std::string("a: x") + character + "\n").find("f:1:5: the control character"),
                  std::string::npos);
    EXPECT_EQ(first_fault("a: \xc2\xa0\xef\xbf\xbd\n"), "");
}

TEST(Document, LongLinesOfOtherLettersTakeNoLonger) {
    std::string text = "a: [";
    for (int i = 0; i < 300000; ++i) text += "ä, ";
    std::vector<Fault> faults;
    const Node root = parse_document(text + "ö]\n", "f", faults);
    ASSERT_TRUE(faults.empty());
    EXPECT_EQ(root.children[0].children.back().mark.column, 5 + 300000 * 4);
}

struct Broken {
    std::string_view text;
    std::string_view said;  // after "f:" and with "…" for "this is no valid YAML: "
};

class DocumentBroken : public testing::TestWithParam<Broken> {};

TEST_P(DocumentBroken, SaysWhatWasReadAndWhatWouldBeRight) {
    std::string expected = "f:" + std::string(GetParam().said);
    if (const auto at = expected.find("…"); at != std::string::npos)
        expected.replace(at, std::string_view("…").size(), "this is no valid YAML: ");
    EXPECT_EQ(first_fault(GetParam().text), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, DocumentBroken,
    testing::Values(
        Broken{"a: [1, 2\n",
               "2:1: …the end of the file was read in the list that begins with \"[\" in line 1; expected "
               "\",\" or \"]\""},
        Broken{"a: {b: 1\n",
               "2:1: …the end of the file was read in the map that begins with \"{\" in line 1; expected "
               "\",\" or \"}\""},
        Broken{"a: [b, c}\n",
               "1:9: …\"}\" was read in the list that begins with \"[\" in line 1; expected \",\" or \"]\""},
        Broken{"a: {b: c]\n",
               "1:9: …\"]\" was read in the map that begins with \"{\" in line 1; expected \",\" or \"}\""},
        Broken{"a: [1\nb: 2\n",
               "2:2: …\":\" was read in the list that begins with \"[\" in line 1; expected \",\" or \"]\""},
        Broken{"a: [b,, c]\n",
               "1:7: …\",\" was read where a value belongs; expected a value, in quotes where it begins with "
               "a sign"},
        Broken{"a: {b:,c}\n",
               "1:6: …\":\" was read in a value in brackets; expected a space after \":\", or quotes around "
               "the value"},
        Broken{"]",
               "1:1: …\"]\" was read where a value belongs; expected a value, in quotes where it begins with "
               "a sign"},
        Broken{"- a\nb: 1\n",
               "2:1: …\"b\" was read in the list that begins in line 1; expected \"- \" in the same column "
               "as its other entries, or what follows the list further left"},
        Broken{"a: b: c\n",
               "1:5: …\":\" was read inside a value; expected each key in the same column as the other keys "
               "of its map, and quotes around a text that holds \": \""},
        Broken{"a: b\n  c: d\n",
               "2:4: …\":\" was read inside a value; expected each key in the same column as the other keys "
               "of its map, and quotes around a text that holds \": \""},
        Broken{"a: - b\n",
               "1:4: …\"-\" was read where no list can begin; expected the first entry of a list on a line "
               "of its own, and quotes around a text that begins with \"- \""},
        Broken{"a: ? b\n",
               "1:4: …\"?\" was read where no key can begin; expected a plain word as key, and quotes around "
               "a text that begins with \"? \""},
        Broken{"a: 1\nfoo\nb: 2\n",
               "2:1: …\"foo\" was read where a key belongs, and no \": \" follows on its line; expected "
               "\"key: value\""},
        Broken{"a:\n  b: c\n d: e\n",
               "3:2: …\"d\" was read where a key of the map that begins in line 1 belongs; expected \"key: "
               "value\" in the same column as the other keys of that map"},
        Broken{"a: \"x\" y\n",
               "1:8: …\"y\" was read after a value that has ended; expected the end of the line"},
        Broken{"- 'x' y\n",
               "1:7: …\"y\" was read after a value that has ended; expected the end of the line"},
        Broken{"{a: b} c\n", "1:8: …\"c\" was read after the end of the document; expected nothing more"},
        Broken{"a: @b\n",
               "1:4: …\"@b\" was read where a value or a key begins; expected quotes around a text that "
               "begins with this sign"},
        Broken{"a: %b\n",
               "1:4: …\"%b\" was read where a value or a key begins; expected quotes around a text that "
               "begins with this sign"},
        Broken{"- \tb: 1\n", "1:3: …a tab was read in front of a value or a key; expected spaces"},
        Broken{"a: 'x\nb: 2\n",
               "1:4: …a text begins here with a quotation mark and does not end; expected the same mark "
               "after it"},
        Broken{"a: \"x\n---\nb: 2\n",
               "1:4: …a text begins here with a quotation mark and does not end before the document does; "
               "expected the same mark after it"},
        Broken{"a: \"\\q\"\n",
               "1:5: …\"\\q\" was read in a text in double quotes, where \"\\\" has a meaning; expected "
               "\"\\\\\" for a backslash, or single quotes around the text"},
        Broken{"a: \"\\xzz\"\n",
               "1:7: …\"zz\" was read in a text in double quotes after \"\\x\", \"\\u\" or \"\\U\"; expected "
               "two, four or eight hexadecimal digits, or single quotes around the text"},
        Broken{"a: \"\\ud800\"\n",
               "1:7: …\"d800\" was read in a text in double quotes and is the number of no character; "
               "expected one below 0xd800, or from 0xe000 to 0x10ffff"},
        Broken{"a: |0\n  x\n",
               "1:5: …an indentation of 0 was read after \"|\" or \">\"; expected 1 to 9, or nothing"},
        Broken{"a: | x\n",
               "1:6: …\"x\" was read after \"|\" or \">\"; expected the end of the line there, and the text "
               "below it, or quotes around a text that begins with this sign"},
        Broken{"a: &",
               "1:4: …\"&\" begins an anchor, which is not accepted; expected a plain value, in quotes where "
               "it begins with this sign"},
        Broken{"a: *",
               "1:4: …\"*\" begins an alias, which is not accepted; expected the value itself, in quotes "
               "where it begins with this sign"},
        Broken{"a: !x!y z\n",
               "1:4: …\"!\" begins a tag, which is not accepted; expected a plain value, in quotes where it "
               "begins with this sign"},
        Broken{"a: !<x\n",
               "1:4: …\"!\" begins a tag, which is not accepted; expected a plain value, in quotes where it "
               "begins with this sign"},
        Broken{
            "% x\n",
            "1:1: …\"%\" begins a directive that is not understood; expected the configuration without it"},
        Broken{
            "%YAML 9.9\n---\na: 1\n",
            "1:1: …a version of YAML was read that is not understood; expected 1.1 or 1.2, or no directive"},
        Broken{"%YAML 1.1\n%YAML 1.1\n---\na: 1\n",
               "2:1: …a directive was read twice; expected the configuration without it"},
        Broken{
            "%TAG\n---\na: 1\n",
            "1:1: …\"%\" begins a directive that is not understood; expected the configuration without it"},
        Broken{"a: 'é' x\n",
               "1:9: …\"x\" was read after a value that has ended; expected the end of the line"},
        Broken{"a: x\nb: 'ü' yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n",
               "2:9: …\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…\" was read after a value that has ended; expected "
               "the end of the line"},
        Broken{"a: *x\n", "1:4: an alias was read; expected the value itself, as aliases are not accepted"}));

// Nothing falls through to the words of libyaml, and no cut leads anywhere but to a fault or a tree.
TEST(Document, SurvivesBrokenYaml) {
    const std::string sound =
        "%YAML 1.1\n---\na: &x [ {b: \"c\\u00e4\" }, *x ]\n? !!t d\n: |2-\n   e\n'f ''g': h\n- ? i\n";
    const std::string_view signs = "{}[],:-?&*!|>'\"%@`#\\ \n\tx9";
    for (std::size_t i = 0; i < sound.size(); ++i) {
        for (const char sign : signs) {
            std::string text = sound;
            text[i] = sign;
            for (const std::string& broken : {text, text.substr(0, i + 1), sound.substr(0, i) + sign}) {
                const std::string said = first_fault(broken);
                for (const char* words : {"while ", "did not find", "could not find", ": found "})
                    EXPECT_EQ(said.find(words), std::string::npos) << said << "\n" << broken;
            }
        }
    }
}

}  // namespace
}  // namespace sallyport::config

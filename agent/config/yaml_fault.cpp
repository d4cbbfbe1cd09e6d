// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sallyport::config {
namespace {

struct Explanation {
    std::string_view context;  // how the context begins
    std::string_view problem;  // how the problem begins
    Look look;
    std::string_view message;  // {read} is what stands there, {line} where the thing around it begins
};

// The first line that fits counts. What is not listed is given in libyaml's words.
constexpr std::array explanations{
    Explanation{"", "did not find expected ',' or ']'", Look::there,
                "{read} was read in the list that begins with \"[\" in line {line}; expected \",\" or \"]\""},
    Explanation{
        "", "did not find expected ',' or '}'", Look::there,
        "{read} was read in the map that begins with \"{{\" in line {line}; expected \",\" or \"}}\""},
    Explanation{"", "did not find expected key", Look::there,
                "{read} was read where a key of the map that begins in line {line} belongs; expected \"key: "
                "value\" in the same column as the other keys of that map"},
    Explanation{"", "did not find expected '-' indicator", Look::there,
                "{read} was read in the list that begins in line {line}; expected \"- \" in the same column "
                "as its other entries, or what follows the list further left"},
    Explanation{"", "did not find expected node content", Look::there,
                "{read} was read where a value belongs; expected a value, in quotes where it begins with a "
                "sign"},
    Explanation{"", "did not find expected <document start>", Look::there,
                "{read} was read after the end of the document; expected nothing more"},
    Explanation{"while scanning a simple key", "could not find expected ':'", Look::at_beginning,
                "{read} was read where a key belongs, and no \": \" follows on its line; expected \"key: "
                "value\""},
    Explanation{
        "", "mapping values are not allowed", Look::there,
        "\":\" was read inside a value; expected each key in the same column as the other keys of its "
        "map, and quotes around a text that holds \": \""},
    Explanation{"", "block sequence entries are not allowed", Look::there,
                "\"-\" was read where no list can begin; expected the first entry of a list on a line of its "
                "own, and quotes around a text that begins with \"- \""},
    Explanation{
        "", "mapping keys are not allowed", Look::there,
        "\"?\" was read where no key can begin; expected a plain word as key, and quotes around a text "
        "that begins with \"? \""},
    Explanation{
        "", "found character that cannot start any token", Look::there,
        "{read} was read where a value or a key begins; expected quotes around a text that begins with "
        "this sign"},
    Explanation{"while scanning a quoted scalar", "found unexpected end of stream", Look::at_beginning,
                "a text begins here with a quotation mark and does not end; expected the same mark after it"},
    Explanation{
        "while scanning a quoted scalar", "found unexpected document indicator", Look::at_beginning,
        "a text begins here with a quotation mark and does not end before the document does; expected "
        "the same mark after it"},
    Explanation{"while scanning a quoted scalar", "found a tab", Look::there,
                "a tab was read in the indentation; expected spaces"},
    Explanation{
        "while parsing a quoted scalar", "found unknown escape character", Look::there,
        "{read} was read in a text in double quotes, where \"\\\" has a meaning; expected \"\\\\\" for "
        "a backslash, or single quotes around the text"},
    Explanation{"while parsing a quoted scalar", "did not find expected hexdecimal number", Look::there,
                "{read} was read in a text in double quotes after \"\\x\", \"\\u\" or \"\\U\"; expected two, "
                "four or eight hexadecimal digits, or single quotes around the text"},
    Explanation{"while parsing a quoted scalar", "found invalid Unicode character escape code", Look::there,
                "{read} was read in a text in double quotes and is the number of no character; expected one "
                "below 0xd800, or from 0xe000 to 0x10ffff"},
    Explanation{"while scanning a block scalar", "found an indentation indicator equal to 0", Look::there,
                "an indentation of 0 was read after \"|\" or \">\"; expected 1 to 9, or nothing"},
    Explanation{
        "while scanning a block scalar", "did not find expected comment or line break", Look::there,
        "{read} was read after \"|\" or \">\"; expected the end of the line there, and the text below "
        "it, or quotes around a text that begins with this sign"},
    Explanation{"", "found a tab character", Look::there,
                "a tab was read in the indentation; expected spaces"},
    Explanation{"while scanning a plain scalar", "found unexpected ':'", Look::there,
                "{read} was read in a value in brackets; expected a space after \":\", or quotes around the "
                "value"},
    Explanation{"while scanning an anchor", "", Look::at_beginning,
                "\"&\" begins an anchor, which is not accepted; expected a plain value, in quotes where it "
                "begins with this sign"},
    Explanation{"while scanning an alias", "", Look::at_beginning,
                "\"*\" begins an alias, which is not accepted; expected the value itself, in quotes where it "
                "begins with this sign"},
    Explanation{
        "", "found undefined tag handle", Look::at_beginning,
        "\"!\" begins a tag, which is not accepted; expected a plain value, in quotes where it begins "
        "with this sign"},
    Explanation{"while scanning a tag directive", "", Look::at_beginning,
                "\"%\" begins a directive that is not understood; expected the configuration without it"},
    Explanation{
        "while scanning a tag", "", Look::at_beginning,
        "\"!\" begins a tag, which is not accepted; expected a plain value, in quotes where it begins "
        "with this sign"},
    Explanation{
        "while parsing a tag", "", Look::at_beginning,
        "\"!\" begins a tag, which is not accepted; expected a plain value, in quotes where it begins "
        "with this sign"},
    Explanation{"while scanning a", "", Look::at_beginning,
                "\"%\" begins a directive that is not understood; expected the configuration without it"},
    Explanation{"while parsing a %TAG directive", "", Look::at_beginning,
                "\"%\" begins a directive that is not understood; expected the configuration without it"},
    Explanation{"", "found duplicate %", Look::there,
                "a directive was read twice; expected the configuration without it"},
    Explanation{"", "found incompatible YAML document", Look::there,
                "a version of YAML was read that is not understood; expected 1.1 or 1.2, or no directive"},
};

// The sign or the word that stands at `at`, in quotes.
std::string what_stands(std::string_view text, std::size_t at) {
    constexpr std::string_view signs = "{}[],:\"'";
    constexpr std::size_t word_most = 32;
    text.remove_prefix(std::min(at, text.size()));
    if (text.empty()) return "the end of the file";
    if (text.front() == '\n' || text.front() == '\r') return "the end of the line";
    if (text.front() == '\t') return "a tab";
    if (text.front() == ' ') return "a space";
    std::size_t length = 1;
    if (signs.find(text.front()) == std::string_view::npos)
        length = std::min(text.find_first_of(" \t\r\n{}[],:\"'", 1), text.size());
    const bool is_long = length > word_most;
    if (is_long) {
        length = word_most;
        while (length > 1 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
    }
    return fmt::format("\"{}{}\"", text.substr(0, length), is_long ? "…" : "");
}

// Whether a value stands in front of `at` on its line: then it has ended, and something follows it.
bool follows_on_its_line(std::string_view text, std::size_t at) {
    const std::string_view before = text.substr(0, std::min(at, text.size()));
    const std::size_t begin = before.find_last_of("\r\n");
    const std::string_view line = begin == std::string_view::npos ? before : before.substr(begin + 1);
    return line.find_first_not_of(" -") != std::string_view::npos;
}

}  // namespace

YamlFault explain(std::string_view text, const YamlProblem& problem) {
    constexpr std::string_view introduction = "this is no valid YAML: ";
    const auto fits = [&](const Explanation& explanation) {
        return problem.context.starts_with(explanation.context) &&
               problem.problem.starts_with(explanation.problem);
    };
    if ((problem.problem == "did not find expected key" ||
         problem.problem == "did not find expected '-' indicator") &&
        follows_on_its_line(text, problem.at)) {
        return {Look::there,
                fmt::format("{}{} was read after a value that has ended; expected the end of the line",
                            introduction, what_stands(text, problem.at))};
    }
    if (problem.problem.starts_with("found character that cannot start") && problem.at < text.size() &&
        text[problem.at] == '\t') {
        return {Look::there,
                fmt::format("{}a tab was read in front of a value or a key; expected spaces", introduction)};
    }
    const auto* const found = std::ranges::find_if(explanations, fits);
    if (found == explanations.end()) {
        return {Look::there, fmt::format("{}{}{}{}", introduction, problem.context,
                                         problem.context.empty() ? "" : ": ", problem.problem)};
    }
    const std::size_t at = found->look == Look::there ? problem.at : problem.begins;
    return {found->look,
            fmt::format("{}{}", introduction,
                        fmt::format(fmt::runtime(found->message), fmt::arg("read", what_stands(text, at)),
                                    fmt::arg("line", problem.begins_line)))};
}

}  // namespace sallyport::config

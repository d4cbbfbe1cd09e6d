// SPDX-License-Identifier: Apache-2.0
//
// From the words of the command line to what is to be done. CLI11 is set up from the table in command.h and
// seen nowhere else.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/command.h"

namespace sallyport::cli {

struct Invocation {
    const Command* command = nullptr;
    // What was given, by the option's name without dashes or the argument's name in lower case: "inside",
    // "file". A flag has the value "true". What was not given is not in here.
    std::map<std::string, std::string, std::less<>> values;
    std::vector<std::string> repeated;  // what was given for the argument that may be repeated

    [[nodiscard]] bool has(std::string_view name) const { return values.contains(name); }
    [[nodiscard]] std::string value(std::string_view name, std::string_view otherwise = {}) const;
};

// Nothing is to be done: help was asked for (ok; the text is for standard output) or the words are wrong
// (usage; the text is for standard error).
struct Stop {
    ExitCode exit = ExitCode::ok;
    std::string text;
};

// Reads from the environment what options of all commands are not given (Option::variable).
std::variant<Invocation, Stop> parse(int argc, const char* const* argv);

// The key of an option or argument in Invocation::values.
std::string value_name(std::string_view name);

}  // namespace sallyport::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "cli/command.h"
#include "cli/text.h"

namespace sallyport::cli {
namespace {

constexpr std::size_t width = 80;
// What is optional is left out of the list of commands where it would take the place of the summaries.
constexpr std::size_t overview_name_most = 20;

// "  NAME  text", the text folded beside its name.
using Entries = std::vector<std::pair<std::string, std::string>>;

void print_entries(std::string& out, const Entries& entries) {
    std::size_t longest = 0;
    for (const auto& [name, text] : entries) longest = std::max(longest, name.size());
    for (const auto& [name, text] : entries) {
        std::string_view left = name;
        for (const std::string& line : fold(text, width - longest - 4)) {
            fmt::format_to(std::back_inserter(out), "  {:<{}}  {}\n", left, longest, line);
            left = "";
        }
    }
}

void print_options(std::string& out, std::span<const Option> options) {
    Entries entries;
    for (const Option& option : options) {
        std::string name = option.brief.empty() ? "    " : fmt::format("{}, ", option.brief);
        name += option.name;
        if (!option.placeholder.empty()) name += fmt::format(" {}", option.placeholder);
        entries.emplace_back(std::move(name), option.help);
    }
    print_entries(out, entries);
}

void print_exits(std::string& out, std::span<const ExitMeaning> exits) {
    Entries entries;
    entries.reserve(exits.size());
    for (const ExitMeaning& exit : exits) entries.emplace_back(std::to_string(exit.code), exit.text);
    print_entries(out, entries);
}

void print_paragraph(std::string& out, std::string_view text) {
    for (const std::string& line : fold(text, width)) out += line + "\n";
}

std::string in_synopsis(const Argument& argument) {
    if (argument.required) return std::string(argument.name);
    return fmt::format("[{}]{}", argument.name, argument.repeated ? "..." : "");
}

}  // namespace

std::string synopsis(const Command& command) {
    std::string out(command.name);
    for (const Option& option : command.options) {
        out += option.placeholder.empty() ? fmt::format(" [{}]", option.name)
                                          : fmt::format(" [{} {}]", option.name, option.placeholder);
    }
    for (const Argument& argument : command.arguments) out += " " + in_synopsis(argument);
    return out;
}

std::string help() {
    std::string out = "Usage: sallyport [OPTION]... COMMAND [ARGUMENT]...\n\n";
    print_paragraph(out, "Shows and directs the Sallyport NAT gateway through the API of its agent.");
    out += "\nCommands:\n";
    Entries entries;
    for (const Command& command : commands()) {
        std::string name(command.name);
        for (const Argument& argument : command.arguments) {
            const std::string text = " " + in_synopsis(argument);
            if (argument.required || name.size() + text.size() <= overview_name_most) name += text;
        }
        entries.emplace_back(std::move(name), command.summary);
    }
    print_entries(out, entries);
    out += "\nOptions (before or after the command):\n";
    print_options(out, global_options());
    out += "\nExit status:\n";
    print_exits(out, exit_codes());
    out += "\n`sallyport COMMAND --help` tells more about a command; so does sallyport(1).\n";
    return out;
}

std::string help(const Command& command) {
    std::string out;
    std::string left = "Usage:";
    for (const std::string& line : fold("sallyport " + synopsis(command), width - 7)) {
        out += fmt::format("{:<6} {}\n", left, line);
        left.clear();
    }
    out += "\n";
    print_paragraph(out, command.description);
    if (!command.arguments.empty()) {
        out += "\nArguments:\n";
        Entries entries;
        for (const Argument& argument : command.arguments) {
            std::string text(argument.help);
            if (!words(argument.value).empty())
                text += fmt::format(": {}", fmt::join(words(argument.value), ", "));
            entries.emplace_back(argument.name, std::move(text));
        }
        print_entries(out, entries);
    }
    if (!command.options.empty()) {
        out += "\nOptions:\n";
        print_options(out, command.options);
    }
    out += "\nOptions of every command:\n";
    print_options(out, global_options());
    if (!command.exits.empty()) {
        out += "\nExit status, where it differs:\n";
        print_exits(out, command.exits);
    }
    return out;
}

}  // namespace sallyport::cli

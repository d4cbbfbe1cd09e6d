// SPDX-License-Identifier: Apache-2.0
#include "cli/manual.h"

#include <fmt/format.h>
#include <sallyport/abi/drop_reason.h>

#include <algorithm>
#include <array>

#include "cli/command.h"

namespace sallyport::cli {
namespace {

void line(std::string& out, std::string_view text) {
    out.append(text).append("\n");
}

// A paragraph with a tag: options and commands.
void tagged(std::string& out, const std::string& tag, std::string_view text) {
    line(out, ".TP");
    line(out, tag);
    line(out, roff(text));
}

std::string bold(std::string_view text) {
    return fmt::format("\\fB{}\\fR", roff(text));
}
std::string italic(std::string_view text) {
    return fmt::format("\\fI{}\\fR", roff(text));
}

std::string tag_of(const Option& option) {
    std::string tag = option.brief.empty() ? std::string() : bold(option.brief) + ", ";
    tag += bold(option.name);
    if (!option.placeholder.empty()) tag += " " + italic(option.placeholder);
    return tag;
}

std::string tag_of(const Command& command) {
    std::string tag = bold(command.name);
    if (!command.options.empty()) tag += " [" + italic("OPTION") + "]...";
    for (const Argument& argument : command.arguments) {
        tag += argument.required ? " " + italic(argument.name) : " [" + italic(argument.name) + "]";
        if (argument.repeated) tag += "...";
    }
    return tag;
}

std::string options() {
    std::string out;
    for (const Option& option : global_options()) tagged(out, tag_of(option), option.help);
    return out;
}

std::string commands_part() {
    std::string out;
    for (const Command& command : commands()) {
        tagged(out, tag_of(command), command.description);
        for (const Argument& argument : command.arguments) {
            if (words(argument.value).empty()) continue;
            line(out, ".IP");
            line(out, fmt::format("{} is one of {}.", italic(argument.name),
                                  roff(fmt::format("{}", fmt::join(words(argument.value), ", ")))));
        }
        if (command.options.empty() && command.exits.empty()) continue;
        line(out, ".RS");
        for (const Option& option : command.options) tagged(out, tag_of(option), option.help);
        for (const ExitMeaning& exit : command.exits)
            tagged(out, fmt::format("exit status {}", bold(std::to_string(exit.code))), exit.text);
        line(out, ".RE");
    }
    return out;
}

std::string environment() {
    std::string out;
    for (const Option& option : global_options()) {
        if (option.variable.empty()) continue;
        tagged(out, bold(option.variable),
               fmt::format("What `{}` says where that is not given.", option.name));
    }
    return out;
}

std::string exit_status() {
    std::string out;
    for (const ExitMeaning& exit : exit_codes()) tagged(out, bold(std::to_string(exit.code)), exit.text);
    return out;
}

std::string drop_reasons() {
    std::string out;
#define REASON(number, NAME, label, text) tagged(out, bold(#label), text ".");
    FOREACH_DROP_REASON(REASON)
#undef REASON
    return out;
}

struct Part {
    std::string_view placeholder;
    std::string (*text)();
};
constexpr std::array<Part, 5> parts{{{"@OPTIONS@", options},
                                     {"@COMMANDS@", commands_part},
                                     {"@EXIT_STATUS@", exit_status},
                                     {"@ENVIRONMENT@", environment},
                                     {"@DROP_REASONS@", drop_reasons}}};

}  // namespace

std::string roff(std::string_view text) {
    std::string out;
    bool typed = false;
    for (const char character : text) {
        switch (character) {
            case '`':
                typed = !typed;
                out += typed ? "\\fB" : "\\fR";
                break;
            case '\\':
                out += "\\e";
                break;
            case '-':
                out += "\\-";
                break;
            case '\'':
                out += "\\(aq";
                break;
            default:
                out += character;
        }
    }
    return out.starts_with('.') ? "\\&" + out : out;
}

Result<std::string> manual_page(std::string_view outline) {
    constexpr std::string_view version = "@VERSION@";
    std::string out;
    while (!outline.empty()) {
        std::string text(outline.substr(0, outline.find('\n')));
        outline.remove_prefix(std::min(outline.size(), text.size() + 1));
        if (auto at = text.find(version); at != std::string::npos)
            text.replace(at, version.size(), SALLYPORT_VERSION);
        if (!text.starts_with('@')) {
            line(out, text);
            continue;
        }
        auto part = std::find_if(parts.begin(), parts.end(),
                                 [&text](const Part& candidate) { return candidate.placeholder == text; });
        if (part == parts.end()) return failure(fmt::format("there is no part {} of the manual", text));
        out += part->text();
    }
    return out;
}

}  // namespace sallyport::cli

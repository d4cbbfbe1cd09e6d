// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <fmt/format.h>

#include <iterator>
#include <vector>

#include "cli/command.h"

namespace sallyport::cli {
namespace {

constexpr std::string_view helpers = R"bash(# bash completion for sallyport
# Made from the program's table of commands.

_sallyport_words() {
    COMPREPLY=($(compgen -W "$1" -- "$word"))
}

_sallyport_files() {
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$word"))
}

# The names of all resources of a kind; none where the agent cannot be asked.
_sallyport_names() {
    _sallyport_words "$("${program[@]}" get "$1" 2>/dev/null | awk 'NR > 1 && /^[^ ]/ { print $1 }')"
}
)bash";

// Finds out where the word stands: behind which command, how many arguments and perhaps an option that
// takes it as its value. To bash, "=" is a word of its own.
constexpr std::string_view scan_begins = R"bash(
_sallyport() {
    local word=${COMP_WORDS[COMP_CWORD]} command='' option='' i
    local arguments=() program=("${COMP_WORDS[0]}")
    COMPREPLY=()
    [[ $word == = ]] && word=''
)bash";
constexpr std::string_view scan_words = R"bash(    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$command ${COMP_WORDS[i]}" in
)bash";
constexpr std::string_view scan_ends = R"bash(            option=${COMP_WORDS[i]}
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((++i < COMP_CWORD)) || break
            [[ " $agent " == *" $option "* ]] && program+=("$option" "${COMP_WORDS[i]}")
            option=''
            ;;
        *' -'*) ;;
        ' '*) command=${COMP_WORDS[i]} ;;
        *) arguments+=("${COMP_WORDS[i]}") ;;
        esac
    done
)bash";

// What bash runs to offer values of this sort.
std::string offer(Value value) {
    switch (value) {
        case Value::file:
        case Value::socket:
            return "_sallyport_files";
        case Value::elastic_ip:
            return "_sallyport_names elastic_ips";
        case Value::instance:
            return "_sallyport_names instances";
        case Value::name:
            return "_sallyport_names \"${arguments[0]}\"";
        case Value::vpc:
            return "_sallyport_names vpcs";
        case Value::tuple:
            return offer(Value::protocol);
        default:
            return words(value).empty() ? ""
                                        : fmt::format("_sallyport_words '{}'", fmt::join(words(value), " "));
    }
}

// An option that takes a value, as a pattern for "COMMAND OPTION".
struct Pattern {
    std::string text;
    Value value;
};

std::vector<Pattern> options_with_values() {
    std::vector<Pattern> patterns;
    for (const Option& option : global_options()) {
        if (option.value == Value::none) continue;
        std::string text = fmt::format("*' {}'", option.name);
        if (!option.brief.empty()) text += fmt::format(" | *' {}'", option.brief);
        patterns.push_back({std::move(text), option.value});
    }
    for (const Command& command : commands()) {
        for (const Option& option : command.options) {
            if (option.value != Value::none)
                patterns.push_back({fmt::format("'{} {}'", command.name, option.name), option.value});
        }
    }
    return patterns;
}

std::string names(std::span<const Option> options) {
    std::string out;
    for (const Option& option : options) out += fmt::format("{}{}", out.empty() ? "" : " ", option.name);
    return out;
}

}  // namespace

std::string bash_completion() {
    std::string out(helpers);
    auto line = [&out](std::string_view text) { fmt::format_to(std::back_inserter(out), "{}\n", text); };
    auto choice = [&line](std::string_view pattern, std::string_view run) {
        line(fmt::format("        {}) {} ;;", pattern, run));
    };

    // Whom names are asked of, and how one is let in there: the options that the environment may say as well.
    std::string agent;
    for (const Option& option : global_options()) {
        if (!option.variable.empty()) agent += fmt::format("{}{}", agent.empty() ? "" : " ", option.name);
    }
    out += scan_begins;
    line(fmt::format("    local agent='{}'", agent));
    out += scan_words;
    std::string separator = "        ";
    for (const Pattern& pattern : options_with_values()) {
        out += separator + pattern.text;
        separator = " | \\\n            ";
    }
    line(")");
    out += scan_ends;

    line("    if [[ -n $option ]]; then");
    line("        case \"$command $option\" in");
    for (const Pattern& pattern : options_with_values()) {
        if (!offer(pattern.value).empty()) choice(pattern.text, offer(pattern.value));
    }
    line("        esac");
    line("    elif [[ $word == -* ]]; then");
    line("        case $command in");
    for (const Command& command : commands()) {
        if (command.options.empty()) continue;
        choice(command.name,
               fmt::format("_sallyport_words '{} {}'", names(command.options), names(global_options())));
    }
    choice("*", fmt::format("_sallyport_words '{}'", names(global_options())));
    line("        esac");
    line("    else");
    line("        case \"$command ${#arguments[@]}\" in");
    std::vector<std::string_view> all;
    all.reserve(commands().size());
    for (const Command& command : commands()) all.push_back(command.name);
    choice("' 0'", fmt::format("_sallyport_words '{}'", fmt::join(all, " ")));
    for (const Command& command : commands()) {
        for (std::size_t i = 0; i < command.arguments.size(); ++i)
            choice(fmt::format("'{} {}'", command.name, i), offer(command.arguments[i].value));
    }
    line("        esac");
    line("    fi");
    line("}");
    line("");
    line("complete -F _sallyport sallyport");
    return out;
}

}  // namespace sallyport::cli

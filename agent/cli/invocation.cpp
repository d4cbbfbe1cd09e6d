// SPDX-License-Identifier: Apache-2.0
#include "cli/invocation.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "cli/client.h"
#include "cli/help.h"
#include "core/address.h"
#include "core/duration.h"
#include "core/moment.h"

namespace sallyport::cli {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;

// An address, a prefix or address:port, as the agent takes them: a mistake is told before anything is sent.
std::string fault_of_place(const std::string& text) {
    auto parsed = [](const auto& result) { return result.has_value(); };
    if (parsed(Ipv4Address::parse(text)) || parsed(Endpoint::parse(text))) return {};
    if (text.find('/') == std::string::npos)
        return fmt::format("\"{}\" is no address, prefix or ADDRESS:PORT", text);
    auto prefix = Ipv4Prefix::parse(text);
    return prefix ? std::string() : prefix.error().message;
}

std::string fault_of_number(const std::string& text) {
    bool right =
        !text.empty() && text.size() <= 9 &&
        std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; }) &&
        text.find_first_not_of('0') != std::string::npos;
    return right ? std::string() : fmt::format("\"{}\" is no whole number from 1 to 999999999", text);
}

// It goes into the head of a request as it stands.
std::string fault_of_opaque(const std::string& text) {
    constexpr std::size_t longest = 255;
    const bool right = !text.empty() && text.size() <= longest &&
                       std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
    return right ? std::string() : fmt::format("\"{}\" is no word of 1 to 255 printable characters", text);
}

// Empty when `text` is a right value.
std::string fault_of(Value value, const std::string& text) {
    auto allowed = words(value);
    if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), text) == allowed.end())
        return fmt::format("\"{}\" is none of {}", text, fmt::join(allowed, ", "));
    if (value == Value::place) return fault_of_place(text);
    if (value == Value::endpoint && !Endpoint::parse(text))
        return fmt::format("\"{}\" is no ADDRESS:PORT", text);
    if (value == Value::time) {
        auto moment = parse_moment(text);
        return moment ? std::string() : moment.error().message;
    }
    if (value == Value::address && !Ipv4Address::parse(text))
        return fmt::format("\"{}\" is no IPv4 address", text);
    if (value == Value::port) {
        const bool right = fault_of_number(text).empty() && std::stoul(text) <= UINT16_MAX;
        return right ? std::string() : fmt::format("\"{}\" is no port from 1 to 65535", text);
    }
    if (value == Value::number) return fault_of_number(text);
    if (value == Value::server) return fault_of_url(text);
    if (value == Value::opaque) return fault_of_opaque(text);
    if (value == Value::duration) {
        const auto read = parse_duration(text);
        return read ? std::string() : read.error().message;
    }
    if (value == Value::setting) {
        const auto end = text.find('=');
        if (end == std::string::npos || end == 0) return fmt::format("\"{}\" is no FIELD=VALUE", text);
    }
    return text.empty() ? "must not be empty" : std::string();
}

CLI::Option* add(CLI::App& app, Values& values, const std::string& spelling, std::string_view name,
                 Value value) {
    CLI::Option* option = app.add_option_function<std::string>(
        spelling, [&values, key = value_name(name)](const std::string& text) { values[key] = text; });
    option->check([value](const std::string& text) { return fault_of(value, text); });
    return option;
}

void add(CLI::App& app, Values& values, const Argument& argument) {
    if (argument.most_words == 1) {
        add(app, values, std::string(argument.name), argument.name, argument.value);
        return;
    }
    CLI::Option* option = app.add_option_function<std::vector<std::string>>(
        std::string(argument.name),
        [&values, key = value_name(argument.name)](const std::vector<std::string>& words) {
            values[key] = fmt::format("{}", fmt::join(words, " "));
        });
    option->expected(1, argument.most_words);
    option->check([value = argument.value](const std::string& text) { return fault_of(value, text); });
}

void add(CLI::App& app, Values& values, const Option& option) {
    std::string spelling(option.name);
    if (!option.brief.empty()) spelling += fmt::format(",{}", option.brief);
    if (option.value == Value::none) {
        app.add_flag_callback(spelling, [&values, key = value_name(option.name)] { values[key] = "true"; });
        return;
    }
    add(app, values, spelling, option.name, option.value);
}

// What the environment says where no option does. Who names an agent means that one: then the environment
// does not name another one beside it. The fault of what it says, if any.
std::string read_environment(Values& values) {
    const bool is_named = values.contains("socket") || values.contains("server");
    for (const Option& option : global_options()) {
        const std::string key = value_name(option.name);
        const bool names_agent = option.value == Value::socket || option.value == Value::server;
        if (option.variable.empty() || values.contains(key) || (names_agent && is_named)) continue;
        const char* const text = std::getenv(std::string(option.variable).c_str());
        if (text == nullptr || *text == '\0') continue;
        if (const std::string fault = fault_of(option.value, text); !fault.empty())
            return fmt::format("{}: {}", option.variable, fault);
        values[key] = text;
    }
    if (values.contains("socket") && values.contains("server"))
        return "a socket (--socket, SALLYPORT_SOCKET) and a server (--server, SALLYPORT_SERVER) exclude each "
               "other";
    return {};
}

Stop wrong_usage(const Command* command, std::string_view what) {
    std::string more =
        command == nullptr ? "sallyport --help" : fmt::format("sallyport {} --help", command->name);
    return {ExitCode::usage, fmt::format("sallyport: {}\nSee `{}`.\n", what, more)};
}

}  // namespace

std::string Invocation::value(std::string_view name, std::string_view otherwise) const {
    auto found = values.find(name);
    return found == values.end() ? std::string(otherwise) : found->second;
}

std::string value_name(std::string_view name) {
    name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
    std::string key(name);
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return key;
}

std::variant<Invocation, Stop> parse(int argc, const char* const* argv) {
    Invocation invocation;
    CLI::App app("", "sallyport");
    app.set_help_flag();  // --help is an option of the table, like all others
    app.fallthrough();    // so that global options may also stand after the command
    // What stands behind a command is never another one: a resource may be called "status".
    app.require_subcommand(0, 1);
    for (const Option& option : global_options()) add(app, invocation.values, option);
    std::map<const CLI::App*, const Command*> by_app;
    for (const Command& command : commands()) {
        CLI::App* sub = app.add_subcommand(std::string(command.name));
        by_app[sub] = &command;
        for (const Argument& argument : command.arguments) {
            if (argument.repeated) {
                sub->add_option(std::string(argument.name), invocation.repeated)
                    ->check(
                        [value = argument.value](const std::string& text) { return fault_of(value, text); });
            } else {
                add(*sub, invocation.values, argument);
            }
        }
        for (const Option& option : command.options) add(*sub, invocation.values, option);
    }

    auto parsed_command = [&]() -> const Command* {
        auto parsed = app.get_subcommands();
        return parsed.empty() ? nullptr : by_app.at(parsed.front());
    };
    try {
        app.parse(argc, argv);
    } catch (const CLI::ExtrasError&) {
        const Command* command = parsed_command();
        std::string first = app.remaining(true).empty() ? std::string() : app.remaining(true).front();
        if (first.starts_with('-')) return wrong_usage(command, fmt::format("there is no option {}", first));
        const bool is_command = std::ranges::find(commands(), first, &Command::name) != commands().end();
        if (command != nullptr && is_command) return wrong_usage(nullptr, "one command at a time");
        if (command != nullptr) return wrong_usage(command, fmt::format("unexpected \"{}\"", first));
        return wrong_usage(command, fmt::format("there is no command \"{}\"", first));
    } catch (const CLI::ArgumentMismatch& error) {
        std::string what = error.what();  // "--limit: 1 required TEXT missing"
        return wrong_usage(parsed_command(), fmt::format("{} needs a value", what.substr(0, what.find(':'))));
    } catch (const CLI::ParseError& error) {
        return wrong_usage(parsed_command(), error.what());
    }

    invocation.command = parsed_command();
    if (invocation.has("help"))
        return Stop{ExitCode::ok, invocation.command == nullptr ? help() : help(*invocation.command)};
    if (invocation.has("version")) return Stop{ExitCode::ok, "sallyport " SALLYPORT_VERSION "\n"};
    if (invocation.command == nullptr) return wrong_usage(nullptr, "no command is given");
    const bool gives_access = invocation.has("token-file") || invocation.has("ca-file");
    if (const std::string fault = read_environment(invocation.values); !fault.empty())
        return wrong_usage(invocation.command, fault);
    if (gives_access && !invocation.has("server"))
        return wrong_usage(invocation.command, "--token-file and --ca-file go with --server");
    for (const Argument& argument : invocation.command->arguments) {
        if (argument.required && !invocation.has(value_name(argument.name)))
            return wrong_usage(invocation.command, fmt::format("{} is missing", argument.name));
    }
    return invocation;
}

}  // namespace sallyport::cli

// SPDX-License-Identifier: Apache-2.0
//
// Every command, argument and option of `sallyport`, declared once. Parsing, --help, bash completion and
// the manual page are made from this table; nothing else lists them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace sallyport::cli {

class Session;

// What the process ends with: a contract with scripts.
enum class ExitCode : int {
    ok = 0,
    failed = 1,
    usage = 2,
    changes = 2,  // of `plan`
    unreachable = 3,
    not_permitted = 4,
    conflict = 5,
};

// What a value may be; decides how it is checked and how it is completed.
enum class Value {
    none,         // the option is a flag
    format,       // one of the output formats
    socket,       // path of a socket
    server,       // URL of the agent's listener on TCP
    file,         // path of a file; "-" is standard input, or output where it is written
    number,       // a whole number from 1
    duration,     // a time with its unit, such as 90s
    address,      // of IPv4
    port,         // of TCP or UDP
    device,       // the name of a device
    protocol,     // a protocol that is translated
    place,        // an address, a prefix or address:port
    endpoint,     // address:port
    tuple,        // protocol and both ends of a packet, in three words or in one
    segment,      // what kind of TCP segment
    vpc,          // the name of a VPC
    time,         // of RFC 3339, or seconds since 1970
    kind,         // a kind of resource
    name,         // the name of a resource of the kind that stands before it
    new_name,     // a name that is not taken yet
    elastic_ip,   // the name of an Elastic IP
    instance,     // the name of an instance
    association,  // what is done with an Elastic IP and an instance
    setting,      // FIELD=VALUE
    opaque,       // a word that the agent has given or is to keep
};

// The words that a value of this sort must be one of; empty where they are not fixed.
std::span<const std::string_view> words(Value value);

struct Option {
    std::string_view name;   // with its dashes: "--inside"
    std::string_view brief;  // one letter, "-o", or empty
    Value value = Value::none;
    std::string_view placeholder;  // what help calls the value: "P"
    std::string_view help;
    std::string_view variable = {};  // of the environment, which has the value where the option is not given
};

struct Argument {
    std::string_view name;  // as help shows it: "FILE"
    Value value = Value::none;
    bool required = true;
    std::string_view help;
    bool repeated = false;  // the last argument, which may come several times or not at all
    int most_words = 1;     // that it may be of; they are put together with spaces
};

struct ExitMeaning {
    int code = 0;
    std::string_view text;
};

struct Command {
    std::string_view name;
    std::string_view summary;      // one line of the list of commands
    std::string_view description;  // what help and the manual say, in sentences
    std::vector<Argument> arguments = {};
    std::vector<Option> options = {};
    std::vector<ExitMeaning> exits = {};  // where they differ from those of all commands
    ExitCode (*run)(Session&) = nullptr;
};

std::span<const Command> commands();
std::span<const Option> global_options();
std::span<const ExitMeaning> exit_codes();

inline constexpr std::string_view default_socket = "/run/sallyport/api.sock";
inline constexpr std::string_view default_config = "/etc/sallyport/sallyport.yaml";

}  // namespace sallyport::cli

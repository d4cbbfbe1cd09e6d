// SPDX-License-Identifier: Apache-2.0
//
// The command line of sallyportd. Everything else is in the configuration file.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "core/address.h"

namespace sallyport {

struct Options {
    std::string config = "/etc/sallyport/sallyport.yaml";
    std::string state_dir = "/var/lib/sallyport";
    std::string run_dir = "/run/sallyport";
    std::string pin_dir = "/sys/fs/bpf/sallyport";
    Endpoint metrics_listen{Ipv4Address(127, 0, 0, 1), 9710};
    std::optional<Endpoint> api_listen = {};  // none: what the configuration file says
};

// The options, or the exit code where there is nothing left to do (help and version were printed, or what
// is wrong with the command line).
std::variant<Options, int> parse_options(int argc, char** argv);

}  // namespace sallyport

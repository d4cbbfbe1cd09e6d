// SPDX-License-Identifier: Apache-2.0
//
// The configuration file: YAML in, a checked desired state out, or every fault in it at once. Nothing is
// guessed: what is not understood exactly is a fault.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "config/api_settings.h"
#include "config/sources.h"
#include "model/resources.h"

namespace sallyport::config {

struct Fault {
    std::string file;  // as given by the caller
    int line = 0;      // from 1; 0 where no place in the file is meant
    int column = 0;    // from 1, in bytes
    std::string path;  // "nat_gateways[0].timeouts.udp"; empty for the file as a whole
    std::string read;
    std::string expected;
    std::string message;  // one sentence that holds all of it
    // Of the body of a request instead of a file: what is at fault there, as a JSON Pointer (RFC 6901).
    std::optional<std::string> pointer = {};

    // "gw.yaml:12:30: nat_gateways[0].timeouts.udp: …", without the parts that are not known.
    [[nodiscard]] std::string to_string() const;
    bool operator==(const Fault&) const = default;
};

struct Loaded {
    model::DesiredState state;
    ApiSettings api;
    std::vector<Fault> warnings;
};

// All faults, in the order of the files.
tl::expected<Loaded, std::vector<Fault>> load_sources(const Sources& sources);
// A single file. `file_name` is only for messages.
tl::expected<Loaded, std::vector<Fault>> load_text(std::string_view text, const std::string& file_name);
// The file and its fragments.
tl::expected<Loaded, std::vector<Fault>> load_file(const std::string& path);

// The file that declares the object at "vpcs[3]" of the state that was loaded.
std::string file_of(const Sources& sources, std::string_view path);

}  // namespace sallyport::config

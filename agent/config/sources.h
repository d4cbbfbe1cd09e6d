// SPDX-License-Identifier: Apache-2.0
//
// The files that a configuration is made of: the configuration file itself, and the fragments in the
// directory sallyport.d beside it. Together they are one document.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"

namespace sallyport::config {

inline constexpr std::size_t sources_most_bytes = std::size_t{16} << 20;  // of all of them together
inline constexpr std::size_t fragments_most = 1000;

struct Source {
    std::string name;  // what messages call it: the path, as a rule
    std::string text;
    bool operator==(const Source&) const = default;
};

// The file that may have all sections comes first, then fragments, which have lists of objects only.
using Sources = std::vector<Source>;

// The directory of the fragments that belong to a configuration file.
std::string fragments_directory(const std::string& path);

// The configuration file and its fragments: what is called *.yaml, in the order of the names' bytes. Hidden
// files are none. That there is no directory is no error; one that cannot be read is, as is any file.
Result<Sources> read_sources(const std::string& path);

// "a.yaml and 2 fragments"
std::string describe(const Sources& sources);

}  // namespace sallyport::config

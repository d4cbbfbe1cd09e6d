// SPDX-License-Identifier: Apache-2.0
//
// Reads the part of YAML that nearly all configurations are written in, in a tenth of yaml-cpp's time: keys
// and lists by indentation, lists and maps in brackets, words and quoted texts on one line, comments.
#pragma once

#include <optional>
#include <string_view>

#include "config/document.h"

namespace sallyport::config {

// None where there is anything else in the text, be it right or wrong: yaml-cpp tells then what it is. What
// is given is what yaml-cpp would give, places included. `text` holds UTF-8 and no control characters.
std::optional<Node> parse_simple_yaml(std::string_view text);

}  // namespace sallyport::config

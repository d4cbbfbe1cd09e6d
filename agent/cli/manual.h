// SPDX-License-Identifier: Apache-2.0
//
// The parts of the manual that are made from the code, as roff for man(7).
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace sallyport::cli {

// A page whose lines "@OPTIONS@", "@COMMANDS@", "@EXIT_STATUS@" and "@DROP_REASONS@" are replaced by those
// parts, and "@VERSION@" anywhere by the version. Fails on a placeholder that it does not know.
Result<std::string> manual_page(std::string_view outline);

// Text as roff prints it, with nothing in it taken for a request. `…` is set in bold.
std::string roff(std::string_view text);

}  // namespace sallyport::cli

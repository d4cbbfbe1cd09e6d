// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sallyport::cli {

// A script for bash that completes commands, options and their values, and the names of resources by asking
// the agent. It needs nothing but bash and awk.
std::string bash_completion();

}  // namespace sallyport::cli

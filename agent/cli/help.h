// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sallyport::cli {

struct Command;

std::string help();                        // of the program
std::string help(const Command& command);  // of one command
std::string synopsis(const Command& command);

}  // namespace sallyport::cli

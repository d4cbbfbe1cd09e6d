// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "cli/problem.h"
#include "config/load.h"

namespace sallyport::cli {

// In the form in which the API tells faults, with one more field: severity is "error" or "warning".
Json faults_json(const std::vector<config::Fault>& faults, std::string_view severity);

}  // namespace sallyport::cli

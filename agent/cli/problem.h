// SPDX-License-Identifier: Apache-2.0
//
// How a command ends that did not get its answer. The body has the form of the API's errors
// (application/problem+json, RFC 9457), also where the error arose on this side of the socket, so that
// whoever reads -o json meets one form only.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <tl/expected.hpp>

#include "cli/command.h"

namespace sallyport::cli {

// Keeps the order of the fields, so that an answer is printed as it came.
using Json = nlohmann::ordered_json;

struct Problem {
    ExitCode exit = ExitCode::failed;
    Json body;
};

using Outcome = tl::expected<Json, Problem>;

// One that arose here: `title` names the sort of problem, `detail` says all of it in a sentence.
tl::unexpected<Problem> problem(ExitCode exit, std::string title, std::string detail);

}  // namespace sallyport::cli

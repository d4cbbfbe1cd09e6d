// SPDX-License-Identifier: Apache-2.0
//
// Which packet a client asks about: the parameters of /v1/explain.
#pragma once

#include <string>

#include <tl/expected.hpp>

#include "api/http.h"
#include "control/explain.h"

namespace sallyport::api {

// What the client got wrong is the error.
tl::expected<control::Question, std::string> parse_explain_question(const Request& request);

}  // namespace sallyport::api

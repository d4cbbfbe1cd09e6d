// SPDX-License-Identifier: Apache-2.0
//
// The body that `plan` and `apply` take, and what they answer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "api/http.h"
#include "control/gateway.h"
#include "model/delta.h"

namespace sallyport::api {

struct Document {
    std::string text;
    std::string name;  // what messages call it
};

// {"document": "…", "name": "…"}; the name may be missing. Otherwise the problem to answer with.
tl::expected<Document, Response> read_document(const Request& request);

// Nothing but {} or no body at all; otherwise the problem.
tl::expected<void, Response> expect_no_arguments(const Request& request);

Response json_response(const nlohmann::json& body);
Response refusal_response(const control::Refusal& refusal);
nlohmann::json changes_json(const std::vector<model::Change>& changes);

}  // namespace sallyport::api

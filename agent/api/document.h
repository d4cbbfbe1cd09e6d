// SPDX-License-Identifier: Apache-2.0
//
// The body that `plan` and `apply` take, and what they answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "api/http.h"
#include "control/gateway.h"
#include "model/delta.h"

namespace sallyport::api {

struct Document {
    config::Sources sources;
    std::optional<std::chrono::seconds> confirm_within;
    bool prune = false;  // what was made through the API goes
};

// {"document": "…", "name": "…", "fragments": [{"name": "…", "document": "…"}], "prune": true,
// "confirm_within": "60s"}; all but the first may be missing, and the last is for those who `may_await`.
// Otherwise the problem to answer with.
tl::expected<Document, Response> read_document(const Request& request, bool may_await = false);

// {"revision": 7}, {} or no body at all; otherwise the problem.
tl::expected<std::optional<std::uint64_t>, Response> read_revision(const Request& request);

// {"timeout": "90s"}, {} or no body at all; otherwise the problem.
tl::expected<std::optional<std::chrono::seconds>, Response> read_timeout(const Request& request);

// Nothing but {} or no body at all; otherwise the problem.
tl::expected<void, Response> expect_no_arguments(const Request& request);

nlohmann::json confirmation_json(const store::Confirmation& confirmation);
nlohmann::json drain_json(const control::DrainStatus& status);

Response json_response(const nlohmann::json& body);
Response refusal_response(const control::Refusal& refusal);
nlohmann::json changes_json(const std::vector<model::Change>& changes);

}  // namespace sallyport::api

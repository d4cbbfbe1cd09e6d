// SPDX-License-Identifier: Apache-2.0
//
// What is decided about a request that came over the network, by its head alone and before anything is done
// for it: whether it is meant for this host, whether the page that makes it may, and who makes it. Nothing
// here reads or writes anything else.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "api/bearer_tokens.h"
#include "api/http.h"
#include "core/host_name.h"
#include "core/web_origin.h"

namespace sallyport::api {

struct NetworkPolicy {
    bool token_needed = true;
    BearerTokens tokens = {};
    std::vector<HostName> allowed_hosts = {};
    std::vector<WebOrigin> allowed_origins = {};
};

// Against DNS rebinding: a page of evil.example whose name was made to lead here still says evil.example.
enum class HostVerdict { ours, missing, malformed, foreign };
HostVerdict judge_host(const NetworkPolicy& policy, const Request& request);

// CORS, as the Fetch standard has it.
enum class OriginVerdict {
    none,     // no page of another origin asks
    allowed,  //
    foreign,  // a page that may not; "null" and more than one origin among them
};
OriginVerdict judge_origin(const NetworkPolicy& policy, const Request& request);

// Whether a browser makes this request only to ask whether it may make another one.
bool is_preflight(const Request& request);

// GET and HEAD change nothing (RFC 9110 section 9.2.1).
bool is_safe(const Request& request);

using Headers = std::vector<std::pair<std::string, std::string>>;
// For each answer.
Headers cors_headers(const NetworkPolicy& policy, const Request& request);
// For the answer to a preflight from an allowed origin, besides. `methods` are those of the path.
Headers preflight_headers(const Request& request, const std::string& methods);

// Who asks, in words, for the history; otherwise why it is not known.
enum class Unknown { no_token, wrong_token };
tl::expected<std::string, Unknown> identify(const NetworkPolicy& policy, const Request& request);

}  // namespace sallyport::api

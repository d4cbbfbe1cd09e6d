// SPDX-License-Identifier: Apache-2.0
//
// Entity tags of objects and what requests demand of them (RFC 9110 sections 8.8.3 and 13): whoever changes
// what he has read before finds out when somebody else was faster.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "api/http.h"

namespace sallyport::api {

// An object as it is sent.
std::string json_text(const nlohmann::json& object);

// A strong one, which follows from the object alone: what was changed and changed back has its old tag again.
std::string entity_tag(const std::string& json);

// The answer that holds an object and its tag.
Response object_response(const std::string& json);

// The answer to a request whose If-Match or If-None-Match does not hold for what is there, which has this tag
// or is not there: 412, or 304 to a reader who has it already.
std::optional<Response> failed_precondition(const Request& request, const std::optional<std::string>& tag);

}  // namespace sallyport::api

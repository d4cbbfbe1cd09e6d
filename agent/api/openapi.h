// SPDX-License-Identifier: Apache-2.0
//
// The API as an OpenAPI document. It is made from what the API itself is made from: the routing table and
// the table of settings.
#pragma once

#include <string>
#include <vector>

#include "api/router.h"

namespace sallyport::api {

// OpenAPI 3.1 in YAML. Paths with {kind} are there once for each kind.
std::string openapi_document(const std::vector<Route>& routes, const std::string& version);

}  // namespace sallyport::api

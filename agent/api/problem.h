// SPDX-License-Identifier: Apache-2.0
//
// Errors on the wire: application/problem+json (RFC 9457), with one entry for each fault of a document.
#pragma once

#include <string>
#include <vector>

#include "api/http.h"
#include "config/load.h"

namespace sallyport::api {

Response problem(unsigned status, const std::string& detail, const std::vector<config::Fault>& faults = {});

// 400: a parameter of the query cannot be read. It is named in the one fault.
Response problem_of_parameter(const std::string& name, const std::string& read, const std::string& expected);

}  // namespace sallyport::api

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

}  // namespace sallyport::api

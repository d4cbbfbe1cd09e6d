// SPDX-License-Identifier: Apache-2.0
//
// The objects of each kind as JSON Schema, made from the table of settings: what may be sent to the API and
// what comes from it. A schema says what shape an object has; validate() says whether it makes sense.
#pragma once

#include <nlohmann/json.hpp>

#include "model/kinds.h"

namespace sallyport::model {

// Keys are in the order of the table. For JSON Schema 2020-12, as OpenAPI 3.1 takes it.
nlohmann::ordered_json json_schema(Kind kind);

}  // namespace sallyport::model

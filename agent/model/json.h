// SPDX-License-Identifier: Apache-2.0
//
// The model as JSON, with the names and the spelling of the configuration file. What is not set is left
// out; what has a default is always there.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "model/delta.h"
#include "model/kinds.h"
#include "model/resources.h"

namespace sallyport::model {

nlohmann::json to_json(const Gateway& gateway);

// One object, with its "origin".
#define X(name, Type, word, help) nlohmann::json to_json(const Type& object);
SALLYPORT_KINDS(X)
#undef X

// All objects of a kind as an array, in the order of the state.
nlohmann::json to_json(const DesiredState& state, Kind kind);

// The object of that kind and name, or nothing.
std::optional<nlohmann::json> to_json(const DesiredState& state, Kind kind, std::string_view name);

// {"gateway": {…}, "vpcs": […], …}
nlohmann::json to_json(const DesiredState& state);

// {"kind":"elastic_ips","name":"eip-2","change":"update","fields":["address"]}
nlohmann::json to_json(const Change& change);

}  // namespace sallyport::model

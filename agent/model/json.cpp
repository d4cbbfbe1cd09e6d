// SPDX-License-Identifier: Apache-2.0
#include "model/json.h"

#include "model/json_values.h"

namespace sallyport::model {
namespace {

template <typename T>
nlohmann::json object_to_json(const T& object) {
    nlohmann::json result = value_to_json(object);
    result["origin"] = to_string(object.origin);
    return result;
}

}  // namespace

nlohmann::json to_json(const Gateway& gateway) {
    return value_to_json(gateway);
}

#define X(name, Type, word, help)                \
    nlohmann::json to_json(const Type& object) { \
        return object_to_json(object);           \
    }
SALLYPORT_KINDS(X)
#undef X

nlohmann::json to_json(const DesiredState& state, Kind kind) {
    nlohmann::json array = nlohmann::json::array();
    visit_kinds([&](Kind visited, auto objects_of_kind) {
        if (visited != kind) return;
        for (const auto& object : state.*objects_of_kind) array.push_back(object_to_json(object));
    });
    return array;
}

std::optional<nlohmann::json> to_json(const DesiredState& state, Kind kind, std::string_view name) {
    std::optional<nlohmann::json> found;
    visit_kinds([&](Kind visited, auto objects_of_kind) {
        if (visited != kind) return;
        for (const auto& object : state.*objects_of_kind) {
            if (object.name == name) found = object_to_json(object);
        }
    });
    return found;
}

nlohmann::json to_json(const DesiredState& state) {
    nlohmann::json result{{"gateway", to_json(state.gateway)}};
    for (const Kind kind : all_kinds) result[std::string(to_string(kind))] = to_json(state, kind);
    return result;
}

nlohmann::json to_json(const Change& change) {
    return {{"kind", change.kind},
            {"name", change.name},
            {"change", to_string(change.change)},
            {"fields", change.fields}};
}

}  // namespace sallyport::model

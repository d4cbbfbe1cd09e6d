// SPDX-License-Identifier: Apache-2.0
//
// What differs between two desired states, object by object.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

namespace sallyport::model {

enum class ChangeType { create, update, remove };

struct Change {
    std::string kind;  // as in kinds.h, or "gateway"
    std::string name;
    ChangeType change = ChangeType::update;
    std::vector<std::string> fields;  // for an update: those that differ, in the order of fields.h
    bool operator==(const Change&) const = default;
};

std::string_view to_string(ChangeType change);  // "create", "update", "delete"

// First the gateway, then kind after kind as kinds.h lists them, within a kind by name. Objects are known
// by their names; neither their order nor the order within a list matters, nor where they came from.
std::vector<Change> delta(const DesiredState& from, const DesiredState& to);

}  // namespace sallyport::model

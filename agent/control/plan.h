// SPDX-License-Identifier: Apache-2.0
//
// What Gateway::apply() would change, found out without changing anything: a query.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/sources.h"
#include "control/candidate.h"
#include "control/gateway_reader.h"
#include "model/delta.h"

namespace sallyport::control {

struct Plan {
    std::vector<model::Change> changes;
    std::vector<std::string> warnings;
    std::optional<std::uint64_t> flows_cut = {};  // none: it cannot be told, and a warning says why
};

// What was made through the API stays, unless `prune`.
Outcome<Plan> plan_for(const Snapshot& now, const config::Sources& sources, bool prune = false);

}  // namespace sallyport::control

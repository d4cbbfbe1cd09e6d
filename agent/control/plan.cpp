// SPDX-License-Identifier: Apache-2.0
#include "control/plan.h"

#include <fmt/format.h>

#include <utility>

#include "control/flows_cut.h"
#include "model/objects.h"
#include "reconcile/plan.h"

namespace sallyport::control {

namespace {

Result<std::uint64_t> flows_cut_by(const model::DesiredState& state, const Snapshot& now) {
    if (now.view->detached) return 0;  // there are none
    if (!now.view->basis) return failure("the data plane could not be read yet");
    const reconcile::Basis& basis = *now.view->basis;
    const auto planned = basis.tables_for(state, now.dataplane, now.netlink);
    if (!planned) return tl::unexpected(planned.error());
    if (reconcile::same_to_flows(*basis.tables, *planned)) return 0;
    const auto generation = now.dataplane.generation();
    if (!generation) return tl::unexpected(generation.error());
    return count_flows_cut(
        *basis.tables, *generation, *planned,
        [&](const auto& visit) { return now.dataplane.visit_flows(visit); },
        [&](const auto& visit) { return now.dataplane.visit_inner_flows(visit); });
}

}  // namespace

Outcome<Plan> plan_for(const Snapshot& now, const config::Sources& sources, bool prune) {
    const model::DesiredState& desired = *now.view->state;
    const auto candidate = read_candidate(sources, kept_objects(desired, prune));
    if (!candidate) return tl::unexpected(candidate.error());
    const config::Loaded& loaded = candidate->loaded;
    Plan plan{model::delta(desired, loaded.state), texts_of(loaded.warnings)};
    const Result<std::uint64_t> counted =
        plan.changes.empty() ? Result<std::uint64_t>(0) : flows_cut_by(loaded.state, now);
    if (counted) {
        plan.flows_cut = *counted;
    } else {
        plan.warnings.push_back(
            fmt::format("how many flows it would cut cannot be told: {}", counted.error().message));
    }
    return plan;
}

}  // namespace sallyport::control

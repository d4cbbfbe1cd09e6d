// SPDX-License-Identifier: Apache-2.0
#include "control/flows_cut.h"

#include <set>
#include <tuple>
#include <vector>

#include "control/flow_rules.h"

namespace sallyport::control {

namespace {

using dataplane::FlowRecord;

// A remote address that may send to an external endpoint.
using Permit = std::tuple<Protocol, Endpoint, Ipv4Address>;

Permit permit_of(const FlowRecord& flow) {
    return {flow.protocol, flow.external, flow.remote.address};
}

}  // namespace

Result<std::uint64_t> count_flows_cut(const dataplane::ForwardingTables& in_force, std::uint16_t generation,
                                      const dataplane::ForwardingTables& planned,
                                      const VisitFlows& visit_flows,
                                      const VisitInnerFlows& visit_inner_flows) {
    const FlowRules now(in_force);
    const FlowRules then(planned);
    std::set<Permit> permits;
    const auto is_permitted = [&](Protocol protocol, const Endpoint& external, Ipv4Address remote) {
        return permits.contains(Permit{protocol, external, remote});
    };
    const auto is_cut = [&](const FlowRecord& flow) {
        if (then.allows(flow, is_permitted)) return false;
        const bool is_checked = flow.generation == generation && flow.generation_in == generation;
        return is_checked || now.allows(flow, is_permitted);
    };

    std::uint64_t count = 0;
    // Only the filtering lets these in, which asks what other flows there are.
    std::vector<FlowRecord> unanswered;
    std::set<Permit> asked;
    const auto looked = visit_flows([&](const FlowRecord& flow) {
        if (flow.state == "opening_from_outside" && !flow.is_static) {
            unanswered.push_back(flow);
            asked.insert(permit_of(flow));
        } else if (is_cut(flow)) {
            ++count;
        }
        return true;
    });
    if (!looked) return failure_within("read the flow table", looked.error());
    const auto looked_inside =
        visit_inner_flows([&](const dataplane::InnerFlowKey& key, const dataplane::InnerFlow& flow) {
            if (!flow.finished && !then.allows(key, flow.message) &&
                (flow.generation == generation || now.allows(key, flow.message)))
                ++count;
            return true;
        });
    if (!looked_inside) return failure_within("read the flows that stay inside", looked_inside.error());
    if (unanswered.empty()) return count;
    const auto collected = visit_flows([&](const FlowRecord& flow) {
        if (flow.permitted && asked.contains(permit_of(flow))) permits.insert(permit_of(flow));
        return true;
    });
    if (!collected) return failure_within("read the flow table", collected.error());
    for (const FlowRecord& flow : unanswered) {
        if (is_cut(flow)) ++count;
    }
    return count;
}

}  // namespace sallyport::control

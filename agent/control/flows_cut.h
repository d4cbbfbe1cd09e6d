// SPDX-License-Identifier: Apache-2.0
//
// How many flows a change would cut: what the data plane finds out packet by packet once new tables are in
// force, found out before.
#pragma once

#include <cstdint>
#include <functional>

#include "core/result.h"
#include "dataplane/dataplane.h"
#include "dataplane/tables.h"

namespace sallyport::control {

// Calls its argument for each live flow until that returns false, as Dataplane::visit_flows() does.
using VisitFlows = std::function<Result<void>(const std::function<bool(const dataplane::FlowRecord&)>&)>;
// The same of those that stay inside, as Dataplane::visit_inner_flows() does.
using VisitInnerFlows = std::function<Result<void>(
    const std::function<bool(const dataplane::InnerFlowKey&, const dataplane::InnerFlow&)>&)>;

// Flows that stand and that `planned` forbids, those that stay inside and are not finished among them. One
// that the tables in force forbid already, and that only waits for its next packet to be cut, is lost
// whatever comes, and not counted as cut. Where filtering becomes address_dependent, an unanswered flow from
// outside may be saved by the next packet of another flow of its mapping to the same address, if that comes
// first; it is counted as cut.
Result<std::uint64_t> count_flows_cut(const dataplane::ForwardingTables& in_force, std::uint16_t generation,
                                      const dataplane::ForwardingTables& planned,
                                      const VisitFlows& visit_flows,
                                      const VisitInnerFlows& visit_inner_flows);

}  // namespace sallyport::control

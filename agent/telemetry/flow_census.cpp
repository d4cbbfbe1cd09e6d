// SPDX-License-Identifier: Apache-2.0
#include "telemetry/flow_census.h"

#include <bitset>
#include <memory>

namespace sallyport::telemetry {

std::uint64_t FlowCensus::flows_of(std::uint16_t nat_gateway, Protocol protocol) const {
    const auto found = flows.find({nat_gateway, protocol});
    return found == flows.end() ? 0 : found->second;
}

std::uint32_t FlowCensus::ports_of(Ipv4Address elastic_ip, Protocol protocol) const {
    const auto found = ports_in_use.find({elastic_ip, protocol});
    return found == ports_in_use.end() ? 0 : found->second;
}

Result<FlowCensus> take_census(dataplane::DataplaneReader& dataplane) {
    using Ports = std::bitset<65536>;
    FlowCensus census;
    std::map<std::pair<Ipv4Address, Protocol>, std::unique_ptr<Ports>> seen;
    Result<void> visited = dataplane.visit_flows([&](const dataplane::FlowRecord& flow) {
        ++census.flows[{flow.nat_gateway, flow.protocol}];
        std::unique_ptr<Ports>& ports = seen[{flow.external.address, flow.protocol}];
        if (!ports) ports = std::make_unique<Ports>();
        ports->set(flow.external.port);
        return true;
    });
    if (!visited) return failure_within("count the flows", visited.error());
    for (const auto& [key, ports] : seen)
        census.ports_in_use[key] = static_cast<std::uint32_t>(ports->count());
    return census;
}

}  // namespace sallyport::telemetry

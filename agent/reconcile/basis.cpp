// SPDX-License-Identifier: Apache-2.0
#include "reconcile/basis.h"

#include <algorithm>

#include "reconcile/identifiers.h"
#include "reconcile/plan.h"
#include "sallyport/abi/maps.h"

namespace sallyport::reconcile {

Result<dataplane::ForwardingTables> Basis::tables_for(const model::DesiredState& desired,
                                                      dataplane::DataplaneReader& dataplane,
                                                      netlink::Netlink& netlink) const {
    Identifiers identifiers(tables->identifiers);
    const auto numbered = identifiers.provide(
        names_of(desired), [&](auto kind, auto number) { return is_carried(dataplane, kind, number); });
    if (!numbered) return failure_within("numbers", numbered.error());
    const auto host_ports = host_ports_for(desired, netlink);
    if (!host_ports) return tl::make_unexpected(host_ports.error());
    return make_plan(desired, network, identifiers, draining, *host_ports).tables;
}

bool is_carried(dataplane::DataplaneReader& dataplane, std::uint32_t kind, std::uint32_t number) {
    bool carried = false;
    const auto visited = dataplane.visit_flows([&](const dataplane::FlowRecord& flow) {
        carried = kind == IDENTIFIER_VPC ? flow.zone == number
                                         : kind == IDENTIFIER_NAT_GATEWAY && flow.nat_gateway == number;
        return !carried;
    });
    return carried || !visited;
}

bool shares_with_host(const model::DesiredState& desired) {
    return std::ranges::any_of(desired.elastic_ips, &model::ElasticIp::shared_with_host);
}

Result<netlink::HostPorts> host_ports_for(const model::DesiredState& desired, netlink::Netlink& netlink) {
    if (!shares_with_host(desired)) return netlink::HostPorts{};
    auto ports = netlink.host_ports();
    if (!ports) return failure_within("read the host's ports", ports.error());
    return ports;
}

}  // namespace sallyport::reconcile

// SPDX-License-Identifier: Apache-2.0
//
// Lists that fit into the data plane's tables.
#include <fmt/format.h>
#include <sallyport/abi/limits.h>

#include <cstddef>

#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

class Sizes : Rules {
  public:
    explicit Sizes(Examination& examination) : Rules(examination) {}

    void check() {
        check_size("gateway.devices", state_.gateway.devices.size(), DEVICES_MAX);
        check_size("nat_gateways", state_.nat_gateways.size(), INTERNET_GATEWAY_FIRST);
        check_size("internet_gateways", state_.internet_gateways.size(),
                   NAT_GATEWAYS_MAX - INTERNET_GATEWAY_FIRST);
        check_size("elastic_ips", state_.elastic_ips.size(), ELASTIC_IPS_MAX);
        check_size("subnets", state_.subnets.size(), SUBNETS_MAX);
        check_size("instances", state_.instances.size(), INSTANCES_MAX);
        check_size("security_groups", state_.security_groups.size(), SECURITY_GROUPS_MAX);
        std::size_t ports = 0;
        for (const PortForward& forward : state_.port_forwards) ports += forward.port.prefixes().size();
        check_size("port_forwards", ports, PORT_FORWARDS_MAX);
        std::size_t routes = 0;
        std::size_t without_translation = 0;  // each may be a route of every table
        for (const NatGateway& gateway : state_.nat_gateways)
            without_translation += gateway.no_translation.size();
        for (const RouteTable& table : state_.route_tables)
            routes += table.routes.size() + 1 + without_translation;
        check_size("route_tables", routes, ROUTES_MAX);
        std::size_t prefixes = 0;
        for (const Vpc& vpc : state_.vpcs) prefixes += vpc.cidrs.size();
        check_size("vpcs", prefixes, PRIVATE_PREFIXES_MAX);
    }
};

}  // namespace

void check_sizes(Examination& examination) {
    Sizes(examination).check();
}

}  // namespace sallyport::model

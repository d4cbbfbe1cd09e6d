// SPDX-License-Identifier: Apache-2.0
//
// A state without a fault or a warning, for tests to change one thing in.
#pragma once

#include "model/resources.h"

namespace sallyport::model {

inline DesiredState sample_state() {
    DesiredState state;
    state.gateway.name = "gw1";
    state.gateway.devices = {{"lan0", DeviceRole::inside, "main"}, {"wan0", DeviceRole::outside, ""}};
    state.vpcs.push_back({.name = "main", .cidrs = {Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 16)}});
    state.elastic_ips.push_back({.name = "eip-1", .address = Ipv4Address(198, 51, 100, 10)});
    state.elastic_ips.push_back({.name = "eip-2", .address = Ipv4Address(198, 51, 100, 11)});
    NatGateway nat;
    nat.name = "egress";
    nat.vpc = "main";
    nat.elastic_ips = {"eip-1"};
    state.nat_gateways.push_back(nat);
    state.route_tables.push_back({.name = "private",
                                  .vpc = "main",
                                  .main = true,
                                  .routes = {{Ipv4Prefix(), ToNatGateway{"egress"}},
                                             {Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24), Blackhole{}}}});
    state.subnets.push_back({.name = "app", .vpc = "main", .cidr = Ipv4Prefix(Ipv4Address(10, 0, 1, 0), 24)});
    return state;
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
//
// A gateway with one device on each side, as a desired state and as a network.
#pragma once

#include <memory>

#include "model/resources.h"
#include "netlink/memory_netlink.h"

namespace sallyport::reconcile {

inline constexpr std::uint32_t lan0 = 11;
inline constexpr std::uint32_t wan0 = 12;
inline const MacAddress lan0_mac({2, 0, 0, 0, 0, 1});
inline const MacAddress wan0_mac({2, 0, 0, 0, 0, 2});
inline const MacAddress router_mac({2, 0, 0, 0, 0, 9});
inline const Ipv4Address router(198, 51, 100, 1);

inline netlink::Link link(std::uint32_t ifindex, const std::string& name, const MacAddress& mac) {
    netlink::Link value;
    value.ifindex = ifindex;
    value.name = name;
    value.mac = mac;
    value.mtu = 1500;
    value.up = value.running = true;
    return value;
}

inline netlink::NeighbourEntry neighbour(std::uint32_t ifindex, Ipv4Address address, const MacAddress& mac,
                                         netlink::NeighbourState state = netlink::NeighbourState::reachable) {
    return {ifindex, address, mac, state};
}

inline void fill(netlink::MemoryNetlink& network) {
    network.put_link(link(1, "lo", MacAddress()));
    network.put_link(link(lan0, "lan0", lan0_mac));
    network.put_link(link(wan0, "wan0", wan0_mac));
    network.put_address({1, Ipv4Address(127, 0, 0, 1), 8});
    network.put_address({lan0, Ipv4Address(10, 0, 1, 1), 24});
    network.put_address({wan0, Ipv4Address(198, 51, 100, 2), 24});
    network.put_neighbour(neighbour(wan0, router, router_mac));
    network.put_neighbour(neighbour(lan0, Ipv4Address(10, 0, 1, 5), MacAddress({2, 0, 0, 0, 1, 5})));
}

inline model::DesiredState example() {
    using namespace model;
    DesiredState state;
    state.gateway.name = "gw1";
    state.gateway.devices = {{"lan0", DeviceRole::inside, "main"}, {"wan0", DeviceRole::outside, ""}};
    state.gateway.flow_capacity = 1000;
    Vpc vpc;
    vpc.name = "main";
    vpc.cidrs = {Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 16)};
    state.vpcs.push_back(vpc);
    Subnet subnet;
    subnet.name = "app";
    subnet.vpc = "main";
    subnet.cidr = Ipv4Prefix(Ipv4Address(10, 0, 1, 0), 24);
    subnet.route_table = "private";
    state.subnets.push_back(subnet);
    RouteTable table;
    table.name = "private";
    table.vpc = "main";
    table.routes = {{Ipv4Prefix(), ToNatGateway{"egress"}},
                    {Ipv4Prefix(Ipv4Address(203, 0, 113, 0), 24), Blackhole{}}};
    state.route_tables.push_back(table);
    ElasticIp first, second;
    first.name = "eip-1";
    first.address = Ipv4Address(198, 51, 100, 10);
    second.name = "eip-2";
    second.address = Ipv4Address(192, 0, 2, 7);
    state.elastic_ips = {first, second};
    NatGateway gateway;
    gateway.name = "egress";
    gateway.vpc = "main";
    gateway.elastic_ips = {"eip-1"};
    state.nat_gateways.push_back(gateway);
    return state;
}

inline std::shared_ptr<const model::DesiredState> shared(model::DesiredState state) {
    return std::make_shared<const model::DesiredState>(std::move(state));
}

}  // namespace sallyport::reconcile

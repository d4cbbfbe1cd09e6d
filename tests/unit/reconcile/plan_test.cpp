// SPDX-License-Identifier: Apache-2.0
#include "reconcile/plan.h"

#include <gtest/gtest.h>

#include "sallyport/abi/maps.h"
#include "unit/reconcile/example.h"

namespace sallyport::reconcile {
namespace {

using dataplane::RouteKind;

class PlanTest : public testing::Test {
  protected:
    PlanTest() { fill(network_); }

    Plan plan() {
        auto view = NetworkView::read(network_);
        EXPECT_TRUE(view);
        EXPECT_TRUE(identifiers_.provide(names_of(desired_), [](auto, auto) { return false; }));
        return make_plan(desired_, *view, identifiers_, {}, host_ports_);
    }

    netlink::MemoryNetlink network_;
    netlink::HostPorts host_ports_{{32768, 60999}, {}, {}};
    model::DesiredState desired_ = example();
    Identifiers identifiers_;
};

TEST_F(PlanTest, devices_are_described_by_what_the_kernel_says) {
    const Plan made = plan();
    ASSERT_EQ(made.tables.devices.size(), 2U);
    const auto& inside = made.tables.devices.at(0);
    EXPECT_EQ(inside.name, "lan0");
    EXPECT_EQ(inside.ifindex, lan0);
    EXPECT_EQ(inside.mac, lan0_mac);
    EXPECT_EQ(inside.mtu, 1500);
    EXPECT_EQ(inside.zone, 1);
    EXPECT_EQ(inside.address, Ipv4Address(10, 0, 1, 1));
    EXPECT_EQ(inside.role, dataplane::Role::inside);
    EXPECT_EQ(made.tables.devices.at(1).zone, 0);
    EXPECT_EQ(made.attach.size(), 2U);
    EXPECT_TRUE(made.missing_devices.empty());
}

TEST_F(PlanTest, a_device_that_is_not_there_is_left_out) {
    network_.remove_link(wan0);
    const Plan made = plan();
    EXPECT_EQ(made.missing_devices, std::vector<std::string>{"wan0"});
    EXPECT_EQ(made.attach.size(), 1U);
    EXPECT_EQ(made.tables.devices.size(), 1U);
    EXPECT_EQ(made.tables.elastic_ips.at(Ipv4Address(198, 51, 100, 10)).on_link_device, NO_DEVICE);
}

TEST_F(PlanTest, an_outside_with_addresses_of_the_inside_is_refused) {
    network_.put_address({wan0, Ipv4Address(10, 0, 1, 77), 24});
    Plan made = plan();
    ASSERT_TRUE(made.refused_devices.contains("wan0"));
    EXPECT_NE(made.refused_devices.at("wan0").find("10.0.1.0/24"), std::string::npos);
    EXPECT_EQ(made.attach.size(), 1U);
    network_.remove_address({wan0, Ipv4Address(10, 0, 1, 77), 24});
    // A wider prefix takes nothing away: the kernel prefers the longer one, which is the inside's.
    network_.put_address({wan0, Ipv4Address(10, 9, 9, 9), 8});
    made = plan();
    EXPECT_TRUE(made.refused_devices.empty());
    EXPECT_EQ(made.attach.size(), 2U);
}

// Its program would see the packets of all VLANs, and take them for those of its own VPC.
TEST_F(PlanTest, a_trunk_is_refused_where_one_of_its_vlans_is_used) {
    netlink::Link vlan = link(77, "lan0.10", lan0_mac);
    vlan.kind = "vlan";
    vlan.trunk = lan0;
    network_.put_link(vlan);
    EXPECT_TRUE(plan().refused_devices.empty()) << "a VLAN that is nobody's";
    model::Device device = desired_.gateway.devices[0];
    device.device = "lan0.10";
    desired_.gateway.devices.push_back(device);
    const auto refused = [&] {
        const Plan made = plan();
        return made.refused_devices.size() == 1 && made.refused_devices.contains("lan0") &&
               made.attach.size() == 2 && made.tables.devices.size() == 2;
    };
    EXPECT_TRUE(refused());
    netlink::Link inner = vlan;
    inner.ifindex = 78;
    inner.name = desired_.gateway.devices.back().device = "lan0.10.5";
    inner.trunk = vlan.ifindex;
    network_.put_link(inner);
    EXPECT_TRUE(refused()) << "of a VLAN of a VLAN";
    inner.trunk = wan0 + 100;
    network_.put_link(inner);
    EXPECT_TRUE(plan().refused_devices.empty());
}

TEST_F(PlanTest, an_address_with_a_subnet_is_preferred_for_icmp_errors) {
    network_.put_address({wan0, Ipv4Address(198, 51, 100, 1), 32});
    EXPECT_EQ(plan().tables.devices.at(1).address, Ipv4Address(198, 51, 100, 2));
    network_.remove_address({wan0, Ipv4Address(198, 51, 100, 2), 24});
    EXPECT_EQ(plan().tables.devices.at(1).address, Ipv4Address(198, 51, 100, 1));
    network_.remove_address({wan0, Ipv4Address(198, 51, 100, 1), 32});
    EXPECT_EQ(plan().tables.devices.at(1).address, Ipv4Address());
}

TEST_F(PlanTest, routes_have_the_vpcs_own_prefixes_too) {
    const Plan made = plan();
    const std::uint32_t table = identifiers_.at(IDENTIFIER_ROUTE_TABLE, "private");
    const auto& routes = made.tables.routes;
    EXPECT_EQ(routes.at({table, Ipv4Prefix()}).kind, RouteKind::nat_gateway);
    EXPECT_EQ(routes.at({table, Ipv4Prefix()}).index, 0);
    EXPECT_EQ(routes.at({table, desired_.vpcs[0].cidrs[0]}).kind, RouteKind::local);
    EXPECT_EQ(routes.at({table, Ipv4Prefix(Ipv4Address(203, 0, 113, 0), 24)}).kind, RouteKind::blackhole);
    EXPECT_EQ(made.tables.private_prefixes, std::set<Ipv4Prefix>{desired_.vpcs[0].cidrs[0]});
}

TEST_F(PlanTest, nothing_takes_the_place_of_a_local_route) {
    desired_.route_tables[0].routes.push_back({desired_.vpcs[0].cidrs[0], model::Blackhole{}});
    const std::uint32_t table = 1;
    EXPECT_EQ(plan().tables.routes.at({table, desired_.vpcs[0].cidrs[0]}).kind, RouteKind::local);
}

TEST_F(PlanTest, a_router_inside_is_a_neighbour_on_its_link) {
    const Ipv4Address inside(10, 0, 1, 254), elsewhere(10, 0, 2, 254);
    desired_.route_tables[0].routes = {{Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24), model::Via{inside}},
                                       {Ipv4Prefix(Ipv4Address(192, 0, 3, 0), 24), model::Via{elsewhere}}};
    const Plan made = plan();
    EXPECT_EQ(made.tables.routes.at({1, Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24)}),
              (dataplane::RouteEntry{RouteKind::via, 0, inside}));
    EXPECT_EQ(made.wanted_neighbours, (std::set<dataplane::Neighbour>{{lan0, inside}}));
}

TEST_F(PlanTest, rules_hold_groups_and_messages) {
    for (const char* name : {"db", "app"}) desired_.security_groups.push_back({.name = name, .vpc = "main"});
    desired_.security_groups[0].ingress = {
        {.protocol = Protocol::tcp, .ports = PortRange{5432, 5432}, .peer = std::string("app")},
        {.protocol = Protocol::icmp, .icmp_type = IcmpType{3}},
        {.protocol = Protocol::icmp, .icmp_type = IcmpType{3}, .icmp_code = 4},
        {.protocol = Protocol::icmp}};
    const Plan made = plan();
    const auto number = static_cast<std::uint16_t>(identifiers_.at(IDENTIFIER_SECURITY_GROUP, "app"));
    EXPECT_EQ(made.tables.security_groups
                  .at(static_cast<std::uint16_t>(identifiers_.at(IDENTIFIER_SECURITY_GROUP, "db")))
                  .ingress,
              (std::vector<dataplane::SecurityRule>{{6, {5432, 5432}, {}, number},
                                                    {1, {0x300, 0x3ff}, {}, 0},
                                                    {1, {0x304, 0x304}, {}, 0},
                                                    {1, {0, 65535}, {}, 0}}));
}

TEST_F(PlanTest, an_instance_has_its_elastic_ip_by_the_internet_gateway_of_its_vpc) {
    const Ipv4Address own(198, 51, 100, 50), address(10, 0, 1, 50);
    desired_.elastic_ips.push_back({.name = "own", .address = own, .instance = "db"});
    desired_.instances.push_back({.name = "db", .subnet = desired_.subnets[0].name, .address = address});
    Plan made = plan();
    EXPECT_EQ(made.tables.elastic_ips.at(own).nat_gateway, NO_NAT_GATEWAY);
    desired_.internet_gateways.push_back({.name = "igw", .vpc = "main"});
    desired_.route_tables[0].routes.push_back(
        {Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24), model::ToInternetGateway{"igw"}});
    made = plan();
    const auto& entry = made.tables.elastic_ips.at(own);
    EXPECT_EQ(entry.nat_gateway, INTERNET_GATEWAY_FIRST);
    EXPECT_EQ(entry.instance, address);
    EXPECT_EQ(entry.zone, 1);
    EXPECT_EQ(made.tables.instances.at({1, address}).elastic_ip, own);
    EXPECT_TRUE(made.tables.subnets.at({1, desired_.subnets[0].cidr}).has_instances);
    EXPECT_TRUE(made.tables.nat_gateways.at(INTERNET_GATEWAY_FIRST).elastic_ips.empty());
    EXPECT_EQ(made.tables.routes.at({1, Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24)}),
              (dataplane::RouteEntry{RouteKind::internet_gateway, INTERNET_GATEWAY_FIRST}));
}

TEST_F(PlanTest, an_instance_has_its_own_security_groups_or_those_of_its_subnet) {
    for (const char* name : {"of-subnet", "own"})
        desired_.security_groups.push_back({.name = name, .vpc = "main"});
    desired_.security_groups[0].ingress = {{.protocol = Protocol::tcp,
                                            .ports = PortRange{80, 90},
                                            .peer = Ipv4Prefix(Ipv4Address(203, 0, 113, 0), 24)},
                                           {.peer = "own"}};
    desired_.security_groups[1].egress.emplace();
    desired_.subnets[0].security_groups = {"of-subnet"};
    const std::string subnet = desired_.subnets[0].name;
    desired_.instances = {
        {.name = "a", .subnet = subnet, .address = Ipv4Address(10, 0, 1, 51)},
        {.name = "b", .subnet = subnet, .address = Ipv4Address(10, 0, 1, 52), .security_groups = {"own"}}};
    const auto tables = plan().tables;
    using Numbers = dataplane::SecurityGroupNumbers;
    EXPECT_EQ(tables.subnets.at({1, desired_.subnets[0].cidr}).security_groups, Numbers{1});
    EXPECT_EQ(tables.instances.size(), 1U);
    EXPECT_EQ(tables.instances.at({1, Ipv4Address(10, 0, 1, 52)}).security_groups, Numbers{2});
    const dataplane::SecurityGroupEntry& of_subnet = tables.security_groups.at(1);
    ASSERT_EQ(of_subnet.ingress.size(), 2U);
    EXPECT_EQ(of_subnet.ingress[1].remote_group, 2);
    EXPECT_EQ(of_subnet.ingress[0],
              (dataplane::SecurityRule{6, PortRange{80, 90}, Ipv4Prefix(Ipv4Address(203, 0, 113, 0), 24)}));
    EXPECT_EQ(of_subnet.egress, std::vector{dataplane::SecurityRule{}});  // everything may leave
    EXPECT_TRUE(tables.security_groups.at(2).egress.empty());             // nothing may
}

TEST_F(PlanTest, a_port_forward_is_seen_from_both_sides) {
    const Ipv4Address elastic_ip = desired_.elastic_ips[0].address, to(10, 0, 1, 12);
    desired_.port_forwards = {{.name = "voice",
                               .elastic_ip = desired_.elastic_ips[0].name,
                               .protocol = Protocol::udp,
                               .port = {5001, 5004},
                               .to_address = to,
                               .to_port = 6001}};
    const auto tables = plan().tables;
    EXPECT_EQ(tables.port_forwards.size(), 3U);  // 5001, 5002-5003, 5004
    EXPECT_EQ(tables.port_forwards.at({elastic_ip, 17, 5002, 15}),
              (dataplane::PortForwardEntry{to, 1, 5001, 6001}));
    EXPECT_EQ(tables.forwarded_endpoints.at({1, to, 17, 6002, 15}),
              (dataplane::ForwardedEndpointEntry{elastic_ip, 6001, 5001}));
    EXPECT_TRUE(tables.elastic_ips.at(elastic_ip).forwards_ports);
    EXPECT_TRUE(tables.nat_gateways.at(0).forwards_ports);
}

TEST_F(PlanTest, destinations_that_are_not_translated_are_routes_of_their_own) {
    const Ipv4Prefix wide(Ipv4Address(198, 18, 0, 0), 15), narrow(Ipv4Address(198, 18, 7, 0), 24),
        host(Ipv4Address(203, 0, 113, 20), 32), elsewhere(Ipv4Address(203, 0, 114, 0), 24);
    desired_.nat_gateways[0].no_translation = {wide, host, elsewhere};
    const model::RouteTarget here = model::ToNatGateway{desired_.nat_gateways[0].name};
    // host lies in a blackhole; part of wide is routed on its own; the rest takes the default route.
    desired_.route_tables[0].routes.push_back({narrow, here});
    const auto routes = plan().tables.routes;
    const std::uint32_t table = identifiers_.at(IDENTIFIER_ROUTE_TABLE, "private");
    EXPECT_EQ(routes.at({table, Ipv4Prefix()}).kind, RouteKind::nat_gateway);
    for (const Ipv4Prefix& prefix : {wide, narrow, elsewhere}) {
        EXPECT_EQ(routes.at({table, prefix}), (dataplane::RouteEntry{RouteKind::untranslated, 0}));
    }
    EXPECT_FALSE(routes.contains({table, host}));
}

TEST_F(PlanTest, a_subnet_uses_its_table_or_the_main_one_or_one_of_local_routes) {
    desired_.subnets[0].route_table.clear();
    Plan made = plan();
    const dataplane::ZonePrefix key{1, desired_.subnets[0].cidr};
    const std::uint32_t implicit = made.tables.subnets.at(key).route_table;
    EXPECT_EQ(made.tables.routes.at({implicit, desired_.vpcs[0].cidrs[0]}).kind, RouteKind::local);
    EXPECT_FALSE(made.tables.routes.contains({implicit, Ipv4Prefix()}));
    desired_.route_tables[0].main = true;
    made = plan();
    EXPECT_EQ(made.tables.subnets.at(key).route_table, identifiers_.at(IDENTIFIER_ROUTE_TABLE, "private"));
}

TEST_F(PlanTest, where_vpcs_overlap_or_have_vrfs_the_hosts_routes_are_not_trusted) {
    const auto is_ambiguous = [&] { return plan().tables.devices.at(0).ambiguous; };
    EXPECT_FALSE(is_ambiguous());
    const Ipv4Address elastic_ip = desired_.elastic_ips[0].address, to(10, 0, 1, 12);
    desired_.port_forwards = {{.name = "web",
                               .elastic_ip = desired_.elastic_ips[0].name,
                               .port = {80, 80},
                               .to_address = to,
                               .to_port = 80}};
    EXPECT_TRUE(plan().wanted_neighbours.empty());
    model::Vpc other = desired_.vpcs[0];
    other.name = "other";
    desired_.vpcs.push_back(other);
    EXPECT_TRUE(is_ambiguous());
    EXPECT_EQ(plan().wanted_neighbours, (std::set<dataplane::Neighbour>{{lan0, to}}));
    EXPECT_FALSE(plan().tables.devices.at(1).ambiguous) << "an outside device";
    desired_.vpcs.pop_back();

    netlink::Link master = link(77, "tenants", lan0_mac), member = link(lan0, "lan0", lan0_mac);
    master.kind = "bridge";
    member.master = master.ifindex;
    network_.put_link(master);
    network_.put_link(member);
    EXPECT_FALSE(is_ambiguous());
    master.kind = "vrf";
    network_.put_link(master);
    EXPECT_TRUE(is_ambiguous());
    EXPECT_EQ(plan().tables.elastic_ips.at(elastic_ip).nat_gateway, 0);
}

TEST_F(PlanTest, vpcs_may_overlap) {
    model::Vpc other = desired_.vpcs[0];
    other.name = "other";
    desired_.vpcs.push_back(other);
    model::Subnet subnet = desired_.subnets[0];
    subnet.name = "app-2";
    subnet.vpc = "other";
    subnet.route_table.clear();
    desired_.subnets.push_back(subnet);
    const Plan made = plan();
    EXPECT_EQ(made.tables.subnets.size(), 2U);
    EXPECT_EQ(made.tables.private_prefixes.size(), 1U);
    EXPECT_EQ(made.routes.size(), 1U);
}

TEST_F(PlanTest, nat_gateways_are_carried_over_in_every_setting) {
    model::NatGateway& gateway = desired_.nat_gateways[0];
    gateway.elastic_ips = {"eip-1", "eip-2"};
    gateway.port_range = {2000, 3000};
    gateway.timeouts = {std::chrono::seconds{1}, std::chrono::seconds{2}, std::chrono::seconds{3},
                        std::chrono::seconds{4}, std::chrono::seconds{5}, std::chrono::seconds{6}};
    gateway.mapping = {model::EndpointRule::endpoint_independent, model::EndpointRule::address_dependent,
                       model::EndpointRule::address_and_port_dependent};
    gateway.filtering = {model::EndpointRule::address_and_port_dependent,
                         model::EndpointRule::endpoint_independent, model::EndpointRule::address_dependent};
    gateway.port_quarantine = std::chrono::seconds{77};
    gateway.port_quarantine_max = 88;
    gateway.port_blocks = {.size = 256, .blocks_per_host = 3, .hold = std::chrono::seconds{99}};
    gateway.pairing = model::Pairing::strict;
    gateway.hairpin = model::Hairpin::off;
    gateway.tcp_mss_clamp = false;
    gateway.tcp_reset_on_idle_timeout = true;
    const Plan made = plan();
    const auto& entry = made.tables.nat_gateways.at(0);
    EXPECT_EQ(entry.elastic_ips,
              (std::vector<Ipv4Address>{Ipv4Address(198, 51, 100, 10), Ipv4Address(192, 0, 2, 7)}));
    EXPECT_EQ(entry.ports, (PortRange{2000, 3000}));
    EXPECT_EQ(entry.timeouts[TIMEOUT_UDP], gateway.timeouts.udp);
    EXPECT_EQ(entry.timeouts[TIMEOUT_ICMP], gateway.timeouts.icmp);
    EXPECT_EQ(entry.timeouts[TIMEOUT_TCP_OPENING], gateway.timeouts.tcp_opening);
    EXPECT_EQ(entry.timeouts[TIMEOUT_TCP_ESTABLISHED], gateway.timeouts.tcp_established);
    EXPECT_EQ(entry.timeouts[TIMEOUT_TCP_CLOSING], gateway.timeouts.tcp_closing);
    EXPECT_EQ(entry.timeouts[TIMEOUT_TCP_RESET], gateway.timeouts.tcp_reset);
    EXPECT_EQ(entry.mapping[NAT_TCP], dataplane::Rule::endpoint_independent);
    EXPECT_EQ(entry.mapping[NAT_UDP], dataplane::Rule::address_dependent);
    EXPECT_EQ(entry.mapping[NAT_ICMP], dataplane::Rule::address_and_port_dependent);
    EXPECT_EQ(entry.filtering[NAT_TCP], dataplane::Rule::address_and_port_dependent);
    EXPECT_EQ(entry.filtering[NAT_UDP], dataplane::Rule::endpoint_independent);
    EXPECT_EQ(entry.filtering[NAT_ICMP], dataplane::Rule::address_dependent);
    EXPECT_EQ(entry.port_quarantine, std::chrono::seconds{77});
    EXPECT_EQ(entry.port_quarantine_max, 88U);
    EXPECT_EQ(entry.port_block_size, 256);
    EXPECT_EQ(entry.port_blocks_per_host, 3);
    EXPECT_EQ(entry.port_block_hold, std::chrono::seconds{99});
    EXPECT_TRUE(entry.strict_pairing);
    EXPECT_FALSE(entry.hairpin);
    EXPECT_FALSE(entry.clamp_mss);
    EXPECT_TRUE(entry.reset_on_idle);
    EXPECT_FALSE(entry.limits);
    EXPECT_TRUE(made.tables.host_limits.empty());
}

TEST_F(PlanTest, ports_are_chosen_as_the_nat_gateway_asks) {
    EXPECT_FALSE(plan().tables.nat_gateways.at(0).reserves_ports);
    EXPECT_TRUE(plan().tables.reserved_ports.empty());
    model::NatGateway& gateway = desired_.nat_gateways[0];
    gateway.reserved_ports = {{5000, 5010}, {3478, 3478}, {5005, 5020}, {5021, 5021}, {65535, 65535}};
    gateway.preserve_port = true;
    EXPECT_TRUE(plan().tables.nat_gateways.at(0).preserve_port);
    EXPECT_FALSE(plan().tables.nat_gateways.at(0).preserve_parity);
    EXPECT_FALSE(plan().tables.nat_gateways.at(0).preserve_range);
    gateway.preserve_parity = gateway.preserve_range = true;
    EXPECT_TRUE(plan().tables.nat_gateways.at(0).preserve_parity);
    EXPECT_TRUE(plan().tables.nat_gateways.at(0).preserve_range);
    EXPECT_TRUE(plan().tables.nat_gateways.at(0).reserves_ports);
    EXPECT_EQ(plan().tables.reserved_ports.at(0),
              (dataplane::ReservedPorts{{{3478, 3478}, {5000, 5021}, {65535, 65535}}}));
}

TEST_F(PlanTest, ports_of_the_host_are_kept_where_an_elastic_ip_is_shared) {
    const Ipv4Address address = desired_.elastic_ips[0].address;
    host_ports_.reserved = {{8443, 8443}};
    host_ports_.bound = {
        {address, 22}, {Ipv4Address(), 60000}, {Ipv4Address(), 61000}, {Ipv4Address(10, 0, 1, 1), 53}};
    EXPECT_TRUE(plan().tables.host_ports.empty());
    EXPECT_FALSE(plan().tables.elastic_ips.at(address).shared_with_host);
    desired_.elastic_ips[0].shared_with_host = true;
    Plan made = plan();
    EXPECT_TRUE(made.tables.elastic_ips.at(address).shared_with_host);
    EXPECT_EQ(made.tables.host_ports.at(address),
              (dataplane::HostPorts{{{22, 22}, {8443, 8443}, {32768, 61000}}, {}}));
    EXPECT_EQ(made.warnings, std::vector<std::string>());
    EXPECT_TRUE(same_to_flows(made.tables,
                              [&] {
                                  host_ports_.bound.insert({Ipv4Address(), 80});
                                  return plan().tables;
                              }()))
        << "no flow is looked at again when a server starts";
}

TEST_F(PlanTest, blocks_without_a_port_for_instances_are_the_hosts) {
    desired_.elastic_ips[0].shared_with_host = true;
    model::NatGateway& gateway = desired_.nat_gateways[0];
    gateway.port_range = {2000, 3000};
    gateway.reserved_ports = {{2304, 2400}};
    gateway.port_blocks.size = 256;
    host_ports_.ephemeral = {2401, 2700};
    host_ports_.bound = {{Ipv4Address(), 2701}, {Ipv4Address(), 3000}};
    const auto blocks = [&] { return plan().tables.host_ports.begin()->second.blocks; };
    EXPECT_EQ(blocks(), (std::vector<std::uint16_t>{2304}));
    host_ports_.ephemeral = {2000, 2047};   // the first block has no other ports in the range
    host_ports_.reserved = {{2816, 2999}};  // nor has the last, with the server at 3000
    EXPECT_EQ(blocks(), (std::vector<std::uint16_t>{1792, 2816}));
}

TEST_F(PlanTest, what_the_host_and_instances_both_want_of_an_address_is_told) {
    desired_.elastic_ips[0].shared_with_host = true;
    desired_.nat_gateways[0].port_range = {40000, 50000};
    ASSERT_EQ(plan().warnings.size(), 1U);
    EXPECT_NE(plan().warnings[0].find("all of 40000-50000 are the host's"), std::string::npos);
    desired_.nat_gateways[0].port_range = {1024, 65535};
    model::PortForward forward;
    forward.name = "web";
    forward.elastic_ip = desired_.elastic_ips[0].name;
    forward.port = {40000, 40001};
    forward.to_address = Ipv4Address(10, 0, 1, 11);
    forward.to_port = 80;
    desired_.port_forwards = {forward};
    ASSERT_EQ(plan().warnings.size(), 1U);
    EXPECT_NE(plan().warnings[0].find("add 40000-40001 to the sysctl"), std::string::npos);
    host_ports_.reserved = {{40000, 40001}};
    EXPECT_EQ(plan().warnings, std::vector<std::string>());
}

TEST_F(PlanTest, a_server_of_the_host_comes_before_a_port_forward) {
    model::ElasticIp& elastic_ip = desired_.elastic_ips[0];
    model::PortForward forward;
    forward.name = "web";
    forward.elastic_ip = elastic_ip.name;
    forward.port = {22, 23};
    forward.to_address = Ipv4Address(10, 0, 1, 11);
    forward.to_port = 80;
    desired_.port_forwards = {forward};
    for (const Ipv4Address& listens_at : {elastic_ip.address, Ipv4Address()}) {
        elastic_ip.shared_with_host = true;
        host_ports_.bound = {{listens_at, 22}};
        const Plan made = plan();
        ASSERT_EQ(made.warnings.size(), 1U);
        EXPECT_NE(made.warnings[0].find("port forward web is not in force"), std::string::npos);
        EXPECT_TRUE(made.tables.port_forwards.empty());
        EXPECT_TRUE(made.tables.forwarded_endpoints.empty());
        EXPECT_FALSE(made.tables.elastic_ips.at(elastic_ip.address).forwards_ports);
        elastic_ip.shared_with_host = false;
        EXPECT_FALSE(plan().tables.port_forwards.empty());
    }
    elastic_ip.shared_with_host = true;
    host_ports_.bound = {{Ipv4Address(10, 0, 1, 1), 22}, {Ipv4Address(), 24}};  // elsewhere
    EXPECT_EQ(plan().warnings, std::vector<std::string>());
    EXPECT_FALSE(plan().tables.port_forwards.empty());
}

TEST_F(PlanTest, reserved_ports_that_change_have_flows_checked) {
    desired_.nat_gateways[0].reserved_ports = {{5000, 5000}};
    const auto before = plan().tables;
    desired_.nat_gateways[0].reserved_ports = {{5001, 5001}};
    EXPECT_FALSE(same_to_flows(before, plan().tables)) << "what port sets know of full words is of before";
}

TEST_F(PlanTest, limits_are_given_where_there_are_some) {
    desired_.nat_gateways[0].limits = {
        .ports_per_host = 1, .flows_per_host = 2, .new_flows_per_second_per_host = 3, .flows_per_mapping = 4};
    const Plan made = plan();
    EXPECT_TRUE(made.tables.nat_gateways.at(0).limits);
    EXPECT_EQ(
        made.tables.host_limits.at(0),
        (dataplane::HostLimits{.flows = 2, .ports = 1, .new_flows_per_second = 3, .flows_per_mapping = 4}));
}

TEST_F(PlanTest, half_of_the_flows_may_wait_for_an_answer_unless_told_otherwise) {
    desired_.gateway.flow_capacity = 5000;
    EXPECT_EQ(plan().tables.gateway.unanswered_capacity, 2500U);
    desired_.gateway.unanswered_flow_capacity = 100;
    EXPECT_EQ(plan().tables.gateway.unanswered_capacity, 100U);
}

TEST_F(PlanTest, hairpin_is_carried_over_in_every_setting) {
    for (auto hairpin : {model::Hairpin::off, model::Hairpin::on, model::Hairpin::same_tenant}) {
        desired_.nat_gateways[0].hairpin = hairpin;
        const Plan made = plan();
        const auto& entry = made.tables.nat_gateways.at(0);
        EXPECT_EQ(entry.hairpin, hairpin != model::Hairpin::off);
        EXPECT_EQ(entry.hairpin_same_tenant, hairpin == model::Hairpin::same_tenant);
    }
}

TEST_F(PlanTest, an_elastic_ip_is_on_link_where_the_most_specific_subnet_has_it) {
    Plan made = plan();
    EXPECT_EQ(made.tables.elastic_ips.at(Ipv4Address(198, 51, 100, 10)).on_link_device, 1);
    EXPECT_EQ(made.tables.elastic_ips.at(Ipv4Address(198, 51, 100, 10)).nat_gateway, 0);
    EXPECT_EQ(made.tables.elastic_ips.at(Ipv4Address(192, 0, 2, 7)).on_link_device, NO_DEVICE);
    EXPECT_EQ(made.tables.elastic_ips.at(Ipv4Address(192, 0, 2, 7)).nat_gateway, NO_NAT_GATEWAY);

    network_.put_link(link(13, "wan1", wan0_mac));
    network_.put_address({13, Ipv4Address(198, 51, 100, 9), 28});
    desired_.gateway.devices.push_back({"wan1", model::DeviceRole::outside, ""});
    made = plan();
    EXPECT_EQ(made.tables.elastic_ips.at(Ipv4Address(198, 51, 100, 10)).on_link_device,
              identifiers_.at(IDENTIFIER_DEVICE, "wan1"));
}

TEST_F(PlanTest, an_elastic_ip_is_not_answered_for_inside) {
    network_.put_address({lan0, Ipv4Address(192, 0, 2, 1), 24});
    EXPECT_EQ(plan().tables.elastic_ips.at(Ipv4Address(192, 0, 2, 7)).on_link_device, NO_DEVICE);
    desired_.gateway.devices[0].role = model::DeviceRole::both;
    EXPECT_EQ(plan().tables.elastic_ips.at(Ipv4Address(192, 0, 2, 7)).on_link_device, 0);
}

TEST_F(PlanTest, all_addresses_of_the_host_are_its_own) {
    network_.put_link(link(20, "mgmt0", wan0_mac));
    network_.put_address({20, Ipv4Address(172, 16, 0, 5), 24});
    EXPECT_EQ(plan().tables.local_addresses.size(), 4U);
    EXPECT_TRUE(plan().tables.local_addresses.contains(Ipv4Address(172, 16, 0, 5)));
}

TEST_F(PlanTest, links_have_a_broadcast_address_unless_they_are_of_two_hosts) {
    network_.put_link(link(20, "mgmt0", wan0_mac));
    network_.put_address({20, Ipv4Address(172, 16, 0, 5), 24});
    network_.put_address({20, Ipv4Address(172, 16, 1, 5), 31});
    network_.put_address({20, Ipv4Address(172, 16, 2, 5), 32});
    const auto broadcasts = plan().tables.link_broadcasts;
    EXPECT_TRUE(broadcasts.contains({Ipv4Address(172, 16, 0, 255)}));
    EXPECT_FALSE(broadcasts.contains({Ipv4Address(172, 16, 1, 5)}));
    EXPECT_FALSE(broadcasts.contains({Ipv4Address(172, 16, 2, 5)}));
    network_.put_address({20, Ipv4Address(172, 16, 0, 255), 16});
    EXPECT_FALSE(plan().tables.link_broadcasts.contains({Ipv4Address(172, 16, 0, 255)}))
        << "it is the host's";
}

TEST_F(PlanTest, what_the_gateway_says_itself_is_limited_and_may_be_switched_off) {
    desired_.gateway.reply_rate_limit = 70;
    desired_.gateway.devices[0].icmp_errors = false;
    const auto devices = plan().tables.devices;
    EXPECT_EQ(devices.at(0).address, Ipv4Address());
    EXPECT_NE(devices.at(1).address, Ipv4Address());
    EXPECT_EQ(devices.at(0).replies_per_second, 70U);
    EXPECT_EQ(devices.at(1).replies_per_second, 70U);
}

TEST_F(PlanTest, usable_neighbours_on_our_devices_are_next_hops) {
    network_.put_link(link(20, "mgmt0", wan0_mac));
    network_.put_neighbour(neighbour(20, Ipv4Address(172, 16, 0, 9), router_mac));
    network_.put_neighbour(neighbour(lan0, Ipv4Address(10, 0, 1, 6), {}, netlink::NeighbourState::failed));
    network_.put_neighbour(neighbour(lan0, Ipv4Address(224, 0, 0, 22), MacAddress({1, 0, 0x5e, 0, 0, 0x16}),
                                     netlink::NeighbourState::noarp));
    const auto hops = plan().tables.next_hops;
    ASSERT_EQ(hops.size(), 3U);
    const auto& failed = hops.at({lan0, Ipv4Address(10, 0, 1, 6)});
    EXPECT_TRUE(failed.unreachable);
    EXPECT_FALSE(failed.resolved);
    const auto& hop = hops.at({wan0, router});
    EXPECT_TRUE(hop.resolved);
    EXPECT_EQ(hop.device, 1);
    EXPECT_EQ(hop.destination, router_mac);
    EXPECT_EQ(hop.source, wan0_mac);
    EXPECT_EQ(hop.mtu, 1500);
}

TEST_F(PlanTest, a_private_prefix_is_guarded_where_the_host_stands_in_it) {
    Plan made = plan();
    ASSERT_EQ(made.routes.size(), 1U);
    const netlink::KernelRoute guard = *made.routes.begin();
    EXPECT_EQ(guard.destination, desired_.vpcs[0].cidrs[0]);
    EXPECT_EQ(guard.type, netlink::RouteType::blackhole);
    EXPECT_EQ(guard.metric, guard_route_metric);

    // Without an address in it the operator has a route to it, which must not be overruled.
    network_.remove_address({lan0, Ipv4Address(10, 0, 1, 1), 24});
    EXPECT_TRUE(plan().routes.empty());
    // An outside address in it is no reason: that may be the operator's own way in.
    network_.put_address({wan0, Ipv4Address(10, 0, 9, 1), 24});
    EXPECT_TRUE(plan().routes.empty());
}

TEST_F(PlanTest, routes_of_route_tables_stay_out_of_the_hosts_own_table) {
    for (const netlink::KernelRoute& route : plan().routes) {
        EXPECT_NE(route.destination, Ipv4Prefix());
        EXPECT_NE(route.destination, Ipv4Prefix(Ipv4Address(203, 0, 113, 0), 24));
    }
}

TEST_F(PlanTest, the_same_input_gives_the_same_plan) {
    const Plan first = plan(), second = plan();
    EXPECT_EQ(first.tables, second.tables);
    EXPECT_EQ(first.routes, second.routes);
    EXPECT_EQ(first.attach, second.attach);
}

}  // namespace
}  // namespace sallyport::reconcile

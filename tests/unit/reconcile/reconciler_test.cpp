// SPDX-License-Identifier: Apache-2.0
#include "reconcile/reconciler.h"

#include <gtest/gtest.h>

#include "dataplane/memory_dataplane.h"
#include "sallyport/abi/maps.h"
#include "unit/reconcile/example.h"

namespace sallyport::reconcile {
namespace {

using dataplane::MemoryDataplane;
using dataplane::MemoryKernel;
using dataplane::Neighbour;
using netlink::NeighbourState;
using std::chrono::seconds;

class ReconcilerTest : public testing::Test {
  protected:
    ReconcilerTest() {
        fill(network_);
        start();
    }

    // A new agent on the same kernel.
    void start() {
        reconciler_.reset();
        dataplane_ = std::make_unique<MemoryDataplane>(kernel_);
        reconciler_ = std::make_unique<Reconciler>(*dataplane_, network_, clock_);
        clear_events();
    }

    void clear_events() {
        EXPECT_TRUE(network_.poll_events([](const netlink::Event&) {}));
    }

    Report apply() {
        auto report = reconciler_->apply(shared(desired_));
        EXPECT_TRUE(report) << report.error().message;
        return report ? *report : Report{};
    }

    // What the agent's loop does when netlink has something to tell.
    Report follow() {
        EXPECT_TRUE(network_.poll_events([&](const netlink::Event& event) { reconciler_->handle(event); }));
        auto report = reconciler_->settle();
        EXPECT_TRUE(report) << report.error().message;
        return report ? *report : Report{};
    }

    const DeviceStatus& device(const std::string& name) {
        for (const DeviceStatus& status : reconciler_->devices()) {
            if (status.device == name) return status;
        }
        ADD_FAILURE() << "no " << name;
        static const DeviceStatus none;
        return none;
    }

    std::shared_ptr<MemoryKernel> kernel_ = std::make_shared<MemoryKernel>();
    netlink::MemoryNetlink network_;
    ManualClock clock_;
    model::DesiredState desired_ = example();
    std::unique_ptr<MemoryDataplane> dataplane_;
    std::unique_ptr<Reconciler> reconciler_;
};

TEST_F(ReconcilerTest, the_first_apply_makes_everything) {
    EXPECT_FALSE(reconciler_->ready());
    const Report report = apply();
    EXPECT_TRUE(report.changed());
    EXPECT_EQ(report.routes_added, 1U);
    EXPECT_EQ(report.announced, 1U);
    EXPECT_TRUE(report.flows_rechecked);
    EXPECT_EQ(kernel_->flow_capacity, 1000U);
    EXPECT_EQ(kernel_->tables.devices.size(), 2U);
    EXPECT_EQ(kernel_->links.size(), 2U);
    EXPECT_GT(kernel_->next_hops_valid_for, seconds{10});
    EXPECT_TRUE(reconciler_->ready());
    EXPECT_FALSE(reconciler_->needs_retry());
    EXPECT_TRUE(device("lan0").attached);
    EXPECT_EQ(reconciler_->name_of(IDENTIFIER_NAT_GATEWAY, 0), "egress");
    ASSERT_EQ(network_.announcements().size(), 1U);
    EXPECT_EQ(network_.announcements()[0].address, Ipv4Address(198, 51, 100, 10));
    EXPECT_EQ(network_.announcements()[0].ifindex, wan0);
}

TEST_F(ReconcilerTest, the_second_apply_writes_nothing) {
    apply();
    const auto writes = kernel_->writes;
    const auto generation = kernel_->generation;
    const Report report = apply();
    EXPECT_FALSE(report.changed());
    EXPECT_FALSE(report.flows_rechecked);
    EXPECT_EQ(kernel_->writes, writes);
    EXPECT_EQ(kernel_->generation, generation);
    EXPECT_EQ(network_.route_writes(), 1U);
    EXPECT_EQ(network_.announcements().size(), 1U);
}

TEST_F(ReconcilerTest, ports_of_the_host_are_looked_at_again) {
    const Ipv4Address address = desired_.elastic_ips[0].address;
    const auto ports = [&] { return kernel_->tables.host_ports.at(address).ranges; };
    desired_.elastic_ips[0].shared_with_host = true;
    apply();
    EXPECT_EQ(ports(), (std::vector<PortRange>{{32768, 60999}}));
    const auto generation = kernel_->generation;

    network_.open_socket({{Ipv4Address(), 22}, true});
    network_.open_socket({{Ipv4Address(), 40000}});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_FALSE(reconciler_->needs_settling()) << "not each time";
    clock_.advance(seconds{6});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_TRUE(reconciler_->needs_settling());
    EXPECT_EQ(follow().tables.written, 1U);
    EXPECT_EQ(ports(), (std::vector<PortRange>{{22, 22}, {32768, 60999}}));
    EXPECT_EQ(kernel_->generation, generation);

    clock_.advance(seconds{6});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_FALSE(reconciler_->needs_settling()) << "nothing has changed";
    network_.close_socket({{Ipv4Address(), 22}, true});
    EXPECT_EQ(apply().tables.written, 1U) << "and whenever something is applied";
    EXPECT_EQ(ports(), (std::vector<PortRange>{{32768, 60999}}));
    const auto wanted = reconciler_->basis()->tables_for(desired_, *dataplane_, network_);
    ASSERT_TRUE(wanted);
    EXPECT_EQ(*wanted, kernel_->tables);
}

TEST_F(ReconcilerTest, ports_of_the_host_that_cannot_be_read_stay_as_they_were) {
    desired_.elastic_ips[0].shared_with_host = true;
    network_.open_socket({{Ipv4Address(), 22}, true});
    apply();
    const auto tables = kernel_->tables;
    network_.fail_with(Error{"no /proc", EACCES});
    clock_.advance(seconds{6});
    EXPECT_FALSE(reconciler_->tick());
    EXPECT_FALSE(reconciler_->needs_settling());
    EXPECT_EQ(kernel_->tables, tables);
    network_.fail_with(std::nullopt);
}

TEST_F(ReconcilerTest, a_restart_changes_nothing_but_has_flows_checked_once) {
    apply();
    const auto tables = kernel_->tables;
    const auto writes = kernel_->writes;
    start();
    const Report report = apply();
    EXPECT_FALSE(report.changed());
    EXPECT_TRUE(report.flows_rechecked);  // routes may have changed meanwhile
    EXPECT_EQ(kernel_->writes, writes);
    EXPECT_EQ(kernel_->tables, tables);
    EXPECT_EQ(network_.route_writes(), 1U);
    EXPECT_EQ(network_.announcements().size(), 1U);
    EXPECT_TRUE(device("wan0").adopted);
}

TEST_F(ReconcilerTest, a_restart_removes_what_is_no_longer_desired) {
    apply();
    start();
    desired_.gateway.devices.pop_back();
    desired_.elastic_ips.pop_back();
    desired_.vpcs[0].cidrs.push_back(Ipv4Prefix(Ipv4Address(172, 16, 0, 0), 16));
    const Report report = apply();
    EXPECT_GT(report.tables.removed, 0U);
    EXPECT_EQ(kernel_->links.size(), 1U);
    EXPECT_EQ(kernel_->tables.elastic_ips.size(), 1U);
}

TEST_F(ReconcilerTest, names_keep_their_numbers_over_restarts_and_renumbering) {
    apply();
    start();
    model::NatGateway other = desired_.nat_gateways[0];
    other.name = "another";  // sorts before
    other.elastic_ips = {"eip-2"};
    desired_.nat_gateways.insert(desired_.nat_gateways.begin(), other);
    apply();
    EXPECT_EQ(reconciler_->name_of(IDENTIFIER_NAT_GATEWAY, 0), "egress");
    EXPECT_EQ(reconciler_->name_of(IDENTIFIER_NAT_GATEWAY, 1), "another");
    EXPECT_EQ(kernel_->tables.nat_gateways.at(1).elastic_ips[0], Ipv4Address(192, 0, 2, 7));
}

TEST_F(ReconcilerTest, what_flows_depend_on_has_them_checked_after_it_was_written) {
    apply();
    const auto generation = kernel_->generation;
    desired_.route_tables[0].routes.pop_back();
    EXPECT_TRUE(apply().flows_rechecked);
    EXPECT_EQ(kernel_->generation, generation + 1);
    desired_.elastic_ips[1].name = "renamed";
    apply();
    EXPECT_EQ(kernel_->generation, generation + 2);
}

TEST_F(ReconcilerTest, a_new_elastic_ip_is_announced_twice_and_no_other) {
    apply();
    model::ElasticIp third;
    third.name = "eip-3";
    third.address = Ipv4Address(198, 51, 100, 33);
    desired_.elastic_ips.push_back(third);
    EXPECT_EQ(apply().announced, 1U);
    ASSERT_EQ(network_.announcements().size(), 2U);
    EXPECT_EQ(network_.announcements()[1].address, third.address);
    EXPECT_EQ(network_.announcements()[1].mac, wan0_mac);
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(network_.announcements().size(), 2U);
    clock_.advance(seconds{3});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(network_.announcements().size(), 4U);  // and eip-1 of the first apply
    clock_.advance(seconds{3});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(network_.announcements().size(), 4U);
}

TEST_F(ReconcilerTest, a_neighbour_is_followed_without_touching_flows) {
    apply();
    const auto generation = kernel_->generation;
    const Neighbour key{wan0, router};

    network_.put_neighbour(neighbour(wan0, router, MacAddress({2, 0, 0, 0, 0, 0x77})));
    EXPECT_EQ(follow().tables.written, 1U);
    EXPECT_EQ(kernel_->tables.next_hops.at(key).destination, MacAddress({2, 0, 0, 0, 0, 0x77}));

    network_.put_neighbour(neighbour(wan0, router, MacAddress({2, 0, 0, 0, 0, 0x77}), NeighbourState::stale));
    EXPECT_FALSE(follow().changed());  // still usable

    network_.put_neighbour(neighbour(wan0, router, {}, NeighbourState::failed));
    EXPECT_EQ(follow().tables.written, 1U);
    EXPECT_TRUE(kernel_->tables.next_hops.at(key).unreachable);
    network_.put_neighbour(neighbour(wan0, router, {}, NeighbourState::incomplete));
    EXPECT_FALSE(follow().changed());  // asked again, and has not answered yet

    network_.put_neighbour(neighbour(wan0, router, router_mac));
    EXPECT_EQ(follow().tables.written, 1U);
    network_.remove_neighbour(wan0, router);
    EXPECT_EQ(follow().tables.removed, 1U);
    EXPECT_EQ(kernel_->generation, generation);
}

TEST_F(ReconcilerTest, ten_thousand_neighbours_at_once) {
    apply();
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        network_.put_neighbour(neighbour(lan0, Ipv4Address(0x0a000200 + i), router_mac));
    }
    std::uint64_t written = 0;
    for (int i = 0; i < 100 && written < 10'000; ++i) written += follow().tables.written;
    EXPECT_EQ(written, 10'000U);
    EXPECT_EQ(kernel_->tables.next_hops.size(), 10'002U);
    // One more costs one write.
    network_.put_neighbour(neighbour(wan0, router, MacAddress({2, 9, 9, 9, 9, 9})));
    EXPECT_EQ(follow().tables.written, 1U);
}

TEST_F(ReconcilerTest, a_device_that_appears_is_used) {
    network_.remove_link(wan0);
    clear_events();
    apply();  // succeeds: the other device works
    EXPECT_FALSE(device("wan0").attached);
    EXPECT_NE(device("wan0").error.find("wan0"), std::string::npos);
    EXPECT_TRUE(device("lan0").attached);
    EXPECT_FALSE(reconciler_->ready());
    EXPECT_FALSE(reconciler_->needs_retry());

    network_.put_link(link(22, "wan0", wan0_mac));
    network_.put_address({22, Ipv4Address(198, 51, 100, 2), 24});
    follow();
    EXPECT_TRUE(device("wan0").attached);
    EXPECT_TRUE(reconciler_->ready());
    EXPECT_EQ(kernel_->tables.devices.at(1).ifindex, 22U);
    EXPECT_EQ(kernel_->tables.elastic_ips.at(Ipv4Address(198, 51, 100, 10)).on_link_device, 1);
    EXPECT_EQ(network_.announcements().size(), 1U);
}

TEST_F(ReconcilerTest, a_device_that_goes_takes_its_next_hops_along) {
    apply();
    network_.remove_link(wan0);
    follow();
    EXPECT_FALSE(device("wan0").attached);
    EXPECT_EQ(kernel_->links.count("wan0"), 0U);
    EXPECT_EQ(kernel_->tables.devices.size(), 1U);
    EXPECT_FALSE(kernel_->tables.next_hops.contains({wan0, router}));
    EXPECT_EQ(kernel_->tables.elastic_ips.at(Ipv4Address(198, 51, 100, 10)).on_link_device, NO_DEVICE);
}

TEST_F(ReconcilerTest, a_new_hardware_address_is_written_and_announced) {
    apply();
    const MacAddress fresh({2, 0, 0, 0, 0, 0x55});
    network_.put_link(link(wan0, "wan0", fresh));
    const Report report = follow();
    EXPECT_EQ(report.announced, 1U);
    EXPECT_EQ(kernel_->tables.next_hops.at({wan0, router}).source, fresh);
    EXPECT_EQ(network_.announcements().back().mac, fresh);
}

TEST_F(ReconcilerTest, a_device_that_comes_up_again_announces_its_addresses) {
    apply();
    netlink::Link down = link(wan0, "wan0", wan0_mac);
    down.running = false;
    network_.put_link(down);
    EXPECT_FALSE(follow().changed());
    network_.put_link(link(wan0, "wan0", wan0_mac));
    EXPECT_EQ(follow().announced, 1U);
}

TEST_F(ReconcilerTest, a_link_that_only_tells_of_our_own_program_is_no_reason_for_anything) {
    apply();
    const auto writes = kernel_->writes;
    netlink::Link attached = link(wan0, "wan0", wan0_mac);
    attached.xdp = netlink::XdpAttachment::native;
    attached.xdp_program = 77;
    network_.put_link(attached);
    EXPECT_FALSE(follow().changed());
    EXPECT_EQ(kernel_->writes, writes);
}

TEST_F(ReconcilerTest, an_address_of_the_host_is_its_own_at_once) {
    apply();
    network_.put_address({wan0, Ipv4Address(198, 51, 100, 3), 24});
    follow();
    EXPECT_TRUE(kernel_->tables.local_addresses.contains(Ipv4Address(198, 51, 100, 3)));
    network_.remove_address({wan0, Ipv4Address(198, 51, 100, 3), 24});
    follow();
    EXPECT_FALSE(kernel_->tables.local_addresses.contains(Ipv4Address(198, 51, 100, 3)));
}

TEST_F(ReconcilerTest, changed_routes_have_flows_checked_at_most_once_a_second) {
    apply();
    clock_.advance(seconds{5});
    const auto generation = kernel_->generation;
    network_.put_foreign_route(Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24));
    EXPECT_TRUE(follow().flows_rechecked);
    for (std::uint32_t i = 0; i < 100; ++i) {
        network_.put_foreign_route(Ipv4Prefix(Ipv4Address(0x14000000 + (i << 8)), 24));
        follow();
    }
    EXPECT_EQ(kernel_->generation, generation + 1);
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(kernel_->generation, generation + 1);
    clock_.advance(seconds{1});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(kernel_->generation, generation + 2);  // none is forgotten
    clock_.advance(seconds{1});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(kernel_->generation, generation + 2);
}

TEST_F(ReconcilerTest, lost_events_are_made_up_for_by_reading_everything) {
    apply();
    clock_.advance(seconds{5});
    const auto generation = kernel_->generation;
    network_.put_address({wan0, Ipv4Address(198, 51, 100, 3), 24});
    network_.remove_neighbour(wan0, router);
    network_.lose_events();
    follow();
    EXPECT_TRUE(kernel_->tables.local_addresses.contains(Ipv4Address(198, 51, 100, 3)));
    EXPECT_FALSE(kernel_->tables.next_hops.contains({wan0, router}));
    EXPECT_EQ(kernel_->generation, generation + 1);
}

TEST_F(ReconcilerTest, routes_of_others_stay_and_our_own_come_back) {
    network_.put_foreign_route(desired_.vpcs[0].cidrs[0], 100);
    apply();
    EXPECT_EQ(network_.own_routes()->size(), 1U);
    ASSERT_TRUE(network_.remove_route(network_.own_routes()->front()));
    EXPECT_EQ(apply().routes_added, 1U);

    netlink::KernelRoute leftover;
    leftover.destination = Ipv4Prefix(Ipv4Address(192, 168, 0, 0), 16);
    leftover.type = netlink::RouteType::blackhole;
    ASSERT_TRUE(network_.add_route(leftover));
    EXPECT_EQ(apply().routes_removed, 1U);
}

TEST_F(ReconcilerTest, a_route_of_somebody_else_in_our_place_is_left_with_a_warning) {
    network_.put_foreign_route(desired_.vpcs[0].cidrs[0], guard_route_metric);
    EXPECT_EQ(apply().routes_added, 0U);
    EXPECT_EQ(reconciler_->warnings().size(), 1U);
    EXPECT_TRUE(reconciler_->ready());
}

TEST_F(ReconcilerTest, whichever_write_fails_a_retry_completes_the_rest) {
    apply();
    const auto complete = kernel_->tables;
    const auto writes = kernel_->writes;
    for (std::uint64_t left = 0; left < writes; ++left) {
        *kernel_ = MemoryKernel();
        start();
        kernel_->writes_left = left;
        EXPECT_FALSE(reconciler_->apply(shared(desired_)));
        EXPECT_TRUE(reconciler_->needs_retry());
        EXPECT_NE(reconciler_->last_error().find("injected fault"), std::string::npos);
        EXPECT_FALSE(reconciler_->ready());
        EXPECT_EQ(kernel_->generation, 0U);  // not before all is written
        EXPECT_EQ(kernel_->next_hops_valid_for, seconds{0});
        clock_.advance(seconds{10});
        EXPECT_TRUE(reconciler_->tick());
        EXPECT_EQ(kernel_->next_hops_valid_for, seconds{0});

        kernel_->writes_left.reset();
        EXPECT_TRUE(reconciler_->retry());
        EXPECT_FALSE(reconciler_->needs_retry());
        EXPECT_TRUE(reconciler_->ready());
        EXPECT_EQ(kernel_->tables, complete);
        EXPECT_EQ(kernel_->generation, 1U);
    }
}

TEST_F(ReconcilerTest, whichever_write_a_crash_follows_the_next_agent_gets_to_the_same_end) {
    apply();
    const auto complete = kernel_->tables;
    const auto writes = kernel_->writes;
    for (std::uint64_t left = 0; left < writes; ++left) {
        *kernel_ = MemoryKernel();
        start();
        kernel_->writes_left = left;
        EXPECT_FALSE(reconciler_->apply(shared(desired_)));
        kernel_->writes_left.reset();
        start();
        apply();
        EXPECT_EQ(kernel_->tables, complete);
        EXPECT_EQ(kernel_->generation, 1U);
    }
}

TEST_F(ReconcilerTest, a_failing_network_is_told_and_made_up_for) {
    network_.fail_with(Error{"no buffer space", ENOBUFS});
    EXPECT_FALSE(reconciler_->apply(shared(desired_)));
    EXPECT_NE(reconciler_->last_error().find("no buffer space"), std::string::npos);
    EXPECT_TRUE(kernel_->links.empty());
    network_.fail_with(std::nullopt);
    EXPECT_TRUE(reconciler_->retry());
    EXPECT_TRUE(reconciler_->ready());
}

TEST_F(ReconcilerTest, after_lost_events_nothing_is_called_current_until_it_was_read) {
    apply();
    kernel_->next_hops_valid_for = seconds{0};
    network_.lose_events();
    ASSERT_TRUE(network_.poll_events([&](const netlink::Event& event) { reconciler_->handle(event); }));
    network_.fail_with(Error{"no buffer space", ENOBUFS});
    EXPECT_FALSE(reconciler_->settle());
    clock_.advance(seconds{10});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(kernel_->next_hops_valid_for, seconds{0});
    network_.fail_with(std::nullopt);
    EXPECT_TRUE(reconciler_->retry());
    EXPECT_GT(kernel_->next_hops_valid_for, seconds{0});
}

TEST_F(ReconcilerTest, a_device_that_refuses_is_told_and_tried_again) {
    kernel_->broken_devices.insert("wan0");
    apply();
    EXPECT_TRUE(device("lan0").attached);
    EXPECT_FALSE(device("wan0").attached);
    EXPECT_TRUE(reconciler_->needs_retry());
    EXPECT_NE(reconciler_->last_error().find("wan0"), std::string::npos);
    kernel_->broken_devices.clear();
    EXPECT_TRUE(reconciler_->retry());
    EXPECT_TRUE(device("wan0").attached);
    EXPECT_FALSE(reconciler_->needs_retry());
}

TEST_F(ReconcilerTest, a_device_whose_addresses_conflict_is_told_and_used_when_they_are_gone) {
    apply();
    EXPECT_TRUE(device("wan0").attached);
    network_.put_address({wan0, Ipv4Address(10, 0, 1, 77), 24});
    follow();
    EXPECT_FALSE(device("wan0").attached);
    EXPECT_NE(device("wan0").error.find("conflict"), std::string::npos);
    EXPECT_NE(reconciler_->last_error().find("conflict"), std::string::npos);
    network_.remove_address({wan0, Ipv4Address(10, 0, 1, 77), 24});
    follow();
    EXPECT_TRUE(device("wan0").attached);
}

TEST_F(ReconcilerTest, generic_mode_is_told_with_its_reason) {
    kernel_->devices_without_native.insert("wan0");
    apply();
    EXPECT_TRUE(device("wan0").attached);
    EXPECT_EQ(device("wan0").mode, dataplane::Mode::generic);
    EXPECT_NE(device("wan0").fallback_reason, "");
}

TEST_F(ReconcilerTest, another_flow_capacity_is_warned_of_and_nothing_is_lost) {
    apply();
    start();
    desired_.gateway.flow_capacity = 2000;
    EXPECT_FALSE(apply().changed());
    ASSERT_EQ(reconciler_->warnings().size(), 1U);
    EXPECT_NE(reconciler_->warnings()[0].find("1000"), std::string::npos);
    EXPECT_EQ(kernel_->flow_capacity, 1000U);
}

TEST_F(ReconcilerTest, next_hops_are_kept_valid_while_the_agent_lives) {
    apply();
    kernel_->next_hops_valid_for = seconds{0};
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(kernel_->next_hops_valid_for, seconds{0});
    clock_.advance(seconds{6});
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_GT(kernel_->next_hops_valid_for, seconds{6});
}

TEST_F(ReconcilerTest, stale_neighbours_are_asked_after_in_turns) {
    for (std::uint32_t i = 0; i < 1000; ++i) {
        network_.put_neighbour(
            neighbour(lan0, Ipv4Address(0x0a000200 + i), router_mac, NeighbourState::stale));
    }
    network_.put_neighbour(neighbour(1, Ipv4Address(127, 0, 0, 9), router_mac, NeighbourState::stale));
    clear_events();
    apply();
    std::set<netlink::MemoryNetlink::Probe> asked;
    std::size_t before = 0;
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(reconciler_->tick());
        EXPECT_TRUE(reconciler_->tick());  // too soon: nothing
        const std::size_t now = network_.probes().size();
        EXPECT_LE(now - before, 64U);
        before = now;
        clock_.advance(seconds{1});
    }
    asked.insert(network_.probes().begin(), network_.probes().end());
    EXPECT_EQ(asked.size(), 1000U);  // all of ours, and none of others
}

TEST_F(ReconcilerTest, a_router_inside_is_asked_after_until_it_is_resolved) {
    const Ipv4Address inside(10, 0, 1, 254);
    desired_.route_tables[0].routes.push_back(
        {Ipv4Prefix(Ipv4Address(192, 168, 0, 0), 16), model::Via{inside}});
    apply();
    for (std::size_t times = 1; times <= 3; ++times) {
        EXPECT_TRUE(reconciler_->tick());
        EXPECT_EQ(network_.probes(), std::vector<netlink::MemoryNetlink::Probe>(times, {lan0, inside}));
        clock_.advance(seconds{1});
    }
    network_.put_neighbour(neighbour(lan0, inside, router_mac));
    follow();
    EXPECT_TRUE(reconciler_->tick());
    EXPECT_EQ(network_.probes().size(), 3U);
}

TEST_F(ReconcilerTest, detaching_removes_everything_and_apply_starts_afresh) {
    apply();
    ASSERT_TRUE(reconciler_->detach());
    EXPECT_TRUE(kernel_->links.empty());
    EXPECT_FALSE(kernel_->prepared);
    EXPECT_TRUE(network_.own_routes()->empty());
    EXPECT_FALSE(reconciler_->ready());
    EXPECT_TRUE(reconciler_->devices().empty());
    EXPECT_TRUE(reconciler_->tick());
    network_.put_neighbour(neighbour(wan0, Ipv4Address(198, 51, 100, 44), router_mac));
    EXPECT_FALSE(follow().changed());
    EXPECT_FALSE(kernel_->prepared);

    desired_.gateway.flow_capacity = 5000;
    EXPECT_TRUE(apply().changed());
    EXPECT_EQ(kernel_->flow_capacity, 5000U);
    EXPECT_TRUE(kernel_->tables.next_hops.contains({wan0, Ipv4Address(198, 51, 100, 44)}));
    EXPECT_TRUE(reconciler_->ready());
}

TEST_F(ReconcilerTest, a_number_that_flows_carry_is_not_given_to_another_name) {
    desired_.nat_gateways.clear();
    desired_.route_tables[0].routes.clear();
    for (std::uint32_t i = 0; i < INTERNET_GATEWAY_FIRST; ++i) {
        model::NatGateway gateway;
        gateway.name = "g" + std::to_string(i);
        gateway.vpc = "main";
        desired_.nat_gateways.push_back(gateway);
    }
    apply();
    dataplane::FlowRecord flow;
    flow.timeout_seconds = 60;
    std::uint32_t carried = 0;
    for (; reconciler_->name_of(IDENTIFIER_NAT_GATEWAY, carried) !=
           "g" + std::to_string(INTERNET_GATEWAY_FIRST - 1);
         ++carried) {
    }
    flow.nat_gateway = static_cast<std::uint16_t>(carried);
    kernel_->flows.push_back(flow);
    desired_.nat_gateways.back().name = "fresh";
    EXPECT_FALSE(reconciler_->apply(shared(desired_)));
    EXPECT_TRUE(reconciler_->needs_retry());
    kernel_->flows.clear();
    EXPECT_TRUE(reconciler_->retry());
    EXPECT_EQ(reconciler_->name_of(IDENTIFIER_NAT_GATEWAY, carried), "fresh");
}

}  // namespace
}  // namespace sallyport::reconcile

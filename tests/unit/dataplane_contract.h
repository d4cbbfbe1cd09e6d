// SPDX-License-Identifier: Apache-2.0
//
// What every Dataplane must do. A test file includes this, makes a World for its implementation and
// instantiates DataplaneContract with it.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/dataplane.h"
#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"

namespace sallyport::dataplane {

// What outlives an agent: the kernel, or what stands for it.
class World {
  public:
    virtual ~World() = default;
    // A new agent. The one before it must be gone.
    virtual Result<std::unique_ptr<Dataplane>> start() = 0;
    // Interfaces to attach to: two that exist, and one that does not.
    virtual AttachRequest first_device() = 0;
    virtual AttachRequest second_device() = 0;
    virtual AttachRequest missing_device() = 0;
};

using MakeWorld = std::unique_ptr<World> (*)();

// Tables with something in every one of them. The devices are those of `world`.
inline ForwardingTables example_tables(World& world) {
    ForwardingTables tables;
    for (const AttachRequest& request : {world.first_device(), world.second_device()}) {
        DeviceEntry entry;
        entry.name = request.name;
        entry.ifindex = request.ifindex;
        entry.role = request.role;
        entry.mtu = 1500;
        entry.zone = request.role == Role::inside ? 1 : 0;
        entry.address = Ipv4Address(10, 0, 1, static_cast<std::uint8_t>(1 + request.slot));
        entry.mac = MacAddress({2, 0, 0, 0, 0, request.slot});
        entry.ambiguous = request.slot == 0;
        tables.devices[request.slot] = entry;
        tables.identifiers[{IDENTIFIER_DEVICE, request.name}] = request.slot;
    }
    tables.identifiers[{IDENTIFIER_VPC, "main"}] = 1;
    tables.identifiers[{IDENTIFIER_NAT_GATEWAY, std::string(63, 'n')}] = 7;
    tables.subnets[{1, Ipv4Prefix(Ipv4Address(10, 0, 1, 0), 24)}] = {3, 4};
    tables.subnets[{0x01020304, Ipv4Prefix(Ipv4Address(10, 0, 1, 0), 24)}] = {5, 6};
    tables.routes[{4, Ipv4Prefix()}] = {RouteKind::nat_gateway, 7};
    tables.routes[{4, Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 16)}] = {RouteKind::local, 0};
    tables.routes[{4, Ipv4Prefix(Ipv4Address(203, 0, 113, 9), 32)}] = {RouteKind::blackhole, 0};
    tables.private_prefixes.insert(Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 16));
    NatGatewayEntry gateway;
    gateway.elastic_ips = {Ipv4Address(198, 51, 100, 10), Ipv4Address(198, 51, 100, 11)};
    gateway.ports = {2048, 65535};
    for (std::size_t i = 0; i < gateway.timeouts.size(); ++i) {
        gateway.timeouts[i] = std::chrono::seconds{std::array{300, 60, 240, 7440, 240, 10}[i]};
    }
    gateway.mapping = {Rule::address_and_port_dependent, Rule::endpoint_independent, Rule::address_dependent};
    gateway.filtering = {Rule::address_and_port_dependent, Rule::address_dependent,
                         Rule::endpoint_independent};
    gateway.port_quarantine = std::chrono::seconds{120};
    gateway.port_quarantine_max = 4000;
    gateway.port_block_size = 512;
    gateway.port_blocks_per_host = 4;
    gateway.port_block_hold = std::chrono::seconds{120};
    gateway.strict_pairing = true;
    gateway.reset_on_idle = true;
    gateway.hairpin = false;
    gateway.hairpin_same_tenant = true;
    gateway.exhaustion = Exhaustion::administratively_prohibited;
    gateway.lenient_quotes = true;
    gateway.limits = true;
    gateway.preserve_port = true;
    gateway.preserve_range = true;
    gateway.reserves_ports = true;
    tables.reserved_ports[7] = {{{1, 1}, {3478, 3479}, {64000, 65535}}};
    tables.host_ports[Ipv4Address(198, 51, 100, 10)] = {{{22, 22}, {32768, 60999}}, {32768, 60928}};
    tables.host_ports[Ipv4Address(198, 51, 100, 11)] = {};
    tables.nat_gateways[7] = gateway;
    tables.host_limits[7] = {
        .flows = 1000, .ports = 100, .new_flows_per_second = 50, .flows_per_mapping = 20};
    tables.gateway.unanswered_capacity = 4'000'000;
    tables.elastic_ips[Ipv4Address(198, 51, 100, 10)] = {
        .nat_gateway = 7, .on_link_device = 1, .identifier = 20, .shared_with_host = true};
    tables.elastic_ips[Ipv4Address(198, 51, 100, 11)] = {7, NO_DEVICE, 21};
    tables.elastic_ips[Ipv4Address(198, 51, 100, 13)] = {
        .nat_gateway = 7, .identifier = 22, .forwards_ports = true, .draining = true};
    tables.elastic_ips[Ipv4Address(198, 51, 100, 14)] = {.nat_gateway = INTERNET_GATEWAY_FIRST,
                                                         .identifier = 23,
                                                         .instance = Ipv4Address(10, 0, 1, 50),
                                                         .zone = 1};
    tables.routes[{4, Ipv4Prefix(Ipv4Address(192, 0, 2, 0), 24)}] = {RouteKind::internet_gateway,
                                                                     INTERNET_GATEWAY_FIRST};
    tables.subnets[{1, Ipv4Prefix(Ipv4Address(10, 0, 2, 0), 24)}] = {
        .subnet = 7, .route_table = 4, .security_groups = {8, 9}, .has_instances = true};
    tables.security_groups[8] = {.ingress = {{.protocol = 6, .ports = {80, 90}, .remote = Ipv4Prefix()},
                                             {.remote = Ipv4Prefix(Ipv4Address(203, 0, 113, 9), 32)}},
                                 .egress = {SecurityRule{}}};
    tables.security_groups[9] = {.ingress = {{.protocol = 1, .ports = {0x800, 0x8ff}, .remote_group = 8}}};
    tables.routes[{4, Ipv4Prefix(Ipv4Address(192, 168, 0, 0), 16)}] = {RouteKind::via, 0,
                                                                       Ipv4Address(10, 0, 1, 254)};
    tables.instances[{1, Ipv4Address(10, 0, 1, 50)}] = {Ipv4Address(198, 51, 100, 14), {8, 9, 10, 11, 12}};
    tables.port_forwards[{Ipv4Address(198, 51, 100, 13), 17, 5002, 15}] = {Ipv4Address(10, 0, 1, 12), 1, 5001,
                                                                           6001};
    tables.forwarded_endpoints[{1, Ipv4Address(10, 0, 1, 12), 17, 6002, 15}] = {Ipv4Address(198, 51, 100, 13),
                                                                                6001, 5001};
    tables.local_addresses.insert(Ipv4Address(10, 0, 1, 1));
    tables.link_broadcasts.insert({Ipv4Address(10, 0, 1, 255)});
    tables.next_hops[{world.first_device().ifindex, Ipv4Address(10, 0, 1, 5)}] = {
        0, 1500, true, MacAddress({2, 1, 1, 1, 1, 1}), MacAddress({2, 0, 0, 0, 0, 0})};
    tables.next_hops[{world.second_device().ifindex, Ipv4Address(198, 51, 100, 1)}] = {
        1, 1400, false, MacAddress(), MacAddress({2, 0, 0, 0, 0, 1}), true};
    return tables;
}

class DataplaneContract : public testing::TestWithParam<MakeWorld> {
  protected:
    void SetUp() override {
        world_ = GetParam()();
        restart();
    }

    void restart() {
        dataplane_.reset();
        auto started = world_->start();
        ASSERT_TRUE(started) << started.error().message;
        dataplane_ = std::move(*started);
    }

    ApplyReport apply(const ForwardingTables& tables) {
        auto report = dataplane_->apply(tables);
        if (!report) ADD_FAILURE() << report.error().message;
        return report ? *report : ApplyReport{};
    }

    ForwardingTables read() {
        auto tables = dataplane_->read_tables();
        if (!tables) ADD_FAILURE() << tables.error().message;
        return tables ? *tables : ForwardingTables{};
    }

    std::vector<Attachment> attach(std::vector<AttachRequest> wanted, ModeWish mode = ModeWish::automatic) {
        auto result = dataplane_->attach(wanted, mode);
        if (!result) ADD_FAILURE() << result.error().message;
        return result ? *result : std::vector<Attachment>{};
    }

    std::unique_ptr<World> world_;
    std::unique_ptr<Dataplane> dataplane_;
};

TEST_P(DataplaneContract, a_first_start_finds_nothing) {
    EXPECT_EQ(read(), ForwardingTables{});
    EXPECT_TRUE(dataplane_->attachments().empty());
    const auto status = dataplane_->flow_table_status();
    ASSERT_TRUE(status);
    EXPECT_EQ(status->capacity, 1000U);
    EXPECT_EQ(status->flows, 0U);
    EXPECT_EQ(status->entries, 0U);
    EXPECT_GT(status->bytes, 0U);
}

TEST_P(DataplaneContract, what_was_applied_is_read_back) {
    const ForwardingTables wanted = example_tables(*world_);
    EXPECT_EQ(apply(wanted).written, 1U + 4 + 2 + 3 + 5 + 1 + 1 + 1 + 1 + 4 + 1 + 1 + 2  // as ever
                                         + 2 + 1 + 1 + 1  // groups, an instance, a forward from both sides
                                         + 2);            // ports of the host
    const ForwardingTables got = read();
    EXPECT_EQ(got.gateway, wanted.gateway);
    EXPECT_EQ(got.host_limits, wanted.host_limits);
    EXPECT_EQ(got.reserved_ports, wanted.reserved_ports);
    EXPECT_EQ(got.host_ports, wanted.host_ports);
    EXPECT_EQ(got.devices, wanted.devices);
    EXPECT_EQ(got.subnets, wanted.subnets);
    EXPECT_EQ(got.routes, wanted.routes);
    EXPECT_EQ(got.private_prefixes, wanted.private_prefixes);
    EXPECT_EQ(got.nat_gateways, wanted.nat_gateways);
    EXPECT_EQ(got.elastic_ips, wanted.elastic_ips);
    EXPECT_EQ(got.instances, wanted.instances);
    EXPECT_EQ(got.security_groups, wanted.security_groups);
    EXPECT_EQ(got.port_forwards, wanted.port_forwards);
    EXPECT_EQ(got.forwarded_endpoints, wanted.forwarded_endpoints);
    EXPECT_EQ(got.local_addresses, wanted.local_addresses);
    EXPECT_EQ(got.link_broadcasts, wanted.link_broadcasts);
    EXPECT_EQ(got.next_hops, wanted.next_hops);
    EXPECT_EQ(got.identifiers, wanted.identifiers);
}

TEST_P(DataplaneContract, the_second_apply_writes_nothing) {
    const ForwardingTables wanted = example_tables(*world_);
    EXPECT_TRUE(apply(wanted).changed());
    EXPECT_FALSE(apply(wanted).changed());
}

TEST_P(DataplaneContract, a_restart_keeps_the_tables_and_writes_nothing) {
    const ForwardingTables wanted = example_tables(*world_);
    apply(wanted);
    restart();
    EXPECT_EQ(read(), wanted);
    EXPECT_FALSE(apply(wanted).changed());
}

TEST_P(DataplaneContract, timeouts_finer_than_a_unit_make_no_difference) {
    ForwardingTables wanted = example_tables(*world_);
    for (int seconds = 1; seconds < 40; ++seconds) {
        wanted.nat_gateways[7].timeouts[0] = std::chrono::seconds{seconds};
        apply(wanted);
        restart();
        EXPECT_FALSE(apply(wanted).changed()) << seconds;
    }
}

TEST_P(DataplaneContract, only_what_differs_is_written) {
    ForwardingTables wanted = example_tables(*world_);
    apply(wanted);
    wanted.elastic_ips[Ipv4Address(198, 51, 100, 12)] = {7, 1, 22};
    wanted.routes.erase({4, Ipv4Prefix(Ipv4Address(203, 0, 113, 9), 32)});
    wanted.next_hops.begin()->second.mtu = 9000;
    const ApplyReport report = apply(wanted);
    EXPECT_EQ(report.written, 2U);
    EXPECT_EQ(report.removed, 1U);
    EXPECT_EQ(read(), wanted);
}

TEST_P(DataplaneContract, everything_can_be_removed) {
    apply(example_tables(*world_));
    EXPECT_EQ(apply(ForwardingTables{}).written, 0U);
    EXPECT_EQ(read(), ForwardingTables{});
    restart();
    EXPECT_EQ(read(), ForwardingTables{});
}

TEST_P(DataplaneContract, an_address_of_the_host_that_was_a_broadcast_stays) {
    const Ipv4Address address(10, 0, 1, 255);
    ForwardingTables before, after;
    before.link_broadcasts.insert({address});
    after.local_addresses.insert(address);
    apply(before);
    apply(after);
    restart();
    EXPECT_EQ(read(), after);
}

TEST_P(DataplaneContract, a_full_table_can_be_replaced_by_another) {
    ForwardingTables first, second;
    for (std::uint32_t i = 0; i < LOCAL_ADDRESSES_MAX; ++i) {
        first.local_addresses.insert(Ipv4Address(0x0a000000 + i));
        second.local_addresses.insert(Ipv4Address(0x0b000000 + i));
    }
    apply(first);
    apply(second);
    EXPECT_EQ(read(), second);
}

TEST_P(DataplaneContract, too_many_elements_are_refused_before_anything_of_them_is_written) {
    ForwardingTables tables;
    for (std::uint32_t i = 0; i <= LOCAL_ADDRESSES_MAX; ++i) {
        tables.local_addresses.insert(Ipv4Address(0x0a000000 + i));
    }
    EXPECT_FALSE(dataplane_->apply(tables));
    EXPECT_EQ(read(), ForwardingTables{});
}

TEST_P(DataplaneContract, attaches_and_says_how) {
    apply(example_tables(*world_));
    const auto result = attach({world_->first_device(), world_->second_device()});
    ASSERT_EQ(result.size(), 2U);
    for (const Attachment& attachment : result) {
        EXPECT_EQ(attachment.error, "");
        EXPECT_EQ(attachment.fallback_reason, "");
        EXPECT_EQ(attachment.mode, Mode::native);
        EXPECT_FALSE(attachment.adopted);
    }
    EXPECT_EQ(result[0].name, world_->first_device().name);
    EXPECT_EQ(dataplane_->attachments().size(), 2U);
}

TEST_P(DataplaneContract, attaching_again_changes_nothing) {
    attach({world_->first_device()});
    const auto again = attach({world_->first_device()});
    ASSERT_EQ(again.size(), 1U);
    EXPECT_FALSE(again[0].adopted);
    EXPECT_EQ(again[0].error, "");
}

TEST_P(DataplaneContract, a_restart_adopts_what_is_attached) {
    attach({world_->first_device(), world_->second_device()});
    restart();
    EXPECT_TRUE(dataplane_->attachments().empty());  // not yet known to the new agent
    const auto result = attach({world_->first_device(), world_->second_device()});
    ASSERT_EQ(result.size(), 2U);
    EXPECT_TRUE(result[0].adopted);
    EXPECT_TRUE(result[1].adopted);
    EXPECT_EQ(result[0].mode, Mode::native);
}

TEST_P(DataplaneContract, a_restart_detaches_from_what_is_no_longer_wanted) {
    attach({world_->first_device(), world_->second_device()});
    restart();
    attach({world_->first_device()});
    ASSERT_EQ(dataplane_->attachments().size(), 1U);
    const auto result = attach({world_->first_device(), world_->second_device()});
    ASSERT_EQ(result.size(), 2U);
    EXPECT_FALSE(result[1].adopted);
}

TEST_P(DataplaneContract, a_device_may_change_its_role_in_place) {
    AttachRequest request = world_->first_device();
    attach({request});
    request.role = Role::both;
    const auto result = attach({request});
    ASSERT_EQ(result.size(), 1U);
    EXPECT_EQ(result[0].error, "");
    EXPECT_TRUE(result[0].adopted);
}

TEST_P(DataplaneContract, the_mode_can_be_chosen_and_changed) {
    EXPECT_EQ(attach({world_->first_device()}, ModeWish::generic)[0].mode, Mode::generic);
    EXPECT_EQ(attach({world_->first_device()}, ModeWish::native)[0].mode, Mode::native);
    EXPECT_EQ(attach({world_->first_device()}, ModeWish::automatic)[0].mode, Mode::native);
}

TEST_P(DataplaneContract, a_device_that_fails_does_not_keep_the_others_from_working) {
    const auto result = attach({world_->missing_device(), world_->first_device()});
    ASSERT_EQ(result.size(), 2U);
    EXPECT_NE(result[0].error, "");
    EXPECT_EQ(result[0].name, world_->missing_device().name);
    EXPECT_EQ(result[1].error, "");
    ASSERT_EQ(dataplane_->attachments().size(), 1U);
    EXPECT_EQ(dataplane_->attachments()[0].name, world_->first_device().name);
}

TEST_P(DataplaneContract, detaching_removes_everything_and_a_new_start_is_a_first_one) {
    apply(example_tables(*world_));
    attach({world_->first_device()});
    ASSERT_TRUE(dataplane_->detach_all());
    EXPECT_TRUE(dataplane_->attachments().empty());
    EXPECT_EQ(read(), ForwardingTables{});
    EXPECT_TRUE(dataplane_->detach_all());  // twice is fine
    restart();
    EXPECT_EQ(read(), ForwardingTables{});
    EXPECT_FALSE(attach({world_->first_device()})[0].adopted);
}

TEST_P(DataplaneContract, what_is_detached_answers_or_fails_but_does_not_break) {
    ASSERT_TRUE(dataplane_->detach_all());
    EXPECT_FALSE(dataplane_->apply(ForwardingTables{}));
    EXPECT_FALSE(dataplane_->bump_generation());
    EXPECT_FALSE(dataplane_->generation());
    EXPECT_FALSE(dataplane_->attach({}, ModeWish::automatic));
    EXPECT_FALSE(dataplane_->keep_next_hops_valid(std::chrono::seconds{30}));
    EXPECT_FALSE(dataplane_->next_hop({}));
    EXPECT_FALSE(dataplane_->cut({}));
    EXPECT_TRUE(dataplane_->counters());
    EXPECT_TRUE(dataplane_->visit_flows([](const FlowRecord&) { return true; }));
    EXPECT_TRUE(dataplane_->sweep());
    EXPECT_TRUE(dataplane_->poll_drop_events([](const DropEvent&) {}));
    EXPECT_TRUE(dataplane_->poll_port_block_events([](const PortBlockEvent&) {}));
    EXPECT_TRUE(dataplane_->visit_port_blocks([](const PortBlock&) {}));
    const auto inner = dataplane_->inner_flow({});
    EXPECT_TRUE(inner && !*inner);
    EXPECT_TRUE(dataplane_->visit_inner_flows([](const InnerFlowKey&, const InnerFlow&) { return true; }));
    EXPECT_EQ(dataplane_->port_block_events_fd(), -1);
    ASSERT_TRUE(dataplane_->flow_table_status());
    EXPECT_EQ(dataplane_->flow_table_status()->capacity, 0U);

    ASSERT_TRUE(dataplane_->prepare(2000));
    apply(example_tables(*world_));
    EXPECT_EQ(dataplane_->flow_table_status()->capacity, 2000U);
}

TEST_P(DataplaneContract, prepared_state_keeps_its_size) {
    ASSERT_TRUE(dataplane_->prepare(123456));
    EXPECT_EQ(dataplane_->flow_table_status()->capacity, 1000U);
}

TEST_P(DataplaneContract, where_no_route_leads_there_is_no_next_hop) {
    apply(example_tables(*world_));
    NextHopQuestion question;
    question.ifindex = world_->first_device().ifindex;
    question.source = Ipv4Address(198, 51, 100, 10);
    question.destination = Ipv4Address(192, 0, 2, 99);
    for (const bool inward : {false, true}) {
        question.inward = inward;
        question.zone = inward ? 1 : 0;
        const auto answer = dataplane_->next_hop(question);
        ASSERT_TRUE(answer) << answer.error().message;
        EXPECT_NE(answer->reason, 0U);
    }
}

TEST_P(DataplaneContract, counters_are_of_what_is_in_use) {
    auto counters = dataplane_->counters();
    ASSERT_TRUE(counters);
    EXPECT_TRUE(counters->devices.empty());
    EXPECT_EQ(counters->drops.size(), std::size_t{DROP_REASONS_MAX});
    apply(example_tables(*world_));
    counters = dataplane_->counters();
    ASSERT_TRUE(counters);
    EXPECT_EQ(counters->devices.size(), 2U);
    ASSERT_EQ(counters->nat_gateways.size(), 1U);
    EXPECT_EQ(counters->nat_gateways.begin()->first, 7);
}

TEST_P(DataplaneContract, an_empty_table_is_swept_and_listed) {
    const auto report = dataplane_->sweep();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->removed, 0U);
    int flows = 0;
    EXPECT_TRUE(dataplane_->visit_flows([&](const FlowRecord&) { return ++flows > 0; }));
    EXPECT_EQ(flows, 0);
}

TEST_P(DataplaneContract, flows_that_are_not_there_are_not_cut) {
    std::vector<FlowRecord> flows(2);
    flows[0].slot = 3;
    flows[1].slot = 0xffffffff;
    for (FlowRecord& flow : flows) flow.flow_id = 4;
    const auto report = dataplane_->cut(flows);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->looked_at, 2U);
    EXPECT_EQ(report->removed, 0U);
}

TEST_P(DataplaneContract, settings_can_be_written) {
    const auto before = dataplane_->generation();
    ASSERT_TRUE(before);
    EXPECT_TRUE(dataplane_->bump_generation());
    EXPECT_EQ(dataplane_->generation().value(), static_cast<std::uint16_t>(*before + 1));
    EXPECT_TRUE(dataplane_->keep_next_hops_valid(std::chrono::seconds{30}));
    EXPECT_TRUE(dataplane_->watch_drops(std::chrono::seconds{10}));
    EXPECT_TRUE(dataplane_->poll_drop_events([](const DropEvent&) {}));
}

TEST_P(DataplaneContract, without_port_blocks_there_is_nothing_to_tell_of_them) {
    apply(example_tables(*world_));
    int told = 0;
    EXPECT_TRUE(dataplane_->poll_port_block_events([&](const PortBlockEvent&) { ++told; }));
    EXPECT_TRUE(dataplane_->visit_port_blocks([&](const PortBlock&) { ++told; }));
    EXPECT_EQ(told, 0);
    EXPECT_EQ(dataplane_->counters()->nat_gateways.at(7).port_block_events_lost, 0U);
}

TEST_P(DataplaneContract, captures_one_at_a_time_of_what_is_attached) {
    const auto ignore = [](const CapturedPacket&) {};
    EXPECT_EQ(dataplane_->begin_capture({}).error().code, ENODEV) << "nothing is attached";
    EXPECT_FALSE(dataplane_->poll_capture(1, ignore)) << "there is no capture";
    EXPECT_FALSE(dataplane_->end_capture(ignore));

    const std::vector<AttachRequest> both{world_->first_device(), world_->second_device()};
    ASSERT_TRUE(dataplane_->attach(both, ModeWish::automatic));
    CaptureRequest elsewhere;
    elsewhere.device = world_->missing_device().slot;
    EXPECT_EQ(dataplane_->begin_capture(elsewhere).error().code, ENODEV);

    const auto begun = dataplane_->begin_capture({});
    ASSERT_TRUE(begun) << begun.error().message;
    EXPECT_EQ(dataplane_->begin_capture({}).error().code, EBUSY);
    EXPECT_EQ(dataplane_->poll_capture(10, ignore).value(), 0U);
    ASSERT_TRUE(dataplane_->attach(both, ModeWish::automatic));
    EXPECT_TRUE(dataplane_->poll_capture(10, ignore)) << "nothing was attached anew";
    EXPECT_EQ(dataplane_->end_capture(ignore).value(), 0U);
    EXPECT_FALSE(dataplane_->end_capture(ignore)) << "it has ended";
    EXPECT_TRUE(dataplane_->begin_capture({}));
}

TEST_P(DataplaneContract, a_capture_ends_when_the_program_of_its_device_does) {
    const auto ignore = [](const CapturedPacket&) {};
    std::vector<AttachRequest> both{world_->first_device(), world_->second_device()};
    ASSERT_TRUE(dataplane_->attach(both, ModeWish::automatic));
    CaptureRequest of_first;
    of_first.device = both[0].slot;
    ASSERT_TRUE(dataplane_->begin_capture(of_first));
    both[1].role = Role::both;
    ASSERT_TRUE(dataplane_->attach(both, ModeWish::automatic));
    EXPECT_TRUE(dataplane_->poll_capture(10, ignore)) << "another device is none of its business";
    both[0].role = Role::both;
    ASSERT_TRUE(dataplane_->attach(both, ModeWish::automatic));
    EXPECT_EQ(dataplane_->poll_capture(10, ignore).error().code, ESTALE);
    EXPECT_EQ(dataplane_->poll_capture(10, ignore).error().code, ENOENT);

    ASSERT_TRUE(dataplane_->begin_capture({}));
    ASSERT_TRUE(dataplane_->detach_all());
    EXPECT_EQ(dataplane_->poll_capture(10, ignore).error().code, ENODEV);
    EXPECT_EQ(dataplane_->begin_capture({}).error().code, ENODEV);
}

// Queries have a thread of their own, and come at any time: also while all is written, detached and made
// anew.
TEST_P(DataplaneContract, reading_goes_on_beside_everything) {
    const ForwardingTables example = example_tables(*world_);
    const std::vector<AttachRequest> both{world_->first_device(), world_->second_device()};
    std::atomic<bool> ended = false;
    std::atomic<int> rounds = 0;
    std::thread reading([&] {
        const auto works = [](const auto& result) {
            if (!result) {
                EXPECT_EQ(result.error().code, ENODEV) << result.error().message;
            }
            return result.has_value();
        };
        DataplaneReader& reader = *dataplane_;
        while (!ended) {
            if (const auto tables = reader.read_tables(); works(tables)) {
                for (const auto& [slot, device] : tables->devices)
                    EXPECT_TRUE(example.devices.contains(slot));
                for (const auto& [number, gateway] : tables->nat_gateways)
                    EXPECT_TRUE(example.nat_gateways.contains(number));
            }
            if (const auto counters = reader.counters(); works(counters)) {
                for (const auto& [slot, counted] : counters->devices)
                    EXPECT_LT(counted.received_packets, 1000U) << "they may announce themselves";
            }
            for (const Attachment& attachment : reader.attachments())
                EXPECT_TRUE(attachment.name == both[0].name || attachment.name == both[1].name);
            works(reader.generation());
            works(reader.flow_table_status());
            works(reader.visit_flows([](const FlowRecord&) { return true; }));
            works(reader.visit_inner_flows([](const InnerFlowKey&, const InnerFlow&) { return true; }));
            works(reader.inner_flow({}));
            works(reader.next_hop({both[0].ifindex, Ipv4Address(10, 0, 1, 5), Ipv4Address(203, 0, 113, 9)}));
            ++rounds;
        }
    });
    for (int i = 0; i < 4 || rounds < 4; ++i) {
        apply(example);
        attach(both);
        EXPECT_TRUE(dataplane_->bump_generation());
        EXPECT_TRUE(dataplane_->keep_next_hops_valid(std::chrono::seconds{30}));
        EXPECT_TRUE(dataplane_->sweep(0));
        EXPECT_TRUE(dataplane_->tend_fragments());
        apply({});
        attach({});
        if (i % 2 == 0) continue;
        EXPECT_TRUE(dataplane_->detach_all());
        EXPECT_TRUE(dataplane_->prepare(1000));
    }
    ended = true;
    reading.join();
}

}  // namespace sallyport::dataplane

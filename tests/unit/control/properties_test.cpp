// SPDX-License-Identifier: Apache-2.0
//
// What holds of any desired state whatever, tried with random ones. The seed of a failing one is its name:
// --gtest_filter='Random/Properties.*/SEED'.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "control/gateway.h"
#include "model/delta.h"
#include "model/json.h"
#include "model/objects.h"
#include "model/validate.h"
#include "reconcile/plan.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::control {
namespace {

using model::Kind;

// Makes valid objects of every kind, with every field, out of a small supply of names and addresses.
class RandomSite {
  public:
    explicit RandomSite(unsigned seed) : random_(seed) {}

    unsigned one_of(unsigned count) { return std::uniform_int_distribution<unsigned>(0, count - 1)(random_); }
    bool maybe() { return one_of(2) == 0; }

    // A state of the API alone, beside the gateway itself.
    model::DesiredState state() {
        model::DesiredState state;
        state.gateway = {.name = "gw1",
                         .devices = {{.device = "lan0", .role = model::DeviceRole::inside, .vpc = "v0"},
                                     {.device = "wan0", .role = model::DeviceRole::outside}},
                         .flow_capacity = 65536};
        vpcs(state);
        security_groups(state);
        elastic_ips_and_gateways(state);
        route_tables(state);
        subnets_and_instances(state);
        port_forwards(state);
        model::visit_kinds([&](Kind, auto objects) {
            auto& list = state.*objects;
            for (auto& object : list) object.origin = model::Origin::api;
            std::ranges::sort(list, {}, [](const auto& object) { return object.name; });
        });
        return state;
    }

  private:
    // Some of the first `most` numbers, at least one of them.
    std::vector<unsigned> some(unsigned most) {
        std::vector<unsigned> numbers;
        for (unsigned number = 0; number < most; ++number) {
            if (maybe()) numbers.push_back(number);
        }
        if (numbers.empty()) numbers.push_back(one_of(most));
        return numbers;
    }
    template <typename T>
    const T& any(const std::vector<T>& list) {
        return list[one_of(static_cast<unsigned>(list.size()))];
    }
    Ipv4Prefix prefix() {
        const auto length = static_cast<std::uint8_t>(8 + one_of(25));
        return {
            Ipv4Address(static_cast<std::uint8_t>(20 + one_of(150)), static_cast<std::uint8_t>(one_of(256)),
                        static_cast<std::uint8_t>(one_of(256)), 0),
            length};
    }
    static Ipv4Prefix cidr_of(unsigned vpc) {
        return {Ipv4Address(10, static_cast<std::uint8_t>(vpc), 0, 0), 16};
    }

    void vpcs(model::DesiredState& state) {
        state.vpcs.push_back({.name = "v0", .cidrs = {cidr_of(0)}});
        for (const unsigned number : some(3))
            state.vpcs.push_back({.name = fmt::format("v{}", number + 1), .cidrs = {cidr_of(number + 1)}});
    }
    std::vector<model::SecurityGroupRule> rules() {
        std::vector<model::SecurityGroupRule> result(one_of(4));
        for (model::SecurityGroupRule& rule : result) {
            if (maybe()) rule.protocol = any(std::vector{Protocol::tcp, Protocol::udp, Protocol::icmp});
            if (rule.protocol && *rule.protocol != Protocol::icmp && maybe()) {
                const auto first = static_cast<std::uint16_t>(1 + one_of(60000));
                rule.ports = PortRange{first, static_cast<std::uint16_t>(first + one_of(100))};
            }
            rule.peer = prefix();
            if (maybe()) rule.description = "what for";
        }
        return result;
    }
    void security_groups(model::DesiredState& state) {
        for (const unsigned number : some(6)) {
            model::SecurityGroup group{.name = fmt::format("g{}", number), .vpc = any(state.vpcs).name};
            group.ingress = rules();
            if (maybe()) group.egress = rules();
            state.security_groups.push_back(std::move(group));
        }
    }
    std::vector<std::string> groups_of(const model::DesiredState& state, const std::string& vpc) {
        std::vector<std::string> names;
        for (const model::SecurityGroup& group : state.security_groups) {
            if (group.vpc == vpc && names.size() < 3 && maybe()) names.push_back(group.name);
        }
        return names;
    }
    void elastic_ips_and_gateways(model::DesiredState& state) {
        for (const unsigned number : some(8)) {
            state.elastic_ips.push_back(
                {.name = fmt::format("e{}", number),
                 .address = Ipv4Address(198, 51, 100, static_cast<std::uint8_t>(20 + number))});
        }
        for (const unsigned number : some(2)) {
            state.nat_gateways.push_back({.name = fmt::format("n{}", number), .vpc = any(state.vpcs).name});
            model::NatGateway& gateway = state.nat_gateways.back();
            gateway.preserve_parity = maybe();
            gateway.pairing = maybe() ? model::Pairing::soft : model::Pairing::strict;
            gateway.timeouts.udp = std::chrono::seconds(120 + one_of(1000));
            if (maybe()) gateway.limits.flows_per_host = 1 + one_of(1000);
            if (maybe()) gateway.reserved_ports = {{4000, static_cast<std::uint16_t>(4000 + one_of(100))}};
            if (maybe()) gateway.port_blocks.size = 256;
        }
        if (state.nat_gateways.size() > state.elastic_ips.size()) state.nat_gateways.pop_back();
        for (std::size_t i = 0; i < state.elastic_ips.size(); ++i) {
            if (i < state.nat_gateways.size() || one_of(3) != 0)
                state.nat_gateways[i % state.nat_gateways.size()].elastic_ips.push_back(
                    state.elastic_ips[i].name);
        }
        for (const model::Vpc& vpc : state.vpcs) {
            if (maybe()) state.internet_gateways.push_back({.name = "i-" + vpc.name, .vpc = vpc.name});
        }
    }
    void route_tables(model::DesiredState& state) {
        for (const unsigned number : some(3)) {
            model::RouteTable table{.name = fmt::format("r{}", number), .vpc = any(state.vpcs).name};
            const auto has_main = [&](const model::RouteTable& other) {
                return other.vpc == table.vpc && other.main;
            };
            table.main = maybe() && std::ranges::none_of(state.route_tables, has_main);
            for (unsigned i = 0; i < one_of(6); ++i) {
                model::Route route{.destination = prefix(), .target = model::Blackhole{}};
                const model::NatGateway& nat = any(state.nat_gateways);
                if (nat.vpc == table.vpc && maybe()) route.target = model::ToNatGateway{nat.name};
                for (const model::InternetGateway& internet : state.internet_gateways) {
                    if (internet.vpc == table.vpc && maybe())
                        route.target = model::ToInternetGateway{internet.name};
                }
                const auto same = [&](const model::Route& other) {
                    return other.destination == route.destination;
                };
                if (std::ranges::none_of(table.routes, same)) table.routes.push_back(std::move(route));
            }
            state.route_tables.push_back(std::move(table));
        }
    }
    void subnets_and_instances(model::DesiredState& state) {
        for (const unsigned number : some(6)) {
            const unsigned vpc = one_of(static_cast<unsigned>(state.vpcs.size()));
            const Ipv4Address base = state.vpcs[vpc].cidrs.front().address();
            model::Subnet subnet{.name = fmt::format("s{}", number), .vpc = state.vpcs[vpc].name};
            subnet.cidr = {Ipv4Address(base.value() + 256 * (number + 1)), 24};
            for (const model::RouteTable& table : state.route_tables) {
                if (table.vpc == subnet.vpc && maybe()) subnet.route_table = table.name;
            }
            subnet.security_groups = groups_of(state, subnet.vpc);
            for (unsigned host = 0; host < one_of(4); ++host) {
                state.instances.push_back({.name = fmt::format("h{}-{}", number, host),
                                           .subnet = subnet.name,
                                           .address = Ipv4Address(subnet.cidr.address().value() + 10 + host),
                                           .security_groups = groups_of(state, subnet.vpc)});
            }
            state.subnets.push_back(std::move(subnet));
        }
        for (model::ElasticIp& elastic_ip : state.elastic_ips) {
            const auto uses = [&](const auto& gateway) {
                return std::ranges::find(gateway.elastic_ips, elastic_ip.name) != gateway.elastic_ips.end();
            };
            const auto has = [&](const std::string& name) {
                return std::ranges::any_of(state.elastic_ips,
                                           [&](const auto& other) { return other.instance == name; });
            };
            if (state.instances.empty() || std::ranges::any_of(state.nat_gateways, uses)) continue;
            if (const std::string& name = any(state.instances).name; !has(name)) elastic_ip.instance = name;
        }
    }
    void port_forwards(model::DesiredState& state) {
        for (const model::NatGateway& gateway : state.nat_gateways) {
            const auto vpc = std::ranges::find(state.vpcs, gateway.vpc, &model::Vpc::name);
            for (const std::string& elastic_ip : gateway.elastic_ips) {
                if (maybe()) continue;
                const auto port = static_cast<std::uint16_t>(100 + one_of(800));
                state.port_forwards.push_back(
                    {.name = "p-" + elastic_ip,
                     .elastic_ip = elastic_ip,
                     .protocol = maybe() ? Protocol::tcp : Protocol::udp,
                     .port = {port, static_cast<std::uint16_t>(port + one_of(10))},
                     .to_address = Ipv4Address(vpc->cidrs.front().address().value() + 256 + one_of(200)),
                     .to_port = static_cast<std::uint16_t>(1 + one_of(60000))});
            }
        }
    }

    std::minstd_rand random_;
};

// `from` after the changes, with what `to` has of the objects that are named there.
model::DesiredState changed(model::DesiredState from, const model::DesiredState& to,
                            const std::vector<model::Change>& changes) {
    for (const model::Change& change : changes) {
        const auto kind = model::parse_kind(change.kind);
        if (!kind) {
            from.gateway = to.gateway;
        } else if (change.change == model::ChangeType::remove) {
            model::remove_object(from, *kind, change.name);
        } else {
            model::put_object(from, *model::find_object(to, *kind, change.name));
        }
    }
    return from;
}

class Properties : public testing::TestWithParam<unsigned> {
  protected:
    void SetUp() override {
        RandomSite site(GetParam());
        one_ = site.state();
        other_ = site.state();
        for (const model::DesiredState* state : {&one_, &other_}) {
            const auto faults = model::validate(*state);
            ASSERT_TRUE(faults.empty()) << faults.front().path << ": " << faults.front().message;
        }
    }

    model::DesiredState one_, other_;
};

TEST_P(Properties, ADeltaLeadsFromOneStateToTheOther) {
    EXPECT_TRUE(model::delta(one_, one_).empty());
    const auto changes = model::delta(one_, other_);
    const model::DesiredState reached = changed(one_, other_, changes);
    EXPECT_EQ(reached, other_);
    EXPECT_TRUE(model::delta(reached, other_).empty());
    EXPECT_EQ(changed(reached, one_, model::delta(reached, one_)), one_) << "and back";
    // Each change is one of something: none is said twice, and none that is no change.
    auto names = changes;
    const auto key = [](const model::Change& change) { return std::pair(change.kind, change.name); };
    std::ranges::sort(names, {}, key);
    EXPECT_EQ(std::ranges::adjacent_find(names, {}, key), names.end());
    for (const model::Change& change : changes)
        EXPECT_EQ(change.change == model::ChangeType::update, !change.fields.empty());
}

TEST_P(Properties, AnObjectIsReadAsItWasWritten) {
    model::DesiredState read;
    read.gateway = one_.gateway;
    for (const model::Object& object : model::objects_of(one_, model::Origin::api)) {
        const auto back = config::read_object_text(model::kind_of(object), config::object_text(object));
        ASSERT_TRUE(back) << back.error().front().message;
        EXPECT_EQ(*back, object);
        model::append_object(read, *back);
    }
    EXPECT_EQ(read, one_);
    EXPECT_EQ(model::to_json(read), model::to_json(one_));
}

TEST_P(Properties, TheDataPlaneHoldsWhatWasAppliedToIt) {
    netlink::MemoryNetlink netlink;
    netlink.put_link({2, "lan0", "veth", MacAddress({2, 0, 0, 0, 0, 1}), 1500, true, true, {}});
    netlink.put_link({3, "wan0", "veth", MacAddress({2, 0, 0, 0, 0, 2}), 1500, true, true, {}});
    netlink.put_address({3, Ipv4Address(198, 51, 100, 1), 24});
    ManualClock clock;
    auto kernel = std::make_shared<dataplane::MemoryKernel>();
    dataplane::MemoryDataplane dataplane(kernel);
    reconcile::Reconciler reconciler(dataplane, netlink, clock);
    for (const model::DesiredState* state : {&one_, &other_, &one_}) {
        const auto desired = std::make_shared<const model::DesiredState>(*state);
        ASSERT_TRUE(reconciler.apply(desired)) << reconciler.last_error();
        EXPECT_EQ(*dataplane.read_tables(), reconciler.tables());
        const auto again = reconciler.apply(desired);
        ASSERT_TRUE(again);
        EXPECT_FALSE(again->changed()) << "a second time nothing is written";

        // From nothing the same comes out as by way of another state, but for names that were there before.
        auto fresh_kernel = std::make_shared<dataplane::MemoryKernel>();
        fresh_kernel->prepared = true;
        fresh_kernel->flow_capacity = 65536;
        fresh_kernel->tables.identifiers = kernel->tables.identifiers;
        dataplane::MemoryDataplane fresh(fresh_kernel);
        reconcile::Reconciler from_nothing(fresh, netlink, clock);
        ASSERT_TRUE(from_nothing.apply(desired)) << from_nothing.last_error();
        EXPECT_EQ(*fresh.read_tables(), *dataplane.read_tables());
    }
}

// Commands that lead from the file alone to one random state and on to the other, object by object and in an
// order in which nothing refers to what is not there.
struct ObjectCommand {
    Kind kind;
    std::string name;
    std::string text;  // empty: it is deleted
};

class Replay : public Properties {
  protected:
    static std::string file() {
        return "api_version: sallyport/v1\ngateway: { name: gw1, devices: [ { device: lan0, role: inside, "
               "vpc: v0 }, { "
               "device: wan0, role: outside } ], flow_capacity: 65536 }\nvpcs: [ { name: v0, cidrs: "
               "[10.0.0.0/16] } ]\n";
    }
    std::vector<ObjectCommand> commands() {
        constexpr std::array order{Kind::vpcs,         Kind::security_groups, Kind::internet_gateways,
                                   Kind::nat_gateways, Kind::route_tables,    Kind::subnets,
                                   Kind::instances,    Kind::elastic_ips,     Kind::port_forwards};
        std::vector<ObjectCommand> list;
        const auto texts = [&](const model::DesiredState& state, Kind kind) {
            for (const model::Object& object : model::objects_of(state, model::Origin::api)) {
                if (model::kind_of(object) == kind && !(kind == Kind::vpcs && model::name_of(object) == "v0"))
                    list.push_back({kind, model::name_of(object), config::object_text(object)});
            }
        };
        for (const model::DesiredState* state : {&one_, &other_}) {
            for (const Kind kind : order) texts(*state, kind);
            // A NAT gateway that names Elastic IPs comes after them; the first try was refused.
            texts(*state, Kind::nat_gateways);
            texts(*state, Kind::port_forwards);
        }
        for (std::size_t i = list.size(); i-- > 0;) {
            if (RandomSite(GetParam() + static_cast<unsigned>(i)).one_of(3) == 0)
                list.push_back({list[i].kind, list[i].name, {}});
        }
        return list;
    }
    // What was answered, in words.
    static std::string run(Gateway& gateway, const ObjectCommand& command) {
        if (command.text.empty()) {
            const auto deleted = gateway.delete_object(command.kind, command.name, "test");
            return deleted ? "deleted" : deleted.error().message;
        }
        const auto put = gateway.put_object(command.kind, command.name, command.text, "test");
        return put ? put->json : put.error().message;
    }
};

TEST_P(Replay, OfAnyPrefixGivesTheSameStateAndTheSameAnswers) {
    GatewayInMemory first, second;
    for (GatewayInMemory* gateway : {&first, &second}) {
        gateway->write_config(file());
        const auto started = gateway->start();
        ASSERT_TRUE(started) << started.error().message;
    }
    std::size_t done = 0;
    const std::vector<ObjectCommand> list = commands();
    for (const ObjectCommand& command : list) {
        const std::string answer = run(*first.gateway, command);
        ASSERT_EQ(run(*second.gateway, command), answer);
        const auto revision = first.gateway->view()->desired_revision;
        if (first.gateway->view()->desired_revision != done) ++done;
        // Again the same: it is there already, and nothing is written.
        if (!command.text.empty()) {
            const std::uint64_t writes = first.kernel->writes;
            ASSERT_EQ(run(*first.gateway, command), answer);
            ASSERT_EQ(first.gateway->view()->desired_revision, revision);
            ASSERT_EQ(first.kernel->writes, writes);
        }
        ASSERT_EQ(*first.gateway->view()->state, *second.gateway->view()->state);
        ASSERT_EQ(first.kernel->tables, second.kernel->tables);
        ASSERT_TRUE(model::validate(*first.gateway->view()->state).empty());
    }
    EXPECT_GT(first.gateway->view()->desired_revision, 5U);
    // And so does the store of one of them, read anew, and each of its revisions.
    const model::DesiredState last = *first.gateway->view()->state;
    const auto tables = first.kernel->tables;
    ASSERT_TRUE(first.start());
    EXPECT_EQ(*first.gateway->view()->state, last);
    EXPECT_EQ(first.kernel->tables, tables);
    const auto back = first.gateway->rollback(1, "test");
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_TRUE(model::objects_of(*first.gateway->view()->state, model::Origin::api).empty());
    ASSERT_TRUE(first.gateway->rollback(second.gateway->view()->desired_revision, "test"));
    EXPECT_EQ(*first.gateway->view()->state, last);
    EXPECT_EQ(first.kernel->tables, tables);
}

INSTANTIATE_TEST_SUITE_P(Random, Properties, testing::Range(1u, 201u));
INSTANTIATE_TEST_SUITE_P(Random, Replay, testing::Range(1u, 21u));

}  // namespace
}  // namespace sallyport::control

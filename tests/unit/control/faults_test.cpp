// SPDX-License-Identifier: Apache-2.0
//
// A sequence of commands in which one call of what is below fails, or the agent dies in it, for each of the
// calls that it makes: what was acknowledged is there, what was not is there as a whole or not at all, and
// the kernel follows.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/gateway.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::control {
namespace {

using namespace std::chrono_literals;
using model::Kind;

struct Killed {};

// Which call goes wrong, counted from arm(), and how.
class Fate {
  public:
    enum class Kind { fails, dies_before, dies_after };
    void arm(std::uint64_t call, Kind kind) {
        left_ = call;
        kind_ = kind;
        met_ = false;
    }
    void disarm() { left_.reset(); }
    [[nodiscard]] bool met() const { return met_; }

    template <typename Call>
    auto around(Call call) -> decltype(call()) {
        if (!left_ || (*left_)-- > 0) return call();
        left_.reset();
        met_ = true;
        if (kind_ == Kind::fails) return failure("injected fault");
        if (kind_ == Kind::dies_after) (void)call();
        throw Killed{};
    }

  private:
    std::optional<std::uint64_t> left_;
    Kind kind_ = Kind::fails;
    bool met_ = false;
};

class FatedDataplane final : public dataplane::Dataplane {
  public:
    FatedDataplane(std::unique_ptr<dataplane::Dataplane> inner, Fate& fate)
        : inner_(std::move(inner)), fate_(fate) {}
    Result<void> prepare(std::uint32_t capacity) override {
        return fate_.around([&] { return inner_->prepare(capacity); });
    }
    Result<dataplane::ForwardingTables> read_tables() override { return inner_->read_tables(); }
    Result<dataplane::ForwardingTables> load_tables() override {
        return fate_.around([&] { return inner_->load_tables(); });
    }
    Result<dataplane::ApplyReport> apply(const dataplane::ForwardingTables& wanted) override {
        return fate_.around([&] { return inner_->apply(wanted); });
    }
    Result<void> bump_generation() override {
        return fate_.around([&] { return inner_->bump_generation(); });
    }
    Result<std::uint16_t> generation() override { return inner_->generation(); }
    Result<std::vector<dataplane::Attachment>> attach(std::span<const dataplane::AttachRequest> wanted,
                                                      dataplane::ModeWish mode) override {
        return fate_.around([&] { return inner_->attach(wanted, mode); });
    }
    [[nodiscard]] std::vector<dataplane::Attachment> attachments() const override {
        return inner_->attachments();
    }
    Result<void> detach_all() override {
        return fate_.around([&] { return inner_->detach_all(); });
    }
    Result<void> keep_next_hops_valid(std::chrono::seconds duration) override {
        return fate_.around([&] { return inner_->keep_next_hops_valid(duration); });
    }
    Result<dataplane::NextHopAnswer> next_hop(const dataplane::NextHopQuestion& question) override {
        return inner_->next_hop(question);
    }
    [[nodiscard]] Result<dataplane::Counters> counters() override { return inner_->counters(); }
    Result<void> visit_flows(const std::function<bool(const dataplane::FlowRecord&)>& visit) override {
        return inner_->visit_flows(visit);
    }
    Result<std::optional<dataplane::InnerFlow>> inner_flow(const dataplane::InnerFlowKey& key) override {
        return inner_->inner_flow(key);
    }
    Result<void> visit_inner_flows(const std::function<bool(const dataplane::InnerFlowKey&,
                                                            const dataplane::InnerFlow&)>& visit) override {
        return inner_->visit_inner_flows(visit);
    }
    Result<void> begin_capture(const dataplane::CaptureRequest& request) override {
        return inner_->begin_capture(request);
    }
    Result<std::uint64_t> poll_capture(
        std::size_t most, const std::function<void(dataplane::CapturedPacket)>& handle) override {
        return inner_->poll_capture(most, handle);
    }
    Result<std::uint64_t> end_capture(const std::function<void(dataplane::CapturedPacket)>& handle) override {
        return inner_->end_capture(handle);
    }
    Result<dataplane::SweepReport> cut(std::span<const dataplane::FlowRecord> flows) override {
        return inner_->cut(flows);
    }
    Result<dataplane::FlowTableStatus> flow_table_status() override {
        return fate_.around([&] { return inner_->flow_table_status(); });
    }
    Result<dataplane::SweepReport> sweep(std::size_t buckets) override { return inner_->sweep(buckets); }
    Result<void> watch_drops(std::chrono::seconds duration) override { return inner_->watch_drops(duration); }
    Result<void> poll_drop_events(const std::function<void(const dataplane::DropEvent&)>& handle) override {
        return inner_->poll_drop_events(handle);
    }
    [[nodiscard]] int drop_events_fd() const override { return inner_->drop_events_fd(); }
    Result<void> poll_port_block_events(
        const std::function<void(const dataplane::PortBlockEvent&)>& handle) override {
        return inner_->poll_port_block_events(handle);
    }
    [[nodiscard]] int port_block_events_fd() const override { return inner_->port_block_events_fd(); }
    Result<void> visit_port_blocks(const std::function<void(const dataplane::PortBlock&)>& visit) override {
        return inner_->visit_port_blocks(visit);
    }
    Result<void> hold_fragments(std::chrono::seconds duration) override {
        return inner_->hold_fragments(duration);
    }
    Result<void> tend_fragments() override { return inner_->tend_fragments(); }
    [[nodiscard]] int fragments_fd() const override { return inner_->fragments_fd(); }

  private:
    std::unique_ptr<dataplane::Dataplane> inner_;
    Fate& fate_;
};

class FatedNetlink final : public netlink::Netlink {
  public:
    FatedNetlink(netlink::Netlink& inner, Fate& fate) : inner_(inner), fate_(fate) {}
    Result<std::vector<netlink::Link>> links() override {
        return fate_.around([&] { return inner_.links(); });
    }
    Result<std::vector<netlink::InterfaceAddress>> addresses() override {
        return fate_.around([&] { return inner_.addresses(); });
    }
    Result<std::vector<netlink::NeighbourEntry>> neighbours() override {
        return fate_.around([&] { return inner_.neighbours(); });
    }
    Result<std::vector<netlink::KernelRoute>> own_routes() override {
        return fate_.around([&] { return inner_.own_routes(); });
    }
    Result<netlink::HostPorts> host_ports() override {
        return fate_.around([&] { return inner_.host_ports(); });
    }
    Result<void> add_route(const netlink::KernelRoute& route) override {
        return fate_.around([&] { return inner_.add_route(route); });
    }
    Result<void> remove_route(const netlink::KernelRoute& route) override {
        return fate_.around([&] { return inner_.remove_route(route); });
    }
    Result<void> probe_neighbour(std::uint32_t ifindex, Ipv4Address address) override {
        return inner_.probe_neighbour(ifindex, address);
    }
    Result<void> announce_address(std::uint32_t ifindex, const MacAddress& mac,
                                  Ipv4Address address) override {
        return fate_.around([&] { return inner_.announce_address(ifindex, mac, address); });
    }
    [[nodiscard]] int events_fd() const override { return inner_.events_fd(); }
    Result<void> poll_events(const std::function<void(const netlink::Event&)>& handle) override {
        return inner_.poll_events(handle);
    }

  private:
    netlink::Netlink& inner_;
    Fate& fate_;
};

class FatedStore final : public store::Store {
  public:
    FatedStore(store::Store& inner, Fate& fate) : inner_(inner), fate_(fate) {}
    Result<std::uint64_t> commit(const store::NewRevision& revision) override {
        return fate_.around([&] { return inner_.commit(revision); });
    }
    Result<std::optional<store::Revision>> newest() override {
        return fate_.around([&] { return inner_.newest(); });
    }
    Result<std::optional<store::Revision>> find(std::uint64_t number) override {
        return fate_.around([&] { return inner_.find(number); });
    }
    Result<std::vector<store::RevisionSummary>> history(std::size_t limit) override {
        return fate_.around([&] { return inner_.history(limit); });
    }
    Result<std::vector<store::RevisionSummary>> history_before(std::uint64_t number,
                                                               std::size_t limit) override {
        return fate_.around([&] { return inner_.history_before(number, limit); });
    }
    Result<void> remember(const store::Answered& answered) override {
        return fate_.around([&] { return inner_.remember(answered); });
    }
    Result<std::optional<store::IdempotencyRecord>> idempotency_record(
        std::string_view key, std::chrono::system_clock::time_point now) override {
        return fate_.around([&] { return inner_.idempotency_record(key, now); });
    }
    Result<std::uint64_t> applied_revision() override {
        return fate_.around([&] { return inner_.applied_revision(); });
    }
    Result<void> set_applied_revision(std::uint64_t number) override {
        return fate_.around([&] { return inner_.set_applied_revision(number); });
    }
    Result<std::optional<store::Confirmation>> confirmation() override {
        return fate_.around([&] { return inner_.confirmation(); });
    }
    Result<void> clear_confirmation(const std::optional<store::Answered>& answered) override {
        return fate_.around([&] { return inner_.clear_confirmation(answered); });
    }
    Result<std::vector<store::Drain>> drains() override {
        return fate_.around([&] { return inner_.drains(); });
    }
    Result<void> set_drain(const store::Drain& drain,
                           const std::optional<store::Answered>& answered) override {
        return fate_.around([&] { return inner_.set_drain(drain, answered); });
    }
    Result<void> clear_drain(std::string_view elastic_ip) override {
        return fate_.around([&] { return inner_.clear_drain(elastic_ip); });
    }
    Result<std::string> loaded_file_hash() override {
        return fate_.around([&] { return inner_.loaded_file_hash(); });
    }
    Result<void> set_loaded_file_hash(std::string_view hash) override {
        return fate_.around([&] { return inner_.set_loaded_file_hash(hash); });
    }
    Result<void> note_port_blocks(std::span<const store::PortBlockRecord> changes) override {
        return inner_.note_port_blocks(changes);
    }
    Result<std::vector<store::PortBlockRecord>> port_blocks(
        Ipv4Address elastic_ip, std::uint16_t port, std::chrono::system_clock::time_point first,
        std::chrono::system_clock::time_point last) override {
        return inner_.port_blocks(elastic_ip, port, first, last);
    }
    Result<std::vector<store::PortBlockRecord>> allocated_port_blocks() override {
        return inner_.allocated_port_blocks();
    }

  private:
    store::Store& inner_;
    Fate& fate_;
};

// An agent whose calls of the kernel and of the store may go wrong.
class FatedGateway {
  public:
    explicit FatedGateway(Fate& kernel_fate, Fate& store_fate)
        : kernel_fate_(kernel_fate),
          netlink_(here_.netlink, kernel_fate),
          store_(here_.store_of(), store_fate) {
        here_.write_config(configuration());
    }

    Outcome<void> start() {
        gateway_.reset();
        auto opening = find_opening(store_, here_.config_path);
        if (!opening) return tl::unexpected(opening.error());
        dataplane_ = std::make_unique<FatedDataplane>(
            std::make_unique<dataplane::MemoryDataplane>(here_.kernel), kernel_fate_);
        reconciler_ = std::make_unique<reconcile::Reconciler>(*dataplane_, netlink_, here_.clock);
        gateway_ = std::make_unique<Gateway>(
            Gateway::Parts{store_, *dataplane_, netlink_, *reconciler_, here_.clock, here_.log},
            here_.config_path, *std::move(opening));
        if (auto started = gateway_->start(); !started)
            return tl::unexpected(Refusal{Refusal::Kind::failed, started.error().message, {}});
        return {};
    }

    // Gives the reconciler time to try again what failed.
    void wait() {
        for (int i = 0; i < 40 && !gateway_->view()->ready(); ++i) {
            here_.clock.advance(1s);
            gateway_->tick();
        }
    }

    Gateway& operator*() { return *gateway_; }
    Gateway* operator->() { return gateway_.get(); }
    GatewayInMemory& here() { return here_; }
    const dataplane::ForwardingTables& tables() const { return here_.kernel->tables; }
    std::vector<netlink::KernelRoute> routes() { return *here_.netlink.own_routes(); }

  private:
    struct Here : GatewayInMemory {
        store::Store& store_of() { return *store; }
    };
    Fate& kernel_fate_;
    Here here_;
    FatedNetlink netlink_;
    FatedStore store_;
    std::unique_ptr<FatedDataplane> dataplane_;
    std::unique_ptr<reconcile::Reconciler> reconciler_;
    std::unique_ptr<Gateway> gateway_;
};

template <typename T>
std::optional<Refusal::Kind> verdict(const Outcome<T>& outcome) {
    return outcome ? std::nullopt : std::optional(outcome.error().kind);
}

using Command = std::function<std::optional<Refusal::Kind>(FatedGateway&)>;

constexpr std::size_t reload_command = 8;

// Everything that changes something, and each kind of change: more, less, other, and what was before.
std::vector<Command> commands() {
    const std::string other_vpc =
        "vpcs:         [ { name: main, cidrs: [10.0.0.0/16] }, { name: other, cidrs: [10.0.1.0/24, "
        "10.9.0.0/16] } ]\n";
    std::string wider = configuration("eip-1, eip-2");
    wider.replace(wider.find("vpcs:"), wider.find('\n', wider.find("vpcs:")) + 1 - wider.find("vpcs:"),
                  other_vpc);
    return {
        [](FatedGateway& gateway) {
            return verdict(gateway->create_object(Kind::elastic_ips,
                                                  R"({"name": "e", "address": "198.51.100.20"})", "test",
                                                  Idempotency{"key", "request"}));
        },
        [](FatedGateway& gateway) {
            return verdict(gateway->put_object(Kind::nat_gateways, "n",
                                               R"({"vpc": "main", "elastic_ips": ["e"]})", "test"));
        },
        [wider](FatedGateway& gateway) {
            return verdict(gateway->apply({{"wider.yaml", wider}}, "test"));
        },
        [](FatedGateway& gateway) {
            return verdict(
                gateway->patch_object(Kind::elastic_ips, "e", R"({"address": "198.51.100.21"})", "test"));
        },
        [](FatedGateway& gateway) {
            return verdict(gateway->delete_object(Kind::nat_gateways, "n", "test"));
        },
        [](FatedGateway& gateway) { return verdict(gateway->rollback(3, "test")); },
        [wider](FatedGateway& gateway) {
            return verdict(gateway->apply({{"wider.yaml", wider}}, "test", 60s));
        },
        [](FatedGateway& gateway) {
            return verdict(gateway->confirm(
                "test", Repeatable<Confirmed>{{"confirm", "request"}, [](const Confirmed&) { return "2"; }}));
        },
        [](FatedGateway& gateway) {
            gateway.here().write_config(configuration("eip-2"));
            return verdict(gateway->reload("test"));
        },
        [](FatedGateway& gateway) {
            return verdict(gateway->apply({{"f", configuration()}}, "test", std::nullopt, true));
        },
    };
}

struct Moment {
    model::DesiredState state;
    std::uint64_t revision = 0;
    dataplane::ForwardingTables tables;
    std::vector<netlink::KernelRoute> routes;
};

Moment moment_of(FatedGateway& gateway) {
    return {*gateway->view()->state, gateway->view()->desired_revision, gateway.tables(), gateway.routes()};
}

// How it goes when nothing goes wrong: before the first command and after each.
std::vector<Moment> undisturbed() {
    Fate kernel, store;
    FatedGateway gateway(kernel, store);
    EXPECT_TRUE(gateway.start());
    std::vector<Moment> moments{moment_of(gateway)};
    for (const Command& command : commands()) {
        EXPECT_EQ(command(gateway), std::nullopt);
        EXPECT_TRUE(gateway->view()->ready());
        moments.push_back(moment_of(gateway));
    }
    return moments;
}

void expect_in_force(FatedGateway& gateway, const Moment& moment) {
    EXPECT_EQ(*gateway->view()->state, moment.state);
    EXPECT_EQ(gateway->view()->desired_revision, moment.revision);
    EXPECT_EQ(gateway->view()->applied_revision, moment.revision);
    EXPECT_TRUE(gateway->view()->ready()) << gateway->view()->why_not_ready();
    // Names that went keep their numbers; which one a name got does not depend on what failed.
    EXPECT_EQ(gateway.tables(), moment.tables);
    EXPECT_EQ(gateway.routes(), moment.routes);
}

void expect_that_a_restart_writes_nothing(FatedGateway& gateway, const Moment& moment) {
    const std::uint64_t writes = gateway.here().kernel->writes;
    const std::size_t route_writes = gateway.here().netlink.route_writes();
    ASSERT_TRUE(gateway.start());
    EXPECT_EQ(*gateway->view()->state, moment.state);
    EXPECT_EQ(gateway->view()->desired_revision, moment.revision);
    EXPECT_EQ(gateway.here().kernel->writes, writes);
    EXPECT_EQ(gateway.here().netlink.route_writes(), route_writes);
}

// Calls `go(number, call)` for each command and each of its calls, until a command makes no more of them.
void for_each_call(const std::function<bool(std::size_t, std::uint64_t)>& go) {
    const std::size_t count = commands().size();
    std::uint64_t calls = 0;
    for (std::size_t number = 0; number < count; ++number) {
        for (std::uint64_t call = 0; go(number, call); ++call) {
            ASSERT_LT(call, 200U);
            ++calls;
            if (testing::Test::HasFailure()) return;
        }
    }
    EXPECT_GT(calls, count) << "each command makes some";
}

// Starts the gateway and carries out the first commands. Gives all of them.
auto carry_out(FatedGateway& gateway, std::size_t count) {
    EXPECT_TRUE(gateway.start());
    auto list = commands();
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(list[i](gateway), std::nullopt);
    return list;
}

TEST(Faults, OfTheKernelAreTriedAgainUntilTheyPass) {
    const std::vector<Moment> moments = undisturbed();
    for_each_call([&](std::size_t number, std::uint64_t call) {
        SCOPED_TRACE(fmt::format("command {}, call {} of the kernel", number, call));
        Fate kernel, store;
        FatedGateway gateway(kernel, store);
        const auto list = carry_out(gateway, number);
        kernel.arm(call, Fate::Kind::fails);
        const auto told = list[number](gateway);
        // The revision is stored either way, and nobody is told that it is in force when it is not.
        EXPECT_TRUE(!told || *told == Refusal::Kind::not_applied);
        EXPECT_EQ(*gateway->view()->state, moments[number + 1].state);
        EXPECT_EQ(told.has_value(), gateway->view()->error.has_value());
        EXPECT_EQ(told.has_value(), gateway->view()->applied_revision != gateway->view()->desired_revision);
        const bool met = kernel.met();
        kernel.disarm();
        gateway.wait();
        expect_in_force(gateway, moments[number + 1]);
        expect_that_a_restart_writes_nothing(gateway, moments[number + 1]);
        return met;
    });
}

TEST(Faults, OfTheKernelAtAnyElementLeaveTheRestToTheNextTry) {
    const std::vector<Moment> moments = undisturbed();
    for_each_call([&](std::size_t number, std::uint64_t call) {
        SCOPED_TRACE(fmt::format("command {}, element {}", number, call));
        Fate kernel, store;
        FatedGateway gateway(kernel, store);
        const auto list = carry_out(gateway, number);
        gateway.here().kernel->writes_left = call;
        const auto told = list[number](gateway);
        EXPECT_TRUE(!told || *told == Refusal::Kind::not_applied);
        gateway.here().kernel->writes_left.reset();
        gateway.wait();
        expect_in_force(gateway, moments[number + 1]);
        expect_that_a_restart_writes_nothing(gateway, moments[number + 1]);
        return told.has_value();
    });
}

TEST(Faults, OfTheStoreChangeNothingUnlessTheRevisionIsThere) {
    const std::vector<Moment> moments = undisturbed();
    for_each_call([&](std::size_t number, std::uint64_t call) {
        SCOPED_TRACE(fmt::format("command {}, call {} of the store", number, call));
        Fate kernel, store;
        FatedGateway gateway(kernel, store);
        const auto list = carry_out(gateway, number);
        store.arm(call, Fate::Kind::fails);
        const auto told = list[number](gateway);
        EXPECT_TRUE(!told || *told == Refusal::Kind::failed);
        const bool met = store.met();
        store.disarm();
        const bool there = gateway->view()->desired_revision == moments[number + 1].revision;
        EXPECT_TRUE(told || there) << "what is acknowledged is there";
        const Moment& now = moments[there ? number + 1 : number];
        expect_in_force(gateway, now);
        // Nobody else has to know that it failed: it is done again, and is as it was to be.
        EXPECT_TRUE(gateway.start());
        // A file that waits to be reloaded is read at the start.
        const Moment& restarted = number == reload_command ? moments[number + 1] : now;
        EXPECT_EQ(*gateway->view()->state, restarted.state);
        if (told) {
            const auto again = list[number](gateway);
            const bool done_already = there && again == Refusal::Kind::conflict;
            EXPECT_TRUE(!again || done_already);
        }
        EXPECT_EQ(*gateway->view()->state, moments[number + 1].state);
        EXPECT_EQ(gateway.tables(), moments[number + 1].tables);
        return met;
    });
}

class DeathOfTheAgent : public testing::TestWithParam<Fate::Kind> {};

TEST_P(DeathOfTheAgent, LeavesACommandDoneOrNotDone) {
    const std::vector<Moment> moments = undisturbed();
    for (const bool in_the_store : {false, true}) {
        for_each_call([&](std::size_t number, std::uint64_t call) {
            SCOPED_TRACE(fmt::format("command {}, call {} of the {}", number, call,
                                     in_the_store ? "store" : "kernel"));
            Fate kernel, store;
            FatedGateway gateway(kernel, store);
            const auto list = carry_out(gateway, number);
            (in_the_store ? store : kernel).arm(call, GetParam());
            bool died = false;
            try {
                EXPECT_EQ(list[number](gateway), std::nullopt);
            } catch (const Killed&) {
                died = true;
            }
            kernel.disarm();
            store.disarm();
            // A file that was written before the reload came is read at the next start, whatever became of
            // it.
            EXPECT_TRUE(gateway.start());
            gateway.wait();
            const bool there = gateway->view()->desired_revision == moments[number + 1].revision;
            EXPECT_TRUE(there || (died && in_the_store)) << "it was stored before the kernel was touched";
            const Moment& now = moments[there ? number + 1 : number];
            expect_in_force(gateway, now);
            expect_that_a_restart_writes_nothing(gateway, now);
            return died;
        });
    }
}

INSTANTIATE_TEST_SUITE_P(Anywhere, DeathOfTheAgent,
                         testing::Values(Fate::Kind::dies_before, Fate::Kind::dies_after));

}  // namespace
}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
//
// The contract of Dataplane on a real kernel, and what is particular to pinned state. Everything happens in
// mount and network namespaces of this process, which are gone with it.
#include "dataplane/bpf_dataplane.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <thread>

#include "core/unique_fd.h"
#include "dataplane/codec.h"
#include "sallyport/abi/flow.h"
#include "support/packet.h"
#include "unit/dataplane_contract.h"

namespace sallyport::dataplane {
namespace {

namespace fs = std::filesystem;

void run(const std::string& command) {
    const int status = std::system(command.c_str());
    ASSERT_EQ(status, 0) << command;
}

// Namespaces of our own, with a tmpfs that holds all that the tests make.
class Namespaces final : public testing::Environment {
  public:
    void SetUp() override {
        ASSERT_EQ(geteuid(), 0U) << "these tests need root";
        ASSERT_EQ(unshare(CLONE_NEWNS | CLONE_NEWNET), 0);
        ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
        ASSERT_EQ(mount("tmpfs", "/mnt", "tmpfs", 0, nullptr), 0);
        run("ip link add lan0 type veth peer name lan1 && ip link add wan0 type veth peer name wan1");
        run("ip link set lan0 up && ip link set lan1 up && ip link set wan0 up && ip link set wan1 up");
    }
};

std::uint32_t ifindex(const char* name) {
    return if_nametoindex(name);
}

class KernelWorld final : public World {
  public:
    explicit KernelWorld(std::uint32_t flow_capacity = 1000) : flow_capacity_(flow_capacity) {
        static std::atomic<int> count{0};
        root_ = "/mnt/" + std::to_string(count++);
        fs::create_directory(root_);
    }
    ~KernelWorld() override {
        if (auto dataplane = start()) std::ignore = (*dataplane)->detach_all();
    }
    Result<std::unique_ptr<Dataplane>> start() override {
        auto opened = BpfDataplane::open({pin_dir(), flow_capacity_, "0.0.1"});
        if (!opened) return tl::make_unexpected(opened.error());
        return std::unique_ptr<Dataplane>(std::move(*opened));
    }
    AttachRequest first_device() override { return {0, "lan0", ifindex("lan0"), Role::inside}; }
    AttachRequest second_device() override { return {1, "wan0", ifindex("wan0"), Role::outside}; }
    AttachRequest missing_device() override { return {2, "gone0", 9999, Role::inside}; }

    [[nodiscard]] std::string pin_dir() const { return root_ + "/bpf/sallyport"; }
    [[nodiscard]] std::string state_dir() const {
        return pin_dir() + "/v" + std::to_string(SALLYPORT_LAYOUT_VERSION);
    }
    [[nodiscard]] UniqueFd map(const std::string& name) const {
        return UniqueFd(bpf_obj_get((state_dir() + "/maps/" + name).c_str()));
    }

  private:
    std::string root_;
    std::uint32_t flow_capacity_;
};

INSTANTIATE_TEST_SUITE_P(kernel, DataplaneContract, testing::Values(+[]() -> std::unique_ptr<World> {
                             return std::make_unique<KernelWorld>();
                         }));

class BpfDataplaneTest : public testing::Test {
  protected:
    std::unique_ptr<Dataplane> start() {
        auto started = world_.start();
        EXPECT_TRUE(started) << started.error().message;
        return started ? std::move(*started) : nullptr;
    }

    std::string refusal() {
        auto started = world_.start();
        EXPECT_FALSE(started);
        return started ? "" : started.error().message;
    }

    Attachment attach_one(Dataplane& dataplane, const AttachRequest& request,
                          ModeWish mode = ModeWish::automatic) {
        const std::vector<AttachRequest> wanted{request};
        auto result = dataplane.attach(wanted, mode);
        EXPECT_TRUE(result);
        return result ? (*result)[0] : Attachment{};
    }

    std::vector<std::string> pinned(const std::string& folder) {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(world_.state_dir() + "/" + folder)) {
            names.push_back(entry.path().filename().string());
        }
        return names;
    }

    KernelWorld world_;
};

TEST_F(BpfDataplaneTest, a_second_agent_is_refused_and_the_first_goes_on) {
    auto first = start();
    EXPECT_NE(refusal().find("another agent"), std::string::npos);
    EXPECT_TRUE(first->apply(example_tables(world_)));
    first.reset();
    EXPECT_NE(start(), nullptr);
}

// Of an agent to come, or of one that was.
constexpr std::uint32_t other_layout = SALLYPORT_LAYOUT_VERSION + 1;

TEST_F(BpfDataplaneTest, state_of_another_layout_is_refused_and_left_alone) {
    start().reset();
    const std::string other = "v" + std::to_string(other_layout);
    fs::create_directory(world_.pin_dir() + "/" + other);
    const std::string message = refusal();
    EXPECT_NE(message.find(other), std::string::npos) << message;
    EXPECT_NE(message.find("sallyport detach"), std::string::npos) << message;
    EXPECT_TRUE(fs::exists(world_.pin_dir() + "/" + other));
    EXPECT_TRUE(fs::exists(world_.state_dir() + "/maps/meta"));
    fs::remove(world_.pin_dir() + "/" + other);
    EXPECT_NE(start(), nullptr);
}

TEST_F(BpfDataplaneTest, a_description_of_another_layout_is_refused) {
    start().reset();
    const std::uint32_t key = 0;
    meta value{};
    const UniqueFd map = world_.map("meta");
    ASSERT_EQ(bpf_map_lookup_elem(map.get(), &key, &value), 0);
    EXPECT_EQ(std::string(value.made_by), "0.0.1");
    value.layout_version = other_layout;
    ASSERT_EQ(bpf_map_update_elem(map.get(), &key, &value, 0), 0);
    const std::string message = refusal();
    EXPECT_NE(message.find("layout version " + std::to_string(other_layout)), std::string::npos) << message;
    EXPECT_NE(message.find("sallyport detach"), std::string::npos) << message;
    value.layout_version = SALLYPORT_LAYOUT_VERSION;
    ++value.flow_regions;
    ASSERT_EQ(bpf_map_update_elem(map.get(), &key, &value, 0), 0);
    EXPECT_NE(refusal().find("another shape"), std::string::npos);
    --value.flow_regions;
    ASSERT_EQ(bpf_map_update_elem(map.get(), &key, &value, 0), 0);
    EXPECT_NE(start(), nullptr);
}

TEST_F(BpfDataplaneTest, a_map_that_is_missing_or_has_another_shape_is_refused) {
    start().reset();
    const std::string path = world_.state_dir() + "/maps/routes";
    ASSERT_EQ(unlink(path.c_str()), 0);
    EXPECT_NE(refusal().find("routes"), std::string::npos);
    const UniqueFd other(bpf_map_create(BPF_MAP_TYPE_ARRAY, "routes", 4, 4, 1, nullptr));
    ASSERT_EQ(bpf_obj_pin(other.get(), path.c_str()), 0);
    EXPECT_NE(refusal().find("another shape"), std::string::npos);
}

TEST_F(BpfDataplaneTest, whatever_part_a_crash_left_of_a_first_start_is_made_anew) {
    start().reset();
    const std::vector<std::string> names = pinned("maps");
    ASSERT_GT(names.size(), 20U);
    for (std::size_t kept = 0; kept < names.size(); ++kept) {
        // meta is pinned last, so no prefix of the creation has it.
        ASSERT_EQ(unlink((world_.state_dir() + "/maps/meta").c_str()), 0);
        for (std::size_t i = kept; i < names.size(); ++i) {
            unlink((world_.state_dir() + "/maps/" + names[i]).c_str());
        }
        auto dataplane = start();
        ASSERT_NE(dataplane, nullptr) << kept;
        EXPECT_EQ(*dataplane->read_tables(), ForwardingTables{});
        EXPECT_EQ(pinned("maps").size(), names.size());
    }
    for (const char* folder : {"links", "programs", "maps"}) {
        fs::remove_all(world_.state_dir() + "/" + folder);
        EXPECT_NE(start(), nullptr) << folder;
        if (std::string(folder) != "maps") unlink((world_.state_dir() + "/maps/meta").c_str());
    }
}

TEST_F(BpfDataplaneTest, a_crash_while_detaching_leaves_what_a_first_start_can_use) {
    auto dataplane = start();
    attach_one(*dataplane, world_.first_device());
    dataplane.reset();
    // Links go first, then meta, then the rest.
    ASSERT_EQ(unlink((world_.state_dir() + "/links/lan0").c_str()), 0);
    dataplane = start();
    EXPECT_FALSE(attach_one(*dataplane, world_.first_device()).adopted);
    dataplane.reset();
    ASSERT_EQ(unlink((world_.state_dir() + "/maps/meta").c_str()), 0);
    EXPECT_NE(refusal().find("has links but lacks"), std::string::npos);
    ASSERT_EQ(unlink((world_.state_dir() + "/links/lan0").c_str()), 0);
    EXPECT_NE(start(), nullptr);
}

TEST_F(BpfDataplaneTest, detaching_leaves_an_empty_directory_and_no_program) {
    auto dataplane = start();
    attach_one(*dataplane, world_.first_device());
    ASSERT_TRUE(dataplane->detach_all());
    EXPECT_TRUE(fs::is_empty(world_.pin_dir()));
    run("! ip link show dev lan0 | grep -q xdp");
}

TEST_F(BpfDataplaneTest, the_program_stays_attached_without_an_agent_and_is_replaced_in_place) {
    auto dataplane = start();
    attach_one(*dataplane, world_.first_device());
    dataplane.reset();
    run("ip link show dev lan0 | grep -q xdp");
    const UniqueFd link(bpf_obj_get((world_.state_dir() + "/links/lan0").c_str()));
    const auto info = [&] {
        bpf_link_info value{};
        std::uint32_t length = sizeof value;
        EXPECT_EQ(bpf_obj_get_info_by_fd(link.get(), &value, &length), 0);
        return value;
    };
    const bpf_link_info before = info();
    dataplane = start();
    EXPECT_TRUE(attach_one(*dataplane, world_.first_device()).adopted);
    const bpf_link_info after = info();
    EXPECT_EQ(before.id, after.id);            // the same link: it was never off
    EXPECT_NE(before.prog_id, after.prog_id);  // with a new program
    EXPECT_EQ(attach_one(*dataplane, world_.first_device()).adopted, true);
    EXPECT_EQ(info().prog_id, after.prog_id);  // which this agent loads once
}

TEST_F(BpfDataplaneTest, a_device_that_went_and_came_back_is_attached_anew) {
    run("ip link add again0 type veth peer name again1");
    AttachRequest request{3, "again0", ifindex("again0"), Role::inside};
    auto dataplane = start();
    EXPECT_EQ(attach_one(*dataplane, request).error, "");
    run("ip link del again0");
    EXPECT_TRUE(dataplane->attachments().empty());
    EXPECT_NE(attach_one(*dataplane, request).error, "");
    run("ip link add again0 type veth peer name again1");
    request.ifindex = ifindex("again0");
    const Attachment attachment = attach_one(*dataplane, request);
    EXPECT_EQ(attachment.error, "");
    EXPECT_FALSE(attachment.adopted);
    EXPECT_EQ(dataplane->attachments().size(), 1U);
    run("ip link del again0");
}

TEST_F(BpfDataplaneTest, a_device_that_went_is_written_again_when_it_is_back) {
    run("ip link add again0 type veth peer name again1");
    auto dataplane = start();
    ForwardingTables tables;
    DeviceEntry entry;
    entry.name = "again0";
    entry.ifindex = ifindex("again0");
    tables.devices[3] = entry;
    tables.identifiers[{IDENTIFIER_DEVICE, "again0"}] = 3;
    ASSERT_TRUE(dataplane->apply(tables));
    run("ip link del again0");
    dataplane = nullptr;
    dataplane = start();
    run("ip link add again0 index " + std::to_string(entry.ifindex) + " type veth peer name again1");
    EXPECT_EQ(dataplane->apply(tables)->written, 1U);
    EXPECT_EQ(*dataplane->read_tables(), tables);
    run("ip link del again0");
}

TEST_F(BpfDataplaneTest, names_with_dots_are_pinned_too) {
    run("ip link add lan0.100 type veth peer name lan1.100");
    auto dataplane = start();
    const AttachRequest request{4, "lan0.100", ifindex("lan0.100"), Role::outside};
    EXPECT_EQ(attach_one(*dataplane, request).error, "");
    dataplane = nullptr;
    dataplane = start();
    EXPECT_TRUE(attach_one(*dataplane, request).adopted);
    ASSERT_TRUE(dataplane->detach_all());
    run("ip link del lan0.100");
}

TEST_F(BpfDataplaneTest, generic_mode_is_the_fallback_with_the_reason_kept) {
    auto dataplane = start();
    const AttachRequest request{5, "lo", ifindex("lo"), Role::inside};  // lo has no native XDP
    const Attachment attachment = attach_one(*dataplane, request);
    EXPECT_EQ(attachment.error, "");
    EXPECT_EQ(attachment.mode, Mode::generic);
    EXPECT_NE(attachment.fallback_reason.find("native"), std::string::npos) << attachment.fallback_reason;
    EXPECT_NE(attach_one(*dataplane, request, ModeWish::native).error, "");
}

TEST_F(BpfDataplaneTest, generic_mode_of_one_device_is_that_of_all) {
    auto dataplane = start();
    const AttachRequest first = world_.first_device();
    EXPECT_EQ(attach_one(*dataplane, first).mode, Mode::native);
    const std::vector<AttachRequest> wanted{first, {5, "lo", ifindex("lo"), Role::inside}};
    for (int time = 0; time < 2; ++time) {
        const auto attached = dataplane->attach(wanted, ModeWish::automatic);
        ASSERT_TRUE(attached) << attached.error().message;
        for (const Attachment& attachment : *attached) {
            EXPECT_EQ(attachment.error, "");
            EXPECT_EQ(attachment.mode, Mode::generic) << attachment.name;
        }
        EXPECT_NE((*attached)[0].fallback_reason.find("lo is in generic mode"), std::string::npos);
    }
}

TEST_F(BpfDataplaneTest, a_foreign_program_is_not_pushed_aside) {
    auto dataplane = start();
    attach_one(*dataplane, world_.first_device());
    KernelWorld other;
    auto second = other.start();
    ASSERT_TRUE(second);
    const Attachment attachment = attach_one(**second, other.first_device());
    EXPECT_NE(attachment.error.find("another XDP program"), std::string::npos) << attachment.error;
    EXPECT_EQ(dataplane->attachments().size(), 1U);
}

// A gateway whose programs are given frames by hand.
class EarlyFragmentTest : public BpfDataplaneTest {
  protected:
    static constexpr std::uint8_t outside = 1;

    void SetUp() override {
        run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0");
        // Else the other ends of the links say something now and then, and it is counted.
        if (fs::exists("/proc/sys/net/ipv6")) run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        run("ip address replace 10.0.0.1/24 dev lan0 && ip address replace 198.51.100.1/24 dev wan0");
        run("ip neighbour replace 10.0.0.11 lladdr 02:00:00:00:00:11 dev lan0 nud permanent");
        restart();
    }
    void restart() {
        dataplane_.reset();
        dataplane_ = start();
        ASSERT_NE(dataplane_, nullptr);
        ForwardingTables tables;
        for (const AttachRequest& request : devices()) {
            DeviceEntry entry;
            entry.name = request.name;
            entry.ifindex = request.ifindex;
            entry.mtu = 1500;
            entry.zone = request.role == Role::inside ? 1 : 0;
            entry.role = request.role;
            tables.devices[request.slot] = entry;
            tables.identifiers[{IDENTIFIER_DEVICE, request.name}] = request.slot;
        }
        tables.elastic_ips[Ipv4Address(198, 51, 100, 10)] = {};
        ASSERT_TRUE(dataplane_->apply(tables));
        ASSERT_TRUE(dataplane_->attach(devices(), ModeWish::automatic));
        ASSERT_TRUE(dataplane_->hold_fragments(std::chrono::seconds(60)));
    }
    std::vector<AttachRequest> devices() { return {world_.first_device(), world_.second_device()}; }

    static support::Packet fragment(std::uint16_t identification) {
        support::Packet packet = support::udp().from("203.0.113.10").to("198.51.100.10").with_payload(100);
        packet.fragment_offset = 1480;
        packet.identification = identification;
        return packet;
    }
    void come(std::uint16_t identification) {
        const UniqueFd program(bpf_obj_get((world_.state_dir() + "/programs/wan0").c_str()));
        support::Bytes frame = fragment(identification).frame();
        LIBBPF_OPTS(bpf_test_run_opts, options);
        options.data_in = frame.data();
        options.data_size_in = static_cast<std::uint32_t>(frame.size());
        ASSERT_EQ(bpf_prog_test_run_opts(program.get(), &options), 0);
        EXPECT_EQ(options.retval, static_cast<std::uint32_t>(XDP_DROP));
    }
    // As the program remembers the first fragment.
    void first_comes(std::uint16_t identification) {
        const support::Packet packet = fragment(identification);
        fragment_key key{packet.source.to_network(),
                         packet.destination.to_network(),
                         htons(identification),
                         17,
                         0,
                         ZONE_OUTSIDE};
        ::fragment value{};
        value.new_address = Ipv4Address(10, 0, 0, 11).to_network();
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        value.last_seen = clock_ticks(
            static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec),
            0);
        value.nat_gateway = NO_NAT_GATEWAY;
        value.identification = key.identification;
        const UniqueFd map = world_.map("fragments");
        ASSERT_EQ(bpf_map_update_elem(map.get(), &key, &value, BPF_ANY), 0);
    }
    std::size_t awaited() {
        const UniqueFd map = world_.map("awaited_datagrams");
        std::size_t count = 0;
        fragment_key key{};
        for (const void* at = nullptr; bpf_map_get_next_key(map.get(), at, &key) == 0; at = &key) ++count;
        return count;
    }
    void tend_after(std::chrono::milliseconds time) {
        std::this_thread::sleep_for(time);
        EXPECT_TRUE(dataplane_->tend_fragments());
    }
    void expect(std::uint64_t received, std::uint64_t forwarded, std::uint64_t dropped, std::uint64_t held) {
        const auto counters = dataplane_->counters();
        ASSERT_TRUE(counters);
        const DeviceCounters& device = counters->devices.at(outside);
        EXPECT_EQ(device.received_packets, received);
        EXPECT_EQ(device.received_bytes, received * fragment(1).frame().size());
        EXPECT_EQ(device.forwarded, forwarded);
        EXPECT_EQ(device.dropped, dropped);
        EXPECT_EQ(device.held, held);
        EXPECT_EQ(counters->drops[DROP_FRAGMENT_WITHOUT_FIRST], dropped);
    }

    std::unique_ptr<Dataplane> dataplane_;
};

TEST_F(EarlyFragmentTest, waits_for_the_first_one_and_goes_on) {
    come(1);
    expect(1, 0, 0, 1);
    tend_after({});
    EXPECT_EQ(awaited(), 1U);
    come(1);
    tend_after({});
    expect(2, 0, 0, 2);
    first_comes(1);
    tend_after(std::chrono::milliseconds(60));
    expect(2, 2, 0, 0);
    EXPECT_EQ(awaited(), 0U);
    come(2);
    first_comes(2);  // before the agent hears of either
    tend_after({});
    expect(3, 3, 0, 0);
}

TEST_F(EarlyFragmentTest, is_dropped_after_two_seconds) {
    come(1);
    tend_after({});
    tend_after(std::chrono::milliseconds(1500));
    expect(1, 0, 0, 1);
    tend_after(std::chrono::milliseconds(600));
    expect(1, 0, 1, 0);
    EXPECT_EQ(awaited(), 0U);
}

TEST_F(EarlyFragmentTest, is_dropped_when_the_agent_ends) {
    come(1);
    tend_after({});
    come(2);  // still in the ring buffer
    restart();
    expect(2, 0, 2, 0);
    EXPECT_EQ(awaited(), 0U);
}

TEST_F(EarlyFragmentTest, of_an_agent_that_was_killed_is_written_off) {
    come(1);
    const std::uint32_t slot = outside;
    early_fragment_account account{};
    account.taken = 1;  // and that was the last it did
    const UniqueFd accounts = world_.map("early_fragment_accounts");
    tend_after({});
    dataplane_.reset();
    ASSERT_EQ(bpf_map_lookup_elem(accounts.get(), &slot, &account), 0);
    EXPECT_EQ(account.taken, 1U);
    EXPECT_EQ(account.returned, 1U);
    account.returned = account.returned_bytes = 0;
    ASSERT_EQ(bpf_map_update_elem(accounts.get(), &slot, &account, BPF_ANY), 0);
    restart();
    ASSERT_EQ(bpf_map_lookup_elem(accounts.get(), &slot, &account), 0);
    EXPECT_EQ(account.lost, 1U);
}

TEST_F(EarlyFragmentTest, whose_device_is_gone_is_written_off) {
    come(1);
    tend_after({});
    ASSERT_TRUE(dataplane_->attach(std::vector<AttachRequest>{world_.first_device()}, ModeWish::automatic));
    tend_after(std::chrono::milliseconds(2100));
    expect(1, 0, 1, 0);
}

TEST_F(BpfDataplaneTest, a_neighbour_keeps_its_number_while_it_is_away) {
    auto dataplane = start();
    const ForwardingTables tables = example_tables(world_);
    const neighbour_key key = encode(tables.next_hops.begin()->first);
    ASSERT_TRUE(dataplane->apply(tables));
    const UniqueFd numbers = world_.map("next_hop_numbers"), hops = world_.map("next_hops");
    std::uint32_t number = 0, again = 0;
    ASSERT_EQ(bpf_map_lookup_elem(numbers.get(), &key, &number), 0);
    EXPECT_GT(number, 0U);

    ForwardingTables without = tables;
    without.next_hops.erase(without.next_hops.begin());
    without.next_hops[{1, Ipv4Address(10, 9, 9, 9)}] = {};
    ASSERT_TRUE(dataplane->apply(without));
    EXPECT_NE(bpf_map_lookup_elem(numbers.get(), &key, &again), 0);
    next_hop element{};
    ASSERT_EQ(bpf_map_lookup_elem(hops.get(), &number, &element), 0);
    EXPECT_EQ(element.state, NEXT_HOP_UNRESOLVED);

    dataplane = nullptr;
    dataplane = start();
    EXPECT_EQ(*dataplane->read_tables(), without);
    ASSERT_TRUE(dataplane->apply(tables));
    ASSERT_EQ(bpf_map_lookup_elem(numbers.get(), &key, &again), 0);
    EXPECT_EQ(again, number);
    ASSERT_EQ(bpf_map_lookup_elem(hops.get(), &number, &element), 0);
    EXPECT_EQ(element.state, NEXT_HOP_RESOLVED);
}

TEST_F(BpfDataplaneTest, settings_change_one_at_a_time_and_the_clock_offset_stays) {
    auto dataplane = start();
    const UniqueFd map = world_.map("settings");
    const std::uint32_t key = 0;
    settings value{};
    value.clock_offset_ns = std::uint64_t{1000} << FLOW_TICK_SHIFT;
    ASSERT_EQ(bpf_map_update_elem(map.get(), &key, &value, 0), 0);
    ASSERT_TRUE(dataplane->bump_generation());
    ASSERT_TRUE(dataplane->bump_generation());
    ASSERT_TRUE(dataplane->keep_next_hops_valid(std::chrono::seconds{60}));
    ASSERT_TRUE(dataplane->watch_drops(std::chrono::seconds{10}));
    ASSERT_EQ(bpf_map_lookup_elem(map.get(), &key, &value), 0);
    EXPECT_EQ(value.clock_offset_ns, std::uint64_t{1000} << FLOW_TICK_SHIFT);
    EXPECT_EQ(value.generation, 2U);
    EXPECT_GT(value.next_hops_valid_until, 1000U);
    const auto ticks_between =
        static_cast<std::int32_t>(value.next_hops_valid_until - value.drop_events_until);
    EXPECT_NEAR(ticks_between, 50 * 15, 20);
}

TEST_F(BpfDataplaneTest, flows_in_the_kernels_memory_are_listed_and_counted) {
    auto dataplane = start();
    const UniqueFd map = world_.map("flow_buckets");
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    const std::uint32_t ticks = clock_ticks(
        static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec), 0);
    flow_bucket bucket{};
    for (const std::uint32_t number : {0U, 1U}) {
        bucket.tags.tag[number] = 1;
        bucket.entry[number].flow_id = 9;
        bucket.entry[number].key.protocol = 17;
        bucket.entry[number].last_seen = ticks;
        bucket.entry[number].timeout = encode_timeout(std::chrono::seconds{300});
        bucket.entry[number].peer_slot = FLOW_SLOT(5, 1 - number);
    }
    bucket.entry[0].flags = FLOW_FORWARD;
    const std::uint32_t index = 5;
    ASSERT_EQ(bpf_map_update_elem(map.get(), &index, &bucket, 0), 0);

    std::vector<FlowRecord> flows;
    ASSERT_TRUE(dataplane->visit_flows([&](const FlowRecord& flow) {
        flows.push_back(flow);
        return true;
    }));
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].protocol, Protocol::udp);
    EXPECT_EQ(flows[0].slot, std::uint32_t{FLOW_SLOT(5, 0)});
    const auto status = dataplane->flow_table_status();
    ASSERT_TRUE(status);
    EXPECT_EQ(status->flows, 1U);
    EXPECT_EQ(status->entries, 2U);
    const auto swept = dataplane->sweep();
    ASSERT_TRUE(swept);
    EXPECT_EQ(swept->removed, 0U);
}

// A NAT gateway with one subnet and one Elastic IP, on the first device, and as many flows as one likes.
ForwardingTables gateway_tables(World& world) {
    ForwardingTables tables = example_tables(world);
    tables.subnets = {{{1, Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 8)}, {1, 4}}};
    tables.routes = {{{4, Ipv4Prefix()}, {RouteKind::nat_gateway, 7}}};
    tables.private_prefixes = {Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 8)};
    tables.nat_gateways.at(7).limits = false;
    tables.host_limits.clear();
    tables.nat_gateways.at(7).port_block_size = 0;
    return tables;
}

class FlowsTest : public BpfDataplaneTest {
  protected:
    void open_gateway(KernelWorld& world) {
        auto started = world.start();
        ASSERT_TRUE(started) << started.error().message;
        dataplane_ = std::move(*started);
        ASSERT_TRUE(dataplane_->apply(gateway_tables(world)));
        ASSERT_EQ(attach_one(*dataplane_, world.first_device()).error, "");
        program_ = UniqueFd(bpf_obj_get((world.state_dir() + "/programs/lan0").c_str()));
        ASSERT_TRUE(program_);
    }

    // There is no route to any remote here: the packet is dropped, but its flow is made before.
    void send(const support::Packet& packet) {
        const auto frame = packet.frame();
        std::array<std::byte, 256> out{};
        LIBBPF_OPTS(bpf_test_run_opts, run);
        run.data_in = frame.data();
        run.data_size_in = static_cast<std::uint32_t>(frame.size());
        run.data_out = out.data();
        run.data_size_out = out.size();
        ASSERT_EQ(bpf_prog_test_run_opts(program_.get(), &run), 0);
    }

    void let_pass(std::chrono::seconds time, const KernelWorld& world) {
        const UniqueFd map = world.map("settings");
        const std::uint32_t key = 0;
        settings value{};
        ASSERT_EQ(bpf_map_lookup_elem(map.get(), &key, &value), 0);
        value.clock_offset_ns += static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count());
        ASSERT_EQ(bpf_map_update_elem(map.get(), &key, &value, 0), 0);
    }

    std::unique_ptr<Dataplane> dataplane_;
    UniqueFd program_;
};

TEST_F(FlowsTest, a_flow_is_listed_and_swept_when_its_time_is_over) {
    open_gateway(world_);
    send(support::tcp().from("10.0.1.5", 1234).to("203.0.113.10", 443));
    std::vector<FlowRecord> flows;
    const auto list = [&] {
        flows.clear();
        ASSERT_TRUE(dataplane_->visit_flows([&](const FlowRecord& flow) {
            flows.push_back(flow);
            return true;
        }));
    };
    list();
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].inside.to_string(), "10.0.1.5:1234");
    EXPECT_EQ(flows[0].remote.to_string(), "203.0.113.10:443");
    EXPECT_TRUE(example_tables(world_).nat_gateways.at(7).ports.contains(flows[0].external.port));
    EXPECT_EQ(flows[0].state, "opening");
    EXPECT_EQ(flows[0].nat_gateway, 7);
    EXPECT_EQ(flows[0].zone, 1);
    EXPECT_EQ(flows[0].timeout_seconds, 240U);

    let_pass(std::chrono::seconds{239}, world_);
    EXPECT_EQ(dataplane_->sweep()->removed, 0U);
    list();
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_NEAR(flows[0].idle_seconds, 239, 1);

    let_pass(std::chrono::seconds{5}, world_);
    list();
    EXPECT_TRUE(flows.empty());
    EXPECT_EQ(dataplane_->flow_table_status()->entries, 2U);
    EXPECT_EQ(dataplane_->sweep()->removed, 1U);
    EXPECT_EQ(dataplane_->flow_table_status()->entries, 0U);
    EXPECT_EQ(dataplane_->counters()->nat_gateways.at(7).idle_timeouts, 1U);
}

TEST_F(FlowsTest, flows_are_cut_whatever_their_age_and_no_others) {
    open_gateway(world_);
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{1234, 1235, 1236})
        send(support::tcp().from("10.0.1.5", port).to("203.0.113.10", 443));
    std::vector<FlowRecord> some;
    ASSERT_TRUE(dataplane_->visit_flows([&](const FlowRecord& flow) {
        if (flow.inside.port != 1235) some.push_back(flow);
        return true;
    }));
    ASSERT_EQ(some.size(), 2U);
    EXPECT_EQ(dataplane_->cut(some)->removed, 2U);
    EXPECT_EQ(dataplane_->cut(some)->removed, 0U);
    std::vector<std::uint16_t> left;
    ASSERT_TRUE(dataplane_->visit_flows([&](const FlowRecord& flow) {
        left.push_back(flow.inside.port);
        return true;
    }));
    EXPECT_EQ(left, std::vector<std::uint16_t>{1235});
    EXPECT_EQ(dataplane_->flow_table_status()->entries, 2U);
    EXPECT_EQ(dataplane_->counters()->nat_gateways.at(7).idle_timeouts, 0U);
}

TEST_F(FlowsTest, slices_of_the_table_make_up_the_whole) {
    open_gateway(world_);
    for (std::uint16_t i = 0; i < 700; ++i) {
        send(support::tcp().from("10.0.1.5", static_cast<std::uint16_t>(2000 + i)).to("203.0.113.10", 443));
    }
    EXPECT_EQ(dataplane_->flow_table_status()->flows, 700U);
    let_pass(std::chrono::seconds{300}, world_);
    std::uint64_t removed = 0;
    std::uint64_t looked_at = 0;
    const std::uint64_t buckets = dataplane_->flow_table_status()->bytes / sizeof(flow_bucket);
    while (looked_at < buckets) {
        const auto report = dataplane_->sweep(50);
        ASSERT_TRUE(report);
        ASSERT_LE(report->looked_at, 50U);
        looked_at += report->looked_at;
        removed += report->removed;
    }
    EXPECT_EQ(looked_at, buckets);
    EXPECT_EQ(removed, 700U);
    EXPECT_EQ(dataplane_->flow_table_status()->entries, 0U);
}

TEST_F(FlowsTest, a_million_flows_are_looked_at_in_a_tenth_of_a_second_of_processor_time) {
    constexpr std::uint32_t million = 1'000'000;
    KernelWorld large(million);
    open_gateway(large);

    support::Packet syn = support::tcp().from("10.0.0.0", 0).to("203.0.113.10", 443);
    for (std::uint32_t i = 0; i < million; ++i) {
        syn.source = Ipv4Address(0x0a000000 + i % 1000);
        syn.source_port = static_cast<std::uint16_t>(1024 + i / 1000 % 50);
        syn.destination = Ipv4Address(0xcb007100 + i / 50'000);
        send(syn);
    }
    const auto processor_time = [](auto&& work) {
        const auto now = [] {
            timespec time{};
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
            return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
        };
        const auto begin = now();
        work();
        return std::chrono::duration_cast<std::chrono::microseconds>(now() - begin);
    };
    EXPECT_EQ(dataplane_->flow_table_status()->flows, million);
    const auto alive = processor_time([&] { EXPECT_EQ(dataplane_->sweep()->removed, 0U); });
    const auto listed = processor_time([&] {
        std::uint64_t seen = 0;
        EXPECT_TRUE(dataplane_->visit_flows([&](const FlowRecord&) { return ++seen > 0; }));
        EXPECT_EQ(seen, million);
    });
    const auto counted = processor_time([&] { EXPECT_TRUE(dataplane_->flow_table_status()); });
    let_pass(std::chrono::seconds{300}, large);
    const auto expired = processor_time([&] { EXPECT_EQ(dataplane_->sweep()->removed, million); });
    std::cout << "processor time for " << million << " flows: looked at " << alive.count() << " us, counted "
              << counted.count() << " us, listed " << listed.count() << " us, removed " << expired.count()
              << " us\n";
    EXPECT_LT(alive, std::chrono::milliseconds{100});
    dataplane_ = nullptr;  // before its world goes
}

TEST_F(FlowsTest, flows_outlive_the_agent_and_its_next_program) {
    open_gateway(world_);
    send(support::tcp().from("10.0.1.5", 1234).to("203.0.113.10", 443));
    dataplane_ = nullptr;
    dataplane_ = start();
    EXPECT_FALSE(dataplane_->apply(gateway_tables(world_))->changed());
    EXPECT_TRUE(attach_one(*dataplane_, world_.first_device()).adopted);
    EXPECT_EQ(dataplane_->flow_table_status()->flows, 1U);
}

TEST_F(FlowsTest, drops_are_told_while_they_are_watched) {
    open_gateway(world_);
    const auto events = [&] {
        std::vector<DropEvent> result;
        EXPECT_TRUE(dataplane_->poll_drop_events([&](const DropEvent& event) { result.push_back(event); }));
        return result;
    };
    const support::Packet stray = support::tcp().from("192.0.2.1", 1234).to("203.0.113.10", 443);
    send(stray);
    EXPECT_TRUE(events().empty());
    ASSERT_TRUE(dataplane_->watch_drops(std::chrono::seconds{10}));
    send(stray);
    const auto told = events();
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].reason, "source_not_in_subnet");
    EXPECT_EQ(told[0].source.to_string(), "192.0.2.1:1234");
    EXPECT_EQ(told[0].destination.to_string(), "203.0.113.10:443");
    EXPECT_EQ(told[0].protocol, IPPROTO_TCP);
    EXPECT_GE(dataplane_->drop_events_fd(), 0);
    const auto counters = dataplane_->counters();
    ASSERT_TRUE(counters);
    EXPECT_EQ(counters->drops[DROP_SOURCE_NOT_IN_SUBNET], 2U);
    EXPECT_EQ(counters->devices.at(0).received_packets, 2U);
    EXPECT_EQ(counters->devices.at(0).dropped, 2U);
}

TEST_F(FlowsTest, port_blocks_are_told_also_those_of_a_time_without_an_agent) {
    open_gateway(world_);
    ForwardingTables tables = gateway_tables(world_);
    tables.nat_gateways.at(7).port_block_size = 512;
    tables.nat_gateways.at(7).port_blocks_per_host = 1;
    tables.nat_gateways.at(7).port_block_hold = std::chrono::seconds{60};
    ASSERT_TRUE(dataplane_->apply(tables));

    const auto events = [&] {
        std::vector<PortBlockEvent> result;
        EXPECT_TRUE(dataplane_->poll_port_block_events(
            [&](const PortBlockEvent& event) { result.push_back(event); }));
        return result;
    };
    send(support::tcp().from("10.0.1.5", 1234).to("203.0.113.10", 443));
    EXPECT_GE(dataplane_->port_block_events_fd(), 0);
    const auto told = events();
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].happening, PortBlockEvent::Happening::allocated);
    const PortBlock& block = told[0].block;
    EXPECT_EQ(block.instance, Ipv4Address(10, 0, 1, 5));
    EXPECT_TRUE(block.elastic_ip == Ipv4Address(198, 51, 100, 10) ||
                block.elastic_ip == Ipv4Address(198, 51, 100, 11));
    EXPECT_EQ(block.ports.size(), 512U);
    EXPECT_EQ(block.ports.first % 512, 0);
    EXPECT_EQ(block.zone, 1);
    EXPECT_EQ(block.nat_gateway, 7);
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    EXPECT_LE(told[0].time_ns / 1'000'000'000U, static_cast<std::uint64_t>(now.tv_sec));
    EXPECT_GE(told[0].time_ns / 1'000'000'000U + 10, static_cast<std::uint64_t>(now.tv_sec));
    EXPECT_TRUE(events().empty());

    dataplane_ = nullptr;
    send(support::tcp().from("10.0.1.6", 1234).to("203.0.113.10", 443));
    dataplane_ = start();
    const auto told_late = events();
    ASSERT_EQ(told_late.size(), 1U);
    EXPECT_EQ(told_late[0].block.instance, Ipv4Address(10, 0, 1, 6));

    std::vector<PortBlock> held;
    ASSERT_TRUE(dataplane_->visit_port_blocks([&](const PortBlock& one) { held.push_back(one); }));
    std::sort(held.begin(), held.end());
    std::vector<PortBlock> expected{block, told_late[0].block};
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(held, expected);

    let_pass(std::chrono::seconds{600}, world_);
    ASSERT_TRUE(dataplane_->sweep());  // of the flows: their blocks rest from now on
    let_pass(std::chrono::seconds{600}, world_);
    ASSERT_TRUE(dataplane_->sweep());
    const auto ended = events();
    ASSERT_EQ(ended.size(), 2U);
    for (const PortBlockEvent& event : ended) {
        EXPECT_EQ(event.happening, PortBlockEvent::Happening::released);
        EXPECT_TRUE(event.block == expected[0] || event.block == expected[1]);
    }
    EXPECT_EQ(dataplane_->counters()->nat_gateways.at(7).port_block_events_lost, 0U);
}

TEST_F(BpfDataplaneTest, ten_thousand_routes_and_a_thousand_elastic_ips_are_applied_within_a_second) {
    auto dataplane = start();
    ForwardingTables tables;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        tables.routes[{1 + i % 7, Ipv4Prefix(Ipv4Address(0x14000000 + (i << 8)), 24)}] = {
            RouteKind::blackhole, 0};
    }
    for (std::uint32_t i = 0; i < 1000; ++i) {
        tables.elastic_ips[Ipv4Address(0xc6336400 + i)] = {NO_NAT_GATEWAY, NO_DEVICE, i};
    }
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(dataplane->apply(tables)->written, 11'000U);
    const auto applied = std::chrono::steady_clock::now();
    EXPECT_FALSE(dataplane->apply(tables)->changed());
    const auto end = std::chrono::steady_clock::now();
    EXPECT_LT(applied - begin, std::chrono::seconds{1});
    EXPECT_LT(end - applied, std::chrono::milliseconds{100});
    dataplane = nullptr;
    dataplane = start();
    EXPECT_EQ(*dataplane->read_tables(), tables);
}

TEST_F(BpfDataplaneTest, a_directory_with_content_is_not_hidden_by_a_mount) {
    fs::create_directories("/mnt/full");
    ASSERT_EQ(close(::open("/mnt/full/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    auto opened = BpfDataplane::open({"/mnt/full/sallyport", 1000, "0.0.1"});
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_TRUE(fs::exists("/mnt/full/file"));
    ASSERT_TRUE((*opened)->detach_all());
    EXPECT_FALSE(BpfDataplane::open({"relative", 1000, "0.0.1"}));
}

}  // namespace
}  // namespace sallyport::dataplane

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    testing::AddGlobalTestEnvironment(new sallyport::dataplane::Namespaces);
    return RUN_ALL_TESTS();
}

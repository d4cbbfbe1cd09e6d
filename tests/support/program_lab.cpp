// SPDX-License-Identifier: Apache-2.0
#include "support/program_lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>
#include <stdexcept>

#include "both.skel.h"
#include "both_hash.skel.h"
#include "inside.skel.h"
#include "inside_hash.skel.h"
#include "outside.skel.h"
#include "outside_hash.skel.h"
#include "reaper.skel.h"
#include "reaper_hash.skel.h"

namespace sallyport::support {
namespace {

constexpr std::uint32_t first = 0;                     // the key of one-element maps
constexpr std::uint8_t hosts[] = {2, 11, 12, 13, 50};  // of 10.0.0.0/24, whose neighbours are known
constexpr std::size_t identification_bytes =
    std::size_t{IDENTIFICATION_COUNTERS} * 8;  // as array elements lie
constexpr const char* remote_router = "198.51.100.254";

void check(bool fine, const std::string& doing) {
    if (!fine) throw std::runtime_error(doing + ": " + std::strerror(errno));
}

void shell(const std::string& command) {
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

std::uint32_t network_order(const char* address) {
    return Ipv4Address::parse(address).value().to_network();
}

const char* drop_label(std::uint32_t reason) {
    switch (reason) {
#define REASON(number, NAME, label, text) \
    case number:                          \
        return #label;
        FOREACH_DROP_REASON(REASON)
#undef REASON
        default:
            return "";
    }
}

// An opened skeleton of any program.
struct Opened {
    bpf_object* object;
    std::function<void()> close;
};

// Opens it with its constants, which can be set until it is loaded.
template <typename Skeleton>
Opened with_constants(Skeleton* skeleton, std::uint32_t regions, std::uint32_t slot,
                      Lane lane = Lane::express) {
    check(skeleton != nullptr, "open a program");
    skeleton->rodata->flow_regions = regions;
    skeleton->rodata->device_slot = slot;
    skeleton->rodata->express_lane = lane == Lane::express;
    timespec step{};
    clock_getres(CLOCK_MONOTONIC_COARSE, &step);
    skeleton->rodata->jiffy_ns = static_cast<std::uint32_t>(step.tv_nsec);  // as the agent does
    for (std::uint32_t i = 0; i < 4; i++) skeleton->rodata->hash_seed[i] = 0x9e3779b9u * (i + 1);
    return {skeleton->obj, [skeleton] { Skeleton::destroy(skeleton); }};
}

}  // namespace

std::uint16_t timeout_units(std::chrono::seconds seconds) {
    return static_cast<std::uint16_t>(
        (static_cast<std::uint64_t>(seconds.count()) * 1'000'000'000 >> FLOW_TIMEOUT_SHIFT) + 2);
}

struct ProgramLab::Impl {
    LabOptions options;
    std::map<std::string, int> maps;  // borrowed from the first object
    std::vector<Opened> opened;
    std::map<Role, int> programs;
    std::map<Role, int> stages;  // the same without the express lane
    int reaper = -1;
    void* batch = MAP_FAILED;
    void* buckets = MAP_FAILED;
    void* identifications = MAP_FAILED;
    std::uint32_t regions = 0;
    struct settings settings {};
    std::uint32_t next_hops = 1;  // the number of the next one

    ~Impl() {
        if (batch != MAP_FAILED) munmap(batch, REAP_BATCH_MAX * sizeof(reap_request));
        if (buckets != MAP_FAILED) munmap(buckets, bucket_bytes());
        if (identifications != MAP_FAILED) munmap(identifications, identification_bytes);
        for (const Opened& one : opened) one.close();
    }

    [[nodiscard]] std::size_t bucket_bytes() const {
        return std::size_t{regions} * FLOW_REGION_BUCKETS * sizeof(flow_bucket);
    }

    // Loads an object; the first one makes the maps, the others share them.
    int load(Opened one) {
        bpf_object* const object = one.object;
        opened.push_back(std::move(one));
        bpf_map* map = nullptr;
        bpf_object__for_each_map(map, object) {
            std::string name = bpf_map__name(map);
            if (name.find('.') != std::string::npos) continue;  // constants are each program's own
            auto found = maps.find(name);
            if (found != maps.end()) {
                check(bpf_map__reuse_fd(map, found->second) == 0, "share map " + name);
            } else if (name == "flow_buckets") {
                bpf_map__set_max_entries(map,
                                         options.table == Table::array ? regions * FLOW_REGION_BUCKETS : 64);
            } else if (name == "flow_locks") {
                bpf_map__set_max_entries(map, regions);
            } else if (name == "hosts") {
                bpf_map__set_max_entries(map, regions * HOST_BUCKETS_PER_REGION);
            } else if (name == "flow_hash") {
                bpf_map__set_max_entries(map, options.flow_capacity * 2);
            } else if (name == "port_sets") {
                bpf_map__set_max_entries(map, options.port_sets);
            }
        }
        int error = bpf_object__load(object);
        errno = -error;
        check(error == 0, "load a program");
        if (maps.empty()) {
            bpf_object__for_each_map(map, object) {
                std::string name = bpf_map__name(map);
                if (name.find('.') == std::string::npos) maps[name] = bpf_map__fd(map);
            }
        }
        return bpf_program__fd(bpf_object__next_program(object, nullptr));
    }

    template <typename Key, typename Value>
    void put(const char* map, const Key& key, const Value& value) {
        check(bpf_map_update_elem(maps.at(map), &key, &value, BPF_ANY) == 0, fmt::format("write {}", map));
    }
    template <typename Value, typename Key>
    Value get(const char* map, const Key& key) {
        Value value{};
        check(bpf_map_lookup_elem(maps.at(map), &key, &value) == 0, fmt::format("read {}", map));
        return value;
    }
    void write_settings() { put("settings", first, settings); }
};

namespace {

void make_network() {
    check(unshare(CLONE_NEWNET) == 0, "make a network namespace");
    for (const char* link : {"lan0", "wan0"}) {
        shell(fmt::format("ip link add {0} type veth peer name {0}p", link));
        shell(fmt::format("ip link set {0} up && ip link set {0}p up", link));
        shell(fmt::format("ip link set {} address 02:00:00:00:00:{}", link, link[0] == 'l' ? "0a" : "0b"));
    }
    shell(
        "ip link set lo up && ip address add 10.0.0.1/16 dev lan0 && ip address add 198.51.100.1/24 dev "
        "wan0");
    shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0");
    shell(fmt::format("ip neighbour add {} lladdr 02:00:00:00:01:fe dev wan0 nud permanent", remote_router));
    shell(fmt::format("ip route add default via {}", remote_router));
    for (int host : hosts)
        shell(fmt::format("ip neighbour add 10.0.0.{0} lladdr 02:00:00:00:02:{0} dev lan0 nud permanent",
                          host));
}

}  // namespace

ProgramLab::ProgramLab(const LabOptions& options) : impl_(std::make_unique<Impl>()) {
    Impl& lab = *impl_;
    lab.options = options;
    lab.regions = (options.flow_capacity * 2 * 10 / (FLOW_BUCKET_ENTRIES * 8) + FLOW_REGION_BUCKETS - 1) /
                  FLOW_REGION_BUCKETS;
    libbpf_set_print(nullptr);
    if (options.make_network) make_network();

    if (options.table == Table::array) {
        lab.reaper = lab.load(with_constants(reaper_bpf__open(), lab.regions, 0));
        lab.programs[Role::inside] = lab.load(with_constants(inside_bpf__open(), lab.regions, inside_slot));
        lab.programs[Role::outside] =
            lab.load(with_constants(outside_bpf__open(), lab.regions, outside_slot));
        lab.programs[Role::both] = lab.load(with_constants(both_bpf__open(), lab.regions, inside_slot));
        if (options.stages_too) {
            lab.stages[Role::inside] =
                lab.load(with_constants(inside_bpf__open(), lab.regions, inside_slot, Lane::stages));
            lab.stages[Role::outside] =
                lab.load(with_constants(outside_bpf__open(), lab.regions, outside_slot, Lane::stages));
            lab.stages[Role::both] =
                lab.load(with_constants(both_bpf__open(), lab.regions, inside_slot, Lane::stages));
        }
        lab.buckets = mmap(nullptr, lab.bucket_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
                           lab.maps.at("flow_buckets"), 0);
        check(lab.buckets != MAP_FAILED, "map flow_buckets");
    } else {
        lab.reaper = lab.load(with_constants(reaper_hash_bpf__open(), lab.regions, 0));
        lab.programs[Role::inside] =
            lab.load(with_constants(inside_hash_bpf__open(), lab.regions, inside_slot));
        lab.programs[Role::outside] =
            lab.load(with_constants(outside_hash_bpf__open(), lab.regions, outside_slot));
        lab.programs[Role::both] = lab.load(with_constants(both_hash_bpf__open(), lab.regions, inside_slot));
    }
    lab.batch = mmap(nullptr, REAP_BATCH_MAX * sizeof(reap_request), PROT_READ | PROT_WRITE, MAP_SHARED,
                     lab.maps.at("reap_batch"), 0);
    check(lab.batch != MAP_FAILED, "map reap_batch");
    lab.identifications = mmap(nullptr, identification_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                               lab.maps.at("identifications"), 0);
    check(lab.identifications != MAP_FAILED, "map identifications");

    struct meta meta {};
    meta.layout_version = SALLYPORT_LAYOUT_VERSION;
    meta.flow_regions = lab.regions;
    meta.port_sets = options.port_sets;
    lab.put("meta", first, meta);
    lab.settings.generation = 1;
    lab.write_settings();
    trust_next_hops(true);

    const char* names[] = {"lan0", "wan0"};
    const char* addresses[] = {"10.0.0.1", "198.51.100.1"};
    for (std::uint8_t slot : {inside_slot, outside_slot}) {
        struct device device {};
        device.ifindex = if_nametoindex(names[slot]);
        device.address = network_order(addresses[slot]);
        device.mtu = 1500;
        device.replies_per_second = 1000;
        device.zone = slot == inside_slot ? 1 : 0;
        device.role = slot == inside_slot ? DEVICE_INSIDE : DEVICE_OUTSIDE;
        const std::uint8_t mac[] = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(0x0a + slot)};
        std::memcpy(device.mac, mac, sizeof mac);
        set_device(slot, device);
        if (device.ifindex) lab.put("transmit", std::uint32_t{slot}, device.ifindex);
        add_local_address(addresses[slot]);
    }
    lab.put("local_addresses", network_order("198.51.100.255"), std::uint32_t{LOCAL_ADDRESS_BROADCAST});
    add_next_hop(remote_router, outside_slot, {2, 0, 0, 0, 1, 0xfe});
    for (std::uint8_t host : hosts)
        add_next_hop(fmt::format("10.0.0.{}", host).c_str(), inside_slot,
                     {2, 0, 0, 0, 2, static_cast<std::uint8_t>(host / 10 * 16 + host % 10)});
    add_subnet(1, "10.0.0.0/16", 1);
    add_private_prefix("10.0.0.0/16");
    add_route(1, "10.0.0.0/16", ROUTE_LOCAL, 0);
    add_route(1, "0.0.0.0/0", ROUTE_NAT_GATEWAY, 0);

    struct nat_gateway gateway {};
    gateway.flags = NAT_GATEWAY_IN_USE | NAT_GATEWAY_HAIRPIN;
    gateway.first_port = 1024;
    gateway.last_port = 65535;
    const std::chrono::seconds seconds[] = {std::chrono::seconds(300), std::chrono::seconds(60),
                                            std::chrono::seconds(240), std::chrono::seconds(7440),
                                            std::chrono::seconds(240), std::chrono::seconds(240)};
    for (std::size_t i = 0; i < TIMEOUT_CLASSES; i++) gateway.timeouts[i] = timeout_units(seconds[i]);
    gateway.mapping[NAT_TCP] = ADDRESS_AND_PORT_DEPENDENT;
    gateway.mapping[NAT_UDP] = gateway.mapping[NAT_ICMP] = ENDPOINT_INDEPENDENT;
    for (std::uint8_t& filtering : gateway.filtering) filtering = ADDRESS_AND_PORT_DEPENDENT;
    change_nat_gateway(0, gateway);
    change_nat_gateway(internet_gateway, gateway);
    add_elastic_ip("198.51.100.10");
}

ProgramLab::~ProgramLab() = default;

Outcome ProgramLab::run(Role role, const Bytes& frame, Lane lane) {
    struct counters before {
    }, after{};
    return run(role, frame, lane, before, after);
}

Outcome ProgramLab::run(Role role, const Bytes& frame, Lane lane, struct counters& before,
                        struct counters& after) {
    const auto& programs = lane == Lane::express ? impl_->programs : impl_->stages;
    return run_program(programs.at(role), frame, 0, before, after);
}

Outcome ProgramLab::run_again(Role role, const Bytes& frame) {
    const std::uint32_t mark = EARLY_FRAGMENT_HELD;
    Bytes marked(sizeof mark);
    std::memcpy(marked.data(), &mark, sizeof mark);
    marked.insert(marked.end(), frame.begin(), frame.end());
    struct counters before {
    }, after{};
    return run_program(impl_->programs.at(role), marked, sizeof mark, before, after);
}

// The first `metadata` bytes of `input` stand before the frame.
Outcome ProgramLab::run_program(int program, const Bytes& input, std::uint32_t metadata,
                                struct counters& before, struct counters& after) {
    before = counters();
    Outcome outcome;
    outcome.frame.resize(4096);
    xdp_md context{};
    context.data = metadata;
    context.data_end = static_cast<std::uint32_t>(input.size());
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = input.data();
    run.data_size_in = static_cast<std::uint32_t>(input.size());
    run.data_out = outcome.frame.data();
    run.data_size_out = static_cast<std::uint32_t>(outcome.frame.size());
    if (metadata) {
        run.ctx_in = &context;
        run.ctx_size_in = sizeof context;
    }
    int error = bpf_prog_test_run_opts(program, &run);
    errno = -error;
    check(error == 0, "run a program");
    outcome.action = static_cast<int>(run.retval);
    outcome.took = std::chrono::nanoseconds(run.duration);
    outcome.frame.resize(run.data_size_out);
    outcome.frame.erase(outcome.frame.begin(), outcome.frame.begin() + metadata);
    outcome.packet = Packet::parse(outcome.frame);
    after = counters();
    for (std::uint32_t reason = 1; reason < DROP_REASONS_MAX; reason++)
        if (after.drops[reason] != before.drops[reason]) outcome.drop_reason += drop_label(reason);
    return outcome;
}

Bytes ProgramLab::run_quickly(Role role, const Bytes& frame) {
    Bytes result(4096);
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<std::uint32_t>(frame.size());
    run.data_out = result.data();
    run.data_size_out = static_cast<std::uint32_t>(result.size());
    check(bpf_prog_test_run_opts(impl_->programs.at(role), &run) == 0, "run a program");
    result.resize(run.data_size_out);
    return result;
}

std::uint32_t ProgramLab::time(Role role, const Bytes& frame, std::uint32_t repeat) {
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<std::uint32_t>(frame.size());
    run.repeat = static_cast<int>(repeat);
    check(bpf_prog_test_run_opts(impl_->programs.at(role), &run) == 0, "time a program");
    return run.duration;
}

namespace {
security_group_list group_list_of(const std::vector<std::uint16_t>& groups) {
    security_group_list list{};
    for (const std::uint16_t number : groups) list.number[list.count++] = number;
    return list;
}

port_forward_key forward_key_of(std::uint32_t elastic_ip, std::uint8_t protocol, const PortPrefix& ports) {
    return {48U + ports.length, elastic_ip, protocol, 0, htons(ports.port)};
}
}  // namespace

void ProgramLab::add_elastic_ip(const char* address, std::uint16_t number) {
    elastic_ip value{};
    value.nat_gateway = number;
    value.on_link_device = outside_slot;
    impl_->put("elastic_ips", network_order(address), value);
    if (number == NO_NAT_GATEWAY) return;
    struct nat_gateway gateway = nat_gateway(number);
    gateway.elastic_ips[gateway.elastic_ip_count++] = network_order(address);
    change_nat_gateway(number, gateway);
}

void ProgramLab::remove_elastic_ip(const char* address) {
    std::uint32_t key = network_order(address);
    auto bound = impl_->get<elastic_ip>("elastic_ips", key);
    struct nat_gateway gateway = nat_gateway(bound.nat_gateway), left = gateway;
    left.elastic_ip_count = 0;
    for (std::uint32_t i = 0; i < gateway.elastic_ip_count; i++)
        if (gateway.elastic_ips[i] != key) left.elastic_ips[left.elastic_ip_count++] = gateway.elastic_ips[i];
    change_nat_gateway(bound.nat_gateway, left);
    forget_elastic_ip(address);
}

void ProgramLab::forget_elastic_ip(const char* address) {
    std::uint32_t key = network_order(address);
    check(bpf_map_delete_elem(impl_->maps.at("elastic_ips"), &key) == 0, "remove an Elastic IP");
}

void ProgramLab::give_elastic_ip(const char* address, const char* instance,
                                 const std::vector<std::uint16_t>& groups) {
    elastic_ip value{};
    value.nat_gateway = internet_gateway;
    value.on_link_device = outside_slot;
    value.instance = network_order(instance);
    value.zone = 1;
    impl_->put("elastic_ips", network_order(address), value);
    struct instance one = {network_order(address), group_list_of(groups)};
    impl_->put("instances", instance_key{1, network_order(instance)}, one);
}

void ProgramLab::group_instance(const char* instance, const std::vector<std::uint16_t>& groups) {
    struct instance one = {0, group_list_of(groups)};
    impl_->put("instances", instance_key{1, network_order(instance)}, one);
}

void ProgramLab::forget_instance(const char* instance) {
    instance_key key{1, network_order(instance)};
    check(bpf_map_delete_elem(impl_->maps.at("instances"), &key) == 0, "remove an instance");
}

void ProgramLab::change_security_group(std::uint16_t number, const struct security_group& value) {
    impl_->put("security_groups", std::uint32_t{number}, value);
}

void ProgramLab::drain_elastic_ip(const char* elastic_ip, bool draining) {
    const std::uint32_t address = network_order(elastic_ip);
    auto bound = impl_->get<struct elastic_ip>("elastic_ips", address);
    bound.flags &= static_cast<std::uint8_t>(~ELASTIC_IP_DRAINING);
    if (draining) bound.flags |= ELASTIC_IP_DRAINING;
    impl_->put("elastic_ips", address, bound);
    if (bound.instance != 0) return;
    struct nat_gateway gateway = nat_gateway(bound.nat_gateway);
    std::vector<std::uint32_t> list(gateway.elastic_ips, gateway.elastic_ips + gateway.elastic_ip_count);
    std::erase(list, address);
    if (!draining) list.push_back(address);
    gateway.elastic_ip_count = static_cast<std::uint32_t>(list.size());
    std::ranges::copy(list, gateway.elastic_ips);
    change_nat_gateway(bound.nat_gateway, gateway);
}

void ProgramLab::forward_ports(const char* elastic_ip, std::uint8_t protocol, PortRange ports, const char* to,
                               std::uint16_t to_port) {
    const std::uint32_t address = network_order(elastic_ip);
    auto bound = impl_->get<struct elastic_ip>("elastic_ips", address);
    bound.flags |= ELASTIC_IP_FORWARDS_PORTS;
    impl_->put("elastic_ips", address, bound);
    const port_forward value{network_order(to), 1, ports.first, to_port, 0};
    for (const PortPrefix& prefix : ports.prefixes())
        impl_->put("port_forwards", forward_key_of(address, protocol, prefix), value);
    const PortRange inside{to_port, static_cast<std::uint16_t>(to_port + ports.size() - 1)};
    for (const PortPrefix& prefix : inside.prefixes()) {
        const forwarded_endpoint_key key{64U + prefix.length, 1, protocol, 0, network_order(to),
                                         htons(prefix.port),  0};
        impl_->put("forwarded_endpoints", key, forwarded_endpoint{address, to_port, ports.first});
    }
    struct nat_gateway gateway = nat_gateway(bound.nat_gateway);
    gateway.flags |= NAT_GATEWAY_FORWARDS_PORTS;
    change_nat_gateway(bound.nat_gateway, gateway);
}

void ProgramLab::forget_forwards(const char* elastic_ip, std::uint8_t protocol, PortRange ports) {
    for (const PortPrefix& prefix : ports.prefixes()) {
        port_forward_key key = forward_key_of(network_order(elastic_ip), protocol, prefix);
        check(bpf_map_delete_elem(impl_->maps.at("port_forwards"), &key) == 0, "remove a port forward");
    }
}

void ProgramLab::change_nat_gateway(std::uint16_t number, const struct nat_gateway& value) {
    impl_->put("nat_gateways", std::uint32_t{number}, value);
}

void ProgramLab::change_host_limits(std::uint16_t nat_gateway, const struct host_limits& value) {
    impl_->put("host_limits", std::uint32_t{nat_gateway}, value);
}

void ProgramLab::reserve_ports(std::uint16_t nat_gateway, const std::vector<PortRange>& ranges) {
    port_mask mask{};
    for (const PortRange& range : ranges)
        for (std::uint32_t port = range.first; port <= range.last; port++)
            mask.word[port / 64] |= 1ULL << (port % 64);
    impl_->put("reserved_ports", std::uint32_t{nat_gateway}, mask);
    struct nat_gateway gateway = this->nat_gateway(nat_gateway);
    gateway.reserves_ports = !ranges.empty();
    change_nat_gateway(nat_gateway, gateway);
    bump_generation();
}

void ProgramLab::share_elastic_ip(const char* elastic_ip, const std::vector<PortRange>& ports) {
    const std::uint32_t address = network_order(elastic_ip);
    auto bound = impl_->get<struct elastic_ip>("elastic_ips", address);
    const std::uint32_t words =
        std::max<std::uint32_t>(nat_gateway(bound.nat_gateway).port_block_size / 64, 1);
    struct host_ports of_host {};
    static std::uint32_t version = 0;
    of_host.version = ++version;
    for (const PortRange& range : ports)
        for (std::uint32_t port = range.first; port <= range.last; port++)
            of_host.word[port / 64] |= 1ULL << (port % 64);
    for (std::uint32_t word = 0; word < PORT_SET_WORDS; word += words) {
        const auto all = [](std::uint64_t bits) { return bits == ~0ULL; };
        if (std::all_of(of_host.word + word, of_host.word + word + words, all))
            of_host.block[word / 64] |= 1ULL << (word % 64);
    }
    impl_->put("host_ports", address, of_host);
    bound.flags |= ELASTIC_IP_SHARED_WITH_HOST;
    impl_->put("elastic_ips", address, bound);
    add_local_address(elastic_ip);
}

void ProgramLab::unshare_elastic_ip(const char* elastic_ip) {
    const std::uint32_t address = network_order(elastic_ip);
    auto bound = impl_->get<struct elastic_ip>("elastic_ips", address);
    bound.flags &= static_cast<std::uint8_t>(~ELASTIC_IP_SHARED_WITH_HOST);
    impl_->put("elastic_ips", address, bound);
    check(bpf_map_delete_elem(impl_->maps.at("host_ports"), &address) == 0, "forget ports of the host");
    remove_local_address(elastic_ip);
}

void ProgramLab::set_unanswered_capacity(std::uint32_t flows) {
    impl_->settings.unanswered_capacity = flows;
    impl_->write_settings();
}

std::uint32_t ProgramLab::unanswered() {
    return impl_->get<std::uint32_t>("unanswered", first);
}

std::uint32_t ProgramLab::hosts_holding() {
    std::uint32_t holding = 0;
    for (std::uint32_t i = 0; i < impl_->regions * HOST_BUCKETS_PER_REGION; i++) {
        const auto bucket = impl_->get<std::array<std::uint8_t, HOST_BUCKET_BYTES>>("hosts", i);
        for (std::size_t number = 0; number < HOST_BUCKET_ENTRIES; number++) {
            struct host host {};
            std::memcpy(&host, bucket.data() + HOST_BUCKET_HEADER_BYTES + number * sizeof host, sizeof host);
            holding += host.flows != 0 || host.ports != 0;
        }
    }
    return holding;
}

struct nat_gateway ProgramLab::nat_gateway(std::uint16_t number) {
    return impl_->get<struct nat_gateway>("nat_gateways", std::uint32_t{number});
}

namespace {
route_key route_key_of(std::uint32_t route_table, const char* prefix) {
    Ipv4Prefix parsed = Ipv4Prefix::parse(prefix).value();
    return {32u + parsed.length(), htonl(route_table), parsed.address().to_network()};
}
}  // namespace

void ProgramLab::add_subnet(std::uint16_t zone, const char* prefix) {
    const Ipv4Prefix parsed = Ipv4Prefix::parse(prefix).value();
    const subnet_key key{32U + parsed.length(), htonl(zone), parsed.address().to_network()};
    impl_->put("subnets", key, subnet{1, 1, SUBNET_HAS_INSTANCES, {}});
}

void ProgramLab::add_route(std::uint32_t route_table, const char* prefix, enum route_target target,
                           std::uint16_t index, const char* via) {
    const route value{static_cast<std::uint16_t>(target), index, network_order(via)};
    impl_->put("routes", route_key_of(route_table, prefix), value);
}

std::size_t ProgramLab::inner_flows() {
    std::size_t count = 0;
    flow_key key{};
    const int map = impl_->maps.at("inner_flows");
    for (const flow_key* previous = nullptr; bpf_map_get_next_key(map, previous, &key) == 0; previous = &key)
        ++count;
    return count;
}

void ProgramLab::forget_inner_flows() {
    flow_key key{};
    const int map = impl_->maps.at("inner_flows");
    while (bpf_map_get_next_key(map, nullptr, &key) == 0)
        check(bpf_map_delete_elem(map, &key) == 0, "forget a flow that stays inside");
}

void ProgramLab::remove_route(std::uint32_t route_table, const char* prefix) {
    route_key key = route_key_of(route_table, prefix);
    check(bpf_map_delete_elem(impl_->maps.at("routes"), &key) == 0, "remove a route");
}

namespace {
subnet_key subnet_key_of(std::uint32_t zone, const char* prefix) {
    Ipv4Prefix parsed = Ipv4Prefix::parse(prefix).value();
    return {32u + parsed.length(), htonl(zone), parsed.address().to_network()};
}
}  // namespace

void ProgramLab::add_subnet(std::uint32_t zone, const char* prefix, std::uint32_t route_table) {
    impl_->put("subnets", subnet_key_of(zone, prefix),
               subnet{route_table, route_table, SUBNET_HAS_INSTANCES, {}});
}

void ProgramLab::remove_subnet(std::uint32_t zone, const char* prefix) {
    subnet_key key = subnet_key_of(zone, prefix);
    check(bpf_map_delete_elem(impl_->maps.at("subnets"), &key) == 0, "remove a subnet");
}

void ProgramLab::remove_local_address(const char* address) {
    const std::uint32_t key = network_order(address);
    check(bpf_map_delete_elem(impl_->maps.at("local_addresses"), &key) == 0, "remove a local address");
}

void ProgramLab::add_local_address(const char* address) {
    impl_->put("local_addresses", network_order(address), std::uint32_t{LOCAL_ADDRESS_OF_HOST});
}

void ProgramLab::add_private_prefix(const char* prefix) {
    Ipv4Prefix parsed = Ipv4Prefix::parse(prefix).value();
    prefix_key key{parsed.length(), parsed.address().to_network()};
    impl_->put("private_prefixes", key, std::uint32_t{1});
}

void ProgramLab::add_next_hop(const char* address, std::uint8_t slot, const std::array<std::uint8_t, 6>& mac,
                              enum next_hop_state state) {
    struct device device = this->device(slot);
    struct next_hop hop {};
    hop.ifindex = device.ifindex;
    hop.address = network_order(address);
    hop.mtu = device.mtu;
    hop.device = slot;
    hop.state = static_cast<std::uint8_t>(state);
    std::copy(mac.begin(), mac.end(), hop.destination_mac);
    std::copy(std::begin(device.mac), std::end(device.mac), hop.source_mac);
    std::uint32_t number = impl_->next_hops++;
    impl_->put("next_hops", number, hop);
    neighbour_key key{hop.ifindex, hop.address};
    impl_->put("next_hop_numbers", key, number);
}

void ProgramLab::set_device(std::uint8_t slot, const struct device& value) {
    impl_->put("devices", std::uint32_t{slot}, value);
    if (value.ifindex != 0) impl_->put("transmit", std::uint32_t{slot}, value.ifindex);
}

struct device ProgramLab::device(std::uint8_t slot) {
    return impl_->get<struct device>("devices", std::uint32_t{slot});
}

void ProgramLab::bump_generation() {
    impl_->settings.generation++;
    impl_->write_settings();
}

void ProgramLab::trust_next_hops(bool trust) {
    // Half of the clock's range ahead or behind, so that moving the clock does not matter.
    impl_->settings.next_hops_valid_until = ticks() + (trust ? 0x40000000u : 0xc0000000u);
    impl_->write_settings();
}

namespace {

// Flows, what is written anew for each packet, and counters that only go up.
bool is_remembered(const std::string& map) {
    static const std::set<std::string> others = {
        "flow_buckets", "flow_locks",  "flow_hash",  "workspaces", "counters",
        "transmit",     "drop_events", "reap_batch", "settings",   "port_block_events"};
    return !others.contains(map);
}

constexpr std::uint32_t array_elements_remembered = 1024;  // next_hops has more than a test ever sets

std::map<Bytes, Bytes> dump(int fd) {
    struct bpf_map_info info {};
    std::uint32_t size = sizeof info;
    check(bpf_obj_get_info_by_fd(fd, &info, &size) == 0, "ask about a map");
    bool per_cpu = info.type == BPF_MAP_TYPE_PERCPU_ARRAY || info.type == BPF_MAP_TYPE_PERCPU_HASH ||
                   info.type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
    bool array = info.type == BPF_MAP_TYPE_ARRAY || info.type == BPF_MAP_TYPE_PERCPU_ARRAY;
    std::size_t bytes =
        per_cpu ? (info.value_size + 7UL) / 8 * 8 * static_cast<std::size_t>(libbpf_num_possible_cpus())
                : info.value_size;
    std::map<Bytes, Bytes> elements;
    Bytes key(info.key_size), next(info.key_size), value(bytes);
    for (bool begun = false; bpf_map_get_next_key(fd, begun ? key.data() : nullptr, next.data()) == 0;
         begun = true) {
        key = next;
        if (array && elements.size() == array_elements_remembered) break;
        if (bpf_map_lookup_elem(fd, key.data(), value.data()) == 0) elements[key] = value;
    }
    return elements;
}

}  // namespace

ProgramLab::Memory ProgramLab::save() {
    Memory memory;
    for (const auto& [name, fd] : impl_->maps)
        if (is_remembered(name)) memory[name] = dump(fd);
    return memory;
}

void ProgramLab::restore(const Memory& memory) {
    for (const auto& [name, elements] : memory) {
        int fd = impl_->maps.at(name);
        std::map<Bytes, Bytes> present = dump(fd);
        for (const auto& [key, value] : present)
            if (!elements.contains(key))
                check(bpf_map_delete_elem(fd, key.data()) == 0, fmt::format("remove an element of {}", name));
        for (const auto& [key, value] : elements) {
            auto found = present.find(key);
            if (found == present.end() || found->second != value)
                check(bpf_map_update_elem(fd, key.data(), value.data(), BPF_ANY) == 0,
                      fmt::format("write {} again", name));
        }
    }
    trust_next_hops(true);
}

void ProgramLab::advance(std::chrono::milliseconds by) {
    impl_->settings.clock_offset_ns +=
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(by).count());
    impl_->write_settings();
}

namespace {
std::uint64_t coarse_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}
}  // namespace

std::uint32_t ProgramLab::ticks() {
    return static_cast<std::uint32_t>((coarse_nanoseconds() + impl_->settings.clock_offset_ns) >>
                                      FLOW_TICK_SHIFT);
}

void ProgramLab::set_ticks(std::uint32_t ticks) {
    constexpr std::uint64_t half = std::uint64_t{1} << (FLOW_TICK_SHIFT - 1);
    impl_->settings.clock_offset_ns = (std::uint64_t{ticks} << FLOW_TICK_SHIFT) + half - coarse_nanoseconds();
    impl_->write_settings();
}

struct counters ProgramLab::counters() {
    static_assert(sizeof(struct counters) % 8 == 0);
    int processors = libbpf_num_possible_cpus();
    std::vector<struct counters> each(static_cast<std::size_t>(processors));
    check(bpf_map_lookup_elem(impl_->maps.at("counters"), &first, each.data()) == 0, "read counters");
    struct counters sum {};
    auto* to = reinterpret_cast<std::uint64_t*>(&sum);
    for (const struct counters& one : each) {
        const auto* from = reinterpret_cast<const std::uint64_t*>(&one);
        for (std::size_t i = 0; i < sizeof(sum) / 8; i++) to[i] += from[i];
    }
    return sum;
}

std::uint32_t ProgramLab::resting_ports(std::uint16_t nat_gateway) {
    return impl_->get<nat_gateway_usage>("nat_gateway_usage", std::uint32_t{nat_gateway}).resting_ports;
}

void ProgramLab::for_each_entry(const std::function<void(const struct flow_entry&)>& visit) {
    const auto* buckets = static_cast<const flow_bucket*>(impl_->buckets);
    for (std::size_t i = 0; i < std::size_t{impl_->regions} * FLOW_REGION_BUCKETS; i++)
        for (std::size_t number = 0; number < FLOW_BUCKET_ENTRIES; number++)
            if (buckets[i].tags.tag[number]) visit(buckets[i].entry[number]);
}

std::vector<struct flow_entry> ProgramLab::entries() {
    std::vector<struct flow_entry> found;
    for_each_entry([&found](const struct flow_entry& entry) { found.push_back(entry); });
    return found;
}

Bytes ProgramLab::table() {
    const auto* memory = static_cast<const std::uint8_t*>(impl_->buckets);
    return {memory, memory + impl_->bucket_bytes()};
}

void ProgramLab::restore_table(const Bytes& memory) {
    std::memcpy(impl_->buckets, memory.data(), memory.size());
}

void ProgramLab::forget_datagrams() {
    fragment_key key{};
    const int map = impl_->maps.at("fragments");
    while (bpf_map_get_next_key(map, nullptr, &key) == 0)
        check(bpf_map_delete_elem(map, &key) == 0, "forget a datagram");
    std::memset(impl_->identifications, 0, identification_bytes);
}

void ProgramLab::hold_fragments(bool hold) {
    impl_->settings.fragments_held_until = ticks() + (hold ? 0x40000000u : 0xc0000000u);
    impl_->write_settings();
    // As many at once as ever.
    std::vector<early_fragment_work> works(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    check(bpf_map_update_elem(impl_->maps.at("early_fragment_works"), &first, works.data(), BPF_ANY) == 0,
          "write early_fragment_works");
    for (std::uint32_t source = 0; source < EARLY_FRAGMENT_SOURCES; source++)
        impl_->put("early_fragment_budgets", source, budget{});
}

namespace {

// Takes everything out of a ring buffer of `Record`.
template <typename Record>
void drain(int map, std::function<void(const Record&)> take) {
    const auto pass_on = [](void* taker, void* data, std::size_t) {
        (*static_cast<const std::function<void(const Record&)>*>(taker))(*static_cast<const Record*>(data));
        return 0;
    };
    ring_buffer* ring = ring_buffer__new(map, pass_on, &take, nullptr);
    check(ring != nullptr, "open a ring buffer");
    ring_buffer__consume(ring);
    ring_buffer__free(ring);
}

}  // namespace

std::vector<ProgramLab::Word> ProgramLab::words_to_the_agent() {
    std::vector<Word> words;
    drain<early_fragment>(map_fd("early_fragments"), [&words](const early_fragment& record) {
        words.push_back({record.key, record.device, Bytes(record.frame, record.frame + record.frame_bytes)});
    });
    return words;
}

std::vector<port_block_event> ProgramLab::port_block_events() {
    std::vector<port_block_event> events;
    drain<port_block_event>(map_fd("port_block_events"),
                            [&events](const port_block_event& event) { events.push_back(event); });
    return events;
}

void ProgramLab::await_datagram(const struct fragment_key& datagram, bool await) {
    if (await)
        impl_->put("awaited_datagrams", datagram, std::uint32_t{1});
    else
        check(bpf_map_delete_elem(map_fd("awaited_datagrams"), &datagram) == 0, "await a datagram no more");
}

void ProgramLab::refill_reply_budget() {
    // Last refilled when the machine started.
    std::vector<struct reply_budget> budgets(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    check(bpf_map_update_elem(impl_->maps.at("reply_budgets"), &first, budgets.data(), BPF_ANY) == 0,
          "write reply_budgets");
}

std::uint32_t ProgramLab::reap(const std::vector<struct reap_request>& requests, std::uint32_t mode) {
    std::uint32_t removed = 0;
    for (std::size_t at = 0; at < requests.size(); at += REAP_BATCH_MAX) {
        std::size_t count = std::min<std::size_t>(requests.size() - at, REAP_BATCH_MAX);
        std::memcpy(impl_->batch, requests.data() + at, count * sizeof(reap_request));
        reap_command command{}, result{};
        command.count = static_cast<std::uint32_t>(count);
        command.mode = mode;
        LIBBPF_OPTS(bpf_test_run_opts, run);
        run.data_in = &command;
        run.data_size_in = sizeof command;
        run.data_out = &result;
        run.data_size_out = sizeof result;
        check(bpf_prog_test_run_opts(impl_->reaper, &run) == 0, "run the reaper");
        if (run.retval != XDP_PASS) throw std::runtime_error("the reaper refused its command");
        removed += result.removed;
    }
    return removed;
}

std::uint32_t ProgramLab::reap_all(std::uint32_t mode) {
    const auto reap_kind = [&](std::uint8_t kind) {
        std::vector<struct reap_request> requests;
        const auto* buckets = static_cast<const flow_bucket*>(impl_->buckets);
        for (std::uint32_t i = 0; i < impl_->regions * FLOW_REGION_BUCKETS; i++)
            for (std::uint32_t number = 0; number < FLOW_BUCKET_ENTRIES; number++) {
                const flow_entry& entry = buckets[i].entry[number];
                if (buckets[i].tags.tag[number] && entry.flags & FLOW_FORWARD && entry.key.kind == kind &&
                    (kind == FLOW_KIND_FLOW || entry.references == 0))
                    requests.push_back({FLOW_SLOT(i, number), entry.flow_id});
            }
        return reap(requests, mode);
    };
    const std::uint32_t flows = reap_kind(FLOW_KIND_FLOW);
    reap_kind(FLOW_KIND_MAPPING);
    reap_kind(FLOW_KIND_BLOCK);
    return flows;
}

std::uint32_t ProgramLab::verified_instructions(Role role) const {
    struct bpf_prog_info info {};
    std::uint32_t size = sizeof info;
    check(bpf_obj_get_info_by_fd(program_fd(role), &info, &size) == 0, "ask about a program");
    return info.verified_insns;
}

int ProgramLab::program_fd(Role role) const {
    return impl_->programs.at(role);
}

int ProgramLab::map_fd(const std::string& name) const {
    return impl_->maps.at(name);
}

std::uint64_t ProgramLab::map_bytes(const std::string& name) const {
    std::ifstream info(fmt::format("/proc/self/fdinfo/{}", map_fd(name)));
    for (std::string word; info >> word;)
        if (word == "memlock:") {
            std::uint64_t bytes = 0;
            info >> bytes;
            return bytes;
        }
    return 0;
}

}  // namespace sallyport::support

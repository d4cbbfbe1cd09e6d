// SPDX-License-Identifier: Apache-2.0
#include "bench/topology.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/unique_fd.h"
#include "wire.skel.h"

namespace sallyport::bench {
namespace {

using namespace std::chrono_literals;

void check(bool fine, const std::string& doing) {
    if (!fine) throw std::runtime_error(doing + ": " + std::strerror(errno));
}

UniqueFd current_namespace() {
    UniqueFd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    check(fd.get() >= 0, "open a network namespace");
    return fd;
}

std::string text_of(const Mac& mac) {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                       mac[5]);
}

std::string text_of(std::uint32_t address) {
    char text[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, &address, text, sizeof text);
}

// The thread that goes on with softirqs when there are too many of them: its work is ours as well.
std::string softirq_thread_of(int processor) {
    const std::string wanted = fmt::format("ksoftirqd/{}", processor);
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::string name;
        std::ifstream(entry.path() / "comm") >> name;
        if (name == wanted) return entry.path().string();
    }
    throw std::runtime_error("no thread " + wanted + " is seen under /proc");
}

double softirq_nanoseconds() {
    thread_local const std::string thread = softirq_thread_of(sched_getcpu());
    double nanoseconds = 0;
    check(static_cast<bool>(std::ifstream(thread + "/schedstat") >> nanoseconds),
          "read " + thread + "/schedstat");
    return nanoseconds;
}

double thread_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

void shell(const std::string& command) {
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

// One side of the gateway: the far end with its sink, and the gateway's device.
struct Side {
    const char* far = nullptr;
    const char* near = nullptr;
    std::uint32_t far_index = 0, near_index = 0;
    wire_bpf* wire = nullptr;
    std::vector<bpf_link*> links;

    ~Side() {
        for (bpf_link* link : links) bpf_link__destroy(link);
        wire_bpf__destroy(wire);
    }
    void attach(const bpf_program* program, std::uint32_t ifindex) {
        bpf_link* link = bpf_program__attach_xdp(program, static_cast<int>(ifindex));
        check(link != nullptr, "attach a program");
        links.push_back(link);
    }
};

struct Topology::Impl {
    UniqueFd home = current_namespace();
    std::map<Place, UniqueFd> places;
    Side inside, outside;

    ~Impl() { enter(home); }

    static void enter(const UniqueFd& place) {
        if (setns(place.get(), CLONE_NEWNET) != 0) std::abort();  // going on would touch another network
    }
    // Where frames of a direction come from, and where they arrive.
    Side& from(Direction direction) { return direction == Direction::out ? inside : outside; }
    Side& to(Direction direction) { return direction == Direction::out ? outside : inside; }

    void make_namespace(Place place) {
        check(unshare(CLONE_NEWNET) == 0, "make a network namespace");
        places.emplace(place, current_namespace());
        shell(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
            " net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        shell("ip link set lo up");
    }

    // Called in the far namespace.
    void make_wire(Side& side, const char* far, const char* near, const Mac& far_mac, const Mac& near_mac) {
        side.far = far;
        side.near = near;
        shell(fmt::format("ip link add {} address {} type veth peer name {} address {} netns /proc/{}/fd/{}",
                          far, text_of(far_mac), near, text_of(near_mac), getpid(),
                          places.at(Place::gateway).get()));
        shell(fmt::format("ethtool -K {} tx off >/dev/null && ip link set {} up", far, far));
        side.far_index = if_nametoindex(far);
    }

    // Called in the gateway's namespace, when both wires are there.
    void load(Side& side, const Side& other, const Mac& far_mac, const Mac& near_mac) {
        side.wire = wire_bpf__open();
        check(side.wire != nullptr, "open the wire's programs");
        std::uint8_t header[12];
        std::memcpy(header, far_mac.data(), 6);
        std::memcpy(header + 6, near_mac.data(), 6);
        std::memcpy(&side.wire->rodata->addresses_0, header, 8);
        std::memcpy(&side.wire->rodata->addresses_8, header + 8, 4);
        check(wire_bpf__load(side.wire) == 0, "load the wire's programs");
        const std::uint32_t key = 0;
        check(
            bpf_map_update_elem(bpf_map__fd(side.wire->maps.transmit), &key, &other.near_index, BPF_ANY) == 0,
            "point a wire at the other");
    }
};

Topology::Topology() : impl_(std::make_unique<Impl>()) {
    Impl& net = *impl_;
    libbpf_set_print(nullptr);
    net.make_namespace(Place::gateway);
    net.make_namespace(Place::inside);
    net.make_wire(net.inside, "inst0", "lan0", instance_mac, lan_mac);
    net.make_namespace(Place::outside);
    net.make_wire(net.outside, "net0", "wan0", router_mac, wan_mac);

    Impl::enter(net.places.at(Place::gateway));
    for (Side* side : {&net.inside, &net.outside}) {
        shell(fmt::format("ethtool -K {} tx off gro off >/dev/null && ip link set {} up", side->near,
                          side->near));
        side->near_index = if_nametoindex(side->near);
    }
    shell("ip address add 10.0.1.1/24 dev lan0 && ip address add 198.51.100.1/24 dev wan0");
    shell(fmt::format("ip neighbour add {} lladdr {} dev lan0 nud permanent", instance_address,
                      text_of(instance_mac)));
    shell(
        fmt::format("ip neighbour add 198.51.100.254 lladdr {} dev wan0 nud permanent", text_of(router_mac)));
    shell("ip route add default via 198.51.100.254 && sysctl -qw net.ipv4.ip_forward=1");
    // A frame that came by lan0 leaves by wan0, with the outer wire's addresses, and the other way round.
    net.load(net.inside, net.outside, router_mac, wan_mac);
    net.load(net.outside, net.inside, instance_mac, lan_mac);

    within(Place::inside, [&] { net.inside.attach(net.inside.wire->progs.sink, net.inside.far_index); });
    within(Place::outside, [&] { net.outside.attach(net.outside.wire->progs.sink, net.outside.far_index); });
    Impl::enter(net.home);
}

Topology::~Topology() = default;

void Topology::within(Place place, const std::function<void()>& what) const {
    const UniqueFd back = current_namespace();
    Impl::enter(impl_->places.at(place));
    try {
        what();
    } catch (...) {
        Impl::enter(back);
        throw;
    }
    Impl::enter(back);
}

double Topology::send(FlowDriver& driver, Direction direction, std::uint32_t count, std::size_t bytes) {
    const volatile auto& arrived = impl_->to(direction).wire->bss->packets;
    const std::uint64_t before = arrived;
    double spent = 0;
    within(direction == Direction::out ? Place::inside : Place::outside, [&] {
        spent = -thread_nanoseconds() - softirq_nanoseconds();
        driver.send(count, bytes);
        spent += thread_nanoseconds();
    });
    for (int tries = 0; arrived - before < count && tries < 200; tries++) std::this_thread::sleep_for(1ms);
    spent += softirq_nanoseconds();
    if (arrived - before != count)
        throw std::runtime_error(fmt::format("{} packets were sent and {} arrived: the round is not valid",
                                             count, arrived - before));
    return spent / count;
}

std::uint32_t Topology::sender(Direction direction) const {
    return impl_->from(direction).far_index;
}

std::string Topology::arrived_from(Direction direction) const {
    return text_of(impl_->to(direction).wire->bss->source);
}

std::string Topology::arrived_for(Direction direction) const {
    return text_of(impl_->to(direction).wire->bss->destination);
}

void Topology::attach_to_gateway(const std::string& program) {
    within(Place::gateway, [&] {
        for (Side* side : {&impl_->inside, &impl_->outside})
            side->attach(bpf_object__find_program_by_name(side->wire->obj, program.c_str()),
                         side->near_index);
    });
}

}  // namespace sallyport::bench

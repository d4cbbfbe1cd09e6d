// SPDX-License-Identifier: Apache-2.0
#include "bench/gateways.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <time.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>

#include "config/load.h"
#include "core/clock.h"
#include "core/unique_fd.h"
#include "dataplane/bpf_dataplane.h"
#include "netlink/mnl_netlink.h"
#include "reconcile/reconciler.h"

extern "C" {
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"
}

namespace sallyport::bench {
namespace {

constexpr const char* pin_root = "/run";  // of our own mount namespace: see isolate_mounts()

void check(bool fine, const std::string& doing) {
    if (!fine) throw std::runtime_error(doing + ": " + std::strerror(errno));
}

template <typename T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return *std::move(result);
}

std::string configuration(std::uint32_t flow_capacity) {
    return fmt::format(R"(
api_version: sallyport/v1
gateway:
  name: bench
  devices:
    - {{ device: lan0, role: inside, vpc: main }}
    - {{ device: wan0, role: outside }}
  xdp: native
  flow_capacity: {}
vpcs:         [ {{ name: main, cidrs: [10.0.0.0/16] }} ]
subnets:      [ {{ name: app, vpc: main, cidr: 10.0.1.0/24, route_table: private }} ]
elastic_ips:  [ {{ name: eip-1, address: {} }} ]
nat_gateways: [ {{ name: egress, vpc: main, elastic_ips: [eip-1] }} ]
route_tables: [ {{ name: private, vpc: main, routes: [ {{ destination: 0.0.0.0/0, nat_gateway: egress }} ] }} ]
)",
                       flow_capacity, elastic_ip_address);
}

std::uint64_t memory_of(int map) {
    std::ifstream info(fmt::format("/proc/self/fdinfo/{}", map));
    std::string word;
    std::uint64_t bytes = 0;
    while (info >> word)
        if (word == "memlock:") info >> bytes;
    return bytes;
}

double thread_milliseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace

void isolate_mounts() {
    check(unshare(CLONE_NEWNS) == 0, "make a mount namespace");
    check(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "keep mounts to this process");
    check(mount("bpf", pin_root, "bpf", 0, nullptr) == 0, "mount a BPF file system");
}

// Ports stay as they are where the external address is all that is changed.
std::vector<tuple> Gateway::reverse_of(const std::vector<tuple>& forward) {
    std::vector<tuple> reverse;
    reverse.reserve(forward.size());
    for (const tuple& ports : forward) reverse.push_back({ports.destination_port, ports.source_port});
    return reverse;
}

NftablesGateway::NftablesGateway() {
    // A veth takes redirected frames if it has a program or merges segments. The program is the cheaper one.
    network_.attach_to_gateway("pass");
    network_.within(Place::gateway, [] {
        shell("ethtool -K lan0 gro off >/dev/null && ethtool -K wan0 gro off >/dev/null");
        shell(
            "nft 'table ip nat { chain out { type nat hook postrouting priority srcnat; oifname wan0 "
            "masquerade; }; }'");
        // A network card checks the transport's checksum and the kernel need not; a veth leaves it to the
        // kernel.
        shell("sysctl -qw net.netfilter.nf_conntrack_checksum=0");
    });
}

std::uint64_t NftablesGateway::flows() {
    std::uint64_t count = 0;
    network_.within(Place::gateway, [&] {
        // /proc/sys/net shows the namespace of the thread that looks.
        std::ifstream("/proc/sys/net/netfilter/nf_conntrack_count") >> count;
    });
    return count;
}

struct SallyportGateway::Impl {
    SystemClock clock;
    std::string pin_dir;
    std::unique_ptr<netlink::Netlink> netlink;
    std::unique_ptr<dataplane::Dataplane> dataplane;
    std::unique_ptr<reconcile::Reconciler> reconciler;

    [[nodiscard]] std::string map_path(const std::string& name) const {
        return fmt::format("{}/v{}/maps/{}", pin_dir, SALLYPORT_LAYOUT_VERSION, name);
    }
    [[nodiscard]] UniqueFd map(const std::string& name) const {
        UniqueFd fd(bpf_obj_get(map_path(name).c_str()));
        check(fd.get() >= 0, "open map " + name);
        return fd;
    }
    void change_settings(const std::function<void(settings&)>& change) const {
        const UniqueFd fd = map("settings");
        const std::uint32_t key = 0;
        settings value{};
        check(bpf_map_lookup_elem(fd.get(), &key, &value) == 0, "read the settings");
        change(value);
        check(bpf_map_update_elem(fd.get(), &key, &value, BPF_ANY) == 0, "write the settings");
    }
};

SallyportGateway::SallyportGateway(std::uint32_t flow_capacity) : impl_(std::make_unique<Impl>()) {
    static int made = 0;
    impl_->pin_dir = fmt::format("{}/gateway{}", pin_root, made++);
    auto loaded = config::load_text(configuration(flow_capacity), "bench.yaml");
    if (!loaded) throw std::runtime_error(loaded.error().front().message);
    network_.within(Place::gateway, [&] {
        impl_->netlink = must(netlink::MnlNetlink::open());
        impl_->dataplane = must(dataplane::BpfDataplane::open({impl_->pin_dir, flow_capacity, "bench"}));
        impl_->reconciler =
            std::make_unique<reconcile::Reconciler>(*impl_->dataplane, *impl_->netlink, impl_->clock);
        must(impl_->reconciler->apply(std::make_shared<const model::DesiredState>(std::move(loaded->state))));
        if (!impl_->reconciler->ready())
            throw std::runtime_error("not ready: " + impl_->reconciler->last_error());
    });
}

SallyportGateway::~SallyportGateway() {
    network_.within(Place::gateway, [&] { (void)impl_->reconciler->detach(); });
}

std::uint64_t SallyportGateway::flows() {
    return must(impl_->dataplane->flow_table_status()).flows;
}

std::vector<tuple> SallyportGateway::reverse_of(const std::vector<tuple>& forward) {
    std::vector<tuple> reverse;
    reverse.reserve(forward.size());
    must(impl_->dataplane->visit_flows([&](const dataplane::FlowRecord& flow) {
        reverse.push_back({htons(flow.remote.port), htons(flow.external.port)});
        return true;
    }));
    return reverse;
}

void SallyportGateway::attend() {
    network_.within(Place::gateway, [&] { must(impl_->reconciler->tick()); });
    // All flows are one instance's, and nobody answers while they are opened: a gateway would refuse half of
    // them.
    impl_->change_settings([](settings& value) { value.unanswered_capacity = 0; });
}

SallyportGateway::Sweep SallyportGateway::sweep() {
    Sweep sweep;
    const double before = thread_milliseconds();
    sweep.removed = must(impl_->dataplane->sweep(0)).removed;
    sweep.milliseconds = thread_milliseconds() - before;
    return sweep;
}

void SallyportGateway::age() {
    impl_->change_settings([](settings& value) {
        value.clock_offset_ns += std::uint64_t{FLOW_TIMEOUT_MAX_SECONDS} * 1'000'000'000;
    });
}

std::uint64_t SallyportGateway::flow_memory() const {
    std::uint64_t bytes = 0;
    for (const char* name : {"flow_buckets", "flow_locks", "hosts", "port_sets"})
        bytes += memory_of(impl_->map(name).get());
    return bytes;
}

std::uint64_t SallyportGateway::all_memory() const {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(impl_->map_path("")))
        bytes += memory_of(impl_->map(entry.path().filename()).get());
    return bytes;
}

std::uint64_t SallyportGateway::places() const {
    return must(impl_->dataplane->flow_table_status()).bytes / FLOW_BUCKET_BYTES * FLOW_BUCKET_ENTRIES / 2;
}

}  // namespace sallyport::bench

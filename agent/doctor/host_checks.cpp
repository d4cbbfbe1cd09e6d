// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <sstream>

#include "doctor/report.h"

namespace sallyport::doctor {
namespace {

constexpr const char* subject = "host";

struct Version {
    unsigned major = 0;
    unsigned minor = 0;
    auto operator<=>(const Version&) const = default;
};
constexpr Version oldest_kernel{6, 1};

std::optional<Version> parse_version(const std::string& release) {
    Version version;
    const char* const end = release.data() + release.size();
    const auto major = std::from_chars(release.data(), end, version.major);
    if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') {
        return std::nullopt;
    }
    const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
    return minor.ec == std::errc() ? std::optional(version) : std::nullopt;
}

void check_kernel(Host& host, Report& report) {
    const std::string release = host.kernel_release();
    const auto version = parse_version(release);
    if (version && *version >= oldest_kernel) {
        report.ok("kernel", subject, release, "the kernel is new enough");
    } else {
        report.error("kernel", subject, release,
                     "Sallyport needs kernel 6.1 or newer, and a restart of the host into it",
                     "apt-get install linux-image-amd64");
    }
}

void check_jit(Host& host, Report& report) {
    const Sysctl jit("net/core/bpf_jit_enable");
    const auto value = jit.read(host);
    if (!value && value.error().code == ENOENT) {
        report.ok("bpf_jit", subject, "not visible", "the first network namespace of the host decides");
    } else if (!value) {
        report.unread("bpf_jit", subject, value.error());
    } else if (*value == 0) {
        report.warn("bpf_jit", subject, "0", "XDP programs are interpreted: several times slower",
                    jit.command(1));
    } else if (*value == 2) {
        report.warn("bpf_jit", subject, "2", "the compiler of BPF writes each program to the kernel's log",
                    jit.command(1));
    } else {
        report.ok("bpf_jit", subject, std::to_string(*value), "XDP programs run as machine code");
    }
}

struct Capability {
    unsigned bit;
    const char* name;
};
// Numbers: linux/capability.h. CAP_SYS_ADMIN includes the two of BPF.
constexpr std::array<Capability, 4> needed_capabilities{
    {{39, "CAP_BPF"}, {38, "CAP_PERFMON"}, {12, "CAP_NET_ADMIN"}, {13, "CAP_NET_RAW"}}};
constexpr unsigned sys_admin_bit = 21;

void check_capabilities(Host& host, Report& report) {
    const auto status = host.read("/proc/self/status");
    if (!status) {
        report.unread("capabilities", subject, status.error());
        return;
    }
    constexpr std::string_view key = "CapEff:\t";
    std::uint64_t effective = 0;
    if (const auto at = status->find(key); at != std::string::npos) {
        std::from_chars(status->data() + at + key.size(), status->data() + status->size(), effective, 16);
    }
    const auto has = [&](unsigned bit) { return (effective >> bit & 1) != 0; };
    std::vector<std::string> missing;
    for (const auto& capability : needed_capabilities) {
        const bool of_bpf = capability.bit >= 38;
        if (!has(capability.bit) && !(of_bpf && has(sys_admin_bit))) {
            missing.emplace_back(capability.name);
        }
    }
    if (missing.empty()) {
        report.ok("capabilities", subject, "all", "the agent may do what it needs to");
    } else {
        report.error("capabilities", subject, fmt::format("{} missing", fmt::join(missing, ", ")),
                     "the agent cannot load programs or change the network; the service's unit gives it the "
                     "rights",
                     "systemctl restart sallyportd");
    }
}

void check_bpffs(const std::string& pin_dir, Host& host, Report& report) {
    const auto mounts = host.read("/proc/self/mounts");
    if (!mounts) {
        report.unread("bpffs", subject, mounts.error());
        return;
    }
    // The innermost mount that holds the directory decides.
    std::string best_point;
    std::string best_type;
    std::istringstream lines(*mounts);
    std::string line;
    while (std::getline(lines, line)) {
        std::istringstream fields(line);
        std::string source;
        std::string point;
        std::string type;
        fields >> source >> point >> type;
        const std::string below = point == "/" ? point : point + "/";
        if ((pin_dir + "/").starts_with(below) && point.size() >= best_point.size()) {
            best_point = point;
            best_type = type;
        }
    }
    if (best_type == "bpf") {
        report.ok("bpffs", subject, best_point, "programs and flows outlive the agent");
    } else {
        report.error(
            "bpffs", subject, "not mounted",
            fmt::format("{} is on no BPF file system: programs and flows would end with the agent", pin_dir),
            fmt::format("mount -t bpf bpf {}", pin_dir.starts_with("/sys/fs/bpf") ? "/sys/fs/bpf" : pin_dir));
    }
}

void check_ip_forward(Host& host, Report& report) {
    const Sysctl forward("net/ipv4/ip_forward");
    const auto value = forward.read(host);
    if (!value) {
        report.unread("ip_forward", subject, value.error());
    } else if (*value == 0) {
        report.error("ip_forward", subject, "0",
                     "IPv4 forwarding is off: packets whose next hop is not resolved yet are lost",
                     forward.command(1));
    } else {
        report.ok("ip_forward", subject, std::to_string(*value), "IPv4 forwarding is on");
    }
}

// Packets whose neighbour is not known yet are forwarded by the kernel, and meet the host's firewall.
void check_forward_chains(const Subjects& subjects, Host& host, Report& report) {
    const auto chains = host.dropping_forward_chains();
    if (!chains) {
        report.unread("forward_policy", subject, chains.error());
    } else if (chains->empty()) {
        report.ok("forward_policy", subject, "accept", "no nftables chain drops forwarded packets by policy");
    } else {
        std::vector<std::string> names;
        for (const auto& each : subjects.devices) {
            names.push_back(each.device.device);
        }
        const std::string devices = fmt::format("{{ {} }}", fmt::join(names, ", "));
        report.warn(
            "forward_policy", subject, fmt::format("drop in {}", fmt::join(*chains, ", ")),
            "forwarded packets that no rule accepts are dropped: those whose next hop is not resolved "
            "yet need a rule for the gateway's devices",
            fmt::format("nft 'insert rule {} iifname {} oifname {} accept'", chains->front(), devices,
                        devices));
    }
}

void check_conntrack(Host& host, Report& report) {
    const Sysctl most("net/netfilter/nf_conntrack_max");
    const auto limit = most.read(host);
    const auto count = Sysctl("net/netfilter/nf_conntrack_count").read(host);
    if (!limit || !count) {
        return;  // not there: nothing that could be full
    }
    const std::string found = fmt::format("{} of {}", *count, *limit);
    if (*limit > 0 && *count >= *limit / 10 * 8) {
        report.warn("conntrack", subject, found,
                    "the kernel's own connection table is nearly full; what the kernel forwards, and the "
                    "host's own traffic, would be dropped",
                    most.command(*limit * 2));
    } else {
        report.ok("conntrack", subject, found, "the kernel's own connection table has room");
    }
}

void check_neighbour_table(Host& host, Report& report) {
    const Sysctl most("net/ipv4/neigh/default/gc_thresh3");
    const auto limit = most.read(host);
    if (!limit && limit.error().code == ENOENT) {
        report.ok("neighbour_table", subject, "not visible",
                  "the first network namespace of the host decides");
        return;
    }
    const auto neighbours = host.neighbours();
    if (!limit || !neighbours) {
        report.unread("neighbour_table", subject, limit ? neighbours.error() : limit.error());
        return;
    }
    const auto count = static_cast<long>(neighbours->size());
    const std::string found = fmt::format("{} of {}", count, *limit);
    if (count >= *limit / 4 * 3) {
        report.warn("neighbour_table", subject, found,
                    "the kernel's neighbour table is nearly full: hosts that do not fit in cannot be reached",
                    most.command(std::max(*limit * 4, 8192L)));
    } else {
        report.ok("neighbour_table", subject, found, "the kernel's neighbour table has room");
    }
}

}  // namespace

void check_host(const Subjects& subjects, Host& host, Report& report) {
    check_kernel(host, report);
    check_jit(host, report);
    check_capabilities(host, report);
    check_bpffs(subjects.pin_dir, host, report);
    check_ip_forward(host, report);
    check_forward_chains(subjects, host, report);
    check_conntrack(host, report);
    check_neighbour_table(host, report);
}

}  // namespace sallyport::doctor

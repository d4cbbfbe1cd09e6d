// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "doctor/report.h"

namespace sallyport::doctor {
namespace {

using netlink::XdpAttachment;

// Drivers that run XDP themselves on kernel 6.1 and newer, by the name that ethtool -i prints.
constexpr std::array<std::string_view, 31> native_drivers{
    "atlantic", "bnxt_en",   "bonding",   "ena",         "fec",    "fsl_dpa", "fsl_dpaa2_eth", "fsl_enetc",
    "gve",      "hv_netvsc", "i40e",      "ice",         "igb",    "igc",     "ixgbe",         "ixgbevf",
    "mana",     "mlx4_en",   "mlx5_core", "mtk_soc_eth", "mvneta", "mvpp2",   "netdevsim",     "nfp",
    "nicvf",    "qede",      "sfc",       "st_gmac",     "tun",    "veth",    "virtio_net"};

// The largest MTU whose frame fits into one page together with what XDP needs beside it.
constexpr std::uint32_t most_mtu = 3498;

bool is_inside(const model::Device& device) {
    return device.role != model::DeviceRole::outside;
}

struct Context {
    const DeviceToCheck& subject;
    const model::Device& device;
    const std::string& name;
    const netlink::Link& link;
    const netlink::Link& receiver;  // frames come in by it: the device itself, or what a VLAN device is on
    const Subjects& subjects;
    Host& host;
    Report& report;
};

void check_up(const Context& of) {
    if (!of.link.up) {
        of.report.error("up", of.name, "down", "the device is not up: nothing passes through it",
                        fmt::format("ip link set dev {} up", of.name));
    } else if (!of.link.running) {
        of.report.error("up", of.name, "no carrier",
                        "no link: the cable, or the device at the far end, is off", "");
    } else {
        of.report.ok("up", of.name, "up", "the device is up and has a link");
    }
}

void check_driver(const Context& of, const std::string& driver) {
    const bool known = std::find(native_drivers.begin(), native_drivers.end(), std::string_view(driver)) !=
                       native_drivers.end();
    const std::string found = driver.empty() ? "not known" : driver;
    if (known) {
        of.report.ok("driver", of.name, found, "known to run XDP natively");
    } else if (of.link.xdp == XdpAttachment::native || of.subjects.xdp == model::XdpMode::generic) {
        of.report.ok("driver", of.name, found, "good for the XDP mode that is in use");
    } else {
        of.report.warn(
            "driver", of.name, found,
            "not known to run XDP natively; where it does not, generic mode is used, which is slower", "");
    }
}

void check_xdp_mode(const Context& of) {
    const std::string off = fmt::format("ip link set dev {} xdp off", of.name);
    switch (of.link.xdp) {
        case XdpAttachment::none:
            if (of.subject.attached.value_or(false)) {
                of.report.error("xdp_mode", of.name, "none",
                                "somebody took the program off the device: packets are not translated",
                                "sallyport reload");
            } else {
                of.report.warn("xdp_mode", of.name, "none",
                               "no program is attached: packets are not translated",
                               of.subjects.agent_runs ? "sallyport reload" : "systemctl start sallyport");
            }
            return;
        case XdpAttachment::multiple:
            of.report.error("xdp_mode", of.name, "several programs",
                            "another XDP program runs after Sallyport's and sees only what it passes",
                            fmt::format("ip link set dev {} xdpgeneric off", of.name));
            return;
        default:
            break;
    }
    if (!of.subject.attached.value_or(true)) {
        of.report.error("xdp_mode", of.name, fmt::format("program {}", of.link.xdp_program),
                        "an XDP program that is not Sallyport's is on the device, and two do not fit", off);
    } else if (of.link.xdp == XdpAttachment::generic && of.subjects.xdp != model::XdpMode::generic) {
        of.report.warn("xdp_mode", of.name, "generic",
                       "the driver did not take the program: each packet costs several times as much", "");
    } else {
        of.report.ok("xdp_mode", of.name, of.link.xdp == XdpAttachment::generic ? "generic" : "native",
                     "the program is attached");
    }
}

// `hardware` is that of the receiver: frames are merged there, and what a VLAN device shows changes nothing.
void check_offloads(const Context& of, const Hardware& hardware) {
    const bool is_vlan = of.link.kind == "vlan";
    if (is_vlan && &of.receiver == &of.link) {
        of.report.ok("vlan_offload", of.name, "not visible from here",
                     "what the VLAN is on is of another namespace, where LRO and GRO must be off");
        return;
    }
    const std::string receiver =
        is_vlan ? fmt::format("{}, which it is a VLAN of,", of.receiver.name) : "the device";
    const auto on = [&](const char* feature) { return hardware.features.count(feature) != 0; };
    const auto switch_off = [&](const char* feature, const char* option) {
        return hardware.fixed.count(feature) != 0
                   ? ""
                   : fmt::format("ethtool -K {} {} off", of.receiver.name, option);
    };
    const bool is_veth = of.receiver.kind == "veth";
    constexpr auto merges = " merges received packets: drivers refuse XDP, or what is forwarded is too large";
    if (on("rx-lro")) {
        of.report.error("lro", of.name, "on", receiver + merges, switch_off("rx-lro", "lro"));
    } else {
        of.report.ok("lro", of.name, "off", "received packets are not merged by the device");
    }
    // virtio turns its merging off while a native program is attached, and does not show it.
    const bool off_for_xdp = hardware.driver == "virtio_net" && of.link.xdp == XdpAttachment::native;
    if (on("rx-gro-hw") && !off_for_xdp) {
        of.report.error("gro_hw", of.name, "on", receiver + merges, switch_off("rx-gro-hw", "rx-gro-hw"));
    } else {
        of.report.ok("gro_hw", of.name, "off", "received packets are not merged by the device");
    }
    if (of.link.xdp == XdpAttachment::generic && on("rx-gro")) {
        of.report.error(
            "gro", of.name, "on",
            "in generic mode the program sees packets that the kernel merged: they are larger than "
            "the MTU and are lost",
            switch_off("rx-gro", "gro"));
    }
    if (is_vlan) {
        of.report.ok("vlan_offload", of.name, "VLAN of " + of.receiver.name,
                     "the program sees frames without the tag, whoever takes it off");
    } else if (!is_veth) {
        if (on("rx-vlan-hw-parse")) {
            of.report.warn(
                "vlan_offload", of.name, "on",
                "the device takes VLAN tags off before the program sees them: tagged packets would "
                "be taken for untagged ones",
                switch_off("rx-vlan-hw-parse", "rxvlan"));
        } else {
            of.report.ok("vlan_offload", of.name, "off", "VLAN tags stay in the frames");
        }
    }
    if (!is_veth) return;
    // A veth carries the tag beside the frame as its far end left it; the switch here changes nothing.
    of.report.ok(
        "veth_peer", of.name, "not visible from here",
        is_vlan ? fmt::format(
                      "the far end of {0} must compute its checksums itself; in its namespace, for the far "
                      "end PEER: ethtool -K PEER tx off",
                      of.receiver.name)
                : fmt::format(
                      "the far end of {0} must compute its checksums itself and have GRO or an XDP program "
                      "on; in its namespace, for the far end PEER: ethtool -K PEER tx off txvlan off gro "
                      "on",
                      of.name));
}

void check_mtu(const Context& of) {
    const std::string found = std::to_string(of.link.mtu);
    if (of.link.mtu <= most_mtu || of.link.xdp == XdpAttachment::native) {
        of.report.ok("mtu", of.name, found, "frames fit into what XDP can take");
    } else {
        of.report.warn("mtu", of.name, found,
                       fmt::format("most drivers take XDP programs only up to an MTU of {}", most_mtu),
                       fmt::format("ip link set dev {} mtu {}", of.name, most_mtu));
    }
}

// "0-7" or "0-3,8-11": the number behind the last separator is the highest CPU.
std::optional<std::uint32_t> possible_cpus(Host& host) {
    const auto text = host.read("/sys/devices/system/cpu/possible");
    if (!text) {
        return std::nullopt;
    }
    const auto separator = text->find_last_of("-,");
    const char* first = text->data() + (separator == std::string::npos ? 0 : separator + 1);
    std::uint32_t highest = 0;
    if (std::from_chars(first, text->data() + text->size(), highest).ec != std::errc()) {
        return std::nullopt;
    }
    return highest + 1;
}

// Two drivers of the clouds need send queues of their own for XDP: ENA refuses it when more than half of its
// channels are in use, virtio shares queues under a lock when there is not one for each CPU.
void check_channels(const Context& of, const Hardware& hardware) {
    if (!hardware.channels || (hardware.driver != "ena" && hardware.driver != "virtio_net")) {
        return;
    }
    const auto& channels = *hardware.channels;
    const std::string found = fmt::format("{} of {}", channels.combined, channels.most_combined);
    if (hardware.driver == "ena") {
        if (channels.combined > channels.most_combined / 2) {
            of.report.error(
                "channels", of.name, found, "ENA runs XDP only on half of its channels",
                fmt::format("ethtool -L {} combined {}", of.name, std::max(channels.most_combined / 2, 1U)));
        } else {
            of.report.ok("channels", of.name, found, "queues are left for XDP to send through");
        }
        return;
    }
    const auto cpus = possible_cpus(of.host);
    if (!cpus) {
        return;
    }
    if (channels.combined + *cpus <= channels.most_combined) {
        of.report.ok("channels", of.name, found, "each CPU has a queue of its own for XDP to send through");
    } else if (channels.most_combined > *cpus) {
        of.report.warn(
            "channels", of.name, found,
            fmt::format("XDP needs a send queue for each of {} CPUs, else they share under a lock", *cpus),
            fmt::format("ethtool -L {} combined {}", of.name, channels.most_combined - *cpus));
    } else {
        of.report.warn(
            "channels", of.name, found,
            fmt::format("XDP needs a send queue for each of {} CPUs, else they share under a lock; give "
                        "the machine more queues at its host",
                        *cpus),
            "");
    }
}

void check_forwarding(const Context& of) {
    const auto host_wide = Sysctl("net/ipv4/ip_forward").read(of.host);
    if (host_wide && *host_wide == 0) {
        return;  // told once, for the host
    }
    const auto own = Sysctl::of_device(of.name, "forwarding");
    const auto value = own.read(of.host);
    if (!value) {
        of.report.unread("forwarding", of.name, value.error());
    } else if (*value == 0) {
        of.report.error(
            "forwarding", of.name, "0",
            "IPv4 forwarding is off on this device: packets whose next hop is not resolved yet are "
            "lost",
            own.command(1));
    } else {
        of.report.ok("forwarding", of.name, std::to_string(*value), "IPv4 forwarding is on");
    }
}

// A packet that goes up the stack on an inside device is translated already: its source is an Elastic IP,
// which strict filtering does not expect from there.
void check_rp_filter(const Context& of) {
    if (!is_inside(of.device)) {
        return;
    }
    const auto own = Sysctl::of_device(of.name, "rp_filter");
    const auto value = own.read(of.host);
    const auto all = Sysctl::of_device("all", "rp_filter").read(of.host);
    if (!value || !all) {
        of.report.unread("rp_filter", of.name, value ? all.error() : value.error());
        return;
    }
    const long effective = std::max(*value, *all);  // the kernel's rule
    if (effective == 1) {
        of.report.error(
            "rp_filter", of.name, "1",
            "strict reverse path filtering drops translated packets whose next hop is not resolved "
            "yet",
            own.command(2));
    } else {
        of.report.ok("rp_filter", of.name, std::to_string(effective),
                     effective == 0 ? "no reverse path filtering" : "loose reverse path filtering");
    }
}

void check_send_redirects(const Context& of) {
    if (of.device.role != model::DeviceRole::both) {
        return;
    }
    const auto own = Sysctl::of_device(of.name, "send_redirects");
    const auto every = Sysctl::of_device("all", "send_redirects");
    const auto value = own.read(of.host);
    const auto all = every.read(of.host);
    if (!value || !all) {
        of.report.unread("send_redirects", of.name, value ? all.error() : value.error());
    } else if (*value != 0 || *all != 0) {  // the kernel's rule: either is enough
        of.report.warn("send_redirects", of.name, "1",
                       "one device is inside and outside: the kernel may tell hosts to go past the gateway",
                       every.command(0) + " " + own.setting(0));
    } else {
        of.report.ok("send_redirects", of.name, "0", "the kernel sends no ICMP redirects");
    }
}

// Below VLANs of VLANs there is one, too.
const netlink::Link& receiver_of(const netlink::Link& link, const std::vector<netlink::Link>& links) {
    const netlink::Link* receiver = &link;
    for (std::size_t levels = 0; receiver->trunk != 0 && levels < links.size(); ++levels) {
        const auto below = std::ranges::find(links, receiver->trunk, &netlink::Link::ifindex);
        if (below == links.end()) break;
        receiver = &*below;
    }
    return *receiver;
}

}  // namespace

void check_device(const DeviceToCheck& subject, const Subjects& subjects, Host& host, Report& report) {
    const std::string& name = subject.device.device;
    const auto links = host.links();
    if (!links) {
        report.unread("device", name, links.error());
        return;
    }
    const auto link =
        std::find_if(links->begin(), links->end(), [&](const auto& each) { return each.name == name; });
    if (link == links->end()) {
        report.error("device", name, "missing",
                     "the host has no device of this name; put one of those that it has into gateway.devices",
                     "ip -brief link");
        return;
    }
    report.ok("device", name, link->mac.to_string(), "the host has the device");
    const Context context{subject,  subject.device, name,  *link, receiver_of(*link, *links),
                          subjects, host,           report};
    check_up(context);
    const auto hardware = host.hardware(name);
    if (hardware) {
        check_driver(context, hardware->driver);
    } else {
        report.unread("driver", name, hardware.error());
    }
    check_xdp_mode(context);
    const auto receiver = context.receiver.name == name ? hardware : host.hardware(context.receiver.name);
    if (receiver) {
        check_offloads(context, *receiver);
    } else if (hardware) {
        report.unread("gro", name, receiver.error());
    }
    if (hardware) check_channels(context, *hardware);
    check_mtu(context);
    check_forwarding(context);
    check_rp_filter(context);
    check_send_redirects(context);
}

}  // namespace sallyport::doctor

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "doctor/report.h"

namespace sallyport::doctor {
namespace {

std::string device_name(std::uint32_t ifindex, Host& host) {
    const auto links = host.links();
    if (links) {
        for (const auto& link : *links) {
            if (link.ifindex == ifindex) {
                return link.name;
            }
        }
    }
    return fmt::format("device {}", ifindex);
}

// A packet whose source is an address of the host is a martian to the kernel, unless accept_local is on. So
// are translated packets that go up the stack because their next hop is not resolved yet.
void check_accept_local(const std::string& name, const Subjects& subjects, Host& host, Report& report) {
    for (const auto& subject : subjects.devices) {
        if (subject.device.role == model::DeviceRole::outside) {
            continue;
        }
        const auto& device = subject.device.device;
        const auto own = Sysctl::of_device(device, "accept_local");
        const auto value = own.read(host);
        const auto all = Sysctl::of_device("all", "accept_local").read(host);
        if (!value || !all) {
            continue;  // without the device nothing can be said; its own check tells that it is missing
        }
        if (*value == 0 && *all == 0) {
            report.warn(
                "accept_local", device, "0",
                fmt::format("{} is an address of the host too: packets translated to it are lost while "
                            "their next hop is not resolved",
                            name),
                own.command(1));
        } else {
            report.ok("accept_local", device, "1",
                      fmt::format("packets translated to {} are accepted", name));
        }
    }
}

void check_elastic_ip(const model::ElasticIp& elastic_ip,
                      const std::vector<netlink::InterfaceAddress>& addresses, const Subjects& subjects,
                      Host& host, Report& report) {
    const auto own = std::find_if(addresses.begin(), addresses.end(),
                                  [&](const auto& address) { return address.address == elastic_ip.address; });
    const std::string text = elastic_ip.address.to_string();
    if (own == addresses.end() && elastic_ip.shared_with_host) {
        const auto outside = std::ranges::find_if(subjects.devices, [](const auto& subject) {
            return subject.device.role != model::DeviceRole::inside;
        });
        report.warn("elastic_ip", elastic_ip.name, text,
                    "no address of the host, though it is said to be shared with it: until it is one, it is "
                    "like any other Elastic IP",
                    outside == subjects.devices.end()
                        ? std::string()
                        : fmt::format("ip address add {}/32 dev {}", text, outside->device.device));
        return;
    }
    if (own == addresses.end()) {
        report.ok("elastic_ip", elastic_ip.name, text,
                  "no address of the host: the gateway has it for itself");
        return;
    }
    const std::string device = device_name(own->ifindex, host);
    const std::string found = fmt::format("{} is on {}", text, device);
    if (!elastic_ip.shared_with_host) {
        report.error(
            "elastic_ip", elastic_ip.name, found,
            fmt::format("the host has this address too, and would lose what is sent to it: say "
                        "shared_with_host: true for \"{}\", or take the address from the host if nobody "
                        "reaches the host by it",
                        elastic_ip.name),
            fmt::format("ip address del {}/{} dev {}", text, own->prefix_length, device));
        return;
    }
    report.ok("elastic_ip", elastic_ip.name, found, "shared with the host, as configured");
    check_accept_local(elastic_ip.name, subjects, host, report);
}

}  // namespace

void check_elastic_ips(const Subjects& subjects, Host& host, Report& report) {
    if (subjects.elastic_ips.empty()) return;
    const auto addresses = host.addresses();
    for (const auto& elastic_ip : subjects.elastic_ips) {
        if (addresses) {
            check_elastic_ip(elastic_ip, *addresses, subjects, host, report);
        } else {
            report.unread("elastic_ip", elastic_ip.name, addresses.error());
        }
    }
}

}  // namespace sallyport::doctor

// SPDX-License-Identifier: Apache-2.0
//
// Which ports are the host's own: those that its sockets are bound to, and those that the kernel may give to
// them. Of TCP and UDP over IPv4, and of sockets of IPv6 that take IPv4 as well.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"
#include "core/result.h"

namespace sallyport::netlink {

struct BoundPort {
    Ipv4Address address;  // 0.0.0.0: any of the host's
    std::uint16_t port = 0;
    auto operator<=>(const BoundPort&) const = default;
};

struct HostPorts {
    PortRange ephemeral;              // net.ipv4.ip_local_port_range: the kernel takes them for connections
    std::vector<PortRange> reserved;  // net.ipv4.ip_local_reserved_ports: it leaves them to servers
    std::set<BoundPort> bound;        // of sockets, as far as they are none of the above
    bool operator==(const HostPorts&) const = default;

    // Whether the port is the host's on this address, or may become so.
    [[nodiscard]] bool hold(Ipv4Address address, std::uint16_t port) const;
    // Every such port, in order: ranges that neither overlap nor touch.
    [[nodiscard]] std::vector<PortRange> on(Ipv4Address address) const;
    // Takes out of `bound` what the ranges hold anyway: connections come and go there.
    void tidy();
};

// What /proc says of the calling thread's network namespace. The files are there in every kernel, while the
// modules behind NETLINK_SOCK_DIAG need not be. Neither of the two knows TCP sockets that are bound and do
// nothing else yet: they are seen once they listen or connect.
Result<HostPorts> read_host_ports(const std::string& proc = "/proc");

// The local ends of the sockets in a file such as /proc/net/tcp or /proc/net/udp6. What is bound to an
// address of IPv6 alone is left out.
Result<std::set<BoundPort>> parse_sockets(std::string_view text);

}  // namespace sallyport::netlink

// SPDX-License-Identifier: Apache-2.0
//
// Which ports are the host's own: those that its sockets are bound to, and those that the kernel may give to
// them. Of TCP and UDP over IPv4, and of sockets of IPv6 that take IPv4 as well; ports in host order.
#pragma once

#include <cstdint>
#include <optional>
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

// The local end of a socket.
struct HostSocket {
    BoundPort local;
    bool listens = false;  // for connections, with TCP
    auto operator<=>(const HostSocket&) const = default;
};

struct HostPorts {
    PortRange ephemeral;              // net.ipv4.ip_local_port_range: the kernel takes them for connections
    std::vector<PortRange> reserved;  // net.ipv4.ip_local_reserved_ports: it leaves them to servers
    std::set<BoundPort> bound;        // of sockets that stay, see add()
    bool operator==(const HostPorts&) const = default;

    // Notes a socket, once both ranges are known. Of those that have a port which the kernel gives out only
    // one that listens counts: the others come and go with every connection, and the port is the host's
    // anyway.
    void add(const HostSocket& socket);
    // Every port that is the host's on this address, or may become so: ranges that neither overlap nor touch,
    // in order.
    [[nodiscard]] std::vector<PortRange> on(Ipv4Address address) const;
    // The first of these ports that a socket on this address has.
    [[nodiscard]] std::optional<std::uint16_t> first_bound(Ipv4Address address, const PortRange& ports) const;
};

// What /proc says of the calling thread's network namespace. The files are there in every kernel, while the
// modules behind NETLINK_SOCK_DIAG need not be. Neither of the two knows TCP sockets that are bound and do
// nothing else yet: they are seen once they listen or connect.
Result<HostPorts> read_host_ports(const std::string& proc = "/proc");

// The sockets in a file such as /proc/net/tcp or /proc/net/udp6. What is bound to an address of IPv6 alone is
// left out.
Result<std::set<HostSocket>> parse_sockets(std::string_view text);

}  // namespace sallyport::netlink

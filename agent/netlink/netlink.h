// SPDX-License-Identifier: Apache-2.0
//
// What the agent needs of rtnetlink, and which ports the host uses. Implementations: MnlNetlink (libmnl; the
// only user of it) and MemoryNetlink (a fake). Both pass the contract tests in
// tests/unit/netlink/netlink_contract.h. All calls to one object are made from one thread, in the network
// namespace that the object was made in. Only IPv4. Errors carry the errno of the kernel in `code` and, where
// the kernel says one, its reason in words.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/address.h"
#include "core/result.h"
#include "netlink/host_ports.h"

namespace sallyport::netlink {

// Our number in the routes' protocol field (rtnetlink's rtm_protocol): all routes with it are ours.
inline constexpr std::uint8_t route_protocol = 157;

// How an XDP program sits on a device, whoever attached it.
enum class XdpAttachment { none, native, generic, offload, multiple };

struct Link {
    std::uint32_t ifindex = 0;
    std::string name;
    std::string kind;  // "veth", "vlan", … or empty for hardware
    MacAddress mac;
    std::uint32_t mtu = 0;
    bool up = false;       // administratively
    bool running = false;  // carrier and operationally up
    XdpAttachment xdp = XdpAttachment::none;
    std::uint32_t xdp_program = 0;  // the kernel's id of the program; 0: none, or several
    std::uint32_t master = 0;       // interface index of the bridge, bond or VRF that it is of; 0: none
    std::uint32_t trunk = 0;  // of a VLAN device: interface index of the one it is on; 0: not seen from here
    bool operator==(const Link&) const = default;
};

struct InterfaceAddress {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
    std::uint8_t prefix_length = 32;  // 32 for a point-to-point address: only the host itself is behind it
    bool operator==(const InterfaceAddress&) const = default;
    auto operator<=>(const InterfaceAddress&) const = default;
};

enum class NeighbourState { incomplete, reachable, stale, delay, probe, failed, permanent, noarp, none };

struct NeighbourEntry {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
    MacAddress mac;
    NeighbourState state = NeighbourState::none;
    [[nodiscard]] bool usable() const {  // the kernel's NUD_VALID
        return state == NeighbourState::reachable || state == NeighbourState::stale ||
               state == NeighbourState::delay || state == NeighbourState::probe ||
               state == NeighbourState::permanent || state == NeighbourState::noarp;
    }
    bool operator==(const NeighbourEntry&) const = default;
};

enum class RouteType { unicast, blackhole, unreachable };

// A route of our own protocol in the kernel's main table. Its key is destination and metric.
struct KernelRoute {
    Ipv4Prefix destination;
    RouteType type = RouteType::unicast;
    std::optional<Ipv4Address> gateway;
    std::uint32_t ifindex = 0;  // must be given for unicast, must be 0 for the others
    std::uint32_t metric = 0;
    auto operator<=>(const KernelRoute&) const = default;
};

struct LinkChanged {
    Link link;
};
struct LinkRemoved {
    std::uint32_t ifindex = 0;
};
struct AddressChanged {
    InterfaceAddress address;
};
struct AddressRemoved {
    InterfaceAddress address;
};
struct NeighbourChanged {
    NeighbourEntry neighbour;
};
struct NeighbourRemoved {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
};
struct RoutesChanged {};  // any IPv4 route of any protocol but our own
struct EventsLost {};     // the socket overran: read everything again
using Event = std::variant<LinkChanged, LinkRemoved, AddressChanged, AddressRemoved, NeighbourChanged,
                           NeighbourRemoved, RoutesChanged, EventsLost>;

class Netlink {
  public:
    virtual ~Netlink() = default;

    virtual Result<std::vector<Link>> links() = 0;
    virtual Result<std::vector<InterfaceAddress>> addresses() = 0;
    virtual Result<std::vector<NeighbourEntry>> neighbours() = 0;
    virtual Result<std::vector<KernelRoute>> own_routes() = 0;  // those with route_protocol

    // Nobody tells when they change: to be read again now and then.
    virtual Result<HostPorts> host_ports() = 0;

    // Replaces one of ours that is equal in key; an equal route is left alone. Refuses (EEXIST) to take the
    // place of a route that is not ours. The kernel removes a device's routes when the device goes down.
    virtual Result<void> add_route(const KernelRoute& route) = 0;
    virtual Result<void> remove_route(const KernelRoute& route) = 0;  // the equal one; absent is fine

    // Asks the kernel to confirm a neighbour (NTF_USE), so that its entry stays or becomes valid. Told is
    // only what comes of it: NeighbourChanged once the neighbour answered, or `failed` some seconds later.
    virtual Result<void> probe_neighbour(std::uint32_t ifindex, Ipv4Address address) = 0;

    // Gratuitous ARP (a broadcast request for the own address, RFC 5227 section 3) out of a device.
    virtual Result<void> announce_address(std::uint32_t ifindex, const MacAddress& mac,
                                          Ipv4Address address) = 0;

    [[nodiscard]] virtual int events_fd() const = 0;  // readable when events wait
    // Hands on what waits, in order, and returns at once. One change may be told more than once, and
    // RoutesChanged at most once in a call. After a bounded number the rest is left for the next call.
    virtual Result<void> poll_events(const std::function<void(const Event&)>& handle) = 0;
};

}  // namespace sallyport::netlink

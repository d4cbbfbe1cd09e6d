// SPDX-License-Identifier: Apache-2.0
//
// What the agent needs of rtnetlink. Implementations: MnlNetlink (libmnl; the only user of it) and
// MemoryNetlink (a fake). Both pass the contract tests in tests/unit/netlink_contract.h. All calls are
// made from one thread. Only IPv4.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/address.h"
#include "core/result.h"

namespace sallyport::netlink {

// Our number in the routes' protocol field (rtnetlink's rtm_protocol): all routes with it are ours.
inline constexpr std::uint8_t route_protocol = 157;

struct Link {
    std::uint32_t ifindex = 0;
    std::string name;
    std::string kind;  // "veth", "vlan", … or empty for hardware
    MacAddress mac;
    std::uint32_t mtu = 0;
    bool up = false;      // administratively
    bool running = false; // carrier
    bool operator==(const Link&) const = default;
};

struct InterfaceAddress {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
    std::uint8_t prefix_length = 32;
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

// A route of our own protocol in the kernel's main table.
struct KernelRoute {
    Ipv4Prefix destination;
    RouteType type = RouteType::unicast;
    std::optional<Ipv4Address> gateway;
    std::uint32_t ifindex = 0;  // 0: none (blackhole)
    std::uint32_t metric = 0;
    auto operator<=>(const KernelRoute&) const = default;
};

struct LinkChanged { Link link; };
struct LinkRemoved { std::uint32_t ifindex = 0; };
struct AddressChanged { InterfaceAddress address; };
struct AddressRemoved { InterfaceAddress address; };
struct NeighbourChanged { NeighbourEntry neighbour; };
struct NeighbourRemoved { std::uint32_t ifindex = 0; Ipv4Address address; };
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

    virtual Result<void> add_route(const KernelRoute& route) = 0;     // replaces one that is equal in key
    virtual Result<void> remove_route(const KernelRoute& route) = 0;  // absent is fine

    // Asks the kernel to confirm a neighbour now (NTF_USE), so that its entry stays or becomes valid.
    virtual Result<void> probe_neighbour(std::uint32_t ifindex, Ipv4Address address) = 0;

    // Gratuitous ARP (a broadcast request for the own address, RFC 5227 section 3) out of a device.
    virtual Result<void> announce_address(std::uint32_t ifindex, const MacAddress& mac, Ipv4Address address) = 0;

    [[nodiscard]] virtual int events_fd() const = 0;  // readable when events wait
    virtual Result<void> poll_events(const std::function<void(const Event&)>& handle) = 0;
};

}  // namespace sallyport::netlink

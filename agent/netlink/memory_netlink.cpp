// SPDX-License-Identifier: Apache-2.0
#include "netlink/memory_netlink.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <stdexcept>

#include "netlink/route_rules.h"

namespace sallyport::netlink {

MemoryNetlink::MemoryNetlink() : events_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!events_fd_) {
        throw std::runtime_error("eventfd failed");
    }
}

void MemoryNetlink::put_link(const Link& link) {
    const auto same = std::find_if(links_.begin(), links_.end(),
                                   [&](const Link& other) { return other.ifindex == link.ifindex; });
    if (same == links_.end()) {
        links_.push_back(link);
    } else {
        *same = link;
    }
    if (!link.up) {
        forget_routes_of(link.ifindex);
    }
    tell(LinkChanged{link});
}

void MemoryNetlink::remove_link(std::uint32_t ifindex) {
    if (find_link(ifindex) == nullptr) {
        return;
    }
    const auto neighbours = neighbours_;
    for (const auto& neighbour : neighbours) {
        if (neighbour.ifindex == ifindex) {
            remove_neighbour(ifindex, neighbour.address);
        }
    }
    const auto addresses = addresses_;
    for (const auto& address : addresses) {
        if (address.ifindex == ifindex) {
            remove_address(address);
        }
    }
    forget_routes_of(ifindex);
    std::erase_if(links_, [&](const Link& link) { return link.ifindex == ifindex; });
    tell(LinkRemoved{ifindex});
}

void MemoryNetlink::put_address(const InterfaceAddress& address) {
    if (std::find(addresses_.begin(), addresses_.end(), address) == addresses_.end()) {
        addresses_.push_back(address);
    }
    tell(AddressChanged{address});
    tell(RoutesChanged{});  // the kernel makes the routes of an address itself
}

void MemoryNetlink::remove_address(const InterfaceAddress& address) {
    if (std::erase(addresses_, address) != 0) {
        tell(AddressRemoved{address});
        tell(RoutesChanged{});
    }
}

void MemoryNetlink::put_neighbour(const NeighbourEntry& neighbour) {
    std::erase_if(neighbours_, [&](const NeighbourEntry& other) {
        return other.ifindex == neighbour.ifindex && other.address == neighbour.address;
    });
    neighbours_.push_back(neighbour);
    tell(NeighbourChanged{neighbour});
}

void MemoryNetlink::remove_neighbour(std::uint32_t ifindex, Ipv4Address address) {
    const auto removed = std::erase_if(neighbours_, [&](const NeighbourEntry& other) {
        return other.ifindex == ifindex && other.address == address;
    });
    if (removed != 0) {
        tell(NeighbourRemoved{ifindex, address});
    }
}

void MemoryNetlink::put_foreign_route(const Ipv4Prefix& destination, std::uint32_t metric) {
    foreign_routes_.emplace_back(destination, metric);
    tell(RoutesChanged{});
}

void MemoryNetlink::lose_events() {
    forget_events();
    tell(EventsLost{});
}

void MemoryNetlink::fail_with(std::optional<Error> error) {
    failure_ = std::move(error);
}

Result<std::vector<Link>> MemoryNetlink::links() {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    return links_;
}

Result<std::vector<InterfaceAddress>> MemoryNetlink::addresses() {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    return addresses_;
}

Result<std::vector<NeighbourEntry>> MemoryNetlink::neighbours() {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    return neighbours_;
}

Result<HostPorts> MemoryNetlink::host_ports() {
    if (failure_) return tl::make_unexpected(*failure_);
    HostPorts ports{{32768, 60999}, {}, {}};  // as a kernel begins
    for (const HostSocket& socket : sockets_) ports.add(socket);
    return ports;
}

Result<std::vector<KernelRoute>> MemoryNetlink::own_routes() {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    return routes_;
}

Result<void> MemoryNetlink::add_route(const KernelRoute& route) {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    if (auto valid = check_route(route); !valid) {
        return valid;
    }
    if (route.type == RouteType::unicast) {
        if (auto reachable = check_reachable(route.ifindex); !reachable) {
            return reachable;
        }
        const bool on_link = std::any_of(addresses_.begin(), addresses_.end(), [&](const auto& own) {
            return own.ifindex == route.ifindex && route.gateway &&
                   Ipv4Prefix(own.address, own.prefix_length).contains(*route.gateway);
        });
        if (route.gateway && !on_link) {
            return failure("route to " + route.destination.to_string() + ": gateway " +
                               route.gateway->to_string() + " is in no network of the device",
                           ENETUNREACH);
        }
    }
    if (std::find(foreign_routes_.begin(), foreign_routes_.end(),
                  std::pair(route.destination, route.metric)) != foreign_routes_.end()) {
        return foreign_route(route);
    }
    const auto same_key = std::find_if(routes_.begin(), routes_.end(), [&](const KernelRoute& other) {
        return other.destination == route.destination && other.metric == route.metric;
    });
    if (same_key == routes_.end()) {
        routes_.push_back(route);
    } else if (*same_key == route) {
        return {};
    } else {
        *same_key = route;
    }
    ++route_writes_;
    return {};
}

Result<void> MemoryNetlink::remove_route(const KernelRoute& route) {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    route_writes_ += std::erase(routes_, route);
    return {};
}

Result<void> MemoryNetlink::probe_neighbour(std::uint32_t ifindex, Ipv4Address address) {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    if (auto reachable = check_reachable(ifindex); !reachable) {
        return reachable;
    }
    probes_.emplace_back(ifindex, address);
    const auto entry = std::find_if(neighbours_.begin(), neighbours_.end(), [&](const NeighbourEntry& each) {
        return each.ifindex == ifindex && each.address == address;
    });
    // Like the kernel, it tells nobody that it began to ask.
    if (entry == neighbours_.end()) {
        neighbours_.push_back({ifindex, address, {}, NeighbourState::incomplete});
    } else if (entry->state == NeighbourState::failed) {
        *entry = {ifindex, address, {}, NeighbourState::incomplete};
    }
    return {};
}

Result<void> MemoryNetlink::announce_address(std::uint32_t ifindex, const MacAddress& mac,
                                             Ipv4Address address) {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    if (auto reachable = check_reachable(ifindex); !reachable) {
        return reachable;
    }
    announcements_.push_back({ifindex, mac, address});
    return {};
}

Result<void> MemoryNetlink::poll_events(const std::function<void(const Event&)>& handle) {
    if (failure_) {
        return tl::make_unexpected(*failure_);
    }
    // Taken first: what the handler causes belongs to the next call.
    const auto waiting = std::exchange(events_, {});
    forget_events();
    bool routes_changed = false;
    for (const auto& event : waiting) {
        if (std::holds_alternative<RoutesChanged>(event)) {
            routes_changed = true;
        } else {
            handle(event);
        }
    }
    if (routes_changed) {
        handle(RoutesChanged{});
    }
    return {};
}

const Link* MemoryNetlink::find_link(std::uint32_t ifindex) const {
    const auto found =
        std::find_if(links_.begin(), links_.end(), [&](const Link& link) { return link.ifindex == ifindex; });
    return found == links_.end() ? nullptr : &*found;
}

void MemoryNetlink::forget_routes_of(std::uint32_t ifindex) {
    std::erase_if(routes_, [&](const KernelRoute& route) { return route.ifindex == ifindex; });
}

void MemoryNetlink::tell(Event event) {
    events_.push_back(std::move(event));
    eventfd_write(events_fd_.get(), 1);
}

void MemoryNetlink::forget_events() {
    events_.clear();
    eventfd_t count = 0;
    eventfd_read(events_fd_.get(), &count);
}

Result<void> MemoryNetlink::check_reachable(std::uint32_t ifindex) const {
    const Link* link = find_link(ifindex);
    if (link == nullptr) {
        return failure("there is no device " + std::to_string(ifindex), ENODEV);
    }
    if (!link->up) {
        return failure("device " + link->name + " is down", ENETDOWN);
    }
    return {};
}

}  // namespace sallyport::netlink

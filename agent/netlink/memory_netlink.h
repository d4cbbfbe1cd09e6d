// SPDX-License-Identifier: Apache-2.0
//
// A network in memory, for tests of the layers above: the same promises as the kernel, without one.
// The first group of members is what the kernel or an operator would do; the calls of the interface then
// see it, and the events wait in poll_events().
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "core/unique_fd.h"
#include "netlink/netlink.h"

namespace sallyport::netlink {

class MemoryNetlink final : public Netlink {
  public:
    MemoryNetlink();

    void put_link(const Link& link);  // makes it, or changes the one of this ifindex
    void remove_link(std::uint32_t ifindex);
    void put_address(const InterfaceAddress& address);
    void remove_address(const InterfaceAddress& address);
    void put_neighbour(const NeighbourEntry& neighbour);
    void remove_neighbour(std::uint32_t ifindex, Ipv4Address address);
    void put_foreign_route(const Ipv4Prefix& destination, std::uint32_t metric = 0);  // somebody else's
    void open_socket(const HostSocket& socket) { sockets_.insert(socket); }
    void close_socket(const HostSocket& socket) { sockets_.erase(socket); }
    void lose_events();                          // what waits is gone, and EventsLost is told instead
    void fail_with(std::optional<Error> error);  // every call fails so, until it is taken back (nullopt)

    struct Announcement {
        std::uint32_t ifindex = 0;
        MacAddress mac;
        Ipv4Address address;
        bool operator==(const Announcement&) const = default;
    };
    using Probe = std::pair<std::uint32_t, Ipv4Address>;

    [[nodiscard]] const std::vector<Probe>& probes() const { return probes_; }
    [[nodiscard]] const std::vector<Announcement>& announcements() const { return announcements_; }
    [[nodiscard]] std::size_t route_writes() const { return route_writes_; }  // real changes of routes

    Result<std::vector<Link>> links() override;
    Result<std::vector<InterfaceAddress>> addresses() override;
    Result<std::vector<NeighbourEntry>> neighbours() override;
    Result<std::vector<KernelRoute>> own_routes() override;
    Result<HostPorts> host_ports() override;
    Result<void> add_route(const KernelRoute& route) override;
    Result<void> remove_route(const KernelRoute& route) override;
    Result<void> probe_neighbour(std::uint32_t ifindex, Ipv4Address address) override;
    Result<void> announce_address(std::uint32_t ifindex, const MacAddress& mac, Ipv4Address address) override;
    [[nodiscard]] int events_fd() const override { return events_fd_.get(); }
    Result<void> poll_events(const std::function<void(const Event&)>& handle) override;

  private:
    const Link* find_link(std::uint32_t ifindex) const;
    void forget_routes_of(std::uint32_t ifindex);
    void tell(Event event);
    void forget_events();
    Result<void> check_reachable(std::uint32_t ifindex) const;

    std::vector<Link> links_;
    std::vector<InterfaceAddress> addresses_;
    std::vector<NeighbourEntry> neighbours_;
    std::vector<KernelRoute> routes_;
    std::vector<std::pair<Ipv4Prefix, std::uint32_t>> foreign_routes_;  // destination, metric
    std::set<HostSocket> sockets_;
    std::deque<Event> events_;
    std::optional<Error> failure_;
    std::vector<Probe> probes_;
    std::vector<Announcement> announcements_;
    std::size_t route_writes_ = 0;
    UniqueFd events_fd_;
};

}  // namespace sallyport::netlink

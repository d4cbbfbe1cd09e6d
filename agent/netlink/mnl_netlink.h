// SPDX-License-Identifier: Apache-2.0
//
// Netlink on the kernel, through libmnl. Reading needs no privilege; changing routes and probing need
// CAP_NET_ADMIN, announcing needs CAP_NET_RAW.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "netlink/netlink.h"

struct mnl_socket;
struct nlmsghdr;

namespace sallyport::netlink {

class MnlNetlink final : public Netlink {
  public:
    // Subscribes before it returns: what is read afterwards can be kept current from the events alone. Who
    // follows nothing has only questions, and no events come.
    enum class Following { events, nothing };
    static Result<std::unique_ptr<MnlNetlink>> open(Following following = Following::events);

    Result<std::vector<Link>> links() override;
    Result<std::vector<InterfaceAddress>> addresses() override;
    Result<std::vector<NeighbourEntry>> neighbours() override;
    Result<std::vector<KernelRoute>> own_routes() override;
    Result<HostPorts> host_ports() override { return read_host_ports(); }
    Result<void> add_route(const KernelRoute& route) override;
    Result<void> remove_route(const KernelRoute& route) override;
    Result<void> probe_neighbour(std::uint32_t ifindex, Ipv4Address address) override;
    Result<void> announce_address(std::uint32_t ifindex, const MacAddress& mac, Ipv4Address address) override;
    [[nodiscard]] int events_fd() const override;
    Result<void> poll_events(const std::function<void(const Event&)>& handle) override;

  private:
    struct CloseSocket {
        void operator()(mnl_socket* socket) const;
    };
    using Socket = std::unique_ptr<mnl_socket, CloseSocket>;

    MnlNetlink(Socket requests, Socket events);
    static Result<Socket> open_socket(int flags, unsigned groups);

    // Sends a request and hands each message of the answer to `handle`, until the kernel ends it.
    Result<void> exchange(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& handle,
                          bool& interrupted);
    Result<void> change(nlmsghdr& request);
    Result<NeighbourState> neighbour(std::uint32_t ifindex, Ipv4Address address);  // `none` where absent
    template <typename Item>
    Result<std::vector<Item>> dump(std::string_view what, nlmsghdr& request,
                                   std::optional<Item> (*parse)(const nlmsghdr&));

    Socket requests_;
    Socket events_;
    std::vector<char> buffer_;
    std::uint32_t sequence_ = 0;
};

}  // namespace sallyport::netlink

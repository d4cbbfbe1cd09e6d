// SPDX-License-Identifier: Apache-2.0
#include "netlink/mnl_netlink.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/unique_fd.h"
#include "netlink/message.h"
#include "netlink/route_rules.h"

namespace sallyport::netlink {
namespace {

// The kernel makes dump datagrams of at most 32 KiB; one message alone may be larger.
constexpr std::size_t buffer_size = std::size_t{128} << 10;

// Room for some ten thousand changes while the agent is busy. What overruns it all the same is told as
// EventsLost.
constexpr int event_buffer_size = 4 << 20;

// One call of poll_events reads no more datagrams than this, so that a storm cannot hold up its caller.
constexpr int most_datagrams = 1024;

// A dump that ran while its list changed is marked by the kernel and may lack entries. It is asked for
// again; a list that never stands still for the length of a dump is an error.
constexpr int most_dump_attempts = 10;

constexpr unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_NEIGH;

// A request and its header, in memory of the right alignment. The largest has a handful of attributes.
class Request {
  public:
    Request(std::uint16_t type, std::uint16_t flags) : header_(mnl_nlmsg_put_header(memory_.data())) {
        header_->nlmsg_type = type;
        header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    template <typename Header>
    Header& fixed() {
        return *static_cast<Header*>(mnl_nlmsg_put_extra_header(header_, sizeof(Header)));
    }
    void put(std::uint16_t type, std::uint32_t value) { mnl_attr_put_u32(header_, type, value); }
    nlmsghdr& header() { return *header_; }

  private:
    alignas(nlmsghdr) std::array<char, 256> memory_{};
    nlmsghdr* header_;
};

std::string describe(const KernelRoute& route) {
    std::string text = "route to " + route.destination.to_string();
    if (route.type == RouteType::blackhole) {
        text += " blackhole";
    } else if (route.type == RouteType::unreachable) {
        text += " unreachable";
    }
    if (route.gateway) {
        text += " via " + route.gateway->to_string();
    }
    return text;
}

std::uint8_t kernel_type(RouteType type) {
    switch (type) {
        case RouteType::unicast:
            return RTN_UNICAST;
        case RouteType::blackhole:
            return RTN_BLACKHOLE;
        case RouteType::unreachable:
            return RTN_UNREACHABLE;
    }
    return RTN_UNSPEC;
}

void put_route(Request& request, const KernelRoute& route) {
    auto& header = request.fixed<rtmsg>();
    header.rtm_family = AF_INET;
    header.rtm_dst_len = route.destination.length();
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = route_protocol;
    header.rtm_scope = route.type == RouteType::unicast && !route.gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    header.rtm_type = kernel_type(route.type);
    request.put(RTA_DST, route.destination.address().to_network());
    if (route.gateway) {
        request.put(RTA_GATEWAY, route.gateway->to_network());
    }
    if (route.ifindex != 0) {
        request.put(RTA_OIF, route.ifindex);
    }
    if (route.metric != 0) {
        request.put(RTA_PRIORITY, route.metric);
    }
}

Result<void> to_result(const Answer& answer) {
    if (answer.code == 0) {
        return {};
    }
    std::string message = std::generic_category().message(answer.code);
    if (!answer.reason.empty()) {
        message += " (" + answer.reason + ")";
    }
    return failure(std::move(message), answer.code);
}

}  // namespace

void MnlNetlink::CloseSocket::operator()(mnl_socket* socket) const {
    mnl_socket_close(socket);
}

MnlNetlink::MnlNetlink(Socket requests, Socket events)
    : requests_(std::move(requests)), events_(std::move(events)), buffer_(buffer_size) {
}

Result<MnlNetlink::Socket> MnlNetlink::open_socket(int flags, unsigned socket_groups) {
    Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags));
    if (!socket) {
        return system_failure("open a netlink socket");
    }
    if (mnl_socket_bind(socket.get(), socket_groups, MNL_SOCKET_AUTOPID) < 0) {
        return system_failure("bind a netlink socket");
    }
    return socket;
}

Result<std::unique_ptr<MnlNetlink>> MnlNetlink::open(Following following) {
    auto events = open_socket(SOCK_NONBLOCK, following == Following::events ? groups : 0);
    if (!events) {
        return tl::make_unexpected(events.error());
    }
    const int events_fd = mnl_socket_get_fd(events->get());
    // The first ignores the host's limit, but needs CAP_NET_ADMIN; without it as much as is allowed.
    if (setsockopt(events_fd, SOL_SOCKET, SO_RCVBUFFORCE, &event_buffer_size, sizeof(event_buffer_size)) <
        0) {
        setsockopt(events_fd, SOL_SOCKET, SO_RCVBUF, &event_buffer_size, sizeof(event_buffer_size));
    }

    auto requests = open_socket(0, 0);
    if (!requests) {
        return tl::make_unexpected(requests.error());
    }
    // Errors in words, without our own request quoted back; filters of a dump applied by the kernel.
    for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
        int on = 1;
        if (mnl_socket_setsockopt(requests->get(), option, &on, sizeof(on)) < 0) {
            return system_failure("set up a netlink socket");
        }
    }
    // The kernel answers at once. The limit is there so that a mistake shows as an error and not as silence.
    const timeval patience{5, 0};
    setsockopt(mnl_socket_get_fd(requests->get()), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));

    return std::unique_ptr<MnlNetlink>(new MnlNetlink(std::move(*requests), std::move(*events)));
}

Result<void> MnlNetlink::exchange(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& handle,
                                  bool& interrupted) {
    request.nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(requests_.get(), &request, request.nlmsg_len) < 0) {
        return system_failure("send");
    }
    // Read to the end even when something is wrong: the rest of an unread dump would refuse the next one.
    for (;;) {
        const ssize_t received = mnl_socket_recvfrom(requests_.get(), buffer_.data(), buffer_.size());
        if (received < 0) {
            if (errno == EINTR) {
                continue;
            }
            return system_failure("receive");
        }
        auto rest = static_cast<int>(received);
        for (const auto* message = static_cast<const nlmsghdr*>(static_cast<const void*>(buffer_.data()));
             mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
            if (message->nlmsg_seq != sequence_) {
                continue;  // left over from a request that was given up
            }
            interrupted = interrupted || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (const auto answer = parse_answer(*message)) {
                return to_result(*answer);
            }
            handle(*message);
        }
    }
}

Result<void> MnlNetlink::change(nlmsghdr& request) {
    bool interrupted = false;
    return exchange(
        request, [](const nlmsghdr&) {}, interrupted);
}

template <typename Item>
Result<std::vector<Item>> MnlNetlink::dump(std::string_view what, nlmsghdr& request,
                                           std::optional<Item> (*parse)(const nlmsghdr&)) {
    for (int attempt = 0; attempt < most_dump_attempts; ++attempt) {
        std::vector<Item> items;
        bool interrupted = false;
        const auto done = exchange(
            request,
            [&](const nlmsghdr& message) {
                if (auto item = parse(message)) {
                    items.push_back(std::move(*item));
                }
            },
            interrupted);
        if (!done) {
            return failure_within("read the " + std::string(what), done.error());
        }
        if (!interrupted) {
            return items;
        }
    }
    return failure("read the " + std::string(what) + ": they change faster than they can be read", EINTR);
}

Result<std::vector<Link>> MnlNetlink::links() {
    Request request(RTM_GETLINK, NLM_F_DUMP);
    request.fixed<ifinfomsg>().ifi_family = AF_UNSPEC;
    request.put(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    return dump("devices", request.header(), parse_link);
}

Result<std::vector<InterfaceAddress>> MnlNetlink::addresses() {
    Request request(RTM_GETADDR, NLM_F_DUMP);
    request.fixed<ifaddrmsg>().ifa_family = AF_INET;
    return dump("addresses", request.header(), parse_address);
}

Result<std::vector<NeighbourEntry>> MnlNetlink::neighbours() {
    Request request(RTM_GETNEIGH, NLM_F_DUMP);
    request.fixed<ndmsg>().ndm_family = AF_INET;
    return dump("neighbours", request.header(), parse_neighbour);
}

Result<std::vector<KernelRoute>> MnlNetlink::own_routes() {
    Request request(RTM_GETROUTE, NLM_F_DUMP);
    auto& header = request.fixed<rtmsg>();
    header.rtm_family = AF_INET;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = route_protocol;  // the kernel leaves out the rest, which may be a full BGP table
    return dump("routes", request.header(), parse_own_route);
}

Result<void> MnlNetlink::add_route(const KernelRoute& route) {
    if (auto valid = check_route(route); !valid) {
        return valid;
    }
    const auto send = [&](std::uint16_t flags) {
        Request request(RTM_NEWROUTE, static_cast<std::uint16_t>(NLM_F_ACK | NLM_F_CREATE | flags));
        put_route(request, route);
        return change(request.header());
    };
    auto added = send(NLM_F_EXCL);
    if (added || added.error().code != EEXIST) {
        return added ? added : failure_within("add " + describe(route), added.error());
    }
    // Replacing blindly would also take the place of an operator's route, so look whose it is.
    const auto own = own_routes();
    if (!own) {
        return failure_within("add " + describe(route), own.error());
    }
    const auto same_key = std::find_if(own->begin(), own->end(), [&](const KernelRoute& other) {
        return other.destination == route.destination && other.metric == route.metric;
    });
    if (same_key == own->end()) {
        return foreign_route(route);
    }
    if (*same_key == route) {
        return {};
    }
    if (auto replaced = send(NLM_F_REPLACE); !replaced) {
        return failure_within("replace " + describe(route), replaced.error());
    }
    return {};
}

Result<void> MnlNetlink::remove_route(const KernelRoute& route) {
    if (auto valid = check_route(route); !valid) {
        return valid;
    }
    Request request(RTM_DELROUTE, NLM_F_ACK);
    put_route(request, route);
    // The kernel compares type, gateway, device and, unless it is 0, the metric.
    const auto removed = change(request.header());
    // A route is also absent when the device that it needs is.
    if (!removed && removed.error().code != ESRCH && removed.error().code != ENODEV) {
        return failure_within("remove " + describe(route), removed.error());
    }
    return {};
}

Result<void> MnlNetlink::probe_neighbour(std::uint32_t ifindex, Ipv4Address address) {
    const std::string doing = "probe neighbour " + address.to_string();
    // An entry that an operator set is valid for ever, and NTF_USE would take that away from it.
    const auto known = neighbour(ifindex, address);
    if (!known) {
        return failure_within(doing, known.error());
    }
    if (*known == NeighbourState::permanent || *known == NeighbourState::noarp) {
        return {};
    }
    // Acts as if a packet had just been sent to the neighbour.
    Request request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE);
    auto& header = request.fixed<ndmsg>();
    header.ndm_family = AF_INET;
    header.ndm_ifindex = static_cast<int>(ifindex);
    header.ndm_state = NUD_NONE;
    header.ndm_flags = NTF_USE;
    request.put(NDA_DST, address.to_network());
    if (auto probed = change(request.header()); !probed) {
        return failure_within(doing, probed.error());
    }
    return {};
}

Result<NeighbourState> MnlNetlink::neighbour(std::uint32_t ifindex, Ipv4Address address) {
    Request request(RTM_GETNEIGH, NLM_F_ACK);
    auto& header = request.fixed<ndmsg>();
    header.ndm_family = AF_INET;
    header.ndm_ifindex = static_cast<int>(ifindex);
    request.put(NDA_DST, address.to_network());
    auto state = NeighbourState::none;
    bool interrupted = false;
    const auto done = exchange(
        request.header(),
        [&](const nlmsghdr& message) {
            if (const auto entry = parse_neighbour(message)) {
                state = entry->state;
            }
        },
        interrupted);
    if (!done && done.error().code != ENOENT) {
        return tl::make_unexpected(done.error());
    }
    return state;
}

Result<void> MnlNetlink::announce_address(std::uint32_t ifindex, const MacAddress& mac, Ipv4Address address) {
    struct __attribute__((packed)) Frame {
        ethhdr ethernet;
        arphdr arp;
        std::array<std::uint8_t, 6> sender_mac;
        std::uint32_t sender;
        std::array<std::uint8_t, 6> target_mac;  // not known and not asked: zero
        std::uint32_t target;
    };
    Frame frame{};
    std::memset(frame.ethernet.h_dest, 0xff, sizeof(frame.ethernet.h_dest));
    std::memcpy(frame.ethernet.h_source, mac.bytes().data(), mac.bytes().size());
    frame.ethernet.h_proto = htons(ETH_P_ARP);
    frame.arp = {htons(ARPHRD_ETHER), htons(ETH_P_IP), 6, 4, htons(ARPOP_REQUEST)};
    frame.sender_mac = mac.bytes();
    frame.sender = address.to_network();
    frame.target = address.to_network();

    const std::string doing = "announce " + address.to_string();
    // Protocol 0: the socket only sends and never receives.
    const UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket) {
        return system_failure(doing);
    }
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_ARP);
    to.sll_ifindex = static_cast<int>(ifindex);
    if (sendto(socket.get(), &frame, sizeof(frame), 0,
               static_cast<const sockaddr*>(static_cast<const void*>(&to)), sizeof(to)) < 0) {
        return system_failure(doing);
    }
    return {};
}

int MnlNetlink::events_fd() const {
    return mnl_socket_get_fd(events_.get());
}

Result<void> MnlNetlink::poll_events(const std::function<void(const Event&)>& handle) {
    bool routes_changed = false;
    std::vector<char> datagram(buffer_size);  // not the buffer of requests: the handler may make some
    for (int datagrams = 0; datagrams < most_datagrams; ++datagrams) {
        const ssize_t received = mnl_socket_recvfrom(events_.get(), datagram.data(), datagram.size());
        if (received < 0) {
            const int error = errno;
            if (error == EAGAIN || error == EWOULDBLOCK) {
                break;
            }
            if (error == EINTR) {
                continue;
            }
            // ENOBUFS: the kernel had to drop some. ENOSPC: one was longer than the buffer.
            if (error == ENOBUFS || error == ENOSPC) {
                handle(EventsLost{});
                continue;
            }
            return system_failure("receive network events", error);
        }
        auto rest = static_cast<int>(received);
        for (const auto* message = static_cast<const nlmsghdr*>(static_cast<const void*>(datagram.data()));
             mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
            const auto event = parse_event(*message);
            if (!event) {
                continue;
            }
            if (std::holds_alternative<RoutesChanged>(*event)) {
                routes_changed = true;
            } else {
                handle(*event);
            }
        }
    }
    if (routes_changed) {
        handle(RoutesChanged{});
    }
    return {};
}

}  // namespace sallyport::netlink

// SPDX-License-Identifier: Apache-2.0
//
// rtnetlink messages read into values, without I/O. Nothing is believed before its length was checked: a
// message or attribute that is too short is left out, attributes that are not known are skipped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "netlink/netlink.h"

struct nlmsghdr;

namespace sallyport::netlink {

// What the kernel says when it refuses or ends a request. `code` is an errno, 0 for success.
struct Answer {
    int code = 0;
    std::string reason;  // in the kernel's words, often empty
};

// All take a whole message whose nlmsg_len lies inside its buffer, and give nothing for one of another kind
// or of another address family.
std::optional<Link> parse_link(const nlmsghdr& message);
std::optional<InterfaceAddress> parse_address(const nlmsghdr& message);
std::optional<NeighbourEntry> parse_neighbour(const nlmsghdr& message);
std::optional<KernelRoute> parse_own_route(const nlmsghdr& message);  // route_protocol in the main table
std::optional<Event> parse_event(const nlmsghdr& message);            // a multicast message
std::optional<Answer> parse_answer(const nlmsghdr& message);          // NLMSG_ERROR or NLMSG_DONE

}  // namespace sallyport::netlink

// SPDX-License-Identifier: Apache-2.0
#include "netlink/message.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace sallyport::netlink {
namespace {

// The fixed header behind nlmsghdr, or null where the message is too short for it.
template <typename Header>
const Header* fixed_header(const nlmsghdr& message) {
    if (mnl_nlmsg_get_payload_len(&message) < sizeof(Header)) {
        return nullptr;
    }
    return static_cast<const Header*>(mnl_nlmsg_get_payload(&message));
}

template <typename Handle>
void each_attribute(const void* start, const void* end, Handle&& handle) {
    const auto* last = static_cast<const char*>(end);
    for (const auto* at = static_cast<const nlattr*>(start);
         mnl_attr_ok(at, static_cast<int>(last - static_cast<const char*>(static_cast<const void*>(at))));
         at = mnl_attr_next(at)) {
        handle(*at);
    }
}

template <typename Header, typename Handle>
void each_attribute_after(const nlmsghdr& message, Handle&& handle) {
    each_attribute(mnl_nlmsg_get_payload_offset(&message, sizeof(Header)),
                   mnl_nlmsg_get_payload_tail(&message), handle);
}

template <typename Handle>
void each_nested(const nlattr& attribute, Handle&& handle) {
    const auto* start = static_cast<const char*>(mnl_attr_get_payload(&attribute));
    each_attribute(start, start + mnl_attr_get_payload_len(&attribute), handle);
}

// A number of exactly this size; nothing for another length.
template <typename Number>
std::optional<Number> number(const nlattr& attribute) {
    Number value;
    if (mnl_attr_get_payload_len(&attribute) != sizeof(value)) {
        return std::nullopt;
    }
    std::memcpy(&value, mnl_attr_get_payload(&attribute), sizeof(value));
    return value;
}

std::string text(const nlattr& attribute) {
    const auto* characters = static_cast<const char*>(mnl_attr_get_payload(&attribute));
    return {characters, strnlen(characters, mnl_attr_get_payload_len(&attribute))};
}

std::optional<Ipv4Address> address(const nlattr& attribute) {
    const auto value = number<std::uint32_t>(attribute);
    return value ? std::optional(Ipv4Address::from_network(*value)) : std::nullopt;
}

std::optional<MacAddress> mac(const nlattr& attribute) {
    std::array<std::uint8_t, 6> bytes{};
    if (mnl_attr_get_payload_len(&attribute) != bytes.size()) {
        return std::nullopt;  // a tunnel's or InfiniBand's: no Ethernet address
    }
    std::memcpy(bytes.data(), mnl_attr_get_payload(&attribute), bytes.size());
    return MacAddress(bytes);
}

XdpAttachment attachment(std::uint8_t value) {
    switch (value) {
        case XDP_ATTACHED_NONE:
            return XdpAttachment::none;
        case XDP_ATTACHED_DRV:
            return XdpAttachment::native;
        case XDP_ATTACHED_SKB:
            return XdpAttachment::generic;
        case XDP_ATTACHED_HW:
            return XdpAttachment::offload;
        default:
            return XdpAttachment::multiple;
    }
}

NeighbourState neighbour_state(std::uint16_t state) {
    switch (state) {
        case NUD_INCOMPLETE:
            return NeighbourState::incomplete;
        case NUD_REACHABLE:
            return NeighbourState::reachable;
        case NUD_STALE:
            return NeighbourState::stale;
        case NUD_DELAY:
            return NeighbourState::delay;
        case NUD_PROBE:
            return NeighbourState::probe;
        case NUD_FAILED:
            return NeighbourState::failed;
        case NUD_PERMANENT:
            return NeighbourState::permanent;
        case NUD_NOARP:
            return NeighbourState::noarp;
        default:
            return NeighbourState::none;
    }
}

std::optional<RouteType> route_type(std::uint8_t type) {
    switch (type) {
        case RTN_UNICAST:
            return RouteType::unicast;
        case RTN_BLACKHOLE:
            return RouteType::blackhole;
        case RTN_UNREACHABLE:
            return RouteType::unreachable;
        default:
            return std::nullopt;
    }
}

bool is_foreign_route(const nlmsghdr& message) {
    const auto* header = fixed_header<rtmsg>(message);
    return header != nullptr && header->rtm_family == AF_INET && header->rtm_protocol != route_protocol &&
           (header->rtm_flags & RTM_F_CLONED) == 0;
}

}  // namespace

std::optional<Link> parse_link(const nlmsghdr& message) {
    const auto* header = fixed_header<ifinfomsg>(message);
    // Bridges speak of their ports with the same message types: a port that left its bridge is no device
    // that went away.
    if (header == nullptr || header->ifi_family != AF_UNSPEC || header->ifi_index <= 0) {
        return std::nullopt;
    }
    Link link;
    link.ifindex = static_cast<std::uint32_t>(header->ifi_index);
    link.up = (header->ifi_flags & IFF_UP) != 0;
    link.running = link.up && (header->ifi_flags & IFF_RUNNING) != 0;
    bool of_other_namespace = false;
    each_attribute_after<ifinfomsg>(message, [&](const nlattr& attribute) {
        switch (mnl_attr_get_type(&attribute)) {
            case IFLA_IFNAME:
                link.name = text(attribute);
                break;
            case IFLA_ADDRESS:
                link.mac = mac(attribute).value_or(MacAddress{});
                break;
            case IFLA_LINK:
                link.trunk = number<std::uint32_t>(attribute).value_or(0);
                break;
            case IFLA_LINK_NETNSID:
                of_other_namespace = true;
                break;
            case IFLA_MASTER:
                link.master = number<std::uint32_t>(attribute).value_or(0);
                break;
            case IFLA_MTU:
                link.mtu = number<std::uint32_t>(attribute).value_or(0);
                break;
            case IFLA_LINKINFO:
                each_nested(attribute, [&](const nlattr& inner) {
                    if (mnl_attr_get_type(&inner) == IFLA_INFO_KIND) {
                        link.kind = text(inner);
                    }
                });
                break;
            case IFLA_XDP:
                each_nested(attribute, [&](const nlattr& inner) {
                    if (mnl_attr_get_type(&inner) == IFLA_XDP_ATTACHED) {
                        link.xdp = attachment(number<std::uint8_t>(inner).value_or(XDP_ATTACHED_NONE));
                    } else if (mnl_attr_get_type(&inner) == IFLA_XDP_PROG_ID) {
                        link.xdp_program = number<std::uint32_t>(inner).value_or(0);
                    }
                });
                break;
            default:
                break;
        }
    });
    // A veth has its far end there. Interface indices of another namespace mean nothing here.
    if (link.kind != "vlan" || of_other_namespace) link.trunk = 0;
    return link;
}

std::optional<InterfaceAddress> parse_address(const nlmsghdr& message) {
    const auto* header = fixed_header<ifaddrmsg>(message);
    if (header == nullptr || header->ifa_family != AF_INET || header->ifa_prefixlen > 32) {
        return std::nullopt;
    }
    std::optional<Ipv4Address> own;
    std::optional<Ipv4Address> peer;  // equal to `own` except on point-to-point links
    each_attribute_after<ifaddrmsg>(message, [&](const nlattr& attribute) {
        if (mnl_attr_get_type(&attribute) == IFA_LOCAL) {
            own = address(attribute);
        } else if (mnl_attr_get_type(&attribute) == IFA_ADDRESS) {
            peer = address(attribute);
        }
    });
    if (!own) {
        own = peer;
    }
    if (!own) {
        return std::nullopt;
    }
    const bool point_to_point = peer && *peer != *own;
    return InterfaceAddress{header->ifa_index, *own,
                            point_to_point ? std::uint8_t{32} : header->ifa_prefixlen};
}

std::optional<NeighbourEntry> parse_neighbour(const nlmsghdr& message) {
    const auto* header = fixed_header<ndmsg>(message);
    // The kernel also keeps proxy entries, which are what it answers for and no neighbours.
    if (header == nullptr || header->ndm_family != AF_INET || header->ndm_ifindex <= 0 ||
        (header->ndm_flags & NTF_PROXY) != 0) {
        return std::nullopt;
    }
    NeighbourEntry entry;
    entry.ifindex = static_cast<std::uint32_t>(header->ndm_ifindex);
    entry.state = neighbour_state(header->ndm_state);
    std::optional<Ipv4Address> destination;
    each_attribute_after<ndmsg>(message, [&](const nlattr& attribute) {
        if (mnl_attr_get_type(&attribute) == NDA_DST) {
            destination = address(attribute);
        } else if (mnl_attr_get_type(&attribute) == NDA_LLADDR) {
            entry.mac = mac(attribute).value_or(MacAddress{});
        }
    });
    if (!destination) {
        return std::nullopt;
    }
    entry.address = *destination;
    return entry;
}

std::optional<KernelRoute> parse_own_route(const nlmsghdr& message) {
    const auto* header = fixed_header<rtmsg>(message);
    if (header == nullptr || header->rtm_family != AF_INET || header->rtm_protocol != route_protocol ||
        header->rtm_dst_len > 32 || (header->rtm_flags & RTM_F_CLONED) != 0) {
        return std::nullopt;
    }
    const auto type = route_type(header->rtm_type);
    if (!type) {
        return std::nullopt;
    }
    KernelRoute route;
    route.type = *type;
    std::uint32_t table = header->rtm_table;
    Ipv4Address destination;  // a default route has no such attribute
    each_attribute_after<rtmsg>(message, [&](const nlattr& attribute) {
        switch (mnl_attr_get_type(&attribute)) {
            case RTA_DST:
                destination = address(attribute).value_or(Ipv4Address{});
                break;
            case RTA_GATEWAY:
                route.gateway = address(attribute);
                break;
            case RTA_OIF:
                route.ifindex = number<std::uint32_t>(attribute).value_or(0);
                break;
            case RTA_PRIORITY:
                route.metric = number<std::uint32_t>(attribute).value_or(0);
                break;
            case RTA_TABLE:
                table = number<std::uint32_t>(attribute).value_or(table);
                break;
            default:
                break;
        }
    });
    if (table != RT_TABLE_MAIN) {
        return std::nullopt;
    }
    route.destination = Ipv4Prefix(destination, header->rtm_dst_len);
    return route;
}

std::optional<Event> parse_event(const nlmsghdr& message) {
    switch (message.nlmsg_type) {
        case RTM_NEWLINK:
            if (auto link = parse_link(message)) {
                return LinkChanged{std::move(*link)};
            }
            break;
        case RTM_DELLINK:
            if (const auto link = parse_link(message)) {
                return LinkRemoved{link->ifindex};
            }
            break;
        case RTM_NEWADDR:
            if (const auto changed = parse_address(message)) {
                return AddressChanged{*changed};
            }
            break;
        case RTM_DELADDR:
            if (const auto removed = parse_address(message)) {
                return AddressRemoved{*removed};
            }
            break;
        case RTM_NEWNEIGH:
            if (const auto neighbour = parse_neighbour(message)) {
                return NeighbourChanged{*neighbour};
            }
            break;
        case RTM_DELNEIGH:
            if (const auto neighbour = parse_neighbour(message)) {
                return NeighbourRemoved{neighbour->ifindex, neighbour->address};
            }
            break;
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
            if (is_foreign_route(message)) {
                return RoutesChanged{};
            }
            break;
        default:
            break;
    }
    return std::nullopt;
}

std::optional<Answer> parse_answer(const nlmsghdr& message) {
    if (message.nlmsg_type != NLMSG_ERROR && message.nlmsg_type != NLMSG_DONE) {
        return std::nullopt;
    }
    // NLMSG_DONE carries a bare errno, NLMSG_ERROR the errno and the request: its header alone when the
    // answer is marked as capped.
    const auto* code = fixed_header<int>(message);
    if (code == nullptr) {
        return Answer{};
    }
    Answer answer{*code < 0 ? -*code : 0, {}};
    std::size_t offset = sizeof(int);
    if (message.nlmsg_type == NLMSG_ERROR) {
        const auto* error = fixed_header<nlmsgerr>(message);
        if (error == nullptr) {
            return answer;
        }
        offset = sizeof(nlmsgerr);
        if ((message.nlmsg_flags & NLM_F_CAPPED) == 0 && error->msg.nlmsg_len > sizeof(nlmsghdr)) {
            offset += (error->msg.nlmsg_len - sizeof(nlmsghdr) + NLMSG_ALIGNTO - 1) & ~(NLMSG_ALIGNTO - 1UL);
        }
    }
    if ((message.nlmsg_flags & NLM_F_ACK_TLVS) != 0 && offset <= mnl_nlmsg_get_payload_len(&message)) {
        const auto* start = static_cast<const char*>(mnl_nlmsg_get_payload(&message)) + offset;
        each_attribute(start, mnl_nlmsg_get_payload_tail(&message), [&](const nlattr& attribute) {
            if (mnl_attr_get_type(&attribute) == NLMSGERR_ATTR_MSG) {
                answer.reason = text(attribute);
            }
        });
    }
    return answer;
}

}  // namespace sallyport::netlink

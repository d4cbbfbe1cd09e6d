// SPDX-License-Identifier: Apache-2.0
#include "netlink/message.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstring>
#include <vector>

namespace sallyport::netlink {
namespace {

// Builds a message as the kernel would, in memory whose end is known.
template <typename Header>
class Message {
  public:
    Message(std::uint16_t type, const Header& fixed) {
        mnl_nlmsg_put_header(memory_.data())->nlmsg_type = type;
        std::memcpy(mnl_nlmsg_put_extra_header(&**this, sizeof(Header)), &fixed, sizeof(Header));
    }
    template <typename Value>
    Message& put(std::uint16_t type, const Value& value) {
        mnl_attr_put(&**this, type, sizeof(value), &value);
        return *this;
    }
    Message& put_text(std::uint16_t type, const char* text) {
        mnl_attr_put_strz(&**this, type, text);
        return *this;
    }
    nlmsghdr* operator->() { return static_cast<nlmsghdr*>(static_cast<void*>(memory_.data())); }
    nlmsghdr& operator*() { return *operator->(); }

    // Calls `parse` with the message cut at every length, each in a buffer of exactly that size, so that
    // AddressSanitizer sees a step too far.
    template <typename Parse>
    void cut_everywhere(Parse parse) {
        for (std::uint32_t length = sizeof(nlmsghdr); length <= (**this).nlmsg_len; ++length) {
            std::vector<std::uint64_t> words((length + 7) / 8);
            auto* bytes = static_cast<char*>(static_cast<void*>(words.data()));
            std::memcpy(bytes, memory_.data(), length);
            auto* cut = static_cast<nlmsghdr*>(static_cast<void*>(bytes));
            cut->nlmsg_len = length;
            parse(*cut);
        }
    }

  private:
    alignas(nlmsghdr) std::array<char, 1024> memory_{};
};

constexpr std::array<std::uint8_t, 6> mac_bytes{2, 0, 0, 0, 0, 1};

Message<ifinfomsg> link_message() {
    ifinfomsg fixed{};
    fixed.ifi_index = 7;
    fixed.ifi_flags = IFF_UP | IFF_RUNNING;
    Message<ifinfomsg> message(RTM_NEWLINK, fixed);
    message.put_text(IFLA_IFNAME, "lan0").put(IFLA_ADDRESS, mac_bytes).put(IFLA_MTU, std::uint32_t{9000});
    message.put(IFLA_MASTER, std::uint32_t{12});
    auto* info = mnl_attr_nest_start(&*message, IFLA_LINKINFO);
    message.put_text(IFLA_INFO_KIND, "veth");
    mnl_attr_nest_end(&*message, info);
    auto* xdp = mnl_attr_nest_start(&*message, IFLA_XDP);
    message.put(IFLA_XDP_ATTACHED, std::uint8_t{XDP_ATTACHED_DRV}).put(IFLA_XDP_PROG_ID, std::uint32_t{42});
    mnl_attr_nest_end(&*message, xdp);
    return message;
}

TEST(Message, ReadsADevice) {
    auto message = link_message();
    const auto link = parse_link(*message);
    ASSERT_TRUE(link);
    EXPECT_EQ(*link, (Link{7, "lan0", "veth", MacAddress(mac_bytes), 9000, true, true, XdpAttachment::native,
                           42, 12}));
}

TEST(Message, ReadsWhatAVlanIsOn) {
    const auto trunk_of = [](const char* kind, bool of_other_namespace) {
        ifinfomsg fixed{};
        fixed.ifi_index = 8;
        Message<ifinfomsg> message(RTM_NEWLINK, fixed);
        message.put(IFLA_LINK, std::uint32_t{7});
        if (of_other_namespace) message.put(IFLA_LINK_NETNSID, std::int32_t{0});
        auto* info = mnl_attr_nest_start(&*message, IFLA_LINKINFO);
        message.put_text(IFLA_INFO_KIND, kind);
        mnl_attr_nest_end(&*message, info);
        return parse_link(*message)->trunk;
    };
    EXPECT_EQ(trunk_of("vlan", false), 7U);
    EXPECT_EQ(trunk_of("vlan", true), 0U);
    EXPECT_EQ(trunk_of("veth", false), 0U) << "its far end";
}

TEST(Message, LeavesOutTheBridgesViewOfAPort) {
    auto message = link_message();
    static_cast<ifinfomsg*>(mnl_nlmsg_get_payload(&*message))->ifi_family = AF_BRIDGE;
    EXPECT_FALSE(parse_link(*message));
    message->nlmsg_type = RTM_DELLINK;
    EXPECT_FALSE(parse_event(*message));
}

TEST(Message, LeavesOutOtherAddressFamilies) {
    ifaddrmsg address{};
    address.ifa_family = AF_INET6;
    EXPECT_FALSE(parse_address(*Message<ifaddrmsg>(RTM_NEWADDR, address).put(IFA_LOCAL, std::uint32_t{1})));
    ndmsg neighbour{};
    neighbour.ndm_family = AF_BRIDGE;
    neighbour.ndm_ifindex = 1;
    EXPECT_FALSE(parse_neighbour(*Message<ndmsg>(RTM_NEWNEIGH, neighbour).put(NDA_DST, std::uint32_t{1})));
    rtmsg route{};
    route.rtm_family = AF_INET6;
    EXPECT_FALSE(parse_event(*Message<rtmsg>(RTM_NEWROUTE, route)));
}

TEST(Message, ProxyEntriesAreNoNeighbours) {
    ndmsg neighbour{};
    neighbour.ndm_family = AF_INET;
    neighbour.ndm_ifindex = 1;
    neighbour.ndm_flags = NTF_PROXY;
    EXPECT_FALSE(parse_neighbour(*Message<ndmsg>(RTM_NEWNEIGH, neighbour).put(NDA_DST, htonl(0x0a000001))));
}

TEST(Message, OwnRoutesAreNoEvents) {
    rtmsg route{};
    route.rtm_family = AF_INET;
    route.rtm_type = RTN_BLACKHOLE;
    route.rtm_table = RT_TABLE_MAIN;
    route.rtm_protocol = route_protocol;
    EXPECT_FALSE(parse_event(*Message<rtmsg>(RTM_NEWROUTE, route)));
    EXPECT_TRUE(parse_own_route(*Message<rtmsg>(RTM_NEWROUTE, route)));
    route.rtm_protocol = RTPROT_STATIC;
    EXPECT_TRUE(parse_event(*Message<rtmsg>(RTM_DELROUTE, route)));
    EXPECT_FALSE(parse_own_route(*Message<rtmsg>(RTM_NEWROUTE, route)));
}

TEST(Message, OwnRoutesOfAnotherTableAreNotOurs) {
    rtmsg route{};
    route.rtm_family = AF_INET;
    route.rtm_type = RTN_BLACKHOLE;
    route.rtm_table = RT_TABLE_COMPAT;
    route.rtm_protocol = route_protocol;
    EXPECT_FALSE(parse_own_route(*Message<rtmsg>(RTM_NEWROUTE, route).put(RTA_TABLE, std::uint32_t{1000})));
}

TEST(Message, NothingIsReadBehindTheEnd) {
    const auto everything = [](const nlmsghdr& message) {
        parse_link(message);
        parse_address(message);
        parse_neighbour(message);
        parse_own_route(message);
        parse_event(message);
        parse_answer(message);
    };
    link_message().cut_everywhere(everything);

    nlmsgerr error{};
    error.error = -EPERM;
    error.msg.nlmsg_len = 0xfffffff0;  // a lie
    Message<nlmsgerr> answer(NLMSG_ERROR, error);
    answer->nlmsg_flags = NLM_F_ACK_TLVS;
    answer.put_text(NLMSGERR_ATTR_MSG, "no");
    answer.cut_everywhere(everything);
    EXPECT_EQ(parse_answer(*answer)->code, EPERM);
}

TEST(Message, AnAttributeOfTheWrongLengthIsLeftOut) {
    ifinfomsg fixed{};
    fixed.ifi_index = 7;
    Message<ifinfomsg> message(RTM_NEWLINK, fixed);
    message.put(IFLA_MTU, std::uint16_t{1500}).put(IFLA_ADDRESS, std::uint32_t{1});
    const auto link = parse_link(*message);
    ASSERT_TRUE(link);
    EXPECT_EQ(link->mtu, 0U);
    EXPECT_EQ(link->mac, MacAddress{});
    ifaddrmsg address{};
    address.ifa_family = AF_INET;
    EXPECT_FALSE(parse_address(*Message<ifaddrmsg>(RTM_NEWADDR, address).put(IFA_LOCAL, std::uint8_t{1})));
}

TEST(Message, AnswersCarryTheReasonOfTheKernel) {
    nlmsgerr error{};
    error.error = -EINVAL;
    error.msg.nlmsg_len = sizeof(nlmsghdr) + 32;  // the request is not quoted, as the capped flag says
    Message<nlmsgerr> message(NLMSG_ERROR, error);
    message->nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
    message.put_text(NLMSGERR_ATTR_MSG, "Nexthop has invalid gateway");
    const auto answer = parse_answer(*message);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, EINVAL);
    EXPECT_EQ(answer->reason, "Nexthop has invalid gateway");
}

TEST(Message, TheEndOfADumpMayBeAnError) {
    const auto answer = parse_answer(*Message<int>(NLMSG_DONE, -ENOENT));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, ENOENT);
    EXPECT_EQ(parse_answer(*Message<int>(NLMSG_DONE, 0))->code, 0);
    EXPECT_FALSE(parse_answer(*link_message()));
}

}  // namespace
}  // namespace sallyport::netlink

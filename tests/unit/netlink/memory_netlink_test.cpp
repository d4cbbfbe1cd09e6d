// SPDX-License-Identifier: Apache-2.0
#include "netlink/memory_netlink.h"

#include "unit/netlink/netlink_contract.h"

namespace sallyport::netlink {
namespace {

class MemoryWorld final : public World {
  public:
    Netlink& netlink() override { return netlink_; }
    std::uint32_t make_device(const std::string& name) override {
        const auto ifindex = next_++;
        Link link;
        link.ifindex = ifindex;
        link.name = name;
        link.kind = "veth";
        link.mac = MacAddress({2, 0, 0, 0, 0, static_cast<std::uint8_t>(ifindex)});
        link.mtu = 1500;
        link.up = true;
        link.running = true;
        netlink_.put_link(link);
        return ifindex;
    }
    void set_down(std::uint32_t ifindex) override {
        const auto links = netlink_.links();
        const auto link = std::find_if(links->begin(), links->end(),
                                       [&](const Link& each) { return each.ifindex == ifindex; });
        Link changed = *link;
        changed.up = false;
        changed.running = false;
        netlink_.put_link(changed);
    }
    void remove_device(std::uint32_t ifindex) override { netlink_.remove_link(ifindex); }
    void add_address(const InterfaceAddress& address) override { netlink_.put_address(address); }
    void remove_address(const InterfaceAddress& address) override { netlink_.remove_address(address); }
    void add_permanent_neighbour(std::uint32_t ifindex, Ipv4Address address, MacAddress mac) override {
        netlink_.put_neighbour({ifindex, address, mac, NeighbourState::permanent});
    }
    void answer_for_neighbour(std::uint32_t ifindex, Ipv4Address address, MacAddress mac) override {
        netlink_.put_neighbour({ifindex, address, mac, NeighbourState::reachable});
    }
    void remove_neighbour(std::uint32_t ifindex, Ipv4Address address) override {
        netlink_.remove_neighbour(ifindex, address);
    }
    void open_socket(const HostSocket& socket) override { netlink_.open_socket(socket); }
    void close_socket(const HostSocket& socket) override { netlink_.close_socket(socket); }
    void add_foreign_route(const Ipv4Prefix& destination) override {
        netlink_.put_foreign_route(destination);
    }

  private:
    MemoryNetlink netlink_;
    std::uint32_t next_ = 2;
};

INSTANTIATE_TEST_SUITE_P(Memory, NetlinkContract,
                         testing::Values(Implementation{"memory",
                                                        [] { return std::make_unique<MemoryWorld>(); }}),
                         implementation_name);

TEST(MemoryNetlink, TellsThatEventsWereLost) {
    MemoryNetlink netlink;
    netlink.put_foreign_route(Ipv4Prefix());
    netlink.lose_events();
    std::vector<Event> events;
    ASSERT_TRUE(netlink.poll_events([&](const Event& event) { events.push_back(event); }));
    ASSERT_EQ(events.size(), 1U);
    EXPECT_TRUE(std::holds_alternative<EventsLost>(events.front()));
}

TEST(MemoryNetlink, FailsUntilItIsToldNotTo) {
    MemoryNetlink netlink;
    netlink.fail_with(Error{"no memory", ENOMEM});
    EXPECT_FALSE(netlink.links());
    EXPECT_EQ(netlink.own_routes().error().code, ENOMEM);
    netlink.fail_with(std::nullopt);
    EXPECT_TRUE(netlink.links());
}

TEST(MemoryNetlink, CountsRealChangesOfRoutes) {
    MemoryNetlink netlink;
    const KernelRoute route{Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 8), RouteType::blackhole, std::nullopt, 0,
                            0};
    ASSERT_TRUE(netlink.add_route(route));
    ASSERT_TRUE(netlink.add_route(route));
    EXPECT_EQ(netlink.route_writes(), 1U);
    ASSERT_TRUE(netlink.remove_route(route));
    ASSERT_TRUE(netlink.remove_route(route));
    EXPECT_EQ(netlink.route_writes(), 2U);
}

TEST(MemoryNetlink, RemembersAnnouncementsAndProbes) {
    MemoryNetlink netlink;
    Link link;
    link.ifindex = 2;
    link.up = true;
    netlink.put_link(link);
    const MacAddress mac({2, 0, 0, 0, 0, 1});
    ASSERT_TRUE(netlink.announce_address(2, mac, Ipv4Address(198, 51, 100, 10)));
    ASSERT_TRUE(netlink.probe_neighbour(2, Ipv4Address(198, 51, 100, 1)));
    EXPECT_EQ(netlink.announcements(),
              (std::vector<MemoryNetlink::Announcement>{{2, mac, Ipv4Address(198, 51, 100, 10)}}));
    EXPECT_EQ(netlink.probes(), (std::vector<MemoryNetlink::Probe>{{2, Ipv4Address(198, 51, 100, 1)}}));
}

}  // namespace
}  // namespace sallyport::netlink

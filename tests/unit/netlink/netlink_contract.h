// SPDX-License-Identifier: Apache-2.0
//
// What every implementation of Netlink promises, told as tests. Each implementation brings a World, in
// which the same things can be made to happen, and instantiates the suite with it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "netlink/netlink.h"

namespace sallyport::netlink {

class World {
  public:
    virtual ~World() = default;
    virtual Netlink& netlink() = 0;
    virtual std::uint32_t make_device(const std::string& name) = 0;  // Ethernet, up and running
    virtual void set_down(std::uint32_t ifindex) = 0;
    virtual void remove_device(std::uint32_t ifindex) = 0;
    virtual void add_address(const InterfaceAddress& address) = 0;
    virtual void remove_address(const InterfaceAddress& address) = 0;
    virtual void add_permanent_neighbour(std::uint32_t ifindex, Ipv4Address address, MacAddress mac) = 0;
    virtual void answer_for_neighbour(std::uint32_t ifindex, Ipv4Address address, MacAddress mac) = 0;
    virtual void remove_neighbour(std::uint32_t ifindex, Ipv4Address address) = 0;
    virtual void open_socket(const HostSocket& socket) = 0;  // of TCP if it listens, else of UDP
    virtual void close_socket(const HostSocket& socket) = 0;
    virtual void add_foreign_route(const Ipv4Prefix& destination) = 0;  // a blackhole of another protocol
};

struct Implementation {
    std::string name;
    std::function<std::unique_ptr<World>()> make;
};
inline void PrintTo(const Implementation& implementation, std::ostream* out) {
    *out << implementation.name;
}

class NetlinkContract : public testing::TestWithParam<Implementation> {
  protected:
    void SetUp() override {
        world_ = GetParam().make();
        if (!world_) {
            GTEST_SKIP() << "no right to make a network namespace here";
        }
    }

    Netlink& netlink() { return world_->netlink(); }

    bool readable(int milliseconds) {
        pollfd fd{netlink().events_fd(), POLLIN, 0};
        return poll(&fd, 1, milliseconds) == 1;
    }

    std::vector<Event> poll_once() {
        std::vector<Event> events;
        const auto polled = netlink().poll_events([&](const Event& event) { events.push_back(event); });
        EXPECT_TRUE(polled) << polled.error().message;
        return events;
    }

    // Reads events until one fits, for at most two seconds.
    template <typename Kind>
    bool told(const std::function<bool(const Kind&)>& fits) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
        while (std::chrono::steady_clock::now() < until) {
            if (!readable(100)) {
                continue;
            }
            for (const auto& event : poll_once()) {
                const auto* kind = std::get_if<Kind>(&event);
                if (kind != nullptr && fits(*kind)) {
                    return true;
                }
            }
        }
        return false;
    }
    template <typename Kind>
    bool told() {
        return told<Kind>([](const Kind&) { return true; });
    }

    // Forgets what happened so far.
    void settle() {
        while (readable(50)) {
            poll_once();
        }
    }

    std::optional<Link> link(std::uint32_t ifindex) {
        const auto links = netlink().links();
        EXPECT_TRUE(links) << links.error().message;
        const auto found = std::find_if(links->begin(), links->end(),
                                        [&](const Link& each) { return each.ifindex == ifindex; });
        return found == links->end() ? std::nullopt : std::optional(*found);
    }

    std::vector<KernelRoute> routes() {
        auto routes = netlink().own_routes();
        EXPECT_TRUE(routes) << routes.error().message;
        std::sort(routes->begin(), routes->end());
        return *routes;
    }

    std::unique_ptr<World> world_;
    const Ipv4Prefix destination_{Ipv4Address(10, 9, 0, 0), 16};
};

TEST_P(NetlinkContract, ListsADevice) {
    const auto device = world_->make_device("lan0");
    // The kernel notices a carrier a moment after the device is up, from a work queue, and tells.
    EXPECT_TRUE(told<LinkChanged>(
        [&](const LinkChanged& event) { return event.link.ifindex == device && event.link.running; }));
    const auto found = link(device);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->name, "lan0");
    EXPECT_EQ(found->kind, "veth");
    EXPECT_EQ(found->mtu, 1500U);
    EXPECT_NE(found->mac, MacAddress{});
    EXPECT_TRUE(found->up);
    EXPECT_TRUE(found->running);
    EXPECT_EQ(found->xdp, XdpAttachment::none);
}

TEST_P(NetlinkContract, TellsOfDevicesThatComeChangeAndGo) {
    EXPECT_FALSE(readable(0));
    const auto device = world_->make_device("lan0");
    EXPECT_TRUE(told<LinkChanged>([&](const LinkChanged& event) {
        return event.link.ifindex == device && event.link.name == "lan0" && event.link.running;
    }));
    world_->set_down(device);
    EXPECT_TRUE(told<LinkChanged>(
        [&](const LinkChanged& event) { return event.link.ifindex == device && !event.link.up; }));
    world_->remove_device(device);
    EXPECT_TRUE(told<LinkRemoved>([&](const LinkRemoved& event) { return event.ifindex == device; }));
    EXPECT_FALSE(link(device));
}

TEST_P(NetlinkContract, ListsAndTellsOfAddresses) {
    const InterfaceAddress address{world_->make_device("lan0"), Ipv4Address(10, 0, 1, 1), 24};
    settle();
    world_->add_address(address);
    EXPECT_TRUE(told<AddressChanged>([&](const AddressChanged& event) { return event.address == address; }));
    auto addresses = netlink().addresses();
    ASSERT_TRUE(addresses) << addresses.error().message;
    EXPECT_EQ(std::count(addresses->begin(), addresses->end(), address), 1);

    world_->remove_address(address);
    EXPECT_TRUE(told<AddressRemoved>([&](const AddressRemoved& event) { return event.address == address; }));
    addresses = netlink().addresses();
    ASSERT_TRUE(addresses) << addresses.error().message;
    EXPECT_EQ(std::count(addresses->begin(), addresses->end(), address), 0);
}

TEST_P(NetlinkContract, ListsAndTellsOfNeighbours) {
    const auto device = world_->make_device("lan0");
    const NeighbourEntry neighbour{device, Ipv4Address(10, 0, 1, 5), MacAddress({2, 0, 0, 0, 1, 5}),
                                   NeighbourState::permanent};
    settle();
    world_->add_permanent_neighbour(device, neighbour.address, neighbour.mac);
    EXPECT_TRUE(told<NeighbourChanged>([&](const auto& event) { return event.neighbour == neighbour; }));
    const auto neighbours = netlink().neighbours();
    ASSERT_TRUE(neighbours) << neighbours.error().message;
    EXPECT_EQ(std::count(neighbours->begin(), neighbours->end(), neighbour), 1);
    EXPECT_TRUE(neighbour.usable());

    world_->remove_neighbour(device, neighbour.address);
    // The kernel first invalidates an entry and then removes it.
    EXPECT_TRUE(told<NeighbourRemoved>([&](const NeighbourRemoved& event) {
        return event.ifindex == device && event.address == neighbour.address;
    }));
}

TEST_P(NetlinkContract, ProbesANeighbourThatIsNotKnownYet) {
    const auto device = world_->make_device("lan0");
    world_->add_address({device, Ipv4Address(10, 0, 1, 1), 24});
    settle();
    const Ipv4Address address(10, 0, 1, 5);
    const auto probed = netlink().probe_neighbour(device, address);
    ASSERT_TRUE(probed) << probed.error().message;
    const auto neighbours = netlink().neighbours();
    ASSERT_TRUE(neighbours) << neighbours.error().message;
    const NeighbourEntry asked{device, address, MacAddress(), NeighbourState::incomplete};
    EXPECT_EQ(std::count(neighbours->begin(), neighbours->end(), asked), 1);
    EXPECT_FALSE(asked.usable());

    const MacAddress mac({2, 0, 0, 0, 1, 5});
    world_->answer_for_neighbour(device, address, mac);
    EXPECT_TRUE(told<NeighbourChanged>([&](const NeighbourChanged& event) {
        return event.neighbour == NeighbourEntry{device, address, mac, NeighbourState::reachable};
    }));
    EXPECT_FALSE(netlink().probe_neighbour(device + 1000, address));
}

TEST_P(NetlinkContract, LeavesAKnownNeighbourAsItIs) {
    const auto device = world_->make_device("lan0");
    const NeighbourEntry neighbour{device, Ipv4Address(10, 0, 1, 5), MacAddress({2, 0, 0, 0, 1, 5}),
                                   NeighbourState::permanent};
    world_->add_permanent_neighbour(device, neighbour.address, neighbour.mac);
    ASSERT_TRUE(netlink().probe_neighbour(device, neighbour.address));
    const auto neighbours = netlink().neighbours();
    ASSERT_TRUE(neighbours) << neighbours.error().message;
    EXPECT_EQ(std::count(neighbours->begin(), neighbours->end(), neighbour), 1);
}

TEST_P(NetlinkContract, AddsAndRemovesRoutes) {
    const auto device = world_->make_device("lan0");
    world_->add_address({device, Ipv4Address(10, 0, 1, 1), 24});
    const KernelRoute direct{destination_, RouteType::unicast, std::nullopt, device, 0};
    const KernelRoute gateway{Ipv4Prefix(Ipv4Address(10, 8, 0, 0), 16), RouteType::unicast,
                              Ipv4Address(10, 0, 1, 254), device, 50};
    const KernelRoute blackhole{Ipv4Prefix(Ipv4Address(203, 0, 113, 0), 24), RouteType::blackhole, {}, 0, 0};
    const KernelRoute unreachable{Ipv4Prefix(), RouteType::unreachable, {}, 0, 4000000000};
    EXPECT_TRUE(routes().empty());
    std::vector<KernelRoute> all{direct, gateway, blackhole, unreachable};
    std::sort(all.begin(), all.end());
    for (const auto& route : all) {
        const auto added = netlink().add_route(route);
        ASSERT_TRUE(added) << added.error().message;
    }
    EXPECT_EQ(routes(), all);
    for (const auto& route : all) {
        const auto removed = netlink().remove_route(route);
        ASSERT_TRUE(removed) << removed.error().message;
    }
    EXPECT_TRUE(routes().empty());
}

TEST_P(NetlinkContract, RepeatingARouteChangesNothing) {
    const KernelRoute route{destination_, RouteType::blackhole, std::nullopt, 0, 7};
    ASSERT_TRUE(netlink().add_route(route));
    EXPECT_TRUE(netlink().add_route(route));
    EXPECT_EQ(routes(), std::vector{route});
    EXPECT_TRUE(netlink().remove_route(route));
    EXPECT_TRUE(netlink().remove_route(route));
}

TEST_P(NetlinkContract, ReplacesARouteOfItsOwn) {
    const auto device = world_->make_device("lan0");
    KernelRoute route{destination_, RouteType::blackhole, std::nullopt, 0, 0};
    ASSERT_TRUE(netlink().add_route(route));
    route.type = RouteType::unicast;
    route.ifindex = device;
    const auto replaced = netlink().add_route(route);
    ASSERT_TRUE(replaced) << replaced.error().message;
    EXPECT_EQ(routes(), std::vector{route});
}

TEST_P(NetlinkContract, NeitherListsNorReplacesNorRemovesForeignRoutes) {
    world_->add_foreign_route(destination_);
    EXPECT_TRUE(routes().empty());
    const KernelRoute route{destination_, RouteType::blackhole, std::nullopt, 0, 0};
    const auto added = netlink().add_route(route);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, EEXIST);
    EXPECT_NE(added.error().message.find("10.9.0.0/16"), std::string::npos) << added.error().message;
    EXPECT_TRUE(netlink().remove_route(route));
    EXPECT_FALSE(netlink().add_route(route)) << "the foreign route is gone";
}

TEST_P(NetlinkContract, TellsOfForeignRoutesAndNotOfItsOwn) {
    const KernelRoute route{Ipv4Prefix(Ipv4Address(10, 7, 0, 0), 16), RouteType::blackhole, {}, 0, 0};
    settle();
    ASSERT_TRUE(netlink().add_route(route));
    ASSERT_TRUE(netlink().remove_route(route));
    readable(100);
    EXPECT_TRUE(poll_once().empty());
    world_->add_foreign_route(destination_);
    EXPECT_TRUE(told<RoutesChanged>());
}

TEST_P(NetlinkContract, RefusesRoutesThatCannotBe) {
    const auto device = world_->make_device("lan0");
    const auto code = [&](const KernelRoute& route) {
        const auto added = netlink().add_route(route);
        return added ? 0 : added.error().code;
    };
    EXPECT_EQ(code({destination_, RouteType::unicast, std::nullopt, 0, 0}), EINVAL);
    EXPECT_EQ(code({destination_, RouteType::blackhole, std::nullopt, device, 0}), EINVAL);
    EXPECT_EQ(code({destination_, RouteType::unicast, std::nullopt, device + 1000, 0}), ENODEV);
    EXPECT_EQ(code({destination_, RouteType::unicast, Ipv4Address(192, 0, 2, 1), device, 0}), ENETUNREACH);
    world_->set_down(device);
    EXPECT_EQ(code({destination_, RouteType::unicast, std::nullopt, device, 0}), ENETDOWN);
    EXPECT_TRUE(routes().empty());
}

TEST_P(NetlinkContract, LosesTheRoutesOfADeviceThatGoesDown) {
    const auto device = world_->make_device("lan0");
    const KernelRoute route{destination_, RouteType::unicast, std::nullopt, device, 0};
    ASSERT_TRUE(netlink().add_route(route));
    world_->set_down(device);
    EXPECT_TRUE(routes().empty());
    EXPECT_TRUE(netlink().remove_route(route));
}

TEST_P(NetlinkContract, AnnouncesOnlyThroughADeviceThatIsUp) {
    const auto device = world_->make_device("lan0");
    const MacAddress mac({2, 0, 0, 0, 0, 1});
    const auto announced = netlink().announce_address(device, mac, Ipv4Address(198, 51, 100, 10));
    EXPECT_TRUE(announced) << announced.error().message;
    world_->set_down(device);
    const auto down = netlink().announce_address(device, mac, Ipv4Address(198, 51, 100, 10));
    ASSERT_FALSE(down);
    EXPECT_EQ(down.error().code, ENETDOWN);
    EXPECT_FALSE(netlink().announce_address(device + 1000, mac, Ipv4Address(198, 51, 100, 10)));
}

TEST_P(NetlinkContract, KnowsThePortsOfTheHost) {
    const auto device = world_->make_device("lan0");
    const Ipv4Address own(198, 51, 100, 10);
    world_->add_address({device, own, 24});
    const auto before = netlink().host_ports();
    ASSERT_TRUE(before) << before.error().message;
    EXPECT_EQ(before->bound, std::set<BoundPort>());
    ASSERT_GT(before->ephemeral.size(), 1U);
    EXPECT_EQ(before->on(own), std::vector<PortRange>{before->ephemeral});

    world_->open_socket({{own, 53}});
    world_->open_socket({{own, 22}, true});
    world_->open_socket({{Ipv4Address(), 123}});
    world_->open_socket({{own, before->ephemeral.first}, true});
    world_->open_socket({{own, before->ephemeral.last}});  // which comes and goes
    auto ports = netlink().host_ports();
    ASSERT_TRUE(ports) << ports.error().message;
    EXPECT_EQ(ports->bound, (std::set<BoundPort>{
                                {own, 53}, {own, 22}, {Ipv4Address(), 123}, {own, before->ephemeral.first}}));
    EXPECT_EQ(ports->on(own), (std::vector<PortRange>{{22, 22}, {53, 53}, {123, 123}, before->ephemeral}));
    const Ipv4Address other(198, 51, 100, 11);
    EXPECT_EQ(ports->on(other), (std::vector<PortRange>{{123, 123}, before->ephemeral}));
    EXPECT_EQ(ports->first_bound(own, {23, 200}), 53);
    EXPECT_EQ(ports->first_bound(other, {23, 200}), 123);
    EXPECT_EQ(ports->first_bound(own, before->ephemeral), before->ephemeral.first);
    EXPECT_EQ(ports->first_bound(own, {before->ephemeral.last, before->ephemeral.last}), std::nullopt);
    world_->close_socket({{own, 53}});
    ports = netlink().host_ports();
    ASSERT_TRUE(ports);
    EXPECT_FALSE(ports->bound.contains({own, 53}));
}

TEST_P(NetlinkContract, HandlersMayCallBack) {
    world_->make_device("lan0");
    std::size_t listed = 0;
    ASSERT_TRUE(netlink().poll_events([&](const Event&) {
        const auto links = netlink().links();
        ASSERT_TRUE(links);
        listed = links->size();
    }));
    EXPECT_GE(listed, 1U);
}

inline std::string implementation_name(const testing::TestParamInfo<Implementation>& info) {
    return info.param.name;
}

}  // namespace sallyport::netlink

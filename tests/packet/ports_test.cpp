// SPDX-License-Identifier: Apache-2.0
// External ports, to the last one. The full counts are in tests/flow_table and tests/netns.
#include <set>

#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class Ports : public PacketTest {
  protected:
    void SetUp() override {
        PacketTest::SetUp();
        all_ = lab().nat_gateway(0);
        struct nat_gateway few = all_;
        few.first_port = 2000;
        few.last_port = 2009;
        lab().change_nat_gateway(0, few);
    }
    void TearDown() override {
        lab().reserve_ports(0, {});
        lab().change_nat_gateway(0, all_);
        PacketTest::TearDown();
    }

    static void change_flags(unsigned flags) {
        struct nat_gateway changed = lab().nat_gateway(0);
        changed.flags |= flags;
        lab().change_nat_gateway(0, changed);
    }

  private:
    struct nat_gateway all_ {};
};

TEST_F(Ports, TcpSharesThemBetweenRemotesAndRefusesTheNextOne) {
    for (const char* to : {remote, other_remote}) {
        std::set<std::uint16_t> ports;
        for (std::uint16_t i = 0; i < 10; i++)
            ports.insert(
                out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(to, 443)).source_port);
        EXPECT_EQ(ports.size(), 10u);
        EXPECT_EQ(*ports.begin(), 2000);
        EXPECT_EQ(*ports.rbegin(), 2009);
        Outcome outcome = lab().run(Role::inside, tcp().from(other_instance, 6000).to(to, 443));
        EXPECT_EQ(outcome.drop_reason, "port_exhausted");
        ASSERT_TRUE(outcome.packet);
        EXPECT_EQ(outcome.packet->icmp_type, 3);
        EXPECT_EQ(outcome.packet->icmp_code, 1);
    }
    EXPECT_EQ(lab().counters().nat_gateways[0].port_allocation_errors -
                  before_.nat_gateways[0].port_allocation_errors,
              2u);
}

TEST_F(Ports, UdpMappingsHoldOnePortEach) {
    std::set<std::uint16_t> ports;
    for (std::uint16_t i = 0; i < 10; i++) {
        Packet packet = udp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 53);
        ports.insert(out(packet).source_port);
        packet.to(other_remote, 53);
        ports.insert(out(packet).source_port);
    }
    EXPECT_EQ(ports.size(), 10u);
    EXPECT_EQ(lab().run(Role::inside, udp().from(instance, 6000).to(remote, 53)).drop_reason,
              "port_exhausted");
    EXPECT_EQ(lab().run(Role::inside, udp().from(instance, 6000).to("203.0.113.99", 53)).drop_reason,
              "port_exhausted");
}

TEST_F(Ports, ASecondElasticIpTakesOverWhenTheFirstIsFull) {  // paired and soft (decision C21)
    lab().add_elastic_ip("198.51.100.11");
    std::map<std::string, int> used;
    for (std::uint16_t i = 0; i < 20; i++) {
        Packet seen = out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 443));
        used[seen.source.to_string()]++;
        EXPECT_EQ(used.size(), i < 10 ? 1u : 2u) << "an instance keeps its address while that has a port";
    }
    EXPECT_EQ(lab().run(Role::inside, tcp().from(instance, 6000).to(remote, 443)).drop_reason,
              "port_exhausted");
    lab().remove_elastic_ip("198.51.100.11");
    lab().reap_all(REAP_CUT);
}

TEST_F(Ports, StrictPairingRefusesRatherThanChangeTheElasticIp) {  // RFC 7857 section 4
    lab().add_elastic_ip("198.51.100.11");
    struct nat_gateway strict = lab().nat_gateway(0);
    strict.flags |= NAT_GATEWAY_STRICT_PAIRING;
    lab().change_nat_gateway(0, strict);
    for (bool tcp_flows : {true, false}) {
        const auto packet = [&](std::uint16_t port) {
            return (tcp_flows ? tcp() : udp()).from(instance, port).to(remote, 443);
        };
        std::set<std::string> addresses;
        for (std::uint16_t i = 0; i < 10; i++)
            addresses.insert(out(packet(static_cast<std::uint16_t>(5000 + i))).source.to_string());
        EXPECT_EQ(addresses.size(), 1u);
        EXPECT_EQ(lab().run(Role::inside, packet(6000)).drop_reason, "port_exhausted");
        // Soft from now on, at run time: the other one takes over, and what stands stays.
        lab().change_nat_gateway(0, [&] {
            struct nat_gateway soft = strict;
            soft.flags &= ~static_cast<unsigned>(NAT_GATEWAY_STRICT_PAIRING);
            return soft;
        }());
        EXPECT_FALSE(addresses.contains(out(packet(6000)).source.to_string()));
        EXPECT_TRUE(addresses.contains(out(packet(5000)).source.to_string()));
        lab().change_nat_gateway(0, strict);
    }
    lab().remove_elastic_ip("198.51.100.11");
    lab().reap_all(REAP_CUT);
}

TEST_F(Ports, ReservedOnesAreNeverGivenOutAndTheRestToTheLast) {  // RFC 6056 section 3.2
    lab().reserve_ports(0, {{2000, 2001}, {2003, 2003}, {2008, 2100}});
    for (bool tcp_flows : {true, false}) {
        std::set<std::uint16_t> ports;
        for (std::uint16_t i = 0; i < 5; i++) {
            const auto port = static_cast<std::uint16_t>(5000 + i);
            ports.insert(out((tcp_flows ? tcp() : udp()).from(instance, port).to(remote, 443)).source_port);
        }
        EXPECT_EQ(ports, (std::set<std::uint16_t>{2002, 2004, 2005, 2006, 2007}));
        EXPECT_EQ(lab()
                      .run(Role::inside, (tcp_flows ? tcp() : udp()).from(instance, 6000).to(remote, 443))
                      .drop_reason,
                  "port_exhausted");
    }
    lab().reserve_ports(0, {});
    out(tcp().from(instance, 6000).to(remote, 443));
}

TEST_F(Ports, ParityIsPreservedToTheLastPortOfEither) {  // RFC 4787 section 4.2.2
    change_flags(NAT_GATEWAY_PRESERVE_PARITY);
    lab().reserve_ports(0, {{2004, 2004}});
    for (std::uint16_t i = 0; i < 20; i++) {
        const auto port = static_cast<std::uint16_t>(5000 + i);
        for (const Packet& packet :
             {udp().from(instance, port).to(remote, 53), tcp().from(instance, port).to(remote, 443)}) {
            Outcome outcome = lab().run(Role::inside, packet);
            const int left = port % 2 ? 5 : 4;
            EXPECT_EQ(outcome.drop_reason, i / 2 < left ? "" : "port_exhausted") << packet.to_string();
            if (outcome.drop_reason.empty()) {
                EXPECT_EQ(outcome.packet->source_port % 2, port % 2);
            }
        }
    }
    lab().reap_all(REAP_CUT);
    // Freed ports are found again, each in its own kind.
    for (std::uint16_t i = 0; i < 10; i++) {
        Outcome outcome = lab().run(
            Role::inside, tcp().from(instance, static_cast<std::uint16_t>(7000 + i)).to(remote, 443));
        EXPECT_EQ(outcome.drop_reason, i == 8 ? "port_exhausted" : "");
    }
    for (std::uint16_t i = 0; i < 10; i++)
        out(ping().from(instance, static_cast<std::uint16_t>(2 * i)).to(remote));
}

TEST_F(Ports, LowPortsGoToLowOnes) {  // RFC 4787 section 4.2.1
    change_flags(NAT_GATEWAY_PRESERVE_RANGE);
    lab().reserve_ports(0, {{1, 1000}});
    std::set<std::uint16_t> low, high;
    for (std::uint16_t i = 0; i < 23; i++)
        low.insert(
            out(udp().from(instance, static_cast<std::uint16_t>(500 + i)).to(remote, 500)).source_port);
    for (std::uint16_t i = 0; i < 10; i++)
        high.insert(
            out(udp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 500)).source_port);
    EXPECT_EQ(low.size(), 23u);
    EXPECT_EQ(*low.begin(), 1001);
    EXPECT_EQ(*low.rbegin(), 1023);
    EXPECT_EQ(high.size(), 10u);
    EXPECT_EQ(*high.begin(), 2000);
    EXPECT_EQ(lab().run(Role::inside, udp().from(instance, 900).to(remote, 500)).drop_reason,
              "port_exhausted");
    EXPECT_EQ(lab().run(Role::inside, udp().from(instance, 9000).to(remote, 500)).drop_reason,
              "port_exhausted");
}

TEST_F(Ports, TheInstancesOwnIsKeptWhereItIsFree) {
    change_flags(NAT_GATEWAY_PRESERVE_PORT);
    EXPECT_EQ(out(udp().from(instance, 2005).to(remote, 53)).source_port, 2005);
    EXPECT_NE(out(udp().from(other_instance, 2005).to(remote, 53)).source_port, 2005);
    EXPECT_EQ(out(tcp().from(instance, 2005).to(remote, 443)).source_port, 2005);
    EXPECT_EQ(out(tcp().from(other_instance, 2005).to(other_remote, 443)).source_port, 2005)
        << "another remote";
    EXPECT_LE(out(tcp().from(instance, 5000).to(remote, 443)).source_port, 2009) << "not one of the range";
    lab().reserve_ports(0, {{2007, 2007}});
    EXPECT_NE(out(tcp().from(instance, 2007).to(remote, 443)).source_port, 2007);
    // A flow that timed out on that very port is in nobody's way.
    lab().advance(std::chrono::seconds(400));
    EXPECT_EQ(out(udp().from(other_instance, 2005).to(remote, 53)).source_port, 2005);
}

TEST_F(Ports, OfAnExhaustedAddressAreFoundOnceTheirFlowsTimedOut) {
    for (std::uint16_t i = 0; i < 10; i++)
        out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 443));
    const Packet one_more = tcp().from(instance, 9000).to(remote, 443);
    EXPECT_EQ(lab().run(Role::inside, one_more).drop_reason, "port_exhausted");
    lab().advance(std::chrono::seconds(243));
    EXPECT_EQ(lab().run(Role::inside, one_more).drop_reason, "") << "the rest ends with the first of them";
}

TEST_F(Ports, OfExpiredFlowsAreFoundWithoutAnAgent) {
    for (int round = 0; round < 3; round++) {
        for (std::uint16_t i = 0; i < 10; i++) {
            out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i + round * 100)).to(remote, 443));
            out(udp().from(instance, static_cast<std::uint16_t>(5000 + i + round * 100)).to(remote, 53));
        }
        EXPECT_EQ(lab().run(Role::inside, tcp().from(instance, 9000).to(remote, 443)).drop_reason,
                  "port_exhausted");
        lab().advance(std::chrono::seconds(400));
    }
}

TEST_F(Ports, ComeBackWhenFlowsAreReaped) {
    for (std::uint16_t i = 0; i < 10; i++) {
        out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 443));
        out(udp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 53));
    }
    EXPECT_EQ(lab().reap_all(REAP_EXPIRED), 0u);
    lab().advance(std::chrono::seconds(400));
    EXPECT_EQ(lab().reap_all(REAP_EXPIRED), 20u);
    EXPECT_TRUE(lab().entries().empty()) << "mappings go with their last flow";
    EXPECT_EQ(lab().counters().nat_gateways[0].idle_timeouts - before_.nat_gateways[0].idle_timeouts, 20u);
    for (std::uint16_t i = 0; i < 10; i++)
        out(tcp().from(instance, static_cast<std::uint16_t>(7000 + i)).to(remote, 443));
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// An Elastic IP that is an address of the host as well: whose its endpoints are, and which ports flows get.
#include <arpa/inet.h>

#include <algorithm>
#include <set>

#include "packet/fixture.h"
#include "support/fragments.h"

namespace sallyport::support {
namespace {

constexpr std::uint8_t tcp_number = 6, udp_number = 17, esp_number = 50;

class SharedAddress : public PacketTest {
  protected:
    void SetUp() override {
        PacketTest::SetUp();
        as_it_was_ = lab().nat_gateway(0);
        few_ports(0);
        lab().share_elastic_ip(eip, host_ports);
    }
    void TearDown() override {
        lab().unshare_elastic_ip(eip);
        lab().change_nat_gateway(0, as_it_was_);
        lab().bump_generation();
        PacketTest::TearDown();
    }

    // Ten ports, of which the host has four.
    static inline const std::vector<PortRange> host_ports{{22, 22}, {2000, 2001}, {2003, 2003}, {2009, 3000}};
    static inline const std::set<std::uint16_t> free_ports{2002, 2004, 2005, 2006, 2007, 2008};

    static void few_ports(unsigned flags) {
        struct nat_gateway few = lab().nat_gateway(0);
        few.first_port = 2000;
        few.last_port = 2009;
        few.flags |= flags | NAT_GATEWAY_HAIRPIN;
        lab().change_nat_gateway(0, few);
    }
    static void filter(endpoint_rule mapping, endpoint_rule filtering) {
        struct nat_gateway gateway = lab().nat_gateway(0);
        for (std::uint8_t& one : gateway.mapping) one = static_cast<std::uint8_t>(mapping);
        for (std::uint8_t& one : gateway.filtering) one = static_cast<std::uint8_t>(filtering);
        lab().change_nat_gateway(0, gateway);
    }

    // It goes up the stack as it came, and leaves nothing behind.
    static void expect_the_hosts(Role role, const Packet& packet) {
        const auto before = lab().entries().size();
        const Outcome outcome = lab().run(role, packet);
        EXPECT_EQ(outcome.action, XDP_PASS) << packet.to_string() << " " << outcome.drop_reason;
        EXPECT_EQ(outcome.frame, packet.frame()) << packet.to_string();
        EXPECT_LE(lab().entries().size(), before) << packet.to_string();
    }
    static std::string refusal(Role role, const Packet& packet) {
        return lab().run(role, packet).drop_reason;  // the instance is told of some
    }

    // What nobody inside has anything to do with.
    static std::vector<Packet> unknown(const char* from) {
        Packet esp = udp().from(from, 0).to(eip, 0);
        esp.protocol = esp_number;
        Packet answered = ping().from(from).to(eip);
        answered.icmp_type = 0;
        answered.icmp_id = 4711;
        return {tcp().from(from, 50000).to(eip, 22),
                tcp().from(from, 50000).to(eip, 22).flags(ack),
                tcp().from(from, 50000).to(eip, 40000).flags(rst),
                udp().from(from, 53).to(eip, 40000),
                ping().from(from, 9).to(eip),
                answered,
                icmp_error(3, 3, udp().from(eip, 40000).to(from, 53).ip()).from(from).to(eip),
                icmp_error(3, 3, Bytes(20, 0x45)).from(from).to(eip),
                icmp_error(5, 1, udp().from(eip, 40000).to(from, 53).ip()).from(from).to(eip),
                esp};
    }

  private:
    struct nat_gateway as_it_was_ {};
};

TEST_F(SharedAddress, WhatNobodyInsideHasIsTheHosts) {
    for (const Packet& packet : unknown(remote)) expect_the_hosts(Role::outside, packet);
    for (const Packet& packet : unknown(instance)) expect_the_hosts(Role::inside, packet);
    // Nor is its source the gateway's business: the host judges it.
    expect_the_hosts(Role::outside, tcp().from("10.0.3.4", 9).to(eip, 22));
}

TEST_F(SharedAddress, AnotherElasticIpIsAsBefore) {
    lab().add_elastic_ip("198.51.100.11");
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 50000).to("198.51.100.11", 22)), "unsolicited");
    EXPECT_EQ(refusal(Role::inside, udp().from(instance, 50000).to("198.51.100.11", 22)), "unsolicited");
    lab().remove_elastic_ip("198.51.100.11");
}

TEST_F(SharedAddress, OneThatTheHostDoesNotHaveYetIsLikeAnyOther) {
    lab().unshare_elastic_ip(eip);
    lab().share_elastic_ip(eip, host_ports);
    lab().remove_local_address(eip);
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 50000).to(eip, 22)), "unsolicited");
    EXPECT_EQ(refusal(Role::inside, udp().from(instance, 50000).to(eip, 22)), "unsolicited");
    EXPECT_TRUE(free_ports.contains(out(udp().from(instance, 5000).to(remote, 53)).source_port))
        << "the host's ports are kept for it";
    lab().add_local_address(eip);
}

TEST_F(SharedAddress, OneThatIsNotMarkedIsTheHostsAlone) {
    lab().unshare_elastic_ip(eip);
    lab().add_local_address(eip);
    lab().forward_ports(eip, tcp_number, {8080, 8080}, instance, 80);
    expect_the_hosts(Role::outside, tcp().from(remote, 40000).to(eip, 8080));
    lab().forget_forwards(eip, tcp_number, {8080, 8080});
    lab().share_elastic_ip(eip, host_ports);
}

TEST_F(SharedAddress, LaterFragmentsAreNeverHeld) {
    lab().hold_fragments(true);
    const Packet whole = udp().from(remote, 5000).to(eip, 40000).with_payload(2000);
    for (const Bytes& frame : fragments_of(whole, 1480)) {
        const Outcome outcome = lab().run(Role::outside, frame);
        EXPECT_EQ(outcome.action, XDP_PASS) << outcome.drop_reason;
        EXPECT_EQ(outcome.frame, frame);
    }
    const Packet inner = udp().from(instance, 5000).to(eip, 40000).with_payload(2000);
    for (const Bytes& frame : fragments_of(inner, 1480))
        EXPECT_EQ(lab().run(Role::inside, frame).action, XDP_PASS);
    EXPECT_TRUE(lab().words_to_the_agent().empty());
    // An instance's datagram comes in as long as its first fragment does come first.
    const Packet seen = out(udp().from(instance, 5000).to(remote, 53));
    const auto frames = fragments_of(answer(seen).with_payload(2000), 1480);
    ASSERT_EQ(frames.size(), 2u);
    for (const Bytes& frame : frames) EXPECT_EQ(lab().run(Role::outside, frame).action, XDP_REDIRECT);
    lab().hold_fragments(false);
    lab().forget_datagrams();
}

TEST_F(SharedAddress, AFlowToWhoIsGoneLeadsToTheHost) {
    const Packet b = out(udp().from(other_instance, 6000).to(remote, 7000));
    Packet sent = udp().from(instance, 5000).to(eip, b.source_port);
    EXPECT_EQ(refusal(Role::inside, sent), "unsolicited") << "the sender's flow stands now";
    lab().advance(std::chrono::seconds(200));
    EXPECT_EQ(refusal(Role::inside, sent), "unsolicited");
    lab().advance(std::chrono::seconds(200));  // the receiver's has timed out
    expect_the_hosts(Role::inside, sent);
    for (const Bytes& frame : fragments_of(sent.with_payload(2000), 1480)) {
        const Outcome outcome = lab().run(Role::inside, frame);
        EXPECT_EQ(outcome.action, XDP_PASS) << outcome.drop_reason;
        EXPECT_EQ(outcome.frame, frame);
    }
    lab().forget_datagrams();
}

TEST_F(SharedAddress, AFlowIsTheInstances) {
    const Packet seen = establish();
    EXPECT_EQ(in(answer(seen, ack)).destination.to_string(), instance);
    // To any other remote its port is nobody's: TCP shares ports between remotes.
    expect_the_hosts(Role::outside, tcp().from(other_remote, 443).to(eip, seen.source_port));
    const Packet error = icmp_error(3, 1, seen.ip()).from("198.51.100.254").to(eip);
    EXPECT_EQ(in(error).destination.to_string(), instance);
}

TEST_F(SharedAddress, AForwardedPortLeadsInsideAndItsNeighboursDoNot) {
    lab().forward_ports(eip, tcp_number, {8080, 8080}, instance, 80);
    const Packet got = in(tcp().from(remote, 40000).to(eip, 8080));
    EXPECT_EQ(got.destination.to_string(), instance);
    EXPECT_EQ(got.destination_port, 80);
    EXPECT_EQ(out(answer(got, syn | ack)).source_port, 8080);
    for (std::uint16_t port : std::array<std::uint16_t, 3>{8079, 8081, 22})
        expect_the_hosts(Role::outside, tcp().from(remote, 40000).to(eip, port));
    expect_the_hosts(Role::outside, udp().from(remote, 40000).to(eip, 8080));
    // What is led inside is judged as on any Elastic IP.
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 9).to(eip, 8080).flags(ack)), "unsolicited");
    EXPECT_EQ(refusal(Role::outside, tcp().from("10.0.3.4", 9).to(eip, 8080)), "filtered");
    EXPECT_EQ(refusal(Role::outside, tcp().from(eip, 9).to(eip, 8080)), "elastic_ip_from_outside");
    lab().add_elastic_ip("198.51.100.11");
    EXPECT_EQ(refusal(Role::outside, tcp().from("198.51.100.11", 9).to(eip, 8080)),
              "elastic_ip_from_outside");
    lab().remove_elastic_ip("198.51.100.11");
    EXPECT_EQ(refusal(Role::outside,
                      icmp_error(3, 3, tcp().from(eip, 8080).to(remote, 9).ip()).from(remote).to(eip)),
              "icmp_error_without_flow");
    lab().drain_elastic_ip(eip);
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 40001).to(eip, 8080)), "elastic_ip_draining");
    expect_the_hosts(Role::outside, tcp().from(remote, 40001).to(eip, 22));
    lab().drain_elastic_ip(eip, false);
    lab().forget_forwards(eip, tcp_number, {8080, 8080});
}

TEST_F(SharedAddress, AMappingIsTheInstancesTowardsEverybody) {
    // A datagram that the filtering refuses is dropped with a reason: a scan learns nothing of the host from
    // it.
    const Packet seen = out(udp().from(instance, 5000).to(remote, 53));
    EXPECT_EQ(refusal(Role::outside, udp().from(other_remote, 53).to(eip, seen.source_port)), "unsolicited");
    EXPECT_EQ(
        refusal(Role::outside, icmp_error(3, 3, udp().from(eip, seen.source_port).to(other_remote, 9).ip())
                                   .from(other_remote)
                                   .to(eip)),
        "icmp_error_without_flow");
    expect_the_hosts(Role::outside, tcp().from(other_remote, 53).to(eip, seen.source_port));
    filter(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
    EXPECT_EQ(in(udp().from(other_remote, 53).to(eip, seen.source_port)).destination.to_string(), instance);
    // Past its timeout it is nobody's, whether or not an agent has tidied up.
    lab().advance(std::chrono::seconds(700));
    expect_the_hosts(Role::outside, udp().from(other_remote, 53).to(eip, seen.source_port));
}

TEST_F(SharedAddress, APingOfTheHostIsAnsweredThoughAnInstanceHasItsIdentifier) {
    const Packet seen = out(ping().from(instance, 7).to(remote));
    EXPECT_EQ(in(answer(seen)).destination.to_string(), instance);
    Packet to_host = answer(seen).from(other_remote);
    expect_the_hosts(Role::outside, to_host);
    // Where anybody may send to a mapping it is the instance's.
    filter(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
    EXPECT_NE(lab().run(Role::outside, to_host).action, XDP_PASS);
}

TEST_F(SharedAddress, TheInsideReachesWhatIsLedInside) {
    lab().forward_ports(eip, tcp_number, {8080, 8080}, other_instance, 80);
    lab().forward_ports(eip, udp_number, {53, 53}, other_instance, 5353);
    const Packet got = out(tcp().from(instance, 5000).to(eip, 8080));
    EXPECT_EQ(got.destination.to_string(), other_instance);
    EXPECT_EQ(got.source.to_string(), eip) << "RFC 4787 REQ-9a";
    EXPECT_TRUE(free_ports.contains(got.source_port));
    EXPECT_EQ(out(answer(got, syn | ack)).destination.to_string(), instance);
    EXPECT_EQ(refusal(Role::inside, tcp().from(instance, 5001).to(eip, 8080).flags(ack)), "tcp_without_flow");
    // Two ends of a mapping each, as between any two.
    const Packet a = out(udp().from(instance, 6000).to(remote, 7000));
    const Packet b = out(udp().from(other_instance, 6000).to(remote, 7000));
    EXPECT_EQ(refusal(Role::inside, udp().from(other_instance, 6000).to(eip, a.source_port)), "unsolicited");
    const Packet met = out(udp().from(instance, 6000).to(eip, b.source_port));
    EXPECT_EQ(met.destination.to_string(), other_instance);
    EXPECT_EQ(met.source_port, a.source_port);
    struct nat_gateway off = lab().nat_gateway(0);
    off.flags &= ~std::uint32_t{NAT_GATEWAY_HAIRPIN};
    lab().change_nat_gateway(0, off);
    EXPECT_EQ(refusal(Role::inside, udp().from(instance, 6001).to(eip, 53)), "elastic_ip_from_inside");
    expect_the_hosts(Role::inside, udp().from(instance, 6001).to(eip, 54));
    few_ports(0);
    lab().forget_forwards(eip, tcp_number, {8080, 8080});
    lab().forget_forwards(eip, udp_number, {53, 53});
}

TEST_F(SharedAddress, AFlowToTheSendersEndpointIsFoundWithoutAMapping) {
    // The receiver's TCP has no mapping, the sender's does: whether it is theirs follows from the two
    // endpoints.
    struct nat_gateway second = lab().nat_gateway(0);
    second.elastic_ip_count = 0;
    second.mapping[NAT_TCP] = ENDPOINT_INDEPENDENT;
    lab().change_nat_gateway(1, second);
    lab().add_elastic_ip("198.51.100.20", 1);
    lab().add_subnet(1U, "10.0.0.12/32", 3);
    lab().add_route(3, "0.0.0.0/0", ROUTE_NAT_GATEWAY, 1);
    const Packet a = establish(5000, other_instance);  // at 198.51.100.20, with a mapping
    ASSERT_EQ(a.source.to_string(), "198.51.100.20");
    lab().run(Role::inside, tcp().from(instance, 6000).to("198.51.100.20", a.source_port));
    std::uint16_t port = 0;
    lab().for_each_entry([&](const flow_entry& entry) {
        if (entry.key.kind == FLOW_KIND_FLOW && entry.flags & FLOW_FORWARD && entry.flags & FLOW_HAIRPIN)
            port = ntohs(entry.new_port);
    });
    ASSERT_NE(port, 0);
    const Packet met = out(tcp().from(other_instance, 5000).to(eip, port));
    EXPECT_EQ(met.destination.to_string(), instance);
    EXPECT_EQ(met.destination_port, 6000);
    expect_the_hosts(Role::inside, tcp().from(other_instance, 5001).to(eip, port));
    lab().reap_all(REAP_CUT);
    lab().remove_subnet(1U, "10.0.0.12/32");
    lab().remove_route(3, "0.0.0.0/0");
    lab().remove_elastic_ip("198.51.100.20");
}

TEST_F(SharedAddress, PortsOfTheHostAreNeverGivenOutAndTheRestToTheLast) {
    for (endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (std::uint8_t protocol : {tcp_number, udp_number}) {
            filter(mapping, ADDRESS_AND_PORT_DEPENDENT);
            const auto packet = [&](std::size_t i) {
                Packet one = protocol == tcp_number ? tcp() : udp();
                return one.from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 443);
            };
            std::set<std::uint16_t> ports;
            for (std::size_t i = 0; i < free_ports.size(); i++) ports.insert(out(packet(i)).source_port);
            EXPECT_EQ(ports, free_ports) << int{protocol};
            EXPECT_EQ(refusal(Role::inside, packet(free_ports.size())), "port_exhausted");
            lab().reap_all(REAP_CUT);
        }
}

TEST_F(SharedAddress, IdentifiersAreNoPorts) {
    std::set<std::uint16_t> identifiers;
    for (std::uint16_t i = 0; i < 10; i++)
        identifiers.insert(
            out(ping().from(instance, static_cast<std::uint16_t>(100 + i)).to(remote)).icmp_id);
    EXPECT_EQ(identifiers.size(), 10u);
}

TEST_F(SharedAddress, TheHostsPortsAreNotPreserved) {
    few_ports(NAT_GATEWAY_PRESERVE_PORT);
    EXPECT_EQ(out(udp().from(instance, 2005).to(remote, 53)).source_port, 2005);
    for (std::uint16_t port : std::array<std::uint16_t, 3>{2000, 2003, 2009}) {
        EXPECT_TRUE(free_ports.contains(out(udp().from(instance, port).to(remote, 53)).source_port));
        EXPECT_TRUE(free_ports.contains(out(tcp().from(instance, port).to(remote, 443)).source_port));
    }
}

TEST_F(SharedAddress, ParityIsPreservedToTheLastPortOfEither) {
    few_ports(NAT_GATEWAY_PRESERVE_PARITY);
    for (std::uint16_t i = 0; i < 20; i++) {
        const auto port = static_cast<std::uint16_t>(5000 + i);
        const Outcome outcome = lab().run(Role::inside, tcp().from(instance, port).to(remote, 443));
        const int left = port % 2 ? 2 : 4;
        EXPECT_EQ(outcome.drop_reason, i / 2 < left ? "" : "port_exhausted");
    }
}

TEST_F(SharedAddress, LowPortsThatTheHostHasGoToNobody) {
    few_ports(NAT_GATEWAY_PRESERVE_RANGE);
    lab().share_elastic_ip(eip, {{1, 1000}, {2000, 65535}});
    std::set<std::uint16_t> low;
    for (std::uint16_t i = 0; i < 23; i++)
        low.insert(
            out(udp().from(instance, static_cast<std::uint16_t>(500 + i)).to(remote, 500)).source_port);
    EXPECT_EQ(low.size(), 23u);
    EXPECT_EQ(*low.begin(), 1001);
    EXPECT_EQ(refusal(Role::inside, udp().from(instance, 900).to(remote, 500)), "port_exhausted");
    EXPECT_EQ(refusal(Role::inside, udp().from(instance, 9000).to(remote, 500)), "port_exhausted");
}

TEST_F(SharedAddress, OtherElasticIpsKeepAllTheirPorts) {
    lab().add_elastic_ip("198.51.100.11");
    std::map<std::string, std::set<std::uint16_t>> ports;
    for (std::uint16_t i = 0; i < 16; i++) {
        const Packet seen = out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 443));
        ports[seen.source.to_string()].insert(seen.source_port);
    }
    EXPECT_EQ(ports[eip], free_ports);
    EXPECT_EQ(ports["198.51.100.11"].size(), 10u);
    EXPECT_EQ(refusal(Role::inside, tcp().from(instance, 6000).to(remote, 443)), "port_exhausted");
    lab().reap_all(REAP_CUT);
    lab().remove_elastic_ip("198.51.100.11");
}

TEST_F(SharedAddress, WhatIsKnownOfFullWordsDoesNotOutlastTheHostsPorts) {
    struct nat_gateway wide = lab().nat_gateway(0);
    wide.first_port = 1024;
    wide.last_port = 65535;
    lab().change_nat_gateway(0, wide);
    constexpr std::uint16_t first = 65535 - 63;  // of the last word
    lab().share_elastic_ip(eip, {{1024, first - 1}});
    const auto packet = [](int i) {
        return tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 443);
    };
    for (int i = 0; i < 64; i++) EXPECT_GE(out(packet(i)).source_port, first);
    EXPECT_EQ(refusal(Role::inside, packet(64)), "port_exhausted");
    // A server of the host ends: no flow has, and no configuration has changed.
    lab().share_elastic_ip(eip, {{1024, 30015}, {30017, first - 1}});
    EXPECT_EQ(out(packet(65)).source_port, 30016);
    EXPECT_EQ(refusal(Role::inside, packet(66)), "port_exhausted");
    // Another begins on a port that a flow has: that goes on, and the next one does not get it.
    lab().share_elastic_ip(eip, {{1024, 65535}});
    out(packet(65).flags(ack));
    lab().reap_all(REAP_CUT);
    EXPECT_EQ(refusal(Role::inside, packet(67)), "port_exhausted");
}

TEST_F(SharedAddress, BlocksOfTheHostAreNotHandedOut) {
    struct nat_gateway blocks = lab().nat_gateway(0);
    constexpr std::uint16_t size = 128, first = 2048;
    blocks.first_port = first;
    blocks.last_port = first + 4 * size - 1;
    blocks.port_block_size = size;
    blocks.port_blocks_max = 8;
    blocks.port_block_hold = 60;
    lab().change_nat_gateway(0, blocks);
    // The second and third are the host's, and half of the fourth.
    lab().share_elastic_ip(eip, {{first + size, first + 3 * size + 63}});
    lab().port_block_events();
    const auto packet = [](int i) {
        return udp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 53);
    };
    std::set<std::uint16_t> ports;
    for (int i = 0; i < size + 64; i++) ports.insert(out(packet(i)).source_port);
    EXPECT_EQ(ports.size(), size + 64u);
    for (std::uint16_t port : ports)
        EXPECT_TRUE(port < first + size || port >= first + 3 * size + 64) << port;
    EXPECT_EQ(refusal(Role::inside, packet(1000)), "port_exhausted");
    EXPECT_EQ(refusal(Role::inside, packet(1001).from(other_instance, 9)), "port_exhausted");
    EXPECT_EQ(lab().port_block_events().size(), 2u) << "none in vain";
}

}  // namespace
}  // namespace sallyport::support

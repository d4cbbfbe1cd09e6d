// SPDX-License-Identifier: Apache-2.0
// Translation of packets that open a flow or belong to one.
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class Flow : public PacketTest {};

TEST_F(Flow, TcpGoesOutWithTheElasticIpAndComesBack) {
    Packet syn_packet = tcp().from(instance, 5000).to(remote, 443).seq(777);
    syn_packet.ttl = 61;
    Packet seen = out(syn_packet);
    EXPECT_EQ(seen.source.to_string(), eip);
    EXPECT_GE(seen.source_port, 1024);
    EXPECT_EQ(seen.destination.to_string(), remote);
    EXPECT_EQ(seen.destination_port, 443);
    EXPECT_EQ(seen.sequence, 777u);
    EXPECT_EQ(seen.ttl, 60);
    EXPECT_EQ(seen.source_mac[5], 0x0b);
    EXPECT_EQ(seen.destination_mac[5], 0xfe);

    Packet back = in(answer(seen, syn | ack));
    EXPECT_EQ(back.source.to_string(), remote);
    EXPECT_EQ(back.source_port, 443);
    EXPECT_EQ(back.destination.to_string(), instance);
    EXPECT_EQ(back.destination_port, 5000);
    EXPECT_EQ(back.ttl, 63);
    EXPECT_EQ(back.destination_mac[5], 0x11);

    Packet again = out(tcp().from(instance, 5000).to(remote, 443).flags(ack | psh).with_payload(100));
    EXPECT_EQ(again.source_port, seen.source_port);
    EXPECT_EQ(again.payload, Bytes(100, 'x'));
}

TEST_F(Flow, UdpKeepsItsPortForEveryRemote) {  // RFC 4787 REQ-1
    Packet first = out(udp().from(instance, 5000).to(remote, 7000));
    for (const Packet& packet :
         {udp().from(instance, 5000).to(remote, 7001), udp().from(instance, 5000).to(other_remote, 7000)}) {
        Packet seen = out(packet);
        EXPECT_EQ(seen.source_port, first.source_port);
        EXPECT_EQ(seen.source, first.source);
    }
    Packet neighbour = out(udp().from(other_instance, 5000).to(remote, 7000));
    EXPECT_NE(neighbour.source_port, first.source_port);
    EXPECT_EQ(in(answer(first)).destination.to_string(), instance);
    EXPECT_EQ(in(answer(neighbour)).destination.to_string(), other_instance);
}

TEST_F(Flow, UdpWithoutChecksumKeepsNone) {
    Packet packet = udp().from(instance, 5000).to(remote, 7000);
    packet.udp_without_checksum = true;
    EXPECT_TRUE(out(packet).udp_without_checksum);
}

TEST_F(Flow, UdpChecksumNeverBecomesZero) {  // RFC 768: zero would say that there is none
    for (int i = 0; i < 3000; i++) {
        Packet packet = udp().from(instance, 5000).to(remote, 7000);
        packet.payload = {static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
        Packet seen = out(packet);
        ASSERT_FALSE(seen.udp_without_checksum) << i;
    }
}

TEST_F(Flow, PingGetsAnIdentifierOfItsOwn) {  // RFC 5508 REQ-1
    Packet first = out(ping().from(instance, 100).to(remote));
    Packet second = out(ping().from(other_instance, 100).to(remote));
    EXPECT_NE(first.icmp_id, second.icmp_id);
    EXPECT_EQ(out(ping().from(instance, 100).to(other_remote)).icmp_id, first.icmp_id);
    Packet back = in(answer(first));
    EXPECT_EQ(back.destination.to_string(), instance);
    EXPECT_EQ(back.icmp_id, 100);
    EXPECT_EQ(back.payload, Bytes(16, 'p'));
    EXPECT_EQ(in(answer(second)).destination.to_string(), other_instance);
}

TEST_F(Flow, VlanTagsAndOptionsStay) {
    for (std::size_t tags = 0; tags <= 2; tags++)
        for (std::size_t options : {0u, 4u, 40u}) {
            Packet packet = tcp().from(instance, 6000).to(remote, 443);
            packet.vlans.assign(tags, 7);
            packet.options.assign(options, 1);  // no operation
            Packet seen = out(packet);
            EXPECT_EQ(seen.vlans, packet.vlans);
            EXPECT_EQ(seen.options, packet.options);
            EXPECT_EQ(seen.source.to_string(), eip);
        }
}

TEST_F(Flow, AWrongChecksumStaysWrong) {
    Bytes frame = tcp().from(instance, 5000).to(remote, 443).frame();
    frame[14 + 20 + 16] ^= 0x55;
    Outcome outcome = lab().run(Role::inside, frame);
    ASSERT_EQ(outcome.action, XDP_REDIRECT);
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "TCP; ");
}

TEST_F(Flow, MtuIsRespected) {
    establish();
    device wan = lab().device(ProgramLab::outside_slot), small = wan;
    small.mtu = 1400;
    lab().set_device(ProgramLab::outside_slot, small);
    lab().trust_next_hops(false);  // the kernel's answer is taken with the device's MTU

    Packet large = tcp().from(instance, 5000).to(remote, 443).flags(ack).with_payload(1460).seq(1001, 5001);
    large.dont_fragment = true;
    Outcome outcome = lab().run(Role::inside, large);
    EXPECT_EQ(outcome.drop_reason, "fragmentation_needed");
    EXPECT_EQ(outcome.action, XDP_REDIRECT);
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
    EXPECT_EQ(outcome.packet->icmp_type, 3);
    EXPECT_EQ(outcome.packet->icmp_code, 4);
    EXPECT_EQ(outcome.packet->icmp_rest, 1400u);
    EXPECT_EQ(outcome.packet->source.to_string(), "10.0.0.1");
    EXPECT_EQ(outcome.packet->destination.to_string(), instance);
    EXPECT_EQ(outcome.packet->destination_mac, large.source_mac);
    Bytes sent = large.ip();
    ASSERT_GE(outcome.packet->payload.size(), 28u);
    EXPECT_TRUE(std::equal(outcome.packet->payload.begin(), outcome.packet->payload.end(), sent.begin()))
        << "the quote is not what the instance sent";

    large.dont_fragment = false;
    outcome = lab().run(Role::inside, large);
    EXPECT_EQ(outcome.action, XDP_PASS) << "the host's stack fragments";
    EXPECT_EQ(outcome.packet->source.to_string(), eip);
    EXPECT_EQ(outcome.packet->ttl, 64);
    lab().set_device(ProgramLab::outside_slot, wan);
    lab().trust_next_hops(true);
}

TEST_F(Flow, TtlRunsOutAtTheGateway) {  // RFC 792
    Packet packet = udp().from(instance, 5000).to(remote, 33434);
    packet.ttl = 1;
    Outcome outcome = lab().run(Role::inside, packet);
    EXPECT_EQ(outcome.drop_reason, "ttl_exceeded");
    EXPECT_EQ(outcome.action, XDP_REDIRECT);
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
    EXPECT_EQ(outcome.packet->icmp_type, 11);
    EXPECT_EQ(outcome.packet->icmp_code, 0);
    EXPECT_EQ(outcome.packet->source.to_string(), "10.0.0.1");
    EXPECT_EQ(outcome.packet->payload, packet.ip());
    EXPECT_TRUE(lab().entries().empty()) << "a packet that goes nowhere makes no flow";

    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    Packet back = answer(seen);
    back.ttl = 1;
    outcome = lab().run(Role::outside, back);
    EXPECT_EQ(outcome.drop_reason, "ttl_exceeded");
    EXPECT_EQ(outcome.packet->source.to_string(), "198.51.100.1");
    EXPECT_EQ(outcome.packet->destination.to_string(), remote);
}

// An address of a VPC is none of the outside, even where a route table led an instance to it (RFC 1918
// section 3).
TEST_F(Flow, NoErrorGoesOutsideToAnAddressOfTheInside) {
    lab().add_private_prefix("192.168.77.0/24");
    Packet back = answer(out(udp().from(instance, 5000).to("192.168.77.5", 7000)));
    back.ttl = 1;
    const Outcome outcome = lab().run(Role::outside, back);
    EXPECT_EQ(outcome.drop_reason, "ttl_exceeded");
    EXPECT_EQ(outcome.action, XDP_DROP);
}

TEST_F(Flow, ReloadThatKeepsTheFlowKeepsIt) {
    Packet seen = establish();
    lab().bump_generation();
    EXPECT_EQ(out(tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001)).source_port,
              seen.source_port);
    EXPECT_EQ(in(answer(seen, ack)).destination.to_string(), instance);
}

TEST_F(Flow, RemovedElasticIpCutsWithAReset) {
    lab().add_elastic_ip("198.51.100.11");
    std::map<std::string, std::string> by_eip;  // an instance for each address
    for (int host = 20; host < 60 && by_eip.size() < 2; host++) {
        std::string from = "10.0.0." + std::to_string(host);
        Packet seen = out(tcp().from(from.c_str(), 5000).to(remote, 443));
        by_eip.emplace(seen.source.to_string(), from);
    }
    ASSERT_EQ(by_eip.size(), 2u);
    lab().remove_elastic_ip("198.51.100.11");
    lab().bump_generation();

    Packet data = tcp().from(by_eip.at("198.51.100.11").c_str(), 5000).to(remote, 443).flags(ack | psh);
    data.with_payload(10).seq(1001, 5001);
    Outcome outcome = lab().run(Role::inside, data);
    EXPECT_EQ(outcome.drop_reason, "flow_cut");
    EXPECT_EQ(outcome.action, XDP_REDIRECT);
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(outcome.packet->tcp_flags, rst);
    EXPECT_EQ(outcome.packet->sequence, 5001u) << "in the instance's window: what it acknowledged last";
    EXPECT_EQ(outcome.packet->source.to_string(), remote);

    out(tcp().from(by_eip.at(eip).c_str(), 5000).to(remote, 443).flags(ack).seq(1001, 5001));
}

TEST_F(Flow, ChangedRouteCuts) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    lab().add_route(1, "203.0.113.0/24", ROUTE_BLACKHOLE, 0);
    lab().bump_generation();
    EXPECT_EQ(lab().run(Role::outside, answer(seen)).drop_reason, "flow_cut");
    EXPECT_EQ(lab().run(Role::inside, udp().from(instance, 5000).to(remote, 7000)).drop_reason,
              "blackhole_route");
    lab().remove_route(1, "203.0.113.0/24");
    lab().bump_generation();
}

TEST_F(Flow, WithoutAnAgentTheKernelIsAsked) {
    Packet seen = establish();
    lab().trust_next_hops(false);
    Packet again = out(tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001));
    EXPECT_EQ(again.source_port, seen.source_port);
    EXPECT_EQ(again.destination_mac[5], 0xfe);
    EXPECT_EQ(in(answer(seen, ack)).destination_mac[5], 0x11);
    lab().trust_next_hops(true);
}

TEST_F(Flow, UnresolvedNeighbourGoesUpTheStackTranslated) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    // 10.0.0.99 has no neighbour entry.
    Outcome outcome = lab().run(Role::inside, udp().from("10.0.0.99", 5000).to(remote, 7000));
    ASSERT_EQ(outcome.action, XDP_REDIRECT);
    Outcome back = lab().run(Role::outside, answer(*outcome.packet));
    EXPECT_EQ(back.action, XDP_PASS);
    EXPECT_EQ(back.packet->destination.to_string(), "10.0.0.99");
    EXPECT_EQ(back.packet->ttl, 64) << "the host's stack lowers it";
    EXPECT_EQ(Packet::checksum_faults(back.frame), "");
}

}  // namespace
}  // namespace sallyport::support

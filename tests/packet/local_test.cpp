// SPDX-License-Identifier: Apache-2.0
// What is the host's own is left to the host; ARP for Elastic IPs is answered.
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class Local : public PacketTest {};

Bytes arp_request(const char* target) {
    Bytes frame{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0,    0,   1,  0xfe, 8,   6, 0, 1, 8, 0, 6,
                4,    0,    1,    2,    0,    0,    0, 1, 0xfe, 198, 51, 100,  254, 0, 0, 0, 0, 0, 0};
    std::uint32_t address = Ipv4Address::parse(target).value().value();
    for (int shift : {24, 16, 8, 0}) frame.push_back(static_cast<std::uint8_t>(address >> shift));
    frame.resize(60);
    return frame;
}

TEST_F(Local, ArpForAnElasticIpIsAnsweredWhereItLives) {
    Outcome outcome = lab().run(Role::outside, arp_request(eip));
    EXPECT_EQ(outcome.action, XDP_REDIRECT);
    const Bytes& frame = outcome.frame;
    EXPECT_EQ(Bytes(frame.begin(), frame.begin() + 6), (Bytes{2, 0, 0, 0, 1, 0xfe}));
    EXPECT_EQ(frame[21], 2) << "a reply";
    EXPECT_EQ(Bytes(frame.begin() + 22, frame.begin() + 28), (Bytes{2, 0, 0, 0, 0, 0x0b}));
    EXPECT_EQ(Bytes(frame.begin() + 28, frame.begin() + 32), (Bytes{198, 51, 100, 10}));
    EXPECT_EQ(Bytes(frame.begin() + 38, frame.begin() + 42), (Bytes{198, 51, 100, 254}));

    for (const char* other : {"198.51.100.1", "198.51.100.77", "10.0.0.1"}) {
        outcome = lab().run(Role::outside, arp_request(other));
        EXPECT_EQ(outcome.action, XDP_PASS) << other;
        EXPECT_EQ(outcome.frame, arp_request(other));
    }
    EXPECT_EQ(lab().run(Role::inside, arp_request(eip)).action, XDP_PASS);
}

TEST_F(Local, TheHostsOwnTrafficIsUntouched) {
    const Packet packets[] = {
        tcp().from("10.0.0.11", 50000).to("10.0.0.1", 22),
        udp().from("10.0.0.11", 68).to("255.255.255.255", 67),
        udp().from("10.0.0.11", 5353).to("224.0.0.251", 5353),
        ping().from("10.0.0.11", 1).to("198.51.100.1"),
        tcp().from("10.0.0.11", 50000).to("10.0.1.7", 22),  // another subnet of the VPC: a local route
    };
    for (const Packet& packet : packets) {
        Outcome outcome = lab().run(Role::inside, packet);
        EXPECT_EQ(outcome.action, XDP_PASS) << packet.to_string() << outcome.drop_reason;
        EXPECT_EQ(outcome.frame, packet.frame());
    }
    const Packet from_outside[] = {
        tcp().from(remote, 50000).to("198.51.100.1", 22),
        tcp().from(remote, 50000).to("198.51.100.1", 22).flags(ack),
        udp().from(remote, 53).to("198.51.100.1", 4000),
        icmp_error(3, 3, udp().from("198.51.100.1", 4000).to(remote, 53).ip())
            .from(remote)
            .to("198.51.100.1"),
        icmp_error(3, 3, Bytes(20, 0x45)).from(remote).to("198.51.100.1"),
        ping().from(remote, 9).to("198.51.100.1"),
        udp().from("198.51.100.254", 520).to("224.0.0.9", 520),
    };
    for (const Packet& packet : from_outside) {
        Outcome outcome = lab().run(Role::outside, packet);
        EXPECT_EQ(outcome.action, XDP_PASS) << packet.to_string() << outcome.drop_reason;
        EXPECT_EQ(outcome.frame, packet.frame());
    }
    Packet unusual = udp().from(remote, 0).to("198.51.100.1", 0);
    unusual.protocol = 50;  // ESP
    EXPECT_EQ(lab().run(Role::outside, unusual).action, XDP_PASS);
}

TEST_F(Local, WhatIsNotIpv4IsTheHosts) {
    Bytes ipv6(80, 0);
    ipv6[12] = 0x86;
    ipv6[13] = 0xdd;
    EXPECT_EQ(lab().run(Role::inside, ipv6).action, XDP_PASS);
    EXPECT_EQ(lab().run(Role::outside, ipv6).action, XDP_PASS);
}

}  // namespace
}  // namespace sallyport::support

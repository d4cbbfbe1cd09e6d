// SPDX-License-Identifier: Apache-2.0
// RFC 1812 and 791: what the gateway does as a router, before and beside translating.
#include "conformance/icmp.h"

namespace sallyport::support {
namespace {

class Router : public IcmpTest {
  protected:
    static Packet from_h1() { return udp().from(H1, 5000).to(S1, 7000).with_payload(40); }

    void expect_no_session() { EXPECT_TRUE(lab().entries().empty()); }

    // Its header's checksum made right again after bytes were changed.
    static Bytes& checked(Bytes& frame) {
        const std::size_t header = (frame[ip_at] & 15u) * 4u;
        put16(frame, ip_at + 10, 0);
        if (header >= 20 && frame.size() >= ip_at + header)
            put16(frame, ip_at + 10, internet_checksum({frame.data() + ip_at, header}));
        return frame;
    }
};

ROW(Router, MalformedPacketsAreDropped, "1812-§5.2.2-a") {
    const Bytes good = from_h1().frame();
    Bytes frame = good;
    frame.resize(ip_at + 19);
    EXPECT_EQ(refused(Role::inside, frame), "malformed_ipv4") << "less than a header";
    frame = good;
    frame[ip_at + 10] ^= 1;
    EXPECT_EQ(refused(Role::inside, frame), "malformed_ipv4") << "checksum";
    for (const std::uint8_t version : std::initializer_list<std::uint8_t>{0, 5, 6, 15}) {
        frame = good;
        frame[ip_at] = static_cast<std::uint8_t>(version << 4 | 5);
        EXPECT_EQ(refused(Role::inside, checked(frame)), "malformed_ipv4") << "version " << int{version};
    }
    for (std::uint8_t words = 0; words < 5; words++) {
        frame = good;
        frame[ip_at] = static_cast<std::uint8_t>(0x40 | words);
        EXPECT_EQ(refused(Role::inside, checked(frame)), "malformed_ipv4") << "header of " << int{words};
    }
    frame = good;
    put16(frame, ip_at + 2, 19);
    EXPECT_EQ(refused(Role::inside, checked(frame)), "malformed_ipv4") << "shorter than its header";
    Packet long_header = from_h1();
    long_header.options.assign(40, 1);
    frame = long_header.frame();
    put16(frame, ip_at + 2, 40);
    EXPECT_EQ(refused(Role::inside, checked(frame)), "malformed_ipv4") << "IHL 15, total length 40";
    expect_no_session();
}

ROW(Router, PacketsThatAreCutShortAreDropped, "1812-§5.2.2-b") {
    Bytes frame = from_h1().frame();
    put16(frame, ip_at + 2, 1000);
    frame.resize(100);
    EXPECT_EQ(refused(Role::inside, checked(frame)), "malformed_ipv4");
    expect_no_session();
}

ROW(Router, WhatFollowsAPacketIsPadding, "1812-§5.2.2-c") {
    keep_shape();
    const Packet packet = udp().from(H1, 5000).to(S1, 7000);  // one byte
    Bytes frame = packet.frame();
    ASSERT_EQ(frame.size(), 60U);
    const std::size_t end = ip_at + packet.ip().size();
    std::fill(frame.begin() + static_cast<std::ptrdiff_t>(end), frame.end(), 0xee);
    const Outcome outcome = run(Role::inside, frame);
    ASSERT_TRUE(outcome.packet) << outcome.drop_reason;
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
    EXPECT_EQ(outcome.packet->payload, packet.payload);
    EXPECT_EQ(get16(outcome.frame, ip_at + 2), 29);
}

ROW(Router, ReservedBitsPass, "1812-§4.2.2.3-a") {
    Bytes frame = from_h1().frame();
    frame[ip_at + 6] |= 0x80;
    const Outcome outcome = run(Role::inside, checked(frame));
    EXPECT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
    EXPECT_EQ(outcome.frame[ip_at + 6] & 0x80, 0x80);
    EXPECT_EQ(from_inside(from_h1()).frame[ip_at + 6] & 0x80, 0);
}

ROW(Router, TheChecksumComesBeforeAnyUse, "1812-§4.2.2.5-a") {
    for (const Packet& packet : {from_h1(), tcp().from(H1, 5000).to(S1, 443), ping().from(H1, 5).to(S1)}) {
        Bytes frame = packet.frame();
        frame[ip_at + 11] ^= 0x20;
        EXPECT_EQ(refused(Role::inside, frame), "malformed_ipv4");
    }
    expect_no_session();
}

ROW(Router, UnknownOptionsPass, "1812-§4.2.2.6-a") {
    use_pool({E1});
    for (const Packet& plain : {from_h1(), tcp().from(H1, 5001).to(S1, 443), ping().from(H1, 5).to(S1)}) {
        Packet packet = plain;
        packet.options = {0x9e, 4, 0xab, 0xcd};
        const Mapping mapping = map(packet);
        EXPECT_EQ(mapping.seen.options, packet.options);
        EXPECT_EQ(mapping.seen.source.to_string(), E1);
        EXPECT_EQ(mapping.seen.payload, packet.payload);
        EXPECT_TRUE(alive(mapping));
    }
}

ROW(Router, TheTimeToLiveFallsByOne, "1812-§5.3.1-a") {
    for (const int ttl : {255, 64, 2}) {
        Packet packet = from_h1();
        packet.ttl = static_cast<std::uint8_t>(ttl);
        const Mapping mapping = map(packet);
        EXPECT_EQ(mapping.seen.ttl, ttl - 1);
        Packet reply = answer_to(mapping.seen);
        reply.ttl = packet.ttl;
        std::optional<Packet> got = in(reply);
        ASSERT_TRUE(got);
        EXPECT_EQ(got->ttl, ttl - 1);
    }
    keep_shape();
    for (const int ttl : {1, 0}) {
        Packet packet = from_h1();
        packet.ttl = static_cast<std::uint8_t>(ttl);
        const Packet answer = answered(Role::inside, packet, "ttl_exceeded");
        EXPECT_EQ(answer.icmp_type, 11);
        EXPECT_EQ(answer.payload, packet.ip());
    }
}

ROW(Router, TheGatewayItselfTakesWhatHasNoTimeLeft, "1812-§4.2.2.9-a") {
    for (const int ttl : {1, 0}) {
        Packet echo = ping().from(H1, 5).to(P0);
        echo.ttl = static_cast<std::uint8_t>(ttl);
        EXPECT_EQ(from_inside(echo).action, XDP_PASS);
        echo.from(S1, 5).to(X0);
        EXPECT_EQ(from_outside(echo).action, XDP_PASS);
    }
}

// The host answers: tests/netns asks it. Addresses that are only translated to are nobody's (decision C18).
ROW(Router, EchoToTheGatewayIsTheHosts, "1812-§4.3.3.6-a") {
    EXPECT_EQ(from_inside(ping().from(H1, 5).to(P0).with_payload(1000)).action, XDP_PASS);
    EXPECT_EQ(from_outside(ping().from(S1, 5).to(X0).with_payload(1000)).action, XDP_PASS);
    EXPECT_EQ(refused(Role::outside, ping().from(S1, 5).to(E1)), "unsolicited");
}

ROW(Router, FramesToAWholeLinkAreNotForwarded, "1812-§5.3.4-a") {
    const Packet sent = from_h1();
    for (const std::uint8_t first : std::initializer_list<std::uint8_t>{0xff, 0x01, 0x33, 0x03}) {
        Packet packet = sent;
        packet.destination_mac.fill(0xff);
        packet.destination_mac[0] = first;
        EXPECT_EQ(refused(Role::inside, packet), "link_broadcast");
        expect_no_session();
    }
    const Mapping mapping = map(sent);
    Packet again = sent, reply = answer_to(mapping.seen), error = err(RX, 3, 3, mapping.seen);
    for (Packet* packet : {&again, &reply, &error}) packet->destination_mac.fill(0xff);
    EXPECT_EQ(refused(Role::inside, again), "link_broadcast");
    EXPECT_EQ(refused(Role::outside, reply), "link_broadcast");
    EXPECT_EQ(refused(Role::outside, error), "link_broadcast");
}

ROW(Router, BroadcastsAreNotForwarded, "1812-§5.3.5-a") {
    const Packet everywhere = udp().from(H1, 5000).to("255.255.255.255", 7000);
    EXPECT_EQ(from_inside(everywhere).action, XDP_PASS) << "the host may be meant, as by DHCP";
    EXPECT_EQ(refused(Role::inside, udp().from(H1, 5000).to("198.51.100.255", 7000)), "invalid_address");
    expect_no_session();
}

ROW(Router, MartiansAreDropped, "1812-§5.3.7-a") {
    const Mapping session = map(from_h1());
    for (const char* martian : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "240.0.0.1", "254.1.2.3"}) {
        EXPECT_EQ(refused(Role::inside, udp().from(martian, 1).to(S1, 1)), "invalid_address") << martian;
        EXPECT_EQ(refused(Role::inside, udp().from(H1, 1).to(martian, 1)), "invalid_address") << martian;
        EXPECT_EQ(refused(Role::outside, udp().from(martian, 1).to(E1, 1)), "invalid_address") << martian;
        EXPECT_EQ(refused(Role::outside, udp().from(S1, 1).to(martian, 1)), "invalid_address") << martian;
    }
    for (const char* group : {"224.0.0.1", "239.255.255.250", "255.255.255.255"}) {  // as a source
        EXPECT_EQ(refused(Role::inside, udp().from(group, 1).to(S1, 1)), "invalid_address") << group;
        EXPECT_EQ(refused(Role::outside, udp().from(group, 1).to(E1, 1)), "invalid_address") << group;
    }
    // Nor is one believed that reports an error.
    for (const char* martian : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1"})
        EXPECT_EQ(refused(Role::outside, err(martian, 3, 1, session.seen)), "invalid_address") << martian;
}

ROW(Router, SourcesThatAreNotInsideAreDropped, "1812-§5.3.8-a") {
    for (const char* elsewhere : {"203.0.113.99", "10.9.0.1", E1})
        EXPECT_EQ(refused(Role::inside, udp().from(elsewhere, 5000).to(S1, 7000)), "source_not_in_subnet");
    expect_no_session();
}

ROW(Router, SourceRoutesAreNotFollowed, "1812-§5.3.13-a") {
    const Mapping mapping = map(from_h1());
    for (const std::uint8_t kind : std::initializer_list<std::uint8_t>{131, 137})
        for (const Bytes& options : {Bytes{kind, 7, 4, 203, 0, 113, 20, 0}, Bytes{1, kind, 3, 4},
                                     Bytes{0x9e, 4, 0, 0, kind, 7, 8, 203, 0, 113, 20, 0}}) {
            Packet packet = from_h1(), reply = answer_to(mapping.seen);
            packet.options = reply.options = options;
            EXPECT_EQ(refused(Role::inside, packet), "source_routed");
            EXPECT_EQ(refused(Role::outside, reply), "source_routed");
            EXPECT_EQ(refused(Role::inside, packet.to(P0, 9)), "source_routed");
            EXPECT_EQ(refused(Role::outside, reply.to(X0, 9)), "source_routed");
        }
    // Record route passes as it is: the gateway records nothing.
    Packet packet = from_h1(), reply = answer_to(mapping.seen);
    packet.options = {7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(map(packet).seen.options, packet.options);
    reply.options = {7, 11, 8, 203, 0, 113, 254, 0, 0, 0, 0, 0};
    std::optional<Packet> got = in(reply);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->options, reply.options);
}

ROW(Router, WhatTheInsideRecordedDoesNotLeave, "3022-§4.6-a") {
    const Mapping session = map(from_h1());
    const Packet delivered = arrived(session);
    for (const Bytes& options :
         {Bytes{7, 11, 8, 10, 0, 0, 11, 0, 0, 0, 0, 0}, Bytes{68, 12, 13, 1, 10, 0, 0, 11, 0, 0, 0, 1},
          Bytes{68, 12, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0}, Bytes{7, 7, 4, 10, 0, 0, 11, 0}}) {
        Packet packet = from_h1(), quoted = delivered;
        packet.options = quoted.options = options;
        EXPECT_EQ(refused(Role::inside, packet), "recorded_address");
        EXPECT_EQ(refused(Role::inside, packet.from(H2)), "recorded_address");
        EXPECT_EQ(refused(Role::inside, err(H1, 3, 3, quoted)), "recorded_address");
    }
    Packet stamps = from_h1();  // times alone tell no address
    stamps.options = {68, 12, 9, 0, 1, 2, 3, 4, 0, 0, 0, 0};
    EXPECT_EQ(map(stamps).seen.options, stamps.options);
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// Every way in which a packet from inside can be refused, and what the instance is told.
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class Refused : public PacketTest {};

TEST_F(Refused, SegmentsWithoutAFlowGetAReset) {  // decision C20
    for (int flags : {+ack, ack | psh, fin | ack, syn | ack, +fin, 0}) {
        Packet packet = tcp().from(instance, 5000).to(remote, 443).flags(flags).seq(100, 200).with_payload(5);
        Outcome outcome = lab().run(Role::inside, packet);
        EXPECT_EQ(outcome.drop_reason, "tcp_without_flow");
        ASSERT_EQ(outcome.action, XDP_REDIRECT);
        ASSERT_TRUE(outcome.packet);
        EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
        EXPECT_EQ(outcome.packet->source.to_string(), remote);
        EXPECT_EQ(outcome.packet->source_port, 443);
        EXPECT_EQ(outcome.packet->destination.to_string(), instance);
        EXPECT_EQ(outcome.packet->destination_port, 5000);
        EXPECT_EQ(outcome.packet->destination_mac, packet.source_mac);
        if (flags & ack) {
            EXPECT_EQ(outcome.packet->tcp_flags, rst);
            EXPECT_EQ(outcome.packet->sequence, 200u);
        } else {
            EXPECT_EQ(outcome.packet->tcp_flags, rst | ack);
            EXPECT_EQ(outcome.packet->acknowledgement, 100u + 5 + (flags & fin ? 1 : 0));
        }
    }
    EXPECT_EQ(lab().run(Role::inside, tcp().from(instance, 5000).to(remote, 443).flags(rst)).action, XDP_DROP)
        << "a reset is never answered";
}

struct Case {
    const char* name;
    Packet packet;
    const char* reason;
};

TEST_F(Refused, EachForItsReason) {
    lab().add_route(1, "192.0.2.0/24", ROUTE_BLACKHOLE, 0);
    std::vector<Case> cases = {
        {"source outside of every subnet", tcp().from("10.9.0.1", 1).to(remote, 1), "source_not_in_subnet"},
        {"blackhole", tcp().from(instance, 1).to("192.0.2.7", 1), "blackhole_route"},
        {"an Elastic IP's port that is nobody's", udp().from(instance, 1).to(eip, 1), "unsolicited"},
        {"loopback as destination", udp().from(instance, 1).to("127.0.0.1", 1), "invalid_address"},
        {"zero as source", udp().from("0.0.0.0", 1).to(remote, 1), "invalid_address"},
        {"source and destination equal", udp().from(remote, 1).to(remote, 1), "invalid_address"},
        {"class E as destination", udp().from(instance, 1).to("240.0.0.1", 1), "invalid_address"},
        {"broadcast of another link", udp().from(instance, 1).to("198.51.100.255", 1), "invalid_address"},
    };
    Packet timestamp = ping().from(instance).to(remote);
    timestamp.icmp_type = 13;
    cases.push_back({"ICMP timestamp", timestamp, "unsupported_icmp"});
    Packet reply = ping().from(instance, 5).to(remote);
    reply.icmp_type = 0;
    cases.push_back({"an echo reply to nothing", reply, "unsupported_icmp"});
    for (const Case& row : cases) {
        Outcome outcome = lab().run(Role::inside, row.packet);
        EXPECT_EQ(outcome.drop_reason, row.reason) << row.name;
        EXPECT_EQ(outcome.action, XDP_DROP) << row.name;
    }
    lab().remove_route(1, "192.0.2.0/24");
}

TEST_F(Refused, NoRouteIsToldByIcmp) {
    lab().remove_route(1, "0.0.0.0/0");
    Outcome outcome = lab().run(Role::inside, udp().from(instance, 1).to(remote, 1));
    EXPECT_EQ(outcome.drop_reason, "no_route");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(outcome.packet->icmp_type, 3);
    EXPECT_EQ(outcome.packet->icmp_code, 0);
    lab().add_route(1, "0.0.0.0/0", ROUTE_NAT_GATEWAY, 0);
}

TEST_F(Refused, ErrorsAreNeverAnswered) {  // RFC 1812 section 4.3.2.7
    lab().remove_route(1, "0.0.0.0/0");
    for (const int type : {3, 4, 5, 11, 12}) {
        Packet packet = ping().from(instance).to("192.0.2.1");
        packet.icmp_type = static_cast<std::uint8_t>(type);
        packet.payload = Bytes(40, 0x45);
        const Outcome outcome = lab().run(Role::inside, packet);
        EXPECT_EQ(outcome.action, XDP_DROP) << "type " << type << " " << outcome.drop_reason;
    }
    lab().add_route(1, "0.0.0.0/0", ROUTE_NAT_GATEWAY, 0);
}

TEST_F(Refused, NatGatewayWithoutElasticIp) {
    lab().remove_elastic_ip(eip);
    Outcome outcome = lab().run(Role::inside, udp().from(instance, 1).to(remote, 1));
    EXPECT_EQ(outcome.drop_reason, "nat_gateway_without_elastic_ip");
    lab().add_elastic_ip(eip);
}

TEST_F(Refused, MalformedFrames) {
    Bytes good = tcp().from(instance, 5000).to(remote, 443).frame();
    struct Change {
        const char* name;
        std::size_t at;
        std::uint8_t value;
        const char* reason;
    };
    for (const Change& change : {Change{"version 5", 14, 0x55, "malformed_ipv4"},
                                 Change{"header of 16 bytes", 14, 0x44, "malformed_ipv4"},
                                 Change{"longer than the frame", 16, 9, "malformed_ipv4"},
                                 Change{"shorter than its header", 17, 10, "malformed_ipv4"},
                                 Change{"wrong header checksum", 24, 0xee, "malformed_ipv4"}}) {
        Bytes frame = good;
        frame[change.at] = change.value;
        EXPECT_EQ(lab().run(Role::inside, frame).drop_reason, change.reason) << change.name;
    }
    Bytes short_offset = good;
    short_offset[14 + 20 + 12] = 4 << 4;
    EXPECT_EQ(lab().run(Role::inside, short_offset).drop_reason, "malformed_transport");
    Bytes long_udp = udp().from(instance, 5000).to(remote, 7000).frame();
    long_udp[14 + 20 + 4] = 2;
    EXPECT_EQ(lab().run(Role::inside, long_udp).drop_reason, "malformed_transport");
    Bytes cut = good;
    cut.resize(14 + 10);
    EXPECT_EQ(lab().run(Role::inside, cut).drop_reason, "malformed_ipv4");
}

// A verifier that gives up refuses the whole gateway: there must be room for the kernel that counts
// otherwise.
TEST_F(Refused, ProgramsAreNotByTheVerifier) {
    constexpr std::uint32_t allowed = 1'000'000;
    for (const Role role : {Role::inside, Role::outside, Role::both}) {
        const std::uint32_t verified = lab().verified_instructions(role);
        EXPECT_GT(verified, 0U) << "the kernel tells of none";
        EXPECT_LT(verified, allowed / 2);
        RecordProperty("verified instructions " + std::to_string(static_cast<int>(role)),
                       std::to_string(verified));
    }
}

TEST_F(Refused, NoFrameUpsetsThePrograms) {
    // Each byte of each kind of packet flipped in each bit: whatever happens, it is counted.
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    const Bytes frames[] = {tcp().from(instance, 5000).to(remote, 443).frame(),
                            udp().from(instance, 5000).to(remote, 7000).frame(),
                            ping().from(instance, 3).to(remote).frame(),
                            icmp_error(3, 3, seen.ip(), 60).from("198.51.100.254").to(eip).frame()};
    for (const Bytes& frame : frames)
        for (std::size_t at = 12; at < frame.size(); at++)
            for (int bit = 0; bit < 8; bit += 3) {
                Bytes changed = frame;
                changed[at] ^= static_cast<std::uint8_t>(1 << bit);
                for (Role role : {Role::inside, Role::outside}) {
                    Outcome outcome = lab().run(role, changed);
                    EXPECT_TRUE(outcome.action == XDP_PASS || outcome.action == XDP_DROP ||
                                outcome.action == XDP_REDIRECT)
                        << outcome.action;
                }
            }
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// RFC 5597 section 3, RFC 6888 REQ-1: a protocol is translated as its RFC asks, or not at all.
#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class Protocols : public ConformanceTest {
  protected:
    static constexpr std::uint8_t dccp = 33, gre = 47, esp = 50, sctp = 132, udp_lite = 136,
                                  experimental = 253;

    // The header of a DCCP-Request is 20 bytes; what the others would hold does not matter.
    static Packet packet_of(std::uint8_t protocol) {
        Packet packet = udp().from(H1).to(S1);
        packet.protocol = protocol;
        packet.payload = {0x13, 0x88, 0x1b, 0x58, 5, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 42};
        return packet;
    }
    // Nothing may leave outside; what comes back says that the protocol cannot be reached.
    void expect_refused(std::uint8_t protocol) {
        Packet packet = packet_of(protocol);
        Outcome outcome = from_inside(packet);
        EXPECT_EQ(outcome.drop_reason, "unsupported_protocol") << int{protocol};
        ASSERT_TRUE(outcome.packet);
        EXPECT_EQ(outcome.packet->source.to_string(), P0);
        EXPECT_EQ(outcome.packet->destination.to_string(), H1);
        EXPECT_EQ(outcome.packet->protocol, 1);
        EXPECT_EQ(outcome.packet->icmp_type, 3);
        EXPECT_EQ(outcome.packet->icmp_code, 2);
        EXPECT_TRUE(lab().entries().empty());
    }
};

ROW(Protocols, DccpIsRefused, "5597-§3-a") {
    expect_refused(dccp);
}

ROW(Protocols, TheRefusalIsLimitedInRate, "5597-§3-a") {
    int answered = 0;
    for (int i = 0; i < 2000; i++) answered += from_inside(packet_of(dccp)).action == XDP_REDIRECT;
    EXPECT_GT(answered, 0);
    EXPECT_LT(answered, 2000);
    EXPECT_GT(lab().counters().replies_suppressed, 0u);
}

ROW(Protocols, NoneIsTranslatedByHalves, "6888-REQ-1") {
    for (std::uint8_t protocol : {dccp, gre, esp, sctp, udp_lite, experimental}) expect_refused(protocol);
    // From outside there is nobody whose it could be: dropped in silence.
    for (std::uint8_t protocol : {dccp, gre, esp, sctp, udp_lite, experimental}) {
        Packet packet = packet_of(protocol);
        packet.from(S1).to(E1);
        Outcome outcome = from_outside(packet);
        EXPECT_EQ(outcome.action, XDP_DROP) << int{protocol};
        EXPECT_EQ(outcome.drop_reason, "unsolicited");
    }
    // TCP, UDP and ICMP are translated: sections 4 to 6 of the catalogue say how.
    EXPECT_TRUE(alive(map(udp().from(H1, 5000).to(S1, 7000))));
    est(H1, 5000, S1, 80);
    EXPECT_TRUE(alive(map(ping().from(H1, 5).to(S1))));
}

}  // namespace
}  // namespace sallyport::support

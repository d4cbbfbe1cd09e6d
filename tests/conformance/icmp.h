// SPDX-License-Identifier: Apache-2.0
//
// What the tests of ICMP have in common.
#pragma once

#include "conformance/fixture.h"

namespace sallyport::support {

struct IcmpType {
    std::uint8_t type, code;
};

// In a frame without VLAN tags and options.
inline constexpr std::size_t ip_at = 14, transport_at = ip_at + 20, icmp_at = transport_at;

class IcmpTest : public ConformanceTest {
  protected:
    // One of each protocol, from H1 to S1.
    std::vector<Mapping> sessions() {
        return {map(udp().from(H1, 5000).to(S1, 7000).with_payload(60)), est(H1, 5001, S1, 443),
                map(ping().from(H1, 100).to(S1).with_payload(60))};
    }
    // S1's answer as it arrived at the host.
    Packet arrived(const Mapping& session) {
        std::optional<Packet> packet = in(answer_to(session.seen, ack));
        EXPECT_TRUE(packet);
        return packet.value_or(Packet{});
    }
    // What an error that reaches the host of `session` has to quote: what it sent, but for the TTL and an
    // identification that was given anew (RFC 6864).
    static Bytes quote_of(const Mapping& session, std::size_t bytes) {
        Packet sent = session.sent;
        sent.ttl = session.seen.ttl;
        sent.identification = session.seen.identification;
        Bytes quote = sent.ip();
        quote.resize(std::min(bytes, quote.size()));
        return quote;
    }
    // Sends it, which must end in a drop without any answer; says why it was dropped.
    template <typename Frame>
    std::string refused(Role role, const Frame& frame) {
        Outcome outcome = run(role, frame);
        EXPECT_EQ(outcome.action, XDP_DROP);
        return outcome.drop_reason;
    }
    // Sends it, which must end in a drop that is answered by an ICMP message.
    Packet answered(Role role, const Packet& packet, const std::string& reason) {
        Outcome outcome = run(role, packet);
        EXPECT_EQ(outcome.drop_reason, reason) << packet.to_string();
        EXPECT_EQ(outcome.action, XDP_REDIRECT) << packet.to_string();
        Packet answer = outcome.packet.value_or(Packet{});
        EXPECT_EQ(answer.protocol, 1);
        EXPECT_EQ(answer.destination, packet.source);
        return answer;
    }
};

}  // namespace sallyport::support

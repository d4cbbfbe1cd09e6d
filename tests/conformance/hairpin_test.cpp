// SPDX-License-Identifier: Apache-2.0
// Hairpinning: hosts that reach each other through external endpoints (RFC 4787 section 6, RFC 5382
// section 7.1, RFC 5508 REQ-7). What 1:1 addresses and port forwards would add is not carried out yet.
#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class Hairpin : public ConformanceTest {
  protected:
    void SetUp() override {
        ConformanceTest::SetUp();
        filter(ENDPOINT_INDEPENDENT);
    }

    void filter(enum endpoint_rule rule) {
        change_gateway([=](struct nat_gateway& gateway) {
            for (std::uint8_t& filtering : gateway.filtering) filtering = static_cast<std::uint8_t>(rule);
            gateway.mapping[NAT_TCP] = ENDPOINT_INDEPENDENT;
        });
    }

    static Packet to(Packet packet, const External& external) {
        packet.destination = external.address;
        packet.destination_port = external.port;
        return packet;
    }

    // H1:5000 has talked to H2:6000 at its external endpoint; `got` is what H2 received.
    struct Exchange {
        External a, b;
        Packet sent, got;
    };
    Exchange exchange(std::size_t payload = 64) {
        Exchange made;
        made.a = map(udp().from(H1, 5000).to(S1, 7000)).external();
        made.b = map(udp().from(H2, 6000).to(S1, 7000)).external();
        made.sent = to(udp().from(H1, 5000), made.b).with_payload(payload);
        made.got = map(made.sent).seen;
        return made;
    }
};

ROW(Hairpin, OneHostReachesAnotherAndIsAnswered, "4787-REQ-9", "4787-REQ-9a") {
    External b = map(udp().from(H2, 6000).to(S1, 7000)).external();
    Mapping sent = map(to(udp().from(H1, 5000), b));
    EXPECT_EQ(sent.seen.destination.to_string(), H2);
    EXPECT_EQ(sent.seen.destination_port, 6000);
    EXPECT_EQ(sent.external(), map(udp().from(H1, 5000).to(S1, 7000)).external())
        << "H2 sees what a public host sees";
    std::optional<Packet> reply = out(answer_to(sent.seen));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->source, b.address);
    EXPECT_EQ(reply->source_port, b.port);
    EXPECT_EQ(reply->destination.to_string(), H1);
    EXPECT_EQ(reply->destination_port, 5000);
    EXPECT_EQ(sent.seen.ttl, sent.sent.ttl - 1);
}

ROW(Hairpin, AHostTalksToItsOwnMapping, "4787-REQ-9", "4787-REQ-9a", "5780-§3.4") {
    External a = map(udp().from(H1, 5000).to(S1, 7000)).external();
    for (std::uint16_t port : std::array<std::uint16_t, 2>{5000, 5001}) {
        Mapping sent = map(to(udp().from(H1, port), a));
        EXPECT_EQ(sent.seen.destination.to_string(), H1);
        EXPECT_EQ(sent.seen.destination_port, 5000);
        EXPECT_EQ(sent.external(), map(udp().from(H1, port).to(S1, 7000)).external());
        std::optional<Packet> reply = out(answer_to(sent.seen));
        ASSERT_TRUE(reply);
        EXPECT_EQ(reply->destination_port, port);
    }
}

ROW(Hairpin, IsFilteredAsWhatComesFromOutside, "4787-REQ-9a") {
    filter(ADDRESS_AND_PORT_DEPENDENT);
    External a = map(udp().from(H1, 5000).to(S1, 7000)).external();
    External b = map(udp().from(H2, 6000).to(S1, 7000)).external();
    Packet sent = to(udp().from(H1, 5000), b);
    EXPECT_FALSE(out(sent)) << "H2:6000 has not sent to (E,a)";
    EXPECT_FALSE(out(to(udp().from(H2, 6001), a))) << "H1:5000 has sent to another port of H2";
    EXPECT_EQ(map(to(udp().from(H2, 6000), a)).seen.destination.to_string(), H1);
    EXPECT_EQ(map(sent).seen.destination.to_string(), H2) << "now it has";
}

ROW(Hairpin, TcpWorksBothWays, "5382-REQ-8", "5382-REQ-8a") {
    External b = est(H2, 6000, S1, 80).external();
    External a = est(H1, 5000, S1, 80).external();
    auto from_h1 = [&](int flags, std::uint32_t seq, std::uint32_t ack, std::size_t payload = 0) {
        return map(to(tcp().from(H1, 5000), b).flags(flags).seq(seq, ack).with_payload(payload)).seen;
    };
    auto from_h2 = [&](int flags, std::uint32_t seq, std::uint32_t ack, std::size_t payload = 0) {
        return map(to(tcp().from(H2, 6000), a).flags(flags).seq(seq, ack).with_payload(payload)).seen;
    };
    auto expect = [&](const Packet& seen, const External& source, const char* host, std::uint16_t port,
                      int flags) {
        EXPECT_EQ(seen.source, source.address);
        EXPECT_EQ(seen.source_port, source.port);
        EXPECT_EQ(seen.destination.to_string(), host);
        EXPECT_EQ(seen.destination_port, port);
        EXPECT_EQ(seen.tcp_flags, flags);
    };
    expect(from_h1(syn, 100, 0), a, H2, 6000, syn);
    expect(from_h2(syn | ack, 300, 101), b, H1, 5000, syn | ack);
    expect(from_h1(ack, 101, 301), a, H2, 6000, ack);
    expect(from_h1(ack | psh, 101, 301, 100), a, H2, 6000, ack | psh);
    expect(from_h2(ack | psh, 301, 201, 100), b, H1, 5000, ack | psh);
    expect(from_h1(fin | ack, 201, 401), a, H2, 6000, fin | ack);
    expect(from_h2(ack | psh, 401, 202, 100), b, H1, 5000, ack | psh);
    expect(from_h2(fin | ack, 501, 202), b, H1, 5000, fin | ack);
    expect(from_h1(ack, 202, 502), a, H2, 6000, ack);
    expect(from_h1(rst, 202, 0), a, H2, 6000, rst);
}

ROW(Hairpin, ARequestFromASecondPortComesBack, "5780-§3.4") {
    External first = est(H1, 5000, S1, 80).external();
    Mapping request = map(to(tcp().from(H1, 5001).seq(100), first));
    EXPECT_EQ(request.seen.destination.to_string(), H1);
    EXPECT_EQ(request.seen.destination_port, 5000);
    EXPECT_EQ(request.seen.source, first.address) << "and not the host's own";
    EXPECT_NE(request.seen.source_port, first.port);
}

ROW(Hairpin, ErrorsReachTheHostThatSent, "5508-REQ-7", "5508-REQ-7a", "7857-§12-b") {
    Exchange made = exchange();
    struct Reporter {
        const char* address;
        std::uint8_t type, code;
    };
    // H2 has no such port open; a router between expires it.
    for (const Reporter& reporter : {Reporter{H2, 3, 3}, Reporter{RP, 11, 0}})
        for (std::size_t quoted : {8u, 36u}) {
            std::optional<Packet> error =
                out(err(reporter.address, reporter.type, reporter.code, made.got, quoted));
            ASSERT_TRUE(error) << reporter.address;
            EXPECT_EQ(error->icmp_type, reporter.type);
            EXPECT_EQ(error->icmp_code, reporter.code);
            EXPECT_EQ(error->destination.to_string(), H1);
            EXPECT_EQ(error->source, made.b.address) << "external, whoever it was inside";
            Packet as_sent = made.sent;
            as_sent.ttl = made.got.ttl;
            as_sent.identification = made.got.identification;  // decision C12
            Bytes original = as_sent.ip();
            original.resize(error->payload.size());
            EXPECT_EQ(error->payload, original) << "10.0.0.11:5000 to E:b";
        }
}

ROW(Hairpin, ErrorsOfTheGatewayQuoteWhatTheHostSent, "5508-REQ-7", "5508-REQ-7a") {
    Exchange made = exchange();
    made.sent.ttl = 1;
    Outcome outcome = from_inside(made.sent);  // the invariants look at the quote
    EXPECT_EQ(outcome.drop_reason, "ttl_exceeded");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(outcome.packet->icmp_type, 11);
    EXPECT_EQ(outcome.packet->destination.to_string(), H1);
    EXPECT_EQ(outcome.packet->source.to_string(), P0);
}

}  // namespace
}  // namespace sallyport::support

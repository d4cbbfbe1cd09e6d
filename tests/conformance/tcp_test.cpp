// SPDX-License-Identifier: Apache-2.0
// RFC 5382: what a TCP connection looks like through the gateway, and what is no connection.
#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

constexpr int urg = 0x20, ece = 0x40, cwr = 0x80;

class Tcp : public ConformanceTest {
  protected:
    // Sent by the host or the server, and seen at the other end as it was: but for addresses and ports,
    // checksums and TTL, which the invariants look after.
    void expect_through(bool from_host, const Packet& sent) {
        const std::optional<Packet> seen = from_host ? out(sent) : in(sent);
        ASSERT_TRUE(seen) << sent.to_string();
        EXPECT_EQ(seen->sequence, sent.sequence);
        EXPECT_EQ(seen->acknowledgement, sent.acknowledgement);
        EXPECT_EQ(seen->tcp_flags, sent.tcp_flags);
        EXPECT_EQ(seen->tcp_options, sent.tcp_options);
        EXPECT_EQ(seen->payload, sent.payload);
    }
    void host_sends(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack,
                    std::size_t payload = 0) {
        expect_through(true, segment(flow, flags, seq, ack, payload));
    }
    void server_sends(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack,
                      std::size_t payload = 0) {
        expect_through(false, server_segment(flow, flags, seq, ack, payload));
    }
    static Packet syn_of(const char* host, std::uint16_t port, const char* server = S1,
                         std::uint16_t to = 80) {
        return tcp().from(host, port).to(server, to).seq(h_sequence);
    }
    std::size_t flows() { return lab().entries().size() / 2; }
};

ROW(Tcp, HandshakesPassInEveryForm, "5382-REQ-2") {
    std::uint16_t port = 5000;
    {
        SCOPED_TRACE("SYN and SYN-ACK retransmitted");
        const Packet opening = syn_of(H1, ++port);
        Mapping flow = map(opening);
        for (int i = 0; i < 3; i++) expect_through(true, opening);
        for (int i = 0; i < 3; i++) server_sends(flow, syn | ack, 5000, 1001);
        host_sends(flow, ack, 1001, 5001);
        server_sends(flow, syn | ack, 5000, 1001);  // the ACK was lost behind the gateway
        host_sends(flow, ack, 1001, 5001);
        server_sends(flow, ack | psh, 5001, 1001, 100);
    }
    {
        SCOPED_TRACE("SYN with data");  // TCP Fast Open, RFC 7413
        Packet opening = syn_of(H1, ++port).with_payload(700);
        opening.tcp_options = {34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1};
        Mapping flow = map(opening);
        EXPECT_EQ(flow.seen.payload, opening.payload);
        EXPECT_EQ(flow.seen.tcp_options, opening.tcp_options);
        server_sends(flow, syn | ack, 5000, 1701, 50);
        host_sends(flow, ack, 1701, 5051);
    }
    {
        SCOPED_TRACE("ECN");  // RFC 3168 section 6.1.1
        Packet opening = syn_of(H1, ++port);
        opening.flags(syn | ece | cwr);
        Mapping flow = map(opening);
        EXPECT_EQ(flow.seen.tcp_flags, opening.tcp_flags);
        server_sends(flow, syn | ack | ece, 5000, 1001);
        host_sends(flow, ack, 1001, 5001);
        host_sends(flow, ack | psh | cwr, 1001, 5001, 10);
        server_sends(flow, ack | ece, 5001, 1011);
    }
}

ROW(Tcp, WhatStandsCarriesWhatTcpMaySend, "5382-REQ-2") {
    Mapping flow = est(H1, 5000, S1, 80);
    std::uint32_t host = 1011;
    const std::uint32_t server = 5011;
    host_sends(flow, ack, host - 1, server);     // keep-alive (RFC 9293 section 3.8.4): an old number
    host_sends(flow, ack, host - 1, server, 1);  // and with one old byte
    server_sends(flow, ack, server, host);
    server_sends(flow, ack, server - 1, host, 1);
    host_sends(flow, ack, host, server);
    host_sends(flow, ack, host, server, 1);  // a zero-window probe: one byte beyond
    server_sends(flow, ack, server, host);
    Packet strange = segment(flow, ack | psh, host, server, 20);
    strange.tcp_options = {253, 6, 0xf9, 0x89, 0xde, 0xad,
                           200, 2, 1,    1,    1,    0};  // experiment, unknown, padding
    expect_through(true, strange);
    host += 20;
    // Urgent data: the pointer, which the builder does not know, is put into the frame and its checksum.
    Bytes urgent = segment(flow, ack | psh | urg, host, server, 30).frame();
    const std::size_t transport = 14 + 20;
    std::uint32_t sum = urgent[transport + 16] * 256u + urgent[transport + 17];
    sum = (~sum & 0xffff) + 5;
    sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
    urgent[transport + 16] = static_cast<std::uint8_t>(sum >> 8);
    urgent[transport + 17] = static_cast<std::uint8_t>(sum);
    urgent[transport + 19] = 5;
    const Outcome outcome = run(Role::inside, urgent);
    ASSERT_EQ(outcome.action, XDP_REDIRECT);
    EXPECT_EQ(outcome.frame[transport + 13], ack | psh | urg);
    EXPECT_EQ(outcome.frame[transport + 19], 5);
}

ROW(Tcp, ConnectionsEndInEveryForm, "5382-REQ-2") {
    {
        SCOPED_TRACE("half-close, and 10 MB the other way");
        Mapping flow = est(H1, 5001, S1, 80);
        host_sends(flow, fin | ack, 1011, 5011);
        std::uint32_t next = 5011;
        while (next < 5011 + 10'000'000) {
            Packet data = server_segment(flow, ack, next, 1012, 1400);
            ASSERT_TRUE(in(data)) << next;
            next += 1400;
            if (next % 14 == 0) {
                ASSERT_TRUE(out(segment(flow, ack, 1012, next)));
            }
        }
        host_sends(flow, ack, 1012, next);
        server_sends(flow, fin | ack, next, 1012);
        host_sends(flow, ack, 1012, next + 1);
    }
    {
        SCOPED_TRACE("both at once");
        Mapping flow = est(H1, 5002, S1, 80);
        host_sends(flow, fin | ack, 1011, 5011);
        server_sends(flow, fin | ack, 5011, 1011);
        host_sends(flow, ack, 1012, 5012);
        server_sends(flow, ack, 5012, 1012);
    }
    {
        SCOPED_TRACE("RST instead of FIN");
        Mapping flow = est(H1, 5003, S1, 80);
        host_sends(flow, rst, 1011, 0);
        Mapping other = est(H1, 5004, S1, 80);
        server_sends(other, rst | ack, 5011, 1011);
    }
    {
        SCOPED_TRACE("a new connection on the same ports");
        Mapping flow = est(H1, 5005, S1, 80);
        server_sends(flow, fin | ack, 5011, 1011);
        host_sends(flow, fin | ack, 1011, 5012);
        server_sends(flow, ack, 5012, 1012);
        const Mapping again = map(syn_of(H1, 5005).seq(700'000));
        EXPECT_EQ(again.external(), flow.external());
        server_sends(flow, syn | ack, 900'000, 700'001);
        host_sends(flow, ack, 700'001, 900'001);
        server_sends(flow, ack | psh, 900'001, 700'001, 100);
    }
}

// A connection that a server opens, where policy lets it in: on what stands already, that is on the ports of
// one that has ended. (Filtering and port forwards, which let in more, have rows of their own.)
ROW(Tcp, AServerMayOpenOnTheSamePorts, "5382-REQ-2") {
    Mapping flow = est(H1, 5000, S1, 80);
    host_sends(flow, fin | ack, 1011, 5011);
    server_sends(flow, fin | ack, 5011, 1012);
    host_sends(flow, ack, 1012, 5012);
    server_sends(flow, syn, 800'000, 0);
    server_sends(flow, syn, 800'000, 0);
    host_sends(flow, syn | ack, 60'000, 800'001);
    server_sends(flow, ack, 800'001, 60'001);
    idle(seconds(7439));
    server_sends(flow, ack | psh, 800'001, 60'001, 10);
    host_sends(flow, ack, 60'001, 800'011);
}

ROW(Tcp, SimultaneousOpen, "5382-REQ-2a") {
    Mapping flow = map(syn_of(H1, 5000));
    server_sends(flow, syn, 5000, 0);
    host_sends(flow, syn | ack, 1000, 5001);
    server_sends(flow, syn | ack, 5000, 1001);
    host_sends(flow, ack | psh, 1001, 5001, 10);
    server_sends(flow, ack | psh, 5001, 1011, 10);
    EXPECT_EQ(lab().entries().at(0).state, FLOW_STATE_ESTABLISHED);
    idle(seconds(7439));
    host_sends(flow, ack | psh, 1011, 5011, 10);
    idle(seconds(7439));
    server_sends(flow, ack, 5011, 1021);
    idle(seconds(7443));
    EXPECT_FALSE(in(server_segment(flow, ack, 5011, 1021)));
}

// Decision C3: at once and for good. In this bed nothing can come later than the packet that causes it.
ROW(Tcp, AnUnsolicitedSynIsNeverAnswered, "5382-REQ-4", "5382-REQ-4a") {
    use_pool({E1});
    change_gateway([](struct nat_gateway& gateway) { gateway.first_port = gateway.last_port = 9999; });
    const Packet wanting = tcp().from(S1, 80).to(E1, 9999).seq(5000);
    const struct counters before = lab().counters();
    const auto answers = [&] {
        const struct counters now = lab().counters();
        return now.tcp_resets_sent - before.tcp_resets_sent + now.icmp_errors_sent - before.icmp_errors_sent;
    };
    for (int second = 0; second <= 60; second += 3) {
        const Outcome outcome = from_outside(wanting);
        EXPECT_EQ(outcome.action, XDP_DROP) << "after " << second << " s";
        EXPECT_EQ(outcome.drop_reason, "unsolicited");
        idle(seconds(3));
    }
    EXPECT_EQ(answers(), 0u);
    EXPECT_EQ(flows(), 0u);
    // Meanwhile the host opens towards the same peer, from what becomes that very port.
    EXPECT_FALSE(in(wanting));
    idle(seconds(3));
    Mapping flow = map(syn_of(H1, 5000));
    ASSERT_EQ(flow.external(), (External{Ipv4Address::parse(E1).value(), 9999}));
    expect_through(false, wanting);
    host_sends(flow, syn | ack, 1000, 5001);
    server_sends(flow, syn | ack, 5000, 1001);
    host_sends(flow, ack | psh, 1001, 5001, 10);
    EXPECT_EQ(lab().entries().at(0).state, FLOW_STATE_ESTABLISHED);
    EXPECT_EQ(answers(), 0u);
}

ROW(Tcp, TheGatewaysOwnListenersAnswerThemselves, "5382-§4.3-a") {
    for (const std::uint16_t port : {std::uint16_t{22}, std::uint16_t{9}}) {
        const Packet opening = tcp().from(S1, 40000).to(X0, port);
        const Outcome outcome = from_outside(opening);
        EXPECT_EQ(outcome.action, XDP_PASS) << "the host's kernel answers, or resets";
        EXPECT_EQ(outcome.drop_reason, "");
    }
    // Its address is no Elastic IP, so no flow of an instance can take one of its ports.
    for (std::uint16_t port = 5000; port < 5200; port++)
        EXPECT_NE(map(syn_of(H1, port)).seen.source.to_string(), X0);
}

ROW(Tcp, SegmentsWithoutStateMakeNone, "5382-§5-c") {  // decision C20
    for (const int flags : {+ack, ack | psh, fin | ack, +rst, rst | ack, syn | ack, +fin, 0}) {
        const Outcome outcome = from_outside(tcp().from(S1, 80).to(E1, 9999).flags(flags).seq(100, 200));
        EXPECT_EQ(outcome.action, XDP_DROP) << flags;
        EXPECT_EQ(outcome.drop_reason, "unsolicited");
    }
    for (const int flags : {+ack, ack | psh, fin | ack, syn | ack}) {
        const Packet sent = syn_of(H1, 5000).flags(flags).seq(100, 200).with_payload(5);
        const Outcome outcome = from_inside(sent);
        EXPECT_EQ(outcome.drop_reason, "tcp_without_flow");
        ASSERT_EQ(outcome.action, XDP_REDIRECT) << "no reset";
        ASSERT_TRUE(outcome.packet);
        EXPECT_EQ(outcome.packet->destination.to_string(), H1);
        EXPECT_EQ(outcome.packet->destination_mac, sent.source_mac);
        EXPECT_EQ(outcome.packet->tcp_flags, rst);
        EXPECT_EQ(outcome.packet->sequence, 200u) << "where the host expects it";
    }
    const Outcome outcome = from_inside(syn_of(H1, 5000).flags(rst).seq(100, 200));
    EXPECT_EQ(outcome.action, XDP_DROP) << "a reset is not answered";
    EXPECT_EQ(flows(), 0u);
}

ROW(Tcp, NoHelperTouchesPayload, "5382-REQ-6") {  // decision C19
    Mapping flow = est(H1, 5000, S1, 21);
    const std::string command = "PORT 10,0,0,11,19,137\r\n",
                      answer = "227 Entering Passive Mode (203,0,113,10,4,1)\r\n";
    Packet sent = segment(flow, ack | psh, 1011, 5011);
    sent.payload.assign(command.begin(), command.end());
    expect_through(true, sent);
    Packet back = server_segment(flow, ack | psh, 5011, 1011 + static_cast<std::uint32_t>(command.size()));
    back.payload.assign(answer.begin(), answer.end());
    expect_through(false, back);
    EXPECT_EQ(flows(), 1u) << "no expectation either";
}

ROW(Tcp, NoPortIsOverloaded, "5382-REQ-7") {
    Mapping first = map(syn_of(H1, 5000)), second = map(syn_of(H2, 5000));
    EXPECT_NE(first.external(), second.external());
    EXPECT_TRUE(alive(first));
    EXPECT_TRUE(alive(second));
    lab().reap_all(REAP_CUT);

    for (const endpoint_rule rule : {ADDRESS_AND_PORT_DEPENDENT, ENDPOINT_INDEPENDENT}) {
        use_pool({E1});
        change_gateway([&](struct nat_gateway& gateway) {
            gateway.first_port = 30000;
            gateway.last_port = 30009;
            gateway.mapping[NAT_TCP] = static_cast<std::uint8_t>(rule);
        });
        std::vector<Mapping> mappings;
        for (std::uint16_t i = 0; i < 10; i++) mappings.push_back(map(syn_of(i % 2 ? H2 : H1, 5000 + i)));
        const Outcome refused = from_inside(syn_of(H1, 6000));
        EXPECT_EQ(refused.drop_reason, "port_exhausted");
        for (const Mapping& mapping : mappings) EXPECT_TRUE(alive(mapping));
        lab().reap_all(REAP_CUT);
    }
}

ROW(Tcp, TooLargeIsToldToTheHost, "5382-REQ-9") {
    Mapping flow = est(H1, 5000, S1, 80);
    Packet data = segment(flow, ack | psh, 1011, 5011, 1400);
    data.dont_fragment = true;
    const std::optional<Packet> seen = out(data);
    ASSERT_TRUE(seen);
    Packet error = err(RX, 3, 4, *seen);
    error.icmp_rest = 1300;
    const std::optional<Packet> told = in(error);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->destination.to_string(), H1);
    EXPECT_EQ(told->icmp_type, 3);
    EXPECT_EQ(told->icmp_code, 4);
    EXPECT_EQ(told->icmp_rest, 1300u);
    ASSERT_GE(told->payload.size(), 28u);
    const Bytes& quote = told->payload;
    EXPECT_EQ(Ipv4Address(quote[12], quote[13], quote[14], quote[15]).to_string(), H1);
    EXPECT_EQ(quote[20] * 256 + quote[21], 5000);
    EXPECT_EQ(quote[22] * 256 + quote[23], 80);
}

ROW(Tcp, NoIcmpErrorEndsAConnection, "5382-REQ-10") {
    Mapping standing = est(H1, 5000, S1, 80), opening = map(syn_of(H1, 5001));
    for (const Mapping& flow : {standing, opening}) {
        for (const auto& [type, code] : {std::pair{3, 0},
                                         {3, 1},
                                         {3, 2},
                                         {3, 3},
                                         {3, 4},
                                         {3, 9},
                                         {3, 10},
                                         {3, 13},
                                         {11, 0},
                                         {11, 1},
                                         {12, 0},
                                         {4, 0}}) {
            const Packet error =
                err(RX, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code), flow.seen);
            (void)from_outside(error);  // whether it passes is asked by others
        }
    }
    server_sends(standing, ack | psh, 5011, 1011, 10);
    host_sends(standing, ack | psh, 1011, 5021, 10);
    server_sends(opening, syn | ack, 5000, 1001);
    host_sends(opening, ack, 1001, 5001);
    for (const flow_entry& entry : lab().entries()) EXPECT_EQ(entry.state, FLOW_STATE_ESTABLISHED);
}

}  // namespace
}  // namespace sallyport::support

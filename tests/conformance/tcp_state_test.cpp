// SPDX-License-Identifier: Apache-2.0
// RFC 5382 section 5 and RFC 7857 section 2: how long a TCP connection is remembered, and what changes that.
#include <random>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

// Timers are exact within two units of 1.07 s.
constexpr seconds just_outside(3), established(7440), transitory(240);

class TcpState : public ConformanceTest {
  protected:
    void set_timeout(timeout_class which, seconds timeout) {
        change_gateway(
            [=](struct nat_gateway& gateway) { gateway.timeouts[which] = timeout_units(timeout); });
    }
    // What comes from the server arrives, and from the host.
    bool server_reaches(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack_number,
                        std::size_t payload = 0) {
        return in(server_segment(flow, flags, seq, ack_number, payload)).has_value();
    }
    bool host_reaches(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack_number,
                      std::size_t payload = 0) {
        return out(segment(flow, flags, seq, ack_number, payload)).has_value();
    }
    Mapping opening(std::uint16_t port = 5000) {
        return map(tcp().from(H1, port).to(S1, 80).seq(h_sequence));
    }
    Mapping standing(std::uint16_t port = 5000) { return est(H1, port, S1, 80); }  // next: 1011 and 5011
    Mapping closing(std::uint16_t port = 5000) {
        Mapping flow = standing(port);
        EXPECT_TRUE(host_reaches(flow, fin | ack, 1011, 5011));
        EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1012));
        EXPECT_TRUE(host_reaches(flow, ack, 1012, 5012));
        return flow;
    }
    flow_state state() {
        for (const flow_entry& entry : lab().entries())
            if (entry.flags & FLOW_FORWARD && entry.key.kind == FLOW_KIND_FLOW)
                return static_cast<flow_state>(entry.state);
        return FLOW_STATES;
    }
    // The state, and the timer that goes with it on both sides of its value. The connection is gone after
    // that.
    void expect(flow_state wanted, seconds timer, const Mapping& flow) {
        EXPECT_EQ(state(), wanted);
        idle(timer - seconds(1));
        EXPECT_TRUE(alive(flow)) << "a bare ACK, which moves nothing";
        EXPECT_EQ(state(), wanted);
        idle(timer + just_outside);
        EXPECT_FALSE(alive(flow));
        EXPECT_EQ(lab().entries().size(), 0u);
    }
};

ROW(TcpState, TimersAreTheirFloors, "5382-REQ-5", "7857-§2.1-b") {
    {
        SCOPED_TRACE("established");
        Mapping flow = standing();
        idle(seconds(7439));
        EXPECT_TRUE(host_reaches(flow, ack | psh, 1011, 5011, 10));
        EXPECT_TRUE(server_reaches(flow, ack | psh, 5011, 1021, 10));
        idle(seconds(7439));
        EXPECT_TRUE(server_reaches(flow, ack | psh, 5021, 1021, 10));
        EXPECT_TRUE(host_reaches(flow, ack | psh, 1021, 5031, 10));
    }
    {
        SCOPED_TRACE("opening: the SYN-ACK is late");
        Mapping flow = opening(5001);
        idle(seconds(239));
        EXPECT_TRUE(server_reaches(flow, syn | ack, 5000, 1001));
    }
    {
        SCOPED_TRACE("opening: the ACK is late");
        Mapping flow = opening(5002);
        EXPECT_TRUE(server_reaches(flow, syn | ack, 5000, 1001));
        idle(seconds(239));
        EXPECT_TRUE(host_reaches(flow, ack, 1001, 5001));
    }
    {
        SCOPED_TRACE("closing");
        Mapping flow = closing(5003);
        idle(seconds(239));
        EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1012));
        EXPECT_TRUE(host_reaches(flow, ack, 1012, 5012));
    }
}

ROW(TcpState, HalfClosedIsEstablished, "5382-§5-a") {
    Mapping flow = standing();
    EXPECT_TRUE(host_reaches(flow, fin | ack, 1011, 5011));
    EXPECT_TRUE(server_reaches(flow, ack, 5011, 1012));
    std::uint32_t next = 5011;
    for (int i = 0; i < 8; i++) {  // for more than two hours
        idle(seconds(1000));
        EXPECT_TRUE(server_reaches(flow, ack | psh, next, 1012, 1000));
        next += 1000;
        EXPECT_TRUE(host_reaches(flow, ack, 1012, next));
    }
    idle(seconds(7439));
    EXPECT_TRUE(server_reaches(flow, ack | psh, next, 1012, 1000));
}

ROW(TcpState, TimersAreSettings, "5382-REQ-5a", "7857-§2.1-a") {
    set_timeout(TIMEOUT_TCP_ESTABLISHED, seconds(10000));
    set_timeout(TIMEOUT_TCP_OPENING, seconds(30));  // refused unless asked for: see the validation's tests
    set_timeout(TIMEOUT_TCP_CLOSING, seconds(300));
    set_timeout(TIMEOUT_TCP_RESET, seconds(10));
    expect(FLOW_STATE_ESTABLISHED, seconds(10000), standing());
    expect(FLOW_STATE_OPENING, seconds(30), opening());
    expect(FLOW_STATE_CLOSING, seconds(300), closing());
    Mapping flow = standing();
    EXPECT_TRUE(server_reaches(flow, rst, 5011, 0));
    expect(FLOW_STATE_RESET, seconds(10), flow);
}

ROW(TcpState, AfterBothFinsTheLastAckMayBeRepeated, "5382-§5-b") {
    Mapping flow = closing();
    idle(seconds(1));
    EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1012));
    EXPECT_TRUE(host_reaches(flow, ack, 1012, 5012));
    idle(seconds(2));
    EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1012));
    EXPECT_TRUE(host_reaches(flow, ack, 1012, 5012));
    EXPECT_EQ(state(), FLOW_STATE_CLOSING);
    // A new connection with a higher number is not held up.
    const Mapping again = map(tcp().from(H1, 5000).to(S1, 80).seq(1'000'000));
    EXPECT_EQ(again.external(), flow.external());
    EXPECT_TRUE(server_reaches(flow, syn | ack, 2'000'000, 1'000'001));
    EXPECT_TRUE(host_reaches(flow, ack, 1'000'001, 2'000'001));
    EXPECT_TRUE(server_reaches(flow, ack | psh, 2'000'001, 1'000'001, 10));
    EXPECT_TRUE(host_reaches(flow, ack, 1'000'001, 2'000'011));
    // And is not ended by what is left of the old one.
    EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1012));
    EXPECT_TRUE(server_reaches(flow, rst, 5012, 0));
    expect(FLOW_STATE_ESTABLISHED, established, flow);
}

ROW(TcpState, SegmentsOutsideOfTheWindowChangeNothing, "5382-§9-a") {
    Mapping flow = standing();
    for (const std::uint32_t away : {1u << 30, 0u - (1u << 30), 1u << 31}) {
        for (const int flags : {+rst, rst | ack, fin | ack}) {
            EXPECT_TRUE(server_reaches(flow, flags, 5011 + away, 1011)) << "delivered in any case";
            EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
            EXPECT_TRUE(host_reaches(flow, flags, 1011 + away, 5011));
            EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
        }
    }
    // Numbers and SACK blocks stay as they were sent.
    Packet selective = segment(flow, ack, 1011, 5011);
    selective.tcp_options = {1, 1, 5, 18, 0, 0, 0x20, 0, 0, 0, 0x25, 0, 0, 0, 0x30, 0, 0, 0, 0x35, 0};
    std::optional<Packet> seen = out(selective);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->tcp_options, selective.tcp_options);
    EXPECT_EQ(seen->sequence, 1011u);
    EXPECT_EQ(seen->acknowledgement, 5011u);
    selective = server_segment(flow, ack, 5011, 1011);
    selective.tcp_options = {1, 1, 5, 10, 0, 0, 4, 0, 0, 0, 5, 0};
    seen = in(selective);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->tcp_options, selective.tcp_options);
    EXPECT_EQ(seen->sequence, 5011u);
    EXPECT_EQ(seen->acknowledgement, 1011u);
    expect(FLOW_STATE_ESTABLISHED, established, flow);
}

// Every edge of the figure. tests/packet/tcp_test.cpp has every event in every state.
ROW(TcpState, TheMachineHasTheStatesOfTheFigure, "7857-§2-a") {
    {
        SCOPED_TRACE("SYN");
        expect(FLOW_STATE_OPENING, transitory, opening());
    }
    {
        SCOPED_TRACE("SYN, SYN-ACK");
        Mapping flow = opening();
        EXPECT_TRUE(server_reaches(flow, syn | ack, 5000, 1001));
        expect(FLOW_STATE_ESTABLISHED, established, flow);
    }
    {
        SCOPED_TRACE("FIN of the client");
        Mapping flow = standing();
        EXPECT_TRUE(host_reaches(flow, fin | ack, 1011, 5011));
        expect(FLOW_STATE_FIN_FROM_INSIDE, established, flow);
    }
    {
        SCOPED_TRACE("FIN of the server");
        Mapping flow = standing();
        EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1011));
        expect(FLOW_STATE_FIN_FROM_OUTSIDE, established, flow);
    }
    {
        SCOPED_TRACE("FIN of the server, then of the client");
        Mapping flow = standing();
        EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1011));
        EXPECT_TRUE(host_reaches(flow, fin | ack, 1011, 5012));
        expect(FLOW_STATE_CLOSING, transitory, flow);
    }
    {
        SCOPED_TRACE("FIN of the client, then of the server");
        expect(FLOW_STATE_CLOSING, transitory, closing());
    }
    for (const bool by_server : {true, false}) {
        SCOPED_TRACE(by_server ? "RST of the server" : "RST of the client");
        const auto ended = [&] {
            Mapping flow = standing();
            EXPECT_TRUE(by_server ? server_reaches(flow, rst, 5011, 0) : host_reaches(flow, rst, 1011, 0));
            return flow;
        };
        expect(FLOW_STATE_RESET, transitory, ended());  // and silence
        Mapping flow = ended();
        EXPECT_TRUE(by_server ? host_reaches(flow, ack | psh, 1011, 5011, 10)
                              : server_reaches(flow, ack | psh, 5011, 1011, 10));
        expect(FLOW_STATE_ESTABLISHED, established, flow);
    }
}

ROW(TcpState, OnlyPayloadOrASynTakesAResetBack, "7857-§2-b") {  // decision C8
    {
        SCOPED_TRACE("FIN-ACK, ACK, ACK, RST-ACK");
        Mapping flow = standing();
        EXPECT_TRUE(server_reaches(flow, fin | ack, 5011, 1011));
        EXPECT_TRUE(host_reaches(flow, ack, 1011, 5012));
        EXPECT_TRUE(host_reaches(flow, ack, 1011, 5012));
        EXPECT_TRUE(host_reaches(flow, rst | ack, 1011, 5012));
        expect(FLOW_STATE_RESET, transitory, flow);
    }
    {
        SCOPED_TRACE("bare ACKs of both ends");
        Mapping flow = standing();
        EXPECT_TRUE(server_reaches(flow, rst, 5011, 0));
        EXPECT_TRUE(host_reaches(flow, ack, 1011, 5011));
        EXPECT_TRUE(server_reaches(flow, ack, 5011, 1011));
        EXPECT_TRUE(host_reaches(flow, fin | ack, 1011, 5011));
        EXPECT_TRUE(server_reaches(flow, rst, 5011, 0));
        expect(FLOW_STATE_RESET, transitory, flow);
    }
    for (const bool of_server : {true, false}) {
        SCOPED_TRACE("one byte");
        Mapping flow = standing();
        EXPECT_TRUE(server_reaches(flow, rst, 5011, 0));
        EXPECT_TRUE(of_server ? server_reaches(flow, ack, 5011, 1011, 1)
                              : host_reaches(flow, ack, 1011, 5011, 1));
        expect(FLOW_STATE_ESTABLISHED, established, flow);
    }
    {
        SCOPED_TRACE("a new SYN");
        Mapping flow = standing();
        EXPECT_TRUE(server_reaches(flow, rst, 5011, 0));
        EXPECT_EQ(map(tcp().from(H1, 5000).to(S1, 80).seq(90'000)).external(), flow.external());
        EXPECT_TRUE(server_reaches(flow, syn | ack, 70'000, 90'001));
        expect(FLOW_STATE_ESTABLISHED, established, flow);
    }
    // There are no flows whose RST cannot be checked: what begins in the middle makes none (5382-§5-c).
}

ROW(TcpState, ResetsAreTranslated, "7857-§2.2-a") {
    Mapping flow = standing();
    const std::optional<Packet> inwards = in(server_segment(flow, rst, 5011, 0));
    ASSERT_TRUE(inwards);
    EXPECT_EQ(inwards->destination.to_string(), H1);
    EXPECT_EQ(inwards->destination_port, 5000);
    EXPECT_EQ(inwards->tcp_flags, rst);
    EXPECT_EQ(inwards->sequence, 5011u);
    const std::optional<Packet> outwards = out(segment(flow, rst | ack, 1011, 5011));
    ASSERT_TRUE(outwards);
    EXPECT_EQ(outwards->source, flow.seen.source);
    EXPECT_EQ(outwards->source_port, flow.seen.source_port);
    EXPECT_EQ(outwards->tcp_flags, rst | ack);
    EXPECT_EQ(outwards->sequence, 1011u);
}

ROW(TcpState, AResetLeavesFourMinutes, "7857-§2.2-b") {
    Mapping flow = standing();
    EXPECT_TRUE(server_reaches(flow, rst, 5011, 0));
    idle(seconds(239));
    EXPECT_TRUE(host_reaches(flow, ack | psh, 1001, 5011, 10)) << "retransmitted";
    Mapping other = standing(5001);
    EXPECT_TRUE(server_reaches(other, rst, 5011, 0));
    idle(seconds(250));
    EXPECT_FALSE(host_reaches(other, ack | psh, 1001, 5011, 10));
    EXPECT_FALSE(server_reaches(other, ack | psh, 5011, 1011, 10));
}

// Off-path: 1000 guesses, of which one in 65,536 would be right.
ROW(TcpState, AResetMustBelongToTheConnection, "7857-§2.2-c") {
    std::mt19937 random(7857);
    Mapping flow = standing();
    for (int i = 0; i < 1000; i++) {
        EXPECT_TRUE(server_reaches(flow, rst, static_cast<std::uint32_t>(random()), 0));
        ASSERT_EQ(state(), FLOW_STATE_ESTABLISHED) << "guess " << i;
    }
    expect(FLOW_STATE_ESTABLISHED, established, flow);
    flow = opening();
    for (int i = 0; i < 1000; i++) {
        EXPECT_TRUE(server_reaches(flow, rst | ack, 0, static_cast<std::uint32_t>(random())));
        ASSERT_EQ(state(), FLOW_STATE_OPENING) << "guess " << i;
    }
    expect(FLOW_STATE_OPENING, transitory, flow);
    flow = standing();
    EXPECT_TRUE(server_reaches(flow, rst, 5011, 0));
    expect(FLOW_STATE_RESET, transitory, flow);
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
//
// The state machine against a table that was written from the RFCs, not from the code.
#include <array>

#include "support/world.h"

namespace sallyport::flow_table {
namespace {

constexpr int opening = FLOW_STATE_OPENING, established = FLOW_STATE_ESTABLISHED,
              fin_inside = FLOW_STATE_FIN_FROM_INSIDE, fin_outside = FLOW_STATE_FIN_FROM_OUTSIDE,
              closing = FLOW_STATE_CLOSING, reset_seen = FLOW_STATE_RESET,
              outside = FLOW_STATE_OPENING_FROM_OUTSIDE;

// Columns: the state before, in the order of enum flow_state.
constexpr std::array<std::array<int, FLOW_STATES>, TABLE_EVENTS> expected{{
    // nothing of note: a bare ACK keeps even a reset flow as it is (RFC 7857 section 2, decision C8)
    {opening, established, fin_inside, fin_outside, closing, reset_seen, outside},
    // SYN-ACK from the instance, or its first datagram: answers what the remote opened (RFC 6146 3.5.2.2)
    {opening, established, fin_inside, fin_outside, closing, reset_seen, established},
    // SYN-ACK from the remote (RFC 7857 section 2), or its first datagram (RFC 4787 section 4.3)
    {established, established, fin_inside, fin_outside, closing, reset_seen, outside},
    // SYN from the instance: retransmitted (RFC 5382 REQ-5), a new connection on an old tuple (RFC 9293
    // 3.6.1, decision C8), or simultaneous open (RFC 5382 REQ-2)
    {opening, established, fin_inside, fin_outside, opening, opening, established},
    // SYN from the remote: the same from the other end
    {established, established, fin_inside, fin_outside, outside, outside, outside},
    // FIN from the instance (RFC 6146 section 3.5.2.2, C_FIN_RCV); after a reset only with payload
    {opening, fin_inside, fin_inside, closing, closing, fin_inside, outside},
    // FIN from the remote (RFC 6146 section 3.5.2.2, S_FIN_RCV)
    {opening, fin_outside, closing, fin_outside, closing, fin_outside, outside},
    // RST that belongs to the connection (RFC 7857 section 2.2)
    {reset_seen, reset_seen, reset_seen, reset_seen, reset_seen, reset_seen, reset_seen},
    // payload: brings a reset connection back to life (RFC 7857 section 2, TRANS to ESTABLISHED)
    {opening, established, fin_inside, fin_outside, closing, established, outside},
}};

TEST(FlowState, EveryEventInEveryState) {
    for (int event = 0; event < TABLE_EVENTS; ++event)
        for (int state = 0; state < FLOW_STATES; ++state)
            EXPECT_EQ(table_state_after(state, event),
                      expected[static_cast<std::size_t>(event)][static_cast<std::size_t>(state)])
                << "event " << event << " in state " << state;
}

TEST(FlowState, TimeoutClasses) {
    for (int state = 0; state < FLOW_STATES; ++state) {
        EXPECT_EQ(table_timeout_class(udp, state), TIMEOUT_UDP);
        EXPECT_EQ(table_timeout_class(icmp, state), TIMEOUT_ICMP);
    }
    // RFC 5382 REQ-5 and section 5: half-closed connections keep the established timer.
    EXPECT_EQ(table_timeout_class(tcp, opening), TIMEOUT_TCP_OPENING);
    EXPECT_EQ(table_timeout_class(tcp, outside), TIMEOUT_TCP_OPENING);
    EXPECT_EQ(table_timeout_class(tcp, established), TIMEOUT_TCP_ESTABLISHED);
    EXPECT_EQ(table_timeout_class(tcp, fin_inside), TIMEOUT_TCP_ESTABLISHED);
    EXPECT_EQ(table_timeout_class(tcp, fin_outside), TIMEOUT_TCP_ESTABLISHED);
    EXPECT_EQ(table_timeout_class(tcp, closing), TIMEOUT_TCP_CLOSING);
    EXPECT_EQ(table_timeout_class(tcp, reset_seen), TIMEOUT_TCP_RESET);
}

TEST(FlowState, OnlyPacketsThatCanMoveItTakeTheSlowStep) {
    for (const std::uint8_t protocol : {tcp, udp, icmp})
        for (int state = 0; state < FLOW_STATES; ++state)
            for (int forward = 0; forward < 2; ++forward) {
                // Payload can revive a reset flow from either side. The first answer moves UDP and ICMP; what
                // is no answer to an instance's SYN must not keep the flow.
                const bool answers = state == (forward ? outside : opening);
                const bool watched = state == reset_seen || (answers && (protocol != tcp || !forward));
                EXPECT_EQ(table_watch(protocol, state, forward), watched ? FLOW_WATCH : 0);
            }
}

constexpr std::uint8_t fin = 1, syn = 2, rst = 4, ack = 16;

table_segment segment(std::uint8_t flags, std::uint32_t sequence = 0, std::uint32_t acknowledges = 0,
                      std::uint16_t payload = 0) {
    return {
        .sequence = sequence, .acknowledges = acknowledges, .payload = payload, .flags = flags, .zero0 = 0};
}

int event(const table_segment& of, bool from_inside, std::uint32_t acknowledged, int state) {
    return table_tcp_event(&of, from_inside, acknowledged, state);
}

TEST(TcpEvent, OfOrdinarySegments) {
    EXPECT_EQ(event(segment(syn), true, 0, established), TABLE_EVENT_SYN_INSIDE);
    EXPECT_EQ(event(segment(syn), false, 0, established), TABLE_EVENT_SYN_OUTSIDE);
    EXPECT_EQ(event(segment(syn | ack), true, 0, opening), TABLE_EVENT_ANSWER_INSIDE);
    EXPECT_EQ(event(segment(syn | ack), false, 0, opening), TABLE_EVENT_ANSWER_OUTSIDE);
    EXPECT_EQ(event(segment(fin | ack, 77), true, 77, established), TABLE_EVENT_FIN_INSIDE);
    EXPECT_EQ(event(segment(rst, 77), true, 77, established), TABLE_EVENT_RESET);
    EXPECT_EQ(event(segment(ack), true, 0, established), TABLE_EVENT_NONE);
    EXPECT_EQ(event(segment(ack, 0, 0, 1), true, 0, established), TABLE_EVENT_DATA);
}

TEST(TcpEvent, OfFlagsTogetherTheStrongestCounts) {
    EXPECT_EQ(event(segment(rst | fin | syn), true, 0, established), TABLE_EVENT_RESET);
    EXPECT_EQ(event(segment(syn | fin, 0, 0, 5), true, 0, established), TABLE_EVENT_SYN_INSIDE);
    EXPECT_EQ(event(segment(fin | ack, 0, 0, 5), true, 0, established), TABLE_EVENT_FIN_INSIDE);
    EXPECT_EQ(event(segment(syn | ack | fin, 0, 0, 5), false, 0, opening), TABLE_EVENT_ANSWER_OUTSIDE);
}

// RFC 7857 section 2: connections that end with FIN and RST would else leave long-lived ghosts.
TEST(TcpEvent, AFinAfterAResetCountsOnlyWithPayload) {
    for (const bool from_inside : {true, false}) {
        EXPECT_EQ(event(segment(fin | ack, 77), from_inside, 77, reset_seen), TABLE_EVENT_NONE);
        EXPECT_EQ(event(segment(fin | ack, 77, 0, 1), from_inside, 77, reset_seen),
                  from_inside ? TABLE_EVENT_FIN_INSIDE : TABLE_EVENT_FIN_OUTSIDE);
    }
}

// RFC 7857 section 2.2 and RFC 5961: what comes from outside ends a flow only within the window, and what
// comes from inside within the largest that TCP has (RFC 7323).
TEST(TcpEvent, EndsAreBelievedWithinTheWindow) {
    EXPECT_EQ(table_tcp_window(rst, 0), 1U << 16);
    EXPECT_EQ(table_tcp_window(rst, 1), 1U << 30);
    for (const std::uint32_t edge : {1000U, 0xffffff00U, 0U, 0x7fffffffU})  // across the wrap as well
        for (const int state : {established, fin_inside, fin_outside, closing})
            for (const bool from_inside : {true, false})
                for (const std::uint8_t flags : {rst, std::uint8_t{fin | ack}}) {
                    const std::uint32_t window = table_tcp_window(flags, from_inside);
                    const int counts = flags & rst   ? TABLE_EVENT_RESET
                                       : from_inside ? TABLE_EVENT_FIN_INSIDE
                                                     : TABLE_EVENT_FIN_OUTSIDE;
                    for (const std::uint32_t inside : {0U, 1U, window / 2, window - 1})
                        EXPECT_EQ(event(segment(flags, edge + inside), from_inside, edge, state), counts);
                    for (const std::uint32_t beyond : {window, window + 1, 0x80000000U, 0xffffffffU})
                        EXPECT_EQ(event(segment(flags, edge + beyond), from_inside, edge, state),
                                  TABLE_EVENT_NONE);
                }
}

TEST(TcpEvent, WhereNothingIsKnownTheSenderIsBelieved) {
    for (const std::uint32_t sequence : {0U, 1U, 0x80000000U, 0xffffffffU}) {
        const table_segment reset = segment(rst, sequence), ends = segment(fin | ack, sequence);
        EXPECT_EQ(table_tcp_event_unknown(&reset, true, established), TABLE_EVENT_RESET);
        EXPECT_EQ(table_tcp_event_unknown(&ends, true, established), TABLE_EVENT_FIN_INSIDE);
    }
}

// RFC 9293 section 3.10.7.3: before the handshake is done, a reset must acknowledge the SYN.
TEST(TcpEvent, AResetOfAnUnansweredFlowMustAcknowledgeItsSyn) {
    for (const bool from_inside : {true, false}) {
        const int state = from_inside ? outside : opening;
        EXPECT_EQ(event(segment(rst | ack, 0, 501), from_inside, 501, state), TABLE_EVENT_RESET);
        EXPECT_EQ(event(segment(rst | ack, 0, 500), from_inside, 501, state), TABLE_EVENT_NONE);
        EXPECT_EQ(event(segment(rst | ack, 0, 502), from_inside, 501, state), TABLE_EVENT_NONE);
        EXPECT_EQ(event(segment(rst, 501, 501), from_inside, 501, state), TABLE_EVENT_NONE);
        // Who opened it and gives up has had no answer: the flow counts as that until it times out.
        EXPECT_EQ(event(segment(rst, 501), !from_inside, 501, state), TABLE_EVENT_NONE);
    }
}

class FlowStep : public TableTest {
  protected:
    FlowStep() { EXPECT_EQ(table_open(&forward_, 1, 0, 501), 0); }

    flow_key reverse() const {
        flow_view view{};
        const flow_entry* entry = table_find(&forward_, &view);
        flow_key key{};
        if (entry != nullptr) table_reverse_key(entry, &key);
        return key;
    }
    void step(bool from_inside, const table_segment& what) {
        const flow_key key = from_inside ? forward_ : reverse();
        table_step(&key, &what);
    }
    // Both entries agree: state, timeout, watch.
    void expect(int state, int timeout) const {
        for (const flow_key& key : {forward_, reverse()}) {
            flow_view view{};
            ASSERT_NE(table_find(&key, &view), nullptr);
            EXPECT_EQ(view.state, state);
            EXPECT_EQ(view.timeout, table_nat_gateway(1)->timeouts[timeout]);
            const bool watched = state == reset_seen || (state == opening && !(view.flags & FLOW_FORWARD));
            EXPECT_EQ(view.flags & FLOW_WATCH, watched ? FLOW_WATCH : 0);
        }
    }

    const flow_key forward_ = forward_key(address(10, 0, 1, 5), 4711, remote_, 443);
};

TEST_F(FlowStep, ALifeFromSynToBothFins) {
    expect(opening, TIMEOUT_TCP_OPENING);
    step(false, segment(syn | ack, 900, 501));
    expect(established, TIMEOUT_TCP_ESTABLISHED);
    flow_view view{};
    table_find(&forward_, &view)->tcp_acknowledged = 901;  // as packets do
    step(true, segment(fin | ack, 501, 901));
    expect(fin_inside, TIMEOUT_TCP_ESTABLISHED);
    step(false, segment(fin | ack, 901 + table_tcp_window(fin, 0), 502));  // somebody's guess
    expect(fin_inside, TIMEOUT_TCP_ESTABLISHED);
    step(false, segment(fin | ack, 901, 502));
    expect(closing, TIMEOUT_TCP_CLOSING);
    step(true, segment(syn, 7000));  // the tuple is used again
    expect(opening, TIMEOUT_TCP_OPENING);
    EXPECT_EQ(table_find(&forward_, &view)->tcp_acknowledged, 7001U);
    expect_sound();
}

// Where each end's numbers stand is taken from the SYNs until the first acknowledgements come.
TEST_F(FlowStep, ASynBeginsTheNumbers) {
    flow_view view{};
    const flow_key back = reverse();
    const auto by_instance = [&] { return table_find(&forward_, &view)->tcp_acknowledged; };
    const auto by_remote = [&] { return table_find(&back, &view)->tcp_acknowledged; };
    step(true, segment(syn, 6000));  // the first attempt was given up
    expect(opening, TIMEOUT_TCP_OPENING);
    EXPECT_EQ(by_instance(), 6001U);
    EXPECT_EQ(by_remote(), 6001U);
    step(false, segment(rst | ack, 0, 501));  // what the first SYN got; too late
    expect(opening, TIMEOUT_TCP_OPENING);
    step(false, segment(syn | ack, 900, 6001));
    EXPECT_EQ(by_instance(), 901U);
    EXPECT_EQ(by_remote(), 6001U);
    step(true, segment(syn, 6000));             // retransmitted
    step(false, segment(syn | ack, 77, 6001));  // somebody's guess
    EXPECT_EQ(by_instance(), 901U);
    step(false, segment(rst, 901));  // before the instance has acknowledged anything
    expect(reset_seen, TIMEOUT_TCP_RESET);

    step(false, segment(syn, 40000, 0, 10));  // the remote opens anew, with data
    expect(outside, TIMEOUT_TCP_OPENING);
    EXPECT_EQ(by_instance(), 40011U);
    step(true, segment(rst | ack, 0, 5));
    step(false, segment(syn, 40000));  // without them this time
    EXPECT_EQ(by_instance(), 40001U);
    step(true, segment(syn | ack, 8000, 40001));
    expect(established, TIMEOUT_TCP_ESTABLISHED);
    EXPECT_EQ(by_instance(), 40001U);
    EXPECT_EQ(by_remote(), 8001U);
    step(true, segment(rst, 8000));  // a byte too early
    expect(established, TIMEOUT_TCP_ESTABLISHED);
    step(true, segment(rst, 8001));
    expect(reset_seen, TIMEOUT_TCP_RESET);
    step(false, segment(syn, 50000));
    step(true, segment(rst | ack, 0, 50001));  // nobody listens
    expect(reset_seen, TIMEOUT_TCP_RESET);
    expect_sound();
}

TEST_F(FlowStep, AMappedFlowKeepsItsMappingAndBelievesTheInstance) {
    table_nat_gateway(1)->mapping[NAT_TCP] = ENDPOINT_INDEPENDENT;
    const flow_key key = forward_key(address(10, 0, 1, 6), 4711, remote_, 443);
    ASSERT_EQ(table_open(&key, 1, 0, 501), 0);
    flow_view view{};
    flow_key back{};
    table_reverse_key(table_find(&key, &view), &back);
    const std::uint32_t mapping = table_find(&back, &view)->references;
    const table_segment again = segment(syn, 600), answer = segment(syn | ack, 900, 601),
                        ends = segment(rst, 5);
    EXPECT_EQ(table_step(&key, &again), opening);
    EXPECT_EQ(table_step(&back, &answer), established);
    EXPECT_EQ(table_step(&key, &ends), reset_seen);
    EXPECT_EQ(table_step(&key, &again), opening);
    EXPECT_EQ(table_find(&back, &view)->references, mapping);
    expect_sound();
}

TEST_F(FlowStep, AResetIsTakenBackByPayloadOnly) {
    step(false, segment(syn | ack, 900, 501));
    step(true, segment(rst, 501));
    expect(reset_seen, TIMEOUT_TCP_RESET);
    step(true, segment(ack, 501, 901));
    expect(reset_seen, TIMEOUT_TCP_RESET);
    step(false, segment(ack, 901, 501, 1));
    expect(established, TIMEOUT_TCP_ESTABLISHED);
}

TEST_F(FlowStep, TheFirstAnswerMovesADatagramFlow) {
    const flow_key key = forward_key(address(10, 0, 1, 5), 53, remote_, 53, udp);
    ASSERT_EQ(table_open(&key, 1, 0, 0), 0);
    flow_view view{};
    const flow_entry* entry = table_find(&key, &view);
    ASSERT_NE(entry, nullptr);
    flow_key answer{};
    table_reverse_key(entry, &answer);
    const table_segment nothing{};
    EXPECT_EQ(table_step(&key, &nothing), opening);
    ASSERT_NE(table_find(&answer, &view), nullptr);
    EXPECT_EQ(view.flags & FLOW_WATCH, FLOW_WATCH);
    EXPECT_EQ(table_step(&answer, &nothing), established);
    ASSERT_NE(table_find(&answer, &view), nullptr);
    EXPECT_EQ(view.flags & FLOW_WATCH, 0);
    expect_sound();
}

}  // namespace
}  // namespace sallyport::flow_table

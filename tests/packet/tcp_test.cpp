// SPDX-License-Identifier: Apache-2.0
//
// The state machine that bpf/README.md draws: one test per arrow, and per event that must not be one. Each
// asks for the state and, by the clock, for the timer that goes with it, just inside and just outside.
#include <fmt/format.h>

#include "packet/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

constexpr std::array<const char*, FLOW_STATES> state_names{
    "Opening", "Established", "FinFromInside", "FinFromOutside", "Closing", "Reset", "OpeningFromOutside"};

// RFC 5382 REQ-5, RFC 7857 section 2.2.
constexpr std::array<seconds, FLOW_STATES> timers{seconds(240), seconds(7440), seconds(7440), seconds(7440),
                                                  seconds(240), seconds(240),  seconds(240)};
// Timers count units of 1.07 s, rounded up, and are to be exact within two of them.
constexpr seconds just_outside(3);

// What one end sends, with numbers that belong to the connection unless it says otherwise. The instance's SYN
// is 1000, the remote's 5000.
struct Segment {
    const char* name;
    bool from_inside;
    int flags;
    std::uint32_t beyond = 0;  // added to the sequence number
    std::size_t payload = 0;
    std::uint32_t acknowledges_beyond = 0;
};

constexpr std::uint32_t far = 1u << 30;

enum Event : std::size_t {
    ack_inside,
    ack_outside,
    syn_inside,
    syn_outside,
    syn_ack_inside,
    syn_ack_outside,
    fin_inside,
    fin_outside,
    fin_data_inside,
    fin_data_outside,
    rst_inside,
    rst_outside,
    rst_ack_inside,
    rst_ack_outside,
    data_inside,
    data_outside,
    far_rst_inside,
    far_rst_outside,
    low_rst_inside,
    low_rst_outside,
    far_fin_inside,
    far_fin_outside,
    wrong_rst_ack_inside,
    wrong_rst_ack_outside,
    events
};

constexpr std::array<Segment, events> segments{{
    {"AckInside", true, ack},
    {"AckOutside", false, ack},
    {"SynInside", true, syn, 70000},
    {"SynOutside", false, syn, 70000},
    {"SynAckInside", true, syn | ack},
    {"SynAckOutside", false, syn | ack},
    {"FinInside", true, fin | ack},
    {"FinOutside", false, fin | ack},
    {"FinWithDataInside", true, fin | ack | psh, 0, 10},
    {"FinWithDataOutside", false, fin | ack | psh, 0, 10},
    {"RstInside", true, rst},
    {"RstOutside", false, rst},
    {"RstAckInside", true, rst | ack},
    {"RstAckOutside", false, rst | ack},
    {"DataInside", true, ack | psh, 0, 1},
    {"DataOutside", false, ack | psh, 0, 1},
    {"FarRstInside", true, rst, far},
    {"FarRstOutside", false, rst, far},
    {"RstBelowWindowInside", true, rst, ~0u},
    {"RstBelowWindowOutside", false, rst, ~0u},
    {"FarFinInside", true, fin | ack, far},
    {"FarFinOutside", false, fin | ack, far},
    {"RstOfAnotherSynInside", true, rst | ack, far, 0, 1},
    {"RstOfAnotherSynOutside", false, rst | ack, far, 0, 1},
}};

constexpr int opening = FLOW_STATE_OPENING, established = FLOW_STATE_ESTABLISHED,
              fin_in = FLOW_STATE_FIN_FROM_INSIDE, fin_out = FLOW_STATE_FIN_FROM_OUTSIDE,
              closing = FLOW_STATE_CLOSING, reset = FLOW_STATE_RESET,
              outside = FLOW_STATE_OPENING_FROM_OUTSIDE;

// The table of bpf/README.md. Columns: the state before, in the order of enum flow_state. Who opened a flow
// that nobody has answered cannot end it: it counts as unanswered until it times out, whatever a flood sends
// after its SYNs.
constexpr std::array<std::array<int, FLOW_STATES>, events> expected{{
    {opening, established, fin_in, fin_out, closing, reset, outside},        // ack_inside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // ack_outside
    {opening, established, fin_in, fin_out, opening, opening, established},  // syn_inside
    {established, established, fin_in, fin_out, outside, outside, outside},  // syn_outside
    {opening, established, fin_in, fin_out, closing, reset, established},    // syn_ack_inside
    {established, established, fin_in, fin_out, closing, reset, outside},    // syn_ack_outside
    {opening, fin_in, fin_in, closing, closing, reset, outside},             // fin_inside
    {opening, fin_out, closing, fin_out, closing, reset, outside},           // fin_outside
    {opening, fin_in, fin_in, closing, closing, fin_in, outside},            // fin_data_inside
    {opening, fin_out, closing, fin_out, closing, fin_out, outside},         // fin_data_outside
    {opening, reset, reset, reset, reset, reset, outside},                   // rst_inside
    {opening, reset, reset, reset, reset, reset, outside},                   // rst_outside
    {opening, reset, reset, reset, reset, reset, reset},                     // rst_ack_inside
    {reset, reset, reset, reset, reset, reset, outside},                     // rst_ack_outside
    {opening, established, fin_in, fin_out, closing, established, outside},  // data_inside
    {opening, established, fin_in, fin_out, closing, established, outside},  // data_outside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // far_rst_inside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // far_rst_outside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // low_rst_inside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // low_rst_outside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // far_fin_inside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // far_fin_outside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // wrong_rst_ack_inside
    {opening, established, fin_in, fin_out, closing, reset, outside},        // wrong_rst_ack_outside
}};

class TcpArrow : public PacketTest, public ::testing::WithParamInterface<std::tuple<int, std::size_t>> {
  protected:
    void run(const Segment& segment) {
        if (segment.from_inside) {
            Packet packet =
                numbered(tcp().from(instance, 5000).to(remote, 443), segment, inside_next_, outside_next_);
            seen_ = out(packet);
        } else {
            in(numbered(answer(seen_), segment, outside_next_, inside_next_));
        }
    }
    static Packet numbered(Packet packet, const Segment& segment, std::uint32_t sequence,
                           std::uint32_t acknowledgement) {
        if (segment.flags & syn) --sequence;
        packet.flags(segment.flags)
            .seq(sequence + segment.beyond, acknowledgement + segment.acknowledges_beyond);
        packet.payload.assign(segment.payload, 'x');
        return packet;
    }

    // The shortest way into a state.
    void reach(int state) {
        run({"SYN", true, syn});
        if (state == opening) return;
        run(segments[syn_ack_outside]);
        run(segments[ack_inside]);
        run(segments[ack_outside]);
        if (state == fin_in || state == closing || state == outside) run(segments[fin_inside]);
        if (state == fin_out || state == closing || state == outside) run(segments[fin_outside]);
        if (state == reset) run(segments[rst_outside]);
        if (state == outside) {
            outside_next_ = 90001;
            run({"SYN", false, syn});
        }
    }
    static int state() {
        for (const flow_entry& entry : lab().entries())
            if (entry.flags & FLOW_FORWARD && entry.key.kind == FLOW_KIND_FLOW) return entry.state;
        return FLOW_STATES;
    }
    // A bare ACK moves no state: see the first two rows.
    bool alive() {
        return lab().run(Role::outside, numbered(answer(seen_), segments[ack_outside], 1, 1)).action ==
               XDP_REDIRECT;
    }

    std::uint32_t inside_next_ = 1001, outside_next_ = 5001;
    Packet seen_;
};

TEST_P(TcpArrow, LeadsToTheStateAndItsTimer) {
    const auto [before, event] = GetParam();
    const Segment& segment = segments[event];
    const auto after = static_cast<std::size_t>(expected[event][static_cast<std::size_t>(before)]);
    reach(before);
    ASSERT_EQ(state(), before);
    run(segment);
    ASSERT_EQ(state(), static_cast<int>(after)) << "not " << state_names[after];
    lab().advance(timers[after] - seconds(1));
    EXPECT_TRUE(alive());
    lab().advance(timers[after] + just_outside);
    EXPECT_FALSE(alive());
}

INSTANTIATE_TEST_SUITE_P(States, TcpArrow,
                         ::testing::Combine(::testing::Range(0, int{FLOW_STATES}),
                                            ::testing::Range(std::size_t{0}, std::size_t{events})),
                         [](const auto& of) {
                             return fmt::format("{}_{}",
                                                state_names[static_cast<std::size_t>(std::get<0>(of.param))],
                                                segments[std::get<1>(of.param)].name);
                         });

}  // namespace
}  // namespace sallyport::support

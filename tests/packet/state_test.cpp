// SPDX-License-Identifier: Apache-2.0
// The life of a flow in time: states and timers (RFC 5382 REQ-5, RFC 7857 section 2, RFC 4787 REQ-5).
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

class State : public PacketTest {
  protected:
    static Packet data(int flags = ack | psh, std::uint32_t sequence = 1001) {
        return tcp().from(instance, 5000).to(remote, 443).flags(flags).seq(sequence, 5001).with_payload(1);
    }
    static Packet reply(const Packet& seen, int flags, std::uint32_t sequence = 5001) {
        Packet packet = answer(seen, flags);
        packet.sequence = sequence;
        return packet;
    }
    static bool alive(const Packet& seen) {
        return lab().run(Role::outside, reply(seen, ack)).action == XDP_REDIRECT;
    }
    static flow_state state() {
        for (const flow_entry& entry : lab().entries())
            if (entry.flags & FLOW_FORWARD && entry.key.kind == FLOW_KIND_FLOW)
                return static_cast<flow_state>(entry.state);
        return FLOW_STATES;
    }
};

TEST_F(State, EstablishedLivesForTwoHoursAndFourMinutes) {
    Packet seen = establish();
    EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
    lab().advance(seconds(7439));
    EXPECT_TRUE(alive(seen));
    lab().advance(seconds(7439));
    out(data());
    lab().advance(seconds(7450));
    EXPECT_FALSE(alive(seen));
    EXPECT_EQ(lab().run(Role::inside, data()).drop_reason, "tcp_without_flow");
}

TEST_F(State, EitherDirectionKeepsTheOtherAlive) {
    Packet seen = establish();
    for (int i = 0; i < 5; i++) {
        lab().advance(seconds(5000));
        in(reply(seen, ack));
    }
    out(data());
    for (int i = 0; i < 5; i++) {
        lab().advance(seconds(5000));
        out(data());
    }
    EXPECT_TRUE(alive(seen));
}

TEST_F(State, OpeningLivesForFourMinutes) {
    Packet seen = out(tcp().from(instance, 5000).to(remote, 443));
    EXPECT_EQ(state(), FLOW_STATE_OPENING);
    lab().advance(seconds(239));
    in(reply(seen, syn | ack));
    EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);

    lab().reap_all(REAP_CUT);
    seen = out(tcp().from(instance, 5000).to(remote, 443));
    lab().advance(seconds(245));
    EXPECT_EQ(lab().run(Role::outside, reply(seen, syn | ack)).drop_reason, "unsolicited");
}

TEST_F(State, SimultaneousOpenWorks) {  // RFC 5382 REQ-2a
    Packet seen = out(tcp().from(instance, 5000).to(remote, 443));
    in(reply(seen, syn, 5000));
    out(data(syn | ack, 1000));
    in(reply(seen, syn | ack, 5000));
    EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
}

TEST_F(State, HalfClosedIsStillEstablished) {
    Packet seen = establish();
    out(data(fin | ack));
    EXPECT_EQ(state(), FLOW_STATE_FIN_FROM_INSIDE);
    lab().advance(seconds(7000));
    EXPECT_TRUE(alive(seen));
}

TEST_F(State, BothFinsCloseInFourMinutes) {
    Packet seen = establish();
    in(reply(seen, fin | ack));
    EXPECT_EQ(state(), FLOW_STATE_FIN_FROM_OUTSIDE);
    out(data(fin | ack));
    EXPECT_EQ(state(), FLOW_STATE_CLOSING);
    lab().advance(seconds(239));
    in(reply(seen, fin | ack));
    lab().advance(seconds(245));
    EXPECT_FALSE(alive(seen));
}

TEST_F(State, ANewConnectionMayFollowOnTheSameTuple) {
    Packet seen = establish();
    in(reply(seen, fin | ack));
    out(data(fin | ack));
    Packet again = out(tcp().from(instance, 5000).to(remote, 443).seq(900000));
    EXPECT_EQ(again.source_port, seen.source_port);
    EXPECT_EQ(state(), FLOW_STATE_OPENING);
    in(reply(again, syn | ack));
    EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
}

TEST_F(State, ResetFromInsideShortens) {
    Packet seen = establish();
    out(data(rst));
    EXPECT_EQ(state(), FLOW_STATE_RESET);
    lab().advance(seconds(239));
    EXPECT_TRUE(alive(seen));
    lab().advance(seconds(245));
    EXPECT_FALSE(alive(seen));
}

TEST_F(State, OnlyAResetThatFitsCountsFromOutside) {
    Packet seen = establish();
    in(reply(seen, rst, 5001 + (1u << 30)));
    in(reply(seen, rst, 5000));
    EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
    in(reply(seen, fin | ack, 5001 - (1u << 30)));
    EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
    in(reply(seen, rst, 5001));
    EXPECT_EQ(state(), FLOW_STATE_RESET);
}

TEST_F(State, PayloadRevivesAfterAReset) {  // decision C8
    Packet seen = establish();
    in(reply(seen, rst, 5001));
    Packet bare = tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001);
    out(bare);
    EXPECT_EQ(state(), FLOW_STATE_RESET);
    out(data());
    EXPECT_EQ(state(), FLOW_STATE_ESTABLISHED);
    lab().advance(seconds(7000));
    EXPECT_TRUE(alive(seen));
}

TEST_F(State, AResetThatAnswersTheSynEndsTheOpening) {
    Packet seen = out(tcp().from(instance, 5000).to(remote, 443));
    Packet wrong = reply(seen, rst | ack, 0);
    wrong.acknowledgement = 5;
    in(wrong);
    EXPECT_EQ(state(), FLOW_STATE_OPENING);
    in(reply(seen, rst | ack, 0));
    EXPECT_EQ(state(), FLOW_STATE_RESET);
}

TEST_F(State, UdpLivesForFiveMinutes) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 53));
    lab().advance(seconds(299));
    in(answer(seen));
    lab().advance(seconds(299));
    EXPECT_EQ(in(answer(seen)).destination.to_string(), instance);
    lab().advance(seconds(310));
    EXPECT_EQ(lab().run(Role::outside, answer(seen)).drop_reason, "unsolicited");
}

TEST_F(State, PingLivesForAMinute) {
    Packet seen = out(ping().from(instance, 5).to(remote));
    lab().advance(seconds(59));
    in(answer(seen));
    lab().advance(seconds(65));
    EXPECT_EQ(lab().run(Role::outside, answer(seen)).drop_reason, "unsolicited");
}

TEST_F(State, TheMappingOutlivesItsFirstFlow) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 53));
    for (int i = 0; i < 10; i++) {
        lab().advance(seconds(100));
        out(udp().from(instance, 5000).to(other_remote, 53));
        lab().reap_all(REAP_EXPIRED);
    }
    EXPECT_EQ(out(udp().from(instance, 5000).to("203.0.113.77", 53)).source_port, seen.source_port);
}

TEST_F(State, EstablishedFlowsAreCounted) {
    establish();
    auto after = lab().counters();
    EXPECT_EQ(after.nat_gateways[0].flow_attempts - before_.nat_gateways[0].flow_attempts, 1u);
    EXPECT_EQ(after.nat_gateways[0].flows_established - before_.nat_gateways[0].flows_established, 1u);
    EXPECT_EQ(after.nat_gateways[0].out_packets - before_.nat_gateways[0].out_packets, 2u);
    EXPECT_EQ(after.nat_gateways[0].in_packets - before_.nat_gateways[0].in_packets, 1u);
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// What one instance may have of a NAT gateway, and how many flows may wait for an answer.
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

// struct host_limits, of which a test names what it is about.
struct Quota {
    std::uint32_t flows = 0, ports = 0, new_flows_per_second = 0, flows_per_mapping = 0;
};

class Limits : public PacketTest {
  protected:
    void SetUp() override {
        PacketTest::SetUp();
        all_ = lab().nat_gateway(0);
        lab().refill_reply_budget();
    }
    void TearDown() override {
        lab().change_nat_gateway(0, all_);
        set({});
        lab().set_unanswered_capacity(0);
        lab().reap_all(REAP_CUT);
        EXPECT_EQ(lab().unanswered(), 0u) << "a flow that ended still counts as one without an answer";
        EXPECT_EQ(lab().hosts_holding(), 0u) << "an instance without flows still holds something";
        lab().advance(std::chrono::seconds(2));  // whatever the rate remembers is over
        PacketTest::TearDown();
    }

    static void set(const Quota& quota) {
        struct host_limits limits {};
        limits.flows = quota.flows;
        limits.ports = quota.ports;
        limits.new_flows_per_second = quota.new_flows_per_second;
        limits.flows_per_mapping = quota.flows_per_mapping;
        lab().change_host_limits(0, limits);
    }
    void limit(const Quota& quota) {
        struct nat_gateway limited = all_;
        limited.flags |= NAT_GATEWAY_LIMITS;
        set(quota);
        lab().change_nat_gateway(0, limited);
    }

    static Packet nth(std::uint16_t i, const char* from = instance, const char* to = remote) {
        return tcp().from(from, static_cast<std::uint16_t>(5000 + i)).to(to, 443);
    }
    static Packet datagram(std::uint16_t i, const char* from = instance, const char* to = remote) {
        return udp().from(from, static_cast<std::uint16_t>(5000 + i)).to(to, 443);
    }
    std::string refused(const Packet& packet) { return lab().run(Role::inside, packet).drop_reason; }

  private:
    struct nat_gateway all_ {};
};

TEST_F(Limits, OfFlowsAreExactAndEachInstancesOwn) {
    limit({.flows = 10});
    for (std::uint16_t i = 0; i < 10; i++) out(i % 2 ? nth(i) : datagram(i));
    EXPECT_EQ(refused(nth(10)), "flow_limit");
    EXPECT_EQ(refused(datagram(10)), "flow_limit");
    EXPECT_EQ(refused(ping().from(instance, 7).to(remote)), "flow_limit");
    for (std::uint16_t i = 0; i < 10; i++) out(i % 2 ? nth(i) : datagram(i));  // what stands goes on
    for (std::uint16_t i = 0; i < 10; i++) out(nth(i, other_instance));
    EXPECT_EQ(refused(nth(10, other_instance)), "flow_limit");
}

TEST_F(Limits, TheInstanceIsToldButNotForEachPacket) {  // RFC 6888 REQ-11 B
    limit({.flows = 1});
    out(nth(0));
    Outcome first = lab().run(Role::inside, nth(1));
    ASSERT_TRUE(first.packet);
    EXPECT_EQ(first.action, XDP_REDIRECT);
    EXPECT_EQ(first.packet->icmp_type, 3);
    EXPECT_EQ(first.packet->icmp_code, 1);
    EXPECT_EQ(lab().run(Role::inside, nth(2)).action, XDP_DROP) << "in the same tick";
    out(nth(0, other_instance));
    EXPECT_EQ(lab().run(Role::inside, nth(1, other_instance)).action, XDP_REDIRECT) << "each has its own";
    lab().advance(std::chrono::milliseconds(200));
    EXPECT_EQ(lab().run(Role::inside, nth(2)).action, XDP_REDIRECT);
}

TEST_F(Limits, OfPortsCountMappingsAndFlowsWithoutOne) {
    limit({.ports = 3});
    out(datagram(0));
    out(datagram(0, instance, other_remote));  // the same mapping, the same port
    out(nth(1));
    out(nth(2));
    EXPECT_EQ(refused(datagram(3)), "port_limit");
    EXPECT_EQ(refused(nth(3)), "port_limit");
    out(datagram(0, instance, "203.0.113.99"));
    EXPECT_EQ(lab().hosts_holding(), 1u);
}

TEST_F(Limits, OfFlowsOnOneMapping) {  // RFC 6888 REQ-5
    limit({.flows_per_mapping = 5});
    for (std::uint16_t i = 0; i < 5; i++) {
        Packet packet = datagram(0);
        out(packet.to(remote, static_cast<std::uint16_t>(100 + i)));
    }
    Packet packet = datagram(0);
    EXPECT_EQ(refused(packet.to(remote, 200)), "mapping_flow_limit");
    out(datagram(1));
    for (std::uint16_t i = 0; i < 10; i++) out(nth(static_cast<std::uint16_t>(200 + i)));
}

TEST_F(Limits, OfNewFlowsPerSecondLetASecondsWorthComeAtOnce) {
    limit({.new_flows_per_second = 10});
    for (std::uint16_t i = 0; i < 10; i++) out(nth(i));
    EXPECT_EQ(refused(nth(10)), "new_flow_rate");
    for (std::uint16_t i = 0; i < 10; i++) out(nth(i, other_instance));
    lab().advance(std::chrono::milliseconds(510));  // five more
    for (std::uint16_t i = 20; i < 25; i++) out(nth(i));
    EXPECT_EQ(refused(nth(25)), "new_flow_rate");
    lab().advance(std::chrono::seconds(60));  // no more is saved up than a second's worth
    for (std::uint16_t i = 30; i < 40; i++) out(nth(i));
    EXPECT_EQ(refused(nth(40)), "new_flow_rate");
    lab().reap_all(REAP_CUT);
    EXPECT_EQ(refused(nth(41)), "new_flow_rate") << "the rate is not forgotten with the last flow";
}

TEST_F(Limits, AreGivenBackByEveryEndOfAFlow) {
    limit({.flows = 2, .ports = 2});
    out(nth(0));
    out(datagram(1));
    EXPECT_EQ(refused(nth(2)), "flow_limit");
    lab().advance(std::chrono::seconds(400));  // expired: the reaper
    EXPECT_EQ(lab().reap_all(REAP_EXPIRED), 2u);
    out(nth(2));
    out(datagram(3));
    EXPECT_EQ(refused(nth(4)), "flow_limit");
    lab().advance(std::chrono::seconds(400));  // expired: by their own next packets, without an agent
    EXPECT_EQ(refused(nth(4)), "flow_limit") << "nobody has looked at the two";
    out(nth(2));
    out(datagram(3));
    EXPECT_EQ(refused(nth(4)), "flow_limit");
    lab().reap_all(REAP_CUT);
    out(nth(4));
}

TEST_F(Limits, AreGivenBackWithoutAnAgent) {
    limit({.flows = 4});
    lab().set_unanswered_capacity(8);
    for (const char* from : {instance, other_instance})
        for (std::uint16_t i = 0; i < 4; i++)
            lab().run(Role::inside, i % 2 ? nth(i, from) : datagram(i, from));
    lab().trust_next_hops(false);  // it has been silent for long
    for (int i = 0; i < 1000; i++) EXPECT_EQ(refused(nth(9)), "unanswered_limit") << "they live";
    lab().set_unanswered_capacity(100);
    for (int i = 0; i < 1000; i++) EXPECT_EQ(refused(nth(9)), "flow_limit") << "they live";
    lab().advance(std::chrono::seconds(400));
    int tries = 0;
    while (tries < 1000 && !refused(nth(9)).empty()) tries++;
    EXPECT_LT(tries, 1000) << "the whole table was looked through several times";
    lab().trust_next_hops(true);
}

TEST_F(Limits, AreGivenBackWhenNoPortIsLeft) {
    struct nat_gateway few = lab().nat_gateway(0);
    few.first_port = 2000;
    few.last_port = 2001;
    few.flags |= NAT_GATEWAY_LIMITS;
    set({.flows = 5, .ports = 5, .flows_per_mapping = 5});
    lab().change_nat_gateway(0, few);
    for (std::uint16_t i = 0; i < 2; i++) {
        out(nth(i));
        out(datagram(i));
    }
    for (std::uint16_t i = 2; i < 20; i++) {
        EXPECT_EQ(refused(nth(i)), "port_exhausted");
        EXPECT_EQ(refused(datagram(i)), "port_exhausted");
    }
    EXPECT_EQ(lab().unanswered(), 4u);
}

TEST_F(Limits, ChangeAtRunTimeAndKeepWhatStands) {      // RFC 6888 REQ-4 A
    for (std::uint16_t i = 0; i < 3; i++) out(nth(i));  // before there were limits: not counted
    limit({.flows = 20});
    for (std::uint16_t i = 10; i < 30; i++) out(nth(i));
    EXPECT_EQ(refused(nth(30)), "flow_limit");
    limit({.flows = 5});
    for (std::uint16_t i = 10; i < 30; i++) out(nth(i));
    EXPECT_EQ(refused(nth(30)), "flow_limit");
    limit({.flows = 21});
    out(nth(30));
    struct nat_gateway none = lab().nat_gateway(0);
    none.flags &= ~static_cast<unsigned>(NAT_GATEWAY_LIMITS);
    lab().change_nat_gateway(0, none);
    for (std::uint16_t i = 40; i < 60; i++) out(nth(i));
}

class Unanswered : public Limits {};

TEST_F(Unanswered, FlowsAreCountedUntilTheyAreAnsweredOrEnd) {
    Packet seen = out(nth(0));
    Packet seen_datagram = out(datagram(0));
    EXPECT_EQ(lab().unanswered(), 2u);
    out(nth(0));
    EXPECT_EQ(lab().unanswered(), 2u) << "a SYN sent again";
    in(answer(seen_datagram));
    EXPECT_EQ(lab().unanswered(), 1u);
    in(answer(seen, rst | ack));  // refused: that is an answer
    EXPECT_EQ(lab().unanswered(), 0u);
    out(nth(0).seq(99));  // a new connection on the same tuple
    EXPECT_EQ(lab().unanswered(), 1u);
    in(answer(out(nth(0).seq(99)), syn | ack));
    EXPECT_EQ(lab().unanswered(), 0u);
}

TEST_F(Unanswered, AResetOfTheInstancesOwnIsNoAnswer) {  // or a flood of pairs would not count
    lab().set_unanswered_capacity(10);
    for (std::uint16_t i = 0; i < 5; i++) {
        out(nth(i));
        out(nth(i).flags(rst).seq(1001));
    }
    EXPECT_EQ(lab().unanswered(), 5u);
    EXPECT_EQ(refused(nth(5)), "unanswered_limit");
}

TEST_F(Unanswered, AnInstanceMayHoldAsManyAsAreLeft) {
    lab().set_unanswered_capacity(90);
    Packet established = establish(100);
    std::uint16_t flood = 0;
    while (flood < 100 && refused(nth(flood)).empty()) flood++;
    EXPECT_EQ(flood, 45) << "half";
    EXPECT_EQ(refused(datagram(200)), "unanswered_limit");
    out(tcp().from(instance, 100).to(remote, 443).flags(ack).seq(1001, 5001));
    in(answer(established, ack));
    // Another one: its share is not touched, and whatever is answered makes room.
    for (std::uint16_t i = 0; i < 200; i++) in(answer(out(datagram(i, other_instance))));
    std::uint16_t second = 0;
    while (second < 100 && refused(nth(second, other_instance)).empty()) second++;
    EXPECT_EQ(second, 23) << "half of what was left";
    out(nth(0, "10.0.0.13"));
}

TEST_F(Unanswered, TheCapIsNeverExceeded) {
    lab().set_unanswered_capacity(64);
    for (int host = 0; host < 200; host++) {
        const std::string from = "10.0.1." + std::to_string(host + 1);
        for (std::uint16_t i = 0; i < 3; i++) lab().run(Role::inside, nth(i, from.c_str()));
    }
    EXPECT_EQ(lab().unanswered(), 64u);
}

TEST_F(Unanswered, PacketsFromOutsideThatAreNoAnswerDoNotKeepThem) {
    Packet seen = out(nth(0));
    for (int i = 0; i < 5; i++) {
        lab().advance(std::chrono::seconds(60));
        if (i < 4) {
            in(answer(seen, ack));
            in(answer(seen, rst).seq(5000, 1));  // acknowledges nothing that was sent
        }
    }
    EXPECT_EQ(lab().run(Role::outside, answer(seen, syn | ack)).drop_reason, "unsolicited")
        << "240 s after the SYN";
}

TEST_F(Unanswered, DatagramsFromInsideKeepThem) {  // RFC 4787 REQ-6
    Packet seen = out(datagram(0));
    for (int i = 0; i < 5; i++) {
        lab().advance(std::chrono::seconds(200));
        EXPECT_EQ(out(datagram(0)).source_port, seen.source_port);
    }
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// What stays inside: security groups between instances of a VPC, and routes to a router inside.
#include <arpa/inet.h>

#include "packet/fixture.h"

namespace sallyport::support {
namespace {

constexpr const char* db = "10.0.0.50";
constexpr const char* ungrouped = "10.0.0.13";
constexpr const char* router = "10.0.0.2";
constexpr const char* behind_router = "192.168.5.9";
constexpr std::uint16_t app_group = 1, db_group = 2, silent_group = 3;
constexpr std::uint8_t tcp_number = 6, udp_number = 17, icmp_number = 1, esp_number = 50;
constexpr std::uint16_t echo_requests = 8 << 8;

security_rule rule(std::uint8_t protocol, std::uint16_t first, std::uint16_t last, std::uint16_t group = 0) {
    security_rule made{};
    made.first_port = first;
    made.last_port = last;
    made.protocol = protocol;
    made.remote_group = group;
    return made;
}

security_group group(const std::vector<security_rule>& ingress,
                     const std::vector<security_rule>& egress = {rule(0, 0, 65535)}) {
    security_group made{};
    for (const security_rule& one : ingress) made.ingress[made.ingress_count++] = one;
    for (const security_rule& one : egress) made.egress[made.egress_count++] = one;
    return made;
}

class Inner : public PacketTest {
  protected:
    static void SetUpTestSuite() {
        PacketTest::SetUpTestSuite();
        lab().add_route(1, "192.168.0.0/16", ROUTE_VIA, 0, router);
        lab().change_security_group(app_group, group({}));
        lab().change_security_group(db_group, as_configured());
        lab().change_security_group(silent_group, group({}, {}));
        lab().group_instance(instance, {app_group});
        lab().group_instance(db, {db_group});
    }

    static security_group as_configured() {
        return group({rule(tcp_number, 5432, 5432, app_group),
                      rule(icmp_number, echo_requests, echo_requests + 255, app_group),
                      rule(udp_number, 53, 53), rule(icmp_number, (13 << 8) + 1, (13 << 8) + 1)});
    }

    static void passes(const Packet& packet) {
        const Outcome outcome = lab().run(Role::inside, packet);
        EXPECT_EQ(outcome.action, XDP_PASS) << packet.to_string() << " " << outcome.drop_reason;
        EXPECT_EQ(outcome.frame, packet.frame());
    }
    static std::string refusal(const Packet& packet) { return lab().run(Role::inside, packet).drop_reason; }

    static Packet relayed(const Packet& packet) {
        const Outcome outcome = lab().run(Role::inside, packet);
        EXPECT_EQ(outcome.action, XDP_REDIRECT) << packet.to_string() << " " << outcome.drop_reason;
        EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
        return outcome.packet.value_or(Packet{});
    }

    static Packet icmp_query(std::uint8_t type, std::uint8_t code) {
        Packet made = ping();
        made.icmp_type = type;
        made.icmp_code = code;
        return made;
    }

    void TearDown() override {
        lab().change_security_group(db_group, as_configured());
        lab().forget_inner_flows();
        PacketTest::TearDown();
    }
};

TEST_F(Inner, ARuleForAGroupAdmitsThoseThatHaveIt) {
    passes(tcp().from(instance, 5000).to(db, 5432));
    EXPECT_EQ(refusal(tcp().from(other_instance, 5000).to(db, 5432)), "security_group");
    lab().group_instance(other_instance, {silent_group + 1, app_group});
    passes(tcp().from(other_instance, 5000).to(db, 5432));
    lab().forget_instance(other_instance);
    EXPECT_EQ(refusal(tcp().from(instance, 5000).to(db, 5433)), "security_group");
    EXPECT_EQ(refusal(udp().from(instance, 5000).to(db, 5432)), "security_group");
}

TEST_F(Inner, AnAnswerNeedsNoRuleAndNothingElseComesBack) {
    const Packet opening = tcp().from(instance, 5000).to(db, 5432);
    const Packet answering = tcp().from(db, 5432).to(instance, 5000).flags(syn | ack);
    EXPECT_EQ(refusal(answering), "security_group") << "nobody has asked";
    passes(opening);
    passes(answering);
    EXPECT_EQ(refusal(tcp().from(db, 5432).to(instance, 5001)), "security_group");
    EXPECT_EQ(refusal(udp().from(db, 5432).to(instance, 5000)), "security_group");
}

TEST_F(Inner, WhereNeitherEndHasAGroupNothingIsKept) {
    passes(tcp().from(other_instance, 5000).to(ungrouped, 1).flags(ack));
    EXPECT_EQ(lab().inner_flows(), 0U);
    passes(udp().from(other_instance, 5000).to(db, 53));
    EXPECT_EQ(lab().inner_flows(), 1U);
}

TEST_F(Inner, WhoMayNotSendIsTold) {
    lab().group_instance(other_instance, {silent_group});
    const Outcome outcome = lab().run(Role::inside, tcp().from(other_instance, 5000).to(ungrouped, 80));
    lab().forget_instance(other_instance);
    EXPECT_EQ(outcome.drop_reason, "security_group");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(outcome.packet->icmp_type, 3);
    EXPECT_EQ(outcome.packet->icmp_code, 13);
    EXPECT_EQ(outcome.packet->destination.to_string(), other_instance);
}

TEST_F(Inner, IcmpIsTakenByTypeAndCode) {
    passes(ping().from(instance, 7).to(db));
    Packet reply = ping().from(db, 7).to(instance);
    reply.icmp_type = 0;
    passes(reply);
    reply.icmp_id = 8;
    EXPECT_EQ(refusal(reply), "security_group") << "an answer to nothing";
    EXPECT_EQ(refusal(icmp_query(13, 0).from(instance, 0).to(db)), "security_group");
    passes(icmp_query(13, 1).from(instance, 0).to(db));
    passes(icmp_query(14, 0).from(db, 0).to(instance));
    EXPECT_EQ(refusal(icmp_query(16, 0).from(db, 0).to(instance)), "security_group");
}

TEST_F(Inner, AnErrorGoesWithItsFlow) {
    const Packet sent = udp().from(instance, 4000).to(db, 53);
    Packet error = icmp_error(3, 3, sent.ip());
    error.from(db).to(instance);
    EXPECT_EQ(refusal(error), "security_group");
    passes(sent);
    passes(error);
}

TEST_F(Inner, LaterFragmentsPassUnlessTheyOverlapAHeader) {
    Packet later = tcp().from(other_instance, 5000).to(db, 5432).with_payload(64);
    later.fragment_offset = 1480;
    passes(later);
    later.fragment_offset = 8;
    EXPECT_EQ(refusal(later), "fragment_overlap");
}

TEST_F(Inner, AFlowEndsWithItsTimeout) {
    passes(udp().from(other_instance, 5000).to(db, 53));
    lab().advance(std::chrono::seconds(299));
    passes(udp().from(db, 53).to(other_instance, 5000));
    lab().advance(std::chrono::seconds(305));
    lab().group_instance(other_instance, {silent_group});
    EXPECT_EQ(refusal(udp().from(db, 53).to(other_instance, 5000)), "security_group");
    lab().forget_instance(other_instance);
}

TEST_F(Inner, ATcpFlowLivesLongWhileItIsOpenAndEndsOnceItIsClosed) {
    const Packet there = tcp().from(instance, 5000).to(db, 5432),
                 back = tcp().from(db, 5432).to(instance, 5000);
    const auto flagged = [](Packet packet, int flags) { return packet.flags(flags); };
    passes(there);
    lab().advance(std::chrono::seconds(250));
    EXPECT_EQ(refusal(flagged(back, syn | ack)), "security_group") << "too late";
    passes(there);
    passes(flagged(back, syn | ack));
    lab().advance(std::chrono::seconds(7000));
    passes(flagged(back, ack));
    passes(flagged(back, fin | ack));
    passes(flagged(there, fin | ack));
    passes(flagged(back, ack));
    lab().advance(std::chrono::seconds(250));
    EXPECT_EQ(refusal(flagged(back, ack)), "security_group");
}

TEST_F(Inner, ARuleThatGoesCutsWhatItAllowed) {
    const Packet there = tcp().from(instance, 5000).to(db, 5432);
    passes(there);
    passes(udp().from(instance, 5000).to(db, 53));
    lab().change_security_group(db_group, group({rule(udp_number, 53, 53)}));
    passes(there);  // not yet looked at again
    lab().bump_generation();
    EXPECT_EQ(refusal(tcp().from(db, 5432).to(instance, 5000).flags(ack)), "flow_cut");
    EXPECT_EQ(refusal(there), "security_group");
    passes(udp().from(db, 53).to(instance, 5000));
}

TEST_F(Inner, ARemoteOutsideHasNoGroupWhateverItsAddress) {
    lab().change_security_group(db_group, group({}, {rule(0, 0, 65535, app_group)}));
    EXPECT_EQ(refusal(tcp().from(db, 5000).to(remote, 443)), "security_group");
    lab().change_security_group(app_group, group({rule(tcp_number, 443, 443, db_group)}));
    passes(tcp().from(db, 5000).to(instance, 443).flags(ack));
    lab().change_security_group(app_group, group({}));
}

TEST_F(Inner, ARouterGetsThePacketAsItIs) {
    for (Packet sent :
         {tcp().from(ungrouped, 5000).to(behind_router, 443).flags(ack).with_payload(20),
          udp().from(ungrouped, 5000).to(behind_router, 53), ping().from(ungrouped, 9).to(behind_router)}) {
        const Packet got = relayed(sent);
        EXPECT_EQ(got.ttl, sent.ttl - 1);
        Packet expected = sent;
        expected.ttl--;
        EXPECT_EQ(got.ip(), expected.ip());
    }
    Packet esp = udp().from(ungrouped, 0).to(behind_router, 0);
    esp.protocol = esp_number;
    relayed(esp);
    Packet later = udp().from(ungrouped, 5000).to(behind_router, 53).with_payload(64);
    later.fragment_offset = 1480;
    relayed(later);
    const Outcome outcome = lab().run(Role::inside, udp().from(ungrouped, 5000).to(behind_router, 53));
    EXPECT_EQ(Bytes(outcome.frame.begin(), outcome.frame.begin() + 6), (Bytes{2, 0, 0, 0, 2, 2}));
}

TEST_F(Inner, ARouterIsAskedAboutByGroupsAndStatefully) {
    EXPECT_EQ(refusal(tcp().from(behind_router, 5000).to(instance, 22)), "security_group");
    relayed(tcp().from(instance, 22).to(behind_router, 5000));
    relayed(tcp().from(behind_router, 5000).to(instance, 22).flags(syn | ack));
    lab().group_instance(other_instance, {silent_group});
    EXPECT_EQ(refusal(tcp().from(other_instance, 22).to(behind_router, 5000)), "security_group");
    lab().forget_instance(other_instance);
}

TEST_F(Inner, OnlyWhatTheRouteLeadsToMayComeFromARouter) {
    relayed(udp().from(behind_router, 53).to(ungrouped, 5000));
    EXPECT_EQ(refusal(udp().from("192.169.0.1", 53).to(ungrouped, 5000)), "source_not_in_subnet");
    EXPECT_EQ(refusal(udp().from(behind_router, 53).to(remote, 5000)), "source_not_in_subnet");
    EXPECT_EQ(lab().run(Role::outside, udp().from(behind_router, 53).to(ungrouped, 5000)).drop_reason,
              "private_destination");
}

TEST_F(Inner, ARouterThatIsNotResolvedIsNeverReachedByOtherRoutes) {
    lab().add_route(1, "172.16.0.0/12", ROUTE_VIA, 0, "10.0.0.99");
    Packet sent = udp().from(ungrouped, 5000).to("172.16.0.1", 53);
    Outcome outcome = lab().run(Role::inside, sent);
    EXPECT_EQ(outcome.action, XDP_DROP) << "in silence: it is being asked for";
    EXPECT_EQ(outcome.drop_reason, "neighbour_unreachable");
    lab().add_route(1, "172.16.0.0/12", ROUTE_VIA, 0, "198.51.100.254");
    EXPECT_EQ(refusal(sent), "wrong_egress_device");
    // What is for an instance may be the host's to resolve.
    sent = udp().from(behind_router, 53).to("10.0.0.98", 53);
    passes(sent);
    lab().remove_route(1, "172.16.0.0/12");
}

TEST_F(Inner, ARelayedPacketIsAsMortalAsAnyOther) {
    Packet sent = udp().from(ungrouped, 5000).to(behind_router, 53);
    sent.ttl = 1;
    Outcome outcome = lab().run(Role::inside, sent);
    EXPECT_EQ(outcome.drop_reason, "ttl_exceeded");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(outcome.packet->icmp_type, 11);
    sent = udp().from(ungrouped, 5000).to(behind_router, 53).with_payload(1600);
    outcome = lab().run(Role::inside, sent);
    EXPECT_EQ(outcome.drop_reason, "fragmentation_needed");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(outcome.packet->icmp_code, 4);
}

}  // namespace
}  // namespace sallyport::support

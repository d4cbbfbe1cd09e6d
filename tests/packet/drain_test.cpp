// SPDX-License-Identifier: Apache-2.0
// An Elastic IP that is drained: what it has goes on, and nothing new begins on it.
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

constexpr const char* other_eip = "198.51.100.11";
constexpr const char* own_eip = "198.51.100.77";
constexpr const char* db = "10.0.0.50";

class Drain : public PacketTest {
  protected:
    static void SetUpTestSuite() {
        PacketTest::SetUpTestSuite();
        lab().add_elastic_ip(other_eip);
        lab().forward_ports(eip, 6, {8080, 8080}, instance, 80);
        lab().add_subnet(1U, "10.0.0.48/28", 2);
        lab().add_route(2, "10.0.0.0/16", ROUTE_LOCAL, 0);
        lab().add_route(2, "0.0.0.0/0", ROUTE_INTERNET_GATEWAY, ProgramLab::internet_gateway);
        lab().give_elastic_ip(own_eip, db, {});
    }
    void SetUp() override {
        PacketTest::SetUp();
        as_it_was_ = lab().nat_gateway(0);
    }
    void TearDown() override {
        PacketTest::TearDown();
        for (const char* address : {eip, own_eip}) lab().drain_elastic_ip(address, false);
        lab().change_nat_gateway(0, as_it_was_);
        lab().bump_generation();
    }

    // As the agent does it: every flow is checked again afterwards.
    static void drain(const char* address) {
        lab().drain_elastic_ip(address);
        lab().bump_generation();
    }
    struct nat_gateway as_it_was_ {};
};

TEST_F(Drain, WhatIsOpenGoesOnAndWhatIsNewGoesElsewhere) {
    lab().drain_elastic_ip(other_eip);
    Packet seen = establish();
    ASSERT_EQ(seen.source.to_string(), eip);
    lab().drain_elastic_ip(other_eip, false);
    drain(eip);
    EXPECT_EQ(out(tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001).with_payload(10))
                  .source.to_string(),
              eip);
    EXPECT_EQ(in(answer(seen, ack)).destination.to_string(), instance);
    EXPECT_EQ(out(tcp().from(instance, 5001).to(remote, 443)).source.to_string(), other_eip);
    EXPECT_EQ(out(udp().from(instance, 5002).to(remote, 53)).source.to_string(), other_eip);
}

TEST_F(Drain, OfTheOnlyElasticIpLeavesNoneForNewFlows) {
    lab().drain_elastic_ip(other_eip);
    establish();
    drain(eip);
    EXPECT_EQ(lab().run(Role::inside, tcp().from(instance, 5001).to(remote, 443)).drop_reason,
              "nat_gateway_without_elastic_ip");
    out(tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001).with_payload(10));
    lab().drain_elastic_ip(other_eip, false);
}

// RFC 4787 REQ-1: one mapping for all remotes, as long as there is one.
TEST_F(Drain, AMappingGoesOnWithItsFlowsAndNotBeyond) {
    lab().drain_elastic_ip(other_eip);
    Packet seen = out(udp().from(instance, 5000).to(remote, 53));
    lab().drain_elastic_ip(other_eip, false);
    drain(eip);
    Packet next = out(udp().from(instance, 5000).to(other_remote, 53));
    EXPECT_EQ(next.source.to_string(), eip);
    EXPECT_EQ(next.source_port, seen.source_port);
    lab().reap_all(REAP_CUT);
    EXPECT_EQ(out(udp().from(instance, 5000).to(other_remote, 53)).source.to_string(), other_eip);
}

TEST_F(Drain, AMappingThatRestsIsNotTakenAgain) {
    struct nat_gateway gateway = lab().nat_gateway(0);
    gateway.filtering[NAT_UDP] = ENDPOINT_INDEPENDENT;
    gateway.port_quarantine = timeout_units(seconds(120));
    gateway.port_quarantine_max = 100;
    lab().change_nat_gateway(0, gateway);
    lab().drain_elastic_ip(other_eip);
    out(udp().from(instance, 5000).to(remote, 53));
    lab().advance(seconds(330));
    lab().reap_all(REAP_EXPIRED);
    ASSERT_FALSE(lab().entries().empty()) << "its port rests";
    lab().drain_elastic_ip(other_eip, false);
    drain(eip);
    EXPECT_EQ(out(udp().from(instance, 5000).to(remote, 53)).source.to_string(), other_eip);
}

TEST_F(Drain, APortForwardTakesNothingNewEitherWay) {
    lab().drain_elastic_ip(other_eip);
    Packet got = in(tcp().from(remote, 40000).to(eip, 8080));
    out(answer(got, syn | ack));
    lab().drain_elastic_ip(other_eip, false);
    drain(eip);
    EXPECT_EQ(lab().run(Role::outside, tcp().from(remote, 40001).to(eip, 8080)).drop_reason,
              "elastic_ip_draining");
    EXPECT_EQ(lab().run(Role::outside, tcp().from(remote, 40001).to(eip, 8081)).drop_reason, "unsolicited")
        << "that was nobody's before";
    in(tcp().from(remote, 40000).to(eip, 8080).flags(ack).seq(1001, 5001).with_payload(10));
    // What the endpoint itself opens does not leave by its forward.
    EXPECT_EQ(out(tcp().from(instance, 80).to(other_remote, 443)).source.to_string(), other_eip);
}

TEST_F(Drain, WhatTheFilteringWouldLetInIsNew) {
    struct nat_gateway gateway = lab().nat_gateway(0);
    gateway.filtering[NAT_UDP] = ENDPOINT_INDEPENDENT;
    lab().change_nat_gateway(0, gateway);
    lab().drain_elastic_ip(other_eip);
    Packet seen = out(udp().from(instance, 5000).to(remote, 53));
    in(udp().from(other_remote, 7).to(eip, seen.source_port));
    lab().drain_elastic_ip(other_eip, false);
    drain(eip);
    EXPECT_EQ(lab().run(Role::outside, udp().from(other_remote, 8).to(eip, seen.source_port)).drop_reason,
              "elastic_ip_draining");
    in(udp().from(other_remote, 7).to(eip, seen.source_port));
    in(answer(seen));
}

TEST_F(Drain, APortBlockGivesNoNewPorts) {
    struct nat_gateway gateway = lab().nat_gateway(0);
    gateway.port_block_size = 64;
    gateway.port_blocks_max = 1;
    gateway.port_block_hold = timeout_units(seconds(60));
    lab().change_nat_gateway(0, gateway);
    lab().drain_elastic_ip(other_eip);
    establish(5000);
    lab().drain_elastic_ip(other_eip, false);
    drain(eip);
    EXPECT_EQ(out(tcp().from(instance, 5001).to(remote, 443)).source.to_string(), other_eip);
    out(tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001).with_payload(10));
}

TEST_F(Drain, OfAnInstancesOwnElasticIp) {
    establish(5000, db);
    drain(own_eip);
    EXPECT_EQ(out(tcp().from(db, 5000).to(remote, 443).flags(ack).seq(1001, 5001).with_payload(10))
                  .source.to_string(),
              own_eip);
    Outcome refused = lab().run(Role::inside, tcp().from(db, 5001).to(remote, 443));
    EXPECT_EQ(refused.drop_reason, "elastic_ip_draining");
    ASSERT_TRUE(refused.packet);
    EXPECT_EQ(refused.packet->protocol, 1) << "the instance is told";
    // With a NAT gateway on its route it leaves as if it had none.
    lab().add_route(2, "0.0.0.0/0", ROUTE_NAT_GATEWAY, 0);
    EXPECT_NE(out(tcp().from(db, 5001).to(remote, 443)).source.to_string(), own_eip);
    lab().add_route(2, "0.0.0.0/0", ROUTE_INTERNET_GATEWAY, ProgramLab::internet_gateway);
}

}  // namespace
}  // namespace sallyport::support

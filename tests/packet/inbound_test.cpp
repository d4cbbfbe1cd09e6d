// SPDX-License-Identifier: Apache-2.0
// What the configuration leads inside: port forwards, Elastic IPs of instances, and their security groups.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>

#include "packet/fixture.h"

namespace sallyport::support {
namespace {

constexpr const char* own_eip = "198.51.100.77";
constexpr const char* db = "10.0.0.50";
constexpr std::uint8_t tcp_number = 6, udp_number = 17, icmp_number = 1;

security_rule rule(std::uint8_t protocol, std::uint16_t first, std::uint16_t last, const char* cidr) {
    const Ipv4Prefix prefix = Ipv4Prefix::parse(cidr).value();
    security_rule made{};
    made.remote = prefix.address().to_network();
    made.mask = prefix.length() == 0 ? 0 : htonl(~0U << (32 - prefix.length()));
    made.first_port = first;
    made.last_port = last;
    made.protocol = protocol;
    return made;
}

security_group group(const std::vector<security_rule>& ingress,
                     const std::vector<security_rule>& egress = {rule(0, 0, 65535, "0.0.0.0/0")}) {
    security_group made{};
    for (const security_rule& one : ingress) made.ingress[made.ingress_count++] = one;
    for (const security_rule& one : egress) made.egress[made.egress_count++] = one;
    return made;
}

class Forward : public PacketTest {
  protected:
    static void SetUpTestSuite() {
        PacketTest::SetUpTestSuite();
        lab().forward_ports(eip, tcp_number, {8080, 8080}, instance, 80);
        lab().forward_ports(eip, udp_number, {5001, 5010}, other_instance, 6001);
        // db's subnet routes to the internet gateway; the others' stays as it is.
        lab().add_subnet(1U, "10.0.0.48/28", 2);
        lab().add_route(2, "10.0.0.0/16", ROUTE_LOCAL, 0);
        lab().add_route(2, "0.0.0.0/0", ROUTE_INTERNET_GATEWAY, ProgramLab::internet_gateway);
        lab().change_security_group(1, group({rule(tcp_number, 5432, 5432, "0.0.0.0/0"),
                                              rule(icmp_number, 0, 65535, "203.0.113.0/24"),
                                              rule(udp_number, 100, 200, "203.0.113.10/32")}));
        lab().give_elastic_ip(own_eip, db, {1});
    }

    static std::string refusal(Role role, const Packet& packet) {
        return lab().run(role, packet).drop_reason;
    }
};

TEST_F(Forward, LeadsToTheInstanceAndTheAnswerBack) {
    Packet got = in(tcp().from(remote, 40000).to(eip, 8080));
    EXPECT_EQ(got.source.to_string(), remote);
    EXPECT_EQ(got.source_port, 40000);
    EXPECT_EQ(got.destination.to_string(), instance);
    EXPECT_EQ(got.destination_port, 80);
    Packet back = out(answer(got, syn | ack));
    EXPECT_EQ(back.source.to_string(), eip);
    EXPECT_EQ(back.source_port, 8080);
    EXPECT_EQ(back.destination_port, 40000);
    in(tcp().from(remote, 40000).to(eip, 8080).flags(ack).seq(1001, 5001).with_payload(100));
    EXPECT_EQ(lab().unanswered(), 0U);
}

TEST_F(Forward, KeepsThePlaceInARangeAndItsEnds) {
    for (std::uint16_t port = 5001; port <= 5010; port++)
        EXPECT_EQ(in(udp().from(remote, 9).to(eip, port)).destination_port, port + 1000);
    EXPECT_EQ(refusal(Role::outside, udp().from(remote, 9).to(eip, 5000)), "unsolicited");
    EXPECT_EQ(refusal(Role::outside, udp().from(remote, 9).to(eip, 5011)), "unsolicited");
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 9).to(eip, 5001)), "unsolicited");
    EXPECT_EQ(refusal(Role::outside, ping().from(remote, 5001).to(eip)), "unsolicited");
}

TEST_F(Forward, OpensWithASynOnly) {
    for (int flags : {0, +fin, +rst, +ack, syn | ack, syn | fin})
        EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 9).to(eip, 8080).flags(flags)), "unsolicited");
    EXPECT_TRUE(lab().entries().empty());
}

TEST_F(Forward, IsClosedToForgedSources) {
    EXPECT_EQ(refusal(Role::outside, tcp().from("10.0.3.4", 9).to(eip, 8080)), "filtered");
    EXPECT_EQ(refusal(Role::outside, tcp().from(own_eip, 9).to(eip, 8080)), "elastic_ip_from_outside");
    EXPECT_EQ(refusal(Role::outside, tcp().from("127.0.0.1", 9).to(eip, 8080)), "invalid_address");
    EXPECT_TRUE(lab().entries().empty());
}

TEST_F(Forward, FragmentsFollowTheFirst) {
    Packet first = udp().from(remote, 9).to(eip, 5003).with_payload(1200);
    first.more_fragments = true;
    first.identification = 77;
    EXPECT_EQ(in(first).destination.to_string(), other_instance);
    Packet later = first;
    later.more_fragments = false;
    later.fragment_offset = 1208;
    EXPECT_EQ(in(later).destination.to_string(), other_instance);
}

TEST_F(Forward, AnErrorAboutItIsTranslatedInside) {
    const Packet sent = udp().from(remote, 9).to(eip, 5003);
    const Packet delivered = in(sent);
    Packet error = icmp_error(3, 3, delivered.ip(), 100);
    error.from(other_instance).to(remote);
    const Packet got = out(error);
    EXPECT_EQ(got.source.to_string(), eip);
    Packet expected = sent;
    expected.ttl = delivered.ttl;
    Bytes original = expected.ip();
    original.resize(got.payload.size());
    EXPECT_EQ(got.payload, original);
}

TEST_F(Forward, ItsPortIsNeverGivenOut) {
    struct nat_gateway narrow = lab().nat_gateway(0), wide = narrow;
    narrow.first_port = 8078;
    narrow.last_port = 8081;
    lab().change_nat_gateway(0, narrow);
    std::set<std::uint16_t> seen;
    for (std::uint16_t port = 1; port <= 3; port++)
        seen.insert(out(tcp().from(instance, port).to(remote, 443)).source_port);
    EXPECT_EQ(seen, (std::set<std::uint16_t>{8078, 8079, 8081}));
    EXPECT_EQ(refusal(Role::inside, tcp().from(instance, 4).to(remote, 443)), "port_exhausted");
    out(udp().from(instance, 1).to(remote, 443));  // it is TCP's alone
    lab().change_nat_gateway(0, wide);
}

TEST_F(Forward, CountsForTheInstancesLimits) {
    struct nat_gateway limited = lab().nat_gateway(0), before = limited;
    limited.flags |= NAT_GATEWAY_LIMITS;
    lab().change_nat_gateway(0, limited);
    lab().change_host_limits(
        0, {.flows = 1, .ports = 1, .new_flows_per_second = 0, .flows_per_mapping = 0, .zero0 = {}});
    in(tcp().from(remote, 1).to(eip, 8080));
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 2).to(eip, 8080)), "flow_limit");
    lab().reap_all(REAP_CUT);
    EXPECT_EQ(lab().hosts_holding(), 0U);
    in(tcp().from(remote, 2).to(eip, 8080));
    lab().reap_all(REAP_CUT);
    lab().change_host_limits(0, {});
    lab().change_nat_gateway(0, before);
}

TEST_F(Forward, AnotherTargetCutsTheFlow) {
    in(tcp().from(remote, 40000).to(eip, 8080));
    lab().forward_ports(eip, tcp_number, {8080, 8080}, other_instance, 80);
    lab().bump_generation();
    EXPECT_EQ(refusal(Role::inside, answer(tcp().from(remote, 40000).to(instance, 80), syn | ack)),
              "flow_cut");
    EXPECT_EQ(in(tcp().from(remote, 40000).to(eip, 8080)).destination.to_string(), other_instance);
    lab().forward_ports(eip, tcp_number, {8080, 8080}, instance, 80);
}

// The port was another instance's when the forward came, and the instance that it leads to has a flow to this
// remote by another port: what comes is neither's, and the mapping's filtering lets in nobody.
TEST_F(Forward, OpensNothingThatAMappingWouldNot) {
    struct nat_gateway narrow = lab().nat_gateway(0), wide = narrow;
    narrow.first_port = narrow.last_port = 7000;
    lab().change_nat_gateway(0, narrow);
    const Packet held = out(udp().from(instance, 1).to(other_remote, 9));
    ASSERT_EQ(held.source_port, 7000);
    lab().change_nat_gateway(0, wide);
    out(udp().from(other_instance, 7100).to(remote, 9));
    lab().forward_ports(eip, udp_number, {7000, 7000}, other_instance, 7100);
    lab().bump_generation();
    EXPECT_EQ(refusal(Role::outside, udp().from(remote, 9).to(eip, 7000)), "unsolicited");
    EXPECT_EQ(in(udp().from(remote, 10).to(eip, 7000)).destination.to_string(), other_instance);
    EXPECT_EQ(in(answer(held)).destination.to_string(), instance);
}

TEST_F(Forward, IsWhatItsEndpointLeavesBy) {
    const Packet seen = out(udp().from(other_instance, 6003).to(remote, 9000));
    EXPECT_EQ(seen.source.to_string(), eip);
    EXPECT_EQ(seen.source_port, 5003);
    in(answer(seen));
    in(udp().from(other_remote, 1).to(eip, 5003));
    EXPECT_NE(out(udp().from(other_instance, 6011).to(remote, 9000)).source_port, 5011);
}

TEST_F(Forward, ReachesAnotherInstanceThroughAHairpin) {
    const Outcome turned = lab().run(Role::inside, tcp().from(other_instance, 5000).to(eip, 8080));
    ASSERT_EQ(turned.action, XDP_REDIRECT) << turned.drop_reason;
    EXPECT_EQ(Packet::checksum_faults(turned.frame), "");
    EXPECT_EQ(turned.packet->source.to_string(), eip);
    EXPECT_EQ(turned.packet->destination.to_string(), instance);
    EXPECT_EQ(turned.packet->destination_port, 80);
    const Outcome back = lab().run(Role::inside, answer(*turned.packet, syn | ack));
    ASSERT_EQ(back.action, XDP_REDIRECT) << back.drop_reason;
    EXPECT_EQ(back.packet->destination.to_string(), other_instance);
    EXPECT_EQ(back.packet->source_port, 8080);
}

class OwnElasticIp : public Forward {};

TEST_F(OwnElasticIp, KeepsPortsAndIdentifiers) {
    for (const Packet& packet : {tcp().from(db, 22).to(remote, 443), udp().from(db, 7).to(remote, 53)}) {
        const Packet seen = out(packet);
        EXPECT_EQ(seen.source.to_string(), own_eip);
        EXPECT_EQ(seen.source_port, packet.source_port);
        EXPECT_EQ(in(answer(seen, syn | ack)).destination.to_string(), db);
    }
    Packet echo = ping().from(db).to(remote);
    echo.icmp_id = 4711;
    const Packet seen = out(echo);
    EXPECT_EQ(seen.icmp_id, 4711);
    EXPECT_EQ(in(answer(seen)).icmp_id, 4711);
}

TEST_F(OwnElasticIp, IsPingedFromOutside) {
    Packet echo = ping().from(remote).to(own_eip);
    echo.icmp_id = 99;
    const Packet got = in(echo);
    EXPECT_EQ(got.destination.to_string(), db);
    EXPECT_EQ(got.icmp_id, 99);
    const Packet back = out(answer(got));
    EXPECT_EQ(back.source.to_string(), own_eip);
    EXPECT_EQ(back.icmp_id, 99);
    // A router on the way of the answer: the quoted identifier is what the instance sent.
    Packet error = icmp_error(11, 0, back.ip(), 100);
    error.from("198.51.100.254").to(own_eip);
    const Packet told = in(error);
    EXPECT_EQ(told.destination.to_string(), db);
    const std::size_t identifier = 20 + 4;
    ASSERT_GT(told.payload.size(), identifier + 1);
    EXPECT_EQ(told.payload[identifier] << 8 | told.payload[identifier + 1], 99);
    // A reply that nobody asked for opens nothing; one with the identifier 0 has the key of a request.
    for (const std::uint16_t id : {std::uint16_t{100}, std::uint16_t{0}}) {
        Packet reply = ping().from(remote).to(own_eip);
        reply.icmp_type = 0;
        reply.icmp_id = id;
        EXPECT_EQ(refusal(Role::outside, reply), "unsolicited");
        EXPECT_EQ(refusal(Role::inside, reply.from(instance).to(remote)), "unsupported_icmp");
    }
}

TEST_F(OwnElasticIp, IsAsOpenAsTheSecurityGroupsAre) {
    in(tcp().from(remote, 9).to(own_eip, 5432));
    in(udp().from(remote, 9).to(own_eip, 100));
    in(udp().from(remote, 9).to(own_eip, 200));
    for (const Packet& packet :
         {tcp().from(remote, 9).to(own_eip, 5433), udp().from(remote, 9).to(own_eip, 99),
          udp().from(remote, 9).to(own_eip, 201), udp().from(remote, 9).to(own_eip, 5432),
          udp().from(other_remote, 9).to(own_eip, 150), ping().from("192.0.2.1").to(own_eip)})
        EXPECT_EQ(refusal(Role::outside, packet), "security_group") << packet.to_string();
}

TEST_F(OwnElasticIp, WithoutGroupsNothingComesInAndAllMayLeave) {
    lab().give_elastic_ip(own_eip, db);
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 9).to(own_eip, 5432)), "security_group");
    in(answer(out(tcp().from(db, 22).to(remote, 443)), syn | ack));
    lab().give_elastic_ip(own_eip, db, {1});
}

TEST_F(OwnElasticIp, IsNeededBehindAnInternetGateway) {
    lab().forget_instance(db);
    EXPECT_EQ(lab().run(Role::inside, tcp().from(db, 9).to(remote, 443)).drop_reason,
              "instance_without_elastic_ip");
    lab().give_elastic_ip(own_eip, db, {1});
}

TEST_F(OwnElasticIp, ARuleThatGoesCutsWhatItAllowed) {
    in(tcp().from(remote, 9).to(own_eip, 5432));
    in(udp().from(remote, 9).to(own_eip, 150));
    out(tcp().from(db, 5000).to(remote, 443));
    lab().change_security_group(1, group({rule(udp_number, 100, 200, "203.0.113.10/32")}));
    lab().bump_generation();
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 9).to(own_eip, 5432)), "flow_cut");
    in(udp().from(remote, 9).to(own_eip, 150));
    out(tcp().from(db, 5000).to(remote, 443));
    lab().change_security_group(
        1, group({rule(tcp_number, 5432, 5432, "0.0.0.0/0"), rule(icmp_number, 0, 65535, "203.0.113.0/24"),
                  rule(udp_number, 100, 200, "203.0.113.10/32")}));
}

TEST_F(OwnElasticIp, ComesBeforeWhatItWouldShare) {
    lab().add_route(2, "203.0.113.0/24", ROUTE_NAT_GATEWAY, 0);
    EXPECT_EQ(out(tcp().from(db, 5000).to(remote, 443)).source.to_string(), own_eip);
    in(tcp().from(remote, 9).to(own_eip, 5432));
    lab().bump_generation();
    in(tcp().from(remote, 9).to(own_eip, 5432));
    lab().remove_route(2, "203.0.113.0/24");
}

TEST_F(OwnElasticIp, WhereTheInstanceMayNotSendNothingComesFrom) {
    in(tcp().from(remote, 9).to(own_eip, 5432));
    lab().add_route(2, "203.0.113.0/24", ROUTE_BLACKHOLE, 0);
    lab().bump_generation();
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 9).to(own_eip, 5432)), "flow_cut");
    EXPECT_EQ(refusal(Role::outside, tcp().from(remote, 9).to(own_eip, 5432)), "filtered");
    lab().remove_route(2, "203.0.113.0/24");
}

TEST_F(OwnElasticIp, AFragmentedRequestComesInWhole) {
    Packet first = udp().from(remote, 9).to(own_eip, 150).with_payload(1200);
    first.more_fragments = true;
    first.identification = 5;
    EXPECT_EQ(in(first).destination_port, 150);
    Packet later = first;
    later.more_fragments = false;
    later.fragment_offset = 1208;
    EXPECT_EQ(in(later).destination.to_string(), db);
}

// The rules of up to five groups against a plain reading of them, in both directions.
TEST_F(OwnElasticIp, RandomRulesAllowWhatTheySay) {
    std::mt19937 random(20261127);
    const auto below = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
    const auto random_rule = [&] {
        const std::uint8_t protocol =
            std::array<std::uint8_t, 4>{0, tcp_number, udp_number, icmp_number}[below(4)];
        const auto first = static_cast<std::uint16_t>(below(8));
        const bool has_ports = protocol == tcp_number || protocol == udp_number;
        const std::string cidr =
            "203.0.113." + std::to_string(below(2) * 16) + "/" + std::to_string(28 + below(5));
        return rule(protocol, has_ports ? first : 0,
                    has_ports ? static_cast<std::uint16_t>(first + below(3)) : 65535, cidr.c_str());
    };
    for (int round = 0; round < 40; round++) {
        std::vector<std::uint16_t> numbers;
        std::vector<security_rule> ingress, egress;
        const auto end = static_cast<std::uint16_t>(10 + 1 + below(5));
        for (std::uint16_t number = 10; number < end; number++) {
            std::vector<security_rule> ways[2];
            for (auto& way : ways)
                for (std::uint32_t i = below(number == 10 ? 61 : 5); i > 0; i--) way.push_back(random_rule());
            lab().change_security_group(number, group(ways[0], ways[1]));
            ingress.insert(ingress.end(), ways[0].begin(), ways[0].end());
            egress.insert(egress.end(), ways[1].begin(), ways[1].end());
            numbers.push_back(number);
        }
        lab().give_elastic_ip(own_eip, db, numbers);
        for (int flow = 0; flow < 30; flow++) {
            const std::string peer = "203.0.113." + std::to_string(1 + below(32));
            const auto port = static_cast<std::uint16_t>(1 + below(8));
            const bool inwards = below(2) != 0;
            Packet packet = std::array{tcp(), udp(), ping()}[below(3)];
            if (inwards)
                packet.from(peer.c_str(), 1000).to(own_eip, port);
            else
                packet.from(db, 1000).to(peer.c_str(), port);
            packet.icmp_id = static_cast<std::uint16_t>(flow);
            const std::uint32_t address = Ipv4Address::parse(peer).value().value();
            const auto& rules = inwards ? ingress : egress;
            const bool allowed = std::ranges::any_of(rules, [&](const security_rule& one) {
                const std::uint16_t asked = packet.protocol == icmp_number ? 0 : port;
                return (one.protocol == 0 || one.protocol == packet.protocol) && one.first_port <= asked &&
                       asked <= one.last_port && (address & ntohl(one.mask)) == ntohl(one.remote);
            });
            const Outcome outcome = lab().run(inwards ? Role::outside : Role::inside, packet);
            EXPECT_EQ(outcome.drop_reason, allowed ? "" : "security_group")
                << packet.to_string() << " in round " << round;
            lab().reap_all(REAP_CUT);
        }
    }
    lab().give_elastic_ip(own_eip, db, {1});
}

}  // namespace
}  // namespace sallyport::support

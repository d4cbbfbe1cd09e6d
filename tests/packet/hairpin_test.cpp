// SPDX-License-Identifier: Apache-2.0
// Instances that reach each other through Elastic IPs (RFC 4787 section 6, RFC 5508 REQ-7).
#include <arpa/inet.h>

#include <algorithm>

#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class Hairpin : public PacketTest {
  protected:
    void SetUp() override {
        configure(0, NAT_GATEWAY_HAIRPIN);
        PacketTest::SetUp();
    }

    static void configure(std::uint16_t number, std::uint32_t flags) {
        struct nat_gateway gateway = lab().nat_gateway(number);
        gateway.flags &= ~std::uint32_t{NAT_GATEWAY_HAIRPIN | NAT_GATEWAY_HAIRPIN_SAME_TENANT};
        gateway.flags |= flags;
        lab().change_nat_gateway(number, gateway);
    }

    // What the outside sees as the source of an instance's UDP port: its external endpoint.
    static Packet endpoint(const char* host, std::uint16_t port, const char* to = remote) {
        return out(udp().from(host, port).to(to, 7000));
    }
    static Packet from_to(const char* host, std::uint16_t port, const Packet& endpoint) {
        Packet packet = udp().from(host, port);
        packet.destination = endpoint.source;
        packet.destination_port = endpoint.source_port;
        return packet;
    }
    // A hole between 10.0.0.11:5000 and 10.0.0.12:6000, punched from both sides.
    struct Hole {
        Packet a, b;  // the external endpoint of each, as the source of a packet
    };
    static Hole punch() {
        Hole hole{endpoint(instance, 5000), endpoint(other_instance, 6000)};
        EXPECT_EQ(lab().run(Role::inside, from_to(other_instance, 6000, hole.a)).drop_reason, "unsolicited");
        out(from_to(instance, 5000, hole.b));
        return hole;
    }
    static std::size_t flows() {
        auto entries = lab().entries();
        return static_cast<std::size_t>(std::count_if(entries.begin(), entries.end(), [](const auto& entry) {
            return entry.key.kind == FLOW_KIND_FLOW && entry.flags & FLOW_FORWARD;
        }));
    }
};

TEST_F(Hairpin, GoesFromOneInstanceToTheOtherWithExternalSources) {
    Hole hole = punch();
    Packet sent = from_to(instance, 5000, hole.b);
    Packet got = out(sent);
    EXPECT_EQ(got.source, hole.a.source) << "RFC 4787 REQ-9a";
    EXPECT_EQ(got.source_port, hole.a.source_port);
    EXPECT_EQ(got.destination.to_string(), other_instance);
    EXPECT_EQ(got.destination_port, 6000);
    EXPECT_EQ(got.destination_mac[5], 0x12);
    EXPECT_EQ(got.ttl, sent.ttl - 1) << "once for the whole way";
    EXPECT_EQ(got.payload, sent.payload);

    Packet back = out(answer(got));
    EXPECT_EQ(back.source, hole.b.source);
    EXPECT_EQ(back.source_port, hole.b.source_port);
    EXPECT_EQ(back.destination.to_string(), instance);
    EXPECT_EQ(back.destination_port, 5000);
    EXPECT_EQ(back.destination_mac[5], 0x11);
}

TEST_F(Hairpin, IsFilteredLikeAPublicHost) {
    Packet a = endpoint(instance, 5000), b = endpoint(other_instance, 6000);
    // The receiver has not sent to the sender: refused, in silence. But the sender has now sent.
    Outcome outcome = lab().run(Role::inside, from_to(instance, 5000, b));
    EXPECT_EQ(outcome.action, XDP_DROP);
    EXPECT_EQ(outcome.drop_reason, "unsolicited");
    EXPECT_EQ(out(from_to(other_instance, 6000, a)).destination.to_string(), instance);
    EXPECT_EQ(out(from_to(instance, 5000, b)).destination.to_string(), other_instance);
    // Another port of the same instance has not.
    endpoint(instance, 5001);
    EXPECT_EQ(lab().run(Role::inside, from_to(instance, 5001, b)).drop_reason, "unsolicited");
}

TEST_F(Hairpin, WorksForOneInstanceWithItself) {
    Packet a = endpoint(instance, 5000);
    Packet got = out(from_to(instance, 5000, a));  // it has sent to that endpoint: now
    EXPECT_EQ(got.source, a.source);
    EXPECT_EQ(got.source_port, a.source_port);
    EXPECT_EQ(got.destination.to_string(), instance);
    EXPECT_EQ(got.destination_port, 5000);
    EXPECT_EQ(out(answer(got)).destination_port, 5000);

    Packet b = endpoint(instance, 5001);
    EXPECT_EQ(lab().run(Role::inside, from_to(instance, 5001, a)).drop_reason, "unsolicited");
    EXPECT_EQ(out(from_to(instance, 5000, b)).destination_port, 5001);
    got = out(from_to(instance, 5001, a));
    EXPECT_EQ(got.destination_port, 5000);
    EXPECT_EQ(got.source_port, b.source_port);
}

TEST_F(Hairpin, LeavesNoFlowWhereNobodyListens) {
    Packet a = endpoint(instance, 5000);
    auto before = lab().entries().size();
    for (Packet packet : {udp().from(instance, 5000).to(eip, 9), udp().from(other_instance, 1).to(eip, 9),
                          tcp().from(instance, 5000).to(eip, 443), ping().from(instance, 7).to(eip)}) {
        if (packet.destination_port == a.source_port) packet.destination_port++;
        Outcome outcome = lab().run(Role::inside, packet);
        EXPECT_EQ(outcome.drop_reason, "unsolicited") << packet.to_string();
        EXPECT_EQ(outcome.action, XDP_DROP) << "in silence, as for a public host";
    }
    EXPECT_EQ(lab().entries().size(), before);
    Outcome outcome = lab().run(Role::inside, tcp().from(instance, 5000).to(eip, 443).flags(ack));
    EXPECT_EQ(outcome.drop_reason, "tcp_without_flow");
    EXPECT_EQ(outcome.packet->tcp_flags, rst) << "decision C20";
}

TEST_F(Hairpin, TcpWithEndpointIndependentMappings) {
    struct nat_gateway gateway = lab().nat_gateway(0), shared = gateway;
    gateway.mapping[NAT_TCP] = ENDPOINT_INDEPENDENT;
    lab().change_nat_gateway(0, gateway);
    Packet a = establish(5000), b = establish(6000, other_instance);
    auto segment = [](const char* host, std::uint16_t port, const Packet& to) {
        Packet packet = tcp().from(host, port);
        packet.destination = to.source;
        packet.destination_port = to.source_port;
        return packet;
    };
    // Simultaneous open (RFC 5382 REQ-2): the first SYN finds the other side closed.
    EXPECT_EQ(lab().run(Role::inside, segment(other_instance, 6000, a).seq(100)).drop_reason, "unsolicited");
    Packet got = out(segment(instance, 5000, b).seq(300));
    EXPECT_EQ(got.source, a.source);
    EXPECT_EQ(got.source_port, a.source_port);
    EXPECT_EQ(got.destination_port, 6000);
    EXPECT_EQ(got.tcp_flags, syn);
    Packet reply = answer(got, syn | ack);
    Packet back = out(reply);
    EXPECT_EQ(back.source_port, b.source_port);
    EXPECT_EQ(back.destination_port, 5000);
    out(segment(instance, 5000, b).flags(ack).seq(301, 5001));
    for (const auto& entry : lab().entries())
        if (entry.flags & FLOW_HAIRPIN) {
            EXPECT_EQ(entry.state, FLOW_STATE_ESTABLISHED);
        }
    for (int flags : {fin | ack, +rst}) {  // RFC 5382 REQ-8
        EXPECT_EQ(out(segment(instance, 5000, b).flags(flags).seq(301, 5001)).tcp_flags, flags);
        EXPECT_EQ(out(segment(other_instance, 6000, a).flags(flags).seq(5001, 302)).tcp_flags, flags);
    }
    for (const auto& entry : lab().entries())
        if (entry.flags & FLOW_HAIRPIN) {
            EXPECT_EQ(entry.state, FLOW_STATE_RESET);
        }
    lab().change_nat_gateway(0, shared);
}

TEST_F(Hairpin, ChecksumsAndVariants) {
    Hole hole = punch();
    for (std::size_t tags = 0; tags <= 2; tags++)
        for (std::size_t options : {0u, 4u, 40u})
            for (bool without : {false, true}) {
                Packet packet = from_to(instance, 5000, hole.b);
                packet.vlans.assign(tags, 7);
                packet.options.assign(options, 1);
                packet.udp_without_checksum = without;
                Packet got = out(packet);
                EXPECT_EQ(got.vlans, packet.vlans);
                EXPECT_EQ(got.options, packet.options);
                EXPECT_EQ(got.udp_without_checksum, without);
            }
    for (int i = 0; i < 3000; i++) {
        Packet packet = from_to(instance, 5000, hole.b);
        packet.payload = {static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
        ASSERT_FALSE(out(packet).udp_without_checksum) << i;
    }
    Bytes wrong = from_to(instance, 5000, hole.b).frame();
    wrong[14 + 20 + 6] ^= 0x55;
    Outcome outcome = lab().run(Role::inside, wrong);
    ASSERT_EQ(outcome.action, XDP_REDIRECT);
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "UDP; ");
}

TEST_F(Hairpin, FragmentsFollowTheFirst) {  // RFC 5780 section 3.5
    Hole hole = punch();
    Packet first = from_to(instance, 5000, hole.b).with_payload(1472 - 8);
    first.more_fragments = true;
    first.identification = 77;
    Packet later = first;
    later.fragment_offset = 1472;
    later.more_fragments = false;
    Bytes frame = first.frame();
    frame[14 + 20 + 4] = 8;  // the UDP header speaks of the whole datagram
    Outcome outcome = lab().run(Role::inside, frame);
    ASSERT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
    EXPECT_EQ(outcome.packet->destination.to_string(), other_instance);
    Packet got = out(later);
    EXPECT_EQ(got.source, hole.a.source);
    EXPECT_EQ(got.destination.to_string(), other_instance);
    EXPECT_EQ(got.ttl, later.ttl - 1);
    EXPECT_EQ(got.payload, later.payload);
    EXPECT_EQ(got.identification, outcome.packet->identification);

    // The second way is not open to what comes from outside.
    Packet forged = later;
    forged.source = hole.a.source;
    EXPECT_EQ(lab().run(Role::outside, forged).drop_reason, "elastic_ip_from_outside");
}

TEST_F(Hairpin, ErrorsReachTheSenderWithItsOwnPacket) {  // RFC 5508 REQ-7
    Hole hole = punch();
    Packet sent = from_to(instance, 5000, hole.b).with_payload(64);
    Packet got = out(sent);
    for (std::uint8_t type : std::array<std::uint8_t, 3>{3, 11, 12})
        for (std::size_t quoted : {8u, 28u, 1000u})
            for (const char* reporter : {other_instance, "10.0.0.2"}) {
                Packet error = icmp_error(type, 0, got.ip(), quoted).from(reporter);
                error.destination = hole.a.source;
                Packet seen = out(error);
                EXPECT_EQ(seen.source, hole.b.source);
                EXPECT_EQ(seen.destination.to_string(), instance);
                EXPECT_EQ(seen.ttl, 63);
                Packet expected = sent;
                expected.ttl = got.ttl;
                expected.identification = got.identification;  // it was given a new one
                Bytes original = expected.ip();
                original.resize(seen.payload.size());
                EXPECT_EQ(seen.payload, original) << int{type} << " quoted " << quoted;
            }
}

TEST_F(Hairpin, ErrorsOfTheGatewayQuoteWhatWasSent) {
    Hole hole = punch();
    Packet sent = from_to(instance, 5000, hole.b).with_payload(1400);
    sent.ttl = 1;
    Outcome outcome = lab().run(Role::inside, sent);
    EXPECT_EQ(outcome.drop_reason, "ttl_exceeded");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
    EXPECT_EQ(outcome.packet->source.to_string(), "10.0.0.1");
    EXPECT_EQ(outcome.packet->destination.to_string(), instance);
    Bytes original = sent.ip();
    original.resize(outcome.packet->payload.size());
    EXPECT_EQ(outcome.packet->payload, original);

    device lan = lab().device(ProgramLab::inside_slot), small = lan;
    small.mtu = 1300;
    lab().set_device(ProgramLab::inside_slot, small);
    lab().trust_next_hops(false);  // the kernel's answer is taken with the device's MTU
    sent.ttl = 64;
    sent.dont_fragment = true;
    outcome = lab().run(Role::inside, sent);
    EXPECT_EQ(outcome.drop_reason, "fragmentation_needed");
    ASSERT_TRUE(outcome.packet);
    EXPECT_EQ(outcome.packet->icmp_type, 3);
    EXPECT_EQ(outcome.packet->icmp_code, 4);
    EXPECT_EQ(outcome.packet->icmp_rest, 1300u);
    EXPECT_EQ(outcome.packet->destination.to_string(), instance);
    original = sent.ip();
    original.resize(outcome.packet->payload.size());
    EXPECT_EQ(outcome.packet->payload, original);
    lab().set_device(ProgramLab::inside_slot, lan);
    lab().trust_next_hops(true);
}

TEST_F(Hairpin, ShowsNoAddressThatTheInsideRecorded) {  // RFC 3022 section 4.6
    Hole hole = punch();
    const Bytes record_route{7, 7, 8, 10, 0, 0, 2, 0};
    Packet sent = from_to(instance, 5000, hole.b), got = out(sent);
    sent.options = record_route;
    EXPECT_EQ(lab().run(Role::inside, sent).drop_reason, "recorded_address");
    got.options = record_route;
    Packet error = icmp_error(3, 3, got.ip()).from(other_instance);
    error.destination = hole.a.source;
    EXPECT_EQ(lab().run(Role::inside, error).drop_reason, "recorded_address");
}

TEST_F(Hairpin, AnUnresolvedReceiverIsResolvedByTheHost) {
    Packet a = endpoint(instance, 5000), b = endpoint("10.0.0.99", 6000);
    Outcome outcome = lab().run(Role::inside, from_to("10.0.0.99", 6000, a));
    EXPECT_EQ(outcome.drop_reason, "unsolicited");
    outcome = lab().run(Role::inside, from_to(instance, 5000, b));
    EXPECT_EQ(outcome.action, XDP_PASS);
    EXPECT_EQ(outcome.packet->source, a.source);
    EXPECT_EQ(outcome.packet->destination.to_string(), "10.0.0.99");
    EXPECT_EQ(outcome.packet->ttl, 64) << "the host's stack lowers it";
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
}

TEST_F(Hairpin, MayBeOff) {
    Hole hole = punch();
    configure(0, 0);
    lab().bump_generation();
    EXPECT_EQ(lab().run(Role::inside, from_to(instance, 5000, hole.b)).drop_reason, "flow_cut");
    Outcome outcome = lab().run(Role::inside, from_to(instance, 5000, hole.b));
    EXPECT_EQ(outcome.drop_reason, "elastic_ip_from_inside");
    EXPECT_EQ(outcome.action, XDP_DROP);
    EXPECT_EQ(lab().run(Role::inside, from_to(other_instance, 6000, hole.a)).drop_reason, "flow_cut");
    EXPECT_EQ(flows(), 2u) << "those to the public remote";
}

TEST_F(Hairpin, BetweenTenants) {
    // Zone 2 has the same addresses and leaves through NAT gateway 1; its instances are on the same link,
    // which so is a device of both.
    struct nat_gateway second = lab().nat_gateway(0);
    second.elastic_ip_count = 0;
    lab().change_nat_gateway(1, second);
    lab().add_elastic_ip("198.51.100.20", 1);
    lab().add_subnet(2, "10.0.0.0/16", 2);
    lab().add_route(2, "0.0.0.0/0", ROUTE_NAT_GATEWAY, 1);
    constexpr std::uint32_t other_slot = 7;
    device lan = lab().device(ProgramLab::inside_slot), other = lan;
    other.zone = 2;
    auto as_tenant = [&](bool of_second) {
        lab().set_device(ProgramLab::inside_slot, of_second ? other : lan);
        lab().set_device(other_slot, of_second ? lan : other);
    };
    const char* stranger = "10.0.0.13";

    struct Setting {
        std::uint32_t first, second;
        bool meet;
    };
    constexpr std::uint32_t on = NAT_GATEWAY_HAIRPIN,
                            same = NAT_GATEWAY_HAIRPIN | NAT_GATEWAY_HAIRPIN_SAME_TENANT;
    for (const Setting& setting :
         {Setting{on, on, true}, {same, on, false}, {on, same, false}, {on, 0, false}, {0, on, false}}) {
        configure(0, setting.first);
        configure(1, setting.second);
        lab().bump_generation();
        Packet a = endpoint(instance, 5000);
        as_tenant(true);
        Packet b = endpoint(stranger, 6000);
        EXPECT_EQ(b.source.to_string(), "198.51.100.20");
        const char* refused = setting.meet ? "unsolicited" : "elastic_ip_from_inside";
        EXPECT_EQ(lab().run(Role::inside, from_to(stranger, 6000, a)).drop_reason, refused);
        as_tenant(false);
        Outcome outcome = lab().run(Role::inside, from_to(instance, 5000, b));
        if (setting.meet) {
            ASSERT_TRUE(outcome.packet);
            EXPECT_EQ(outcome.drop_reason, "");
            EXPECT_EQ(outcome.packet->source, a.source);
            EXPECT_EQ(outcome.packet->destination.to_string(), stranger);
        } else {
            EXPECT_EQ(outcome.drop_reason, "elastic_ip_from_inside");
            EXPECT_EQ(flows(), 2u) << "refused before a flow was made";
        }
        lab().reap_all(REAP_CUT);
    }
    // Instances of one VPC meet under same_tenant.
    configure(0, same);
    EXPECT_EQ(out(from_to(instance, 5000, punch().b)).destination.to_string(), other_instance);
    // A setting that takes effect at once, whatever flows stand.
    lab().reap_all(REAP_CUT);
    configure(0, on);
    configure(1, on);
    Packet a = endpoint(instance, 5000);
    as_tenant(true);
    Packet b = endpoint(stranger, 6000);
    lab().run(Role::inside, from_to(stranger, 6000, a));
    as_tenant(false);
    EXPECT_EQ(lab().run(Role::inside, from_to(instance, 5000, b)).drop_reason, "");
    configure(1, same);
    EXPECT_EQ(lab().run(Role::inside, from_to(instance, 5000, b)).drop_reason, "elastic_ip_from_inside");

    lab().remove_elastic_ip("198.51.100.20");
    lab().change_nat_gateway(1, {});
    lab().remove_route(2, "0.0.0.0/0");
    lab().remove_subnet(2, "10.0.0.0/16");
    lab().bump_generation();
    lab().set_device(other_slot, {});
}

TEST_F(Hairpin, RemovedElasticIpCutsBothFlows) {
    lab().add_elastic_ip("198.51.100.11");
    std::map<std::string, std::string> by_eip;  // an instance for each address
    for (int host = 20; host < 60 && by_eip.size() < 2; host++) {
        std::string from = "10.0.0." + std::to_string(host);
        by_eip.emplace(endpoint(from.c_str(), 5000).source.to_string(), from);
    }
    ASSERT_EQ(by_eip.size(), 2u);
    const char* stays = by_eip.at(eip).c_str();
    const char* goes = by_eip.at("198.51.100.11").c_str();
    Packet a = endpoint(stays, 5000), b = endpoint(goes, 5000);
    lab().run(Role::inside, from_to(goes, 5000, a));
    EXPECT_EQ(lab().run(Role::inside, from_to(stays, 5000, b)).drop_reason, "");
    lab().remove_elastic_ip("198.51.100.11");
    lab().bump_generation();
    EXPECT_EQ(lab().run(Role::inside, from_to(stays, 5000, b)).drop_reason, "flow_cut");
    EXPECT_EQ(lab().run(Role::inside, from_to(goes, 5000, a)).drop_reason, "flow_cut");
    for (const auto& entry : lab().entries()) EXPECT_FALSE(entry.flags & FLOW_HAIRPIN);
}

TEST_F(Hairpin, AFlowEndsWhenItsRemoteBecomesAnElasticIp) {
    Packet seen = endpoint(instance, 5000, other_remote);
    lab().add_elastic_ip(other_remote, NO_NAT_GATEWAY);
    lab().bump_generation();
    EXPECT_EQ(lab().run(Role::outside, answer(seen)).drop_reason, "flow_cut");
    EXPECT_EQ(lab().run(Role::inside, udp().from(instance, 5000).to(other_remote, 7000)).drop_reason,
              "unsolicited");
    lab().forget_elastic_ip(other_remote);
    lab().bump_generation();
}

TEST_F(Hairpin, ReloadKeepsBothFlows) {
    Hole hole = punch();
    lab().bump_generation();
    EXPECT_EQ(out(from_to(instance, 5000, hole.b)).source_port, hole.a.source_port);
    EXPECT_EQ(out(from_to(other_instance, 6000, hole.a)).source_port, hole.b.source_port);
    lab().trust_next_hops(false);
    EXPECT_EQ(out(from_to(instance, 5000, hole.b)).destination_mac[5], 0x12);
    lab().trust_next_hops(true);
}

TEST_F(Hairpin, NobodyOutsideMayBearAnElasticIp) {
    Hole hole = punch();
    Packet forged = from_to(instance, 5000, hole.b);
    forged.source = hole.a.source;
    forged.source_port = hole.a.source_port;
    Outcome outcome = lab().run(Role::outside, forged);  // the very tuple that a hairpin has
    EXPECT_EQ(outcome.drop_reason, "elastic_ip_from_outside");
    EXPECT_EQ(outcome.action, XDP_DROP);
    forged.source_port ^= 1;
    EXPECT_EQ(lab().run(Role::outside, forged).drop_reason, "elastic_ip_from_outside");
    Packet quoted = forged;  // nor quote a packet between two
    quoted.source_port = hole.a.source_port;
    EXPECT_EQ(
        lab().run(Role::outside, icmp_error(3, 3, quoted.ip()).from("198.51.100.254").to(eip)).drop_reason,
        "elastic_ip_from_outside");
}

TEST_F(Hairpin, OnOneArm) {
    device lan = lab().device(ProgramLab::inside_slot), both = lan;
    both.role = DEVICE_BOTH;
    lab().set_device(ProgramLab::inside_slot, both);
    Hole hole = punch();
    Packet sent = from_to(instance, 5000, hole.b);
    Outcome outcome = lab().run(Role::both, sent);
    ASSERT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
    EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
    EXPECT_EQ(outcome.packet->source, hole.a.source);
    EXPECT_EQ(outcome.packet->destination.to_string(), other_instance);
    outcome = lab().run(Role::both, answer(*outcome.packet));
    ASSERT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
    EXPECT_EQ(outcome.packet->destination.to_string(), instance);
    Packet forged = sent;
    forged.source = hole.a.source;
    forged.source_port = hole.a.source_port;
    EXPECT_EQ(lab().run(Role::both, forged).drop_reason, "elastic_ip_from_outside");
    lab().set_device(ProgramLab::inside_slot, lan);
}

TEST_F(Hairpin, BothNatGatewaysCountBothWays) {
    Hole hole = punch();
    auto before = lab().counters();
    Packet sent = from_to(instance, 5000, hole.b).with_payload(100);
    out(sent);
    auto after = lab().counters();
    EXPECT_EQ(after.nat_gateways[0].out_packets - before.nat_gateways[0].out_packets, 1u);
    EXPECT_EQ(after.nat_gateways[0].out_bytes - before.nat_gateways[0].out_bytes, 128u);
    EXPECT_EQ(after.nat_gateways[0].in_packets - before.nat_gateways[0].in_packets, 1u);
    EXPECT_EQ(after.nat_gateways[0].in_bytes - before.nat_gateways[0].in_bytes, 128u);
    EXPECT_EQ(after.devices[0].received_packets - before.devices[0].received_packets, 1u);
    EXPECT_EQ(after.devices[0].forwarded - before.devices[0].forwarded, 1u);
    EXPECT_EQ(flows(), 4u) << "each has one to the public remote and one to the other";
}

TEST_F(Hairpin, KeepsItsMappingsAlive) {  // RFC 4787 REQ-6
    Hole hole = punch();
    for (int i = 0; i < 5; i++) {
        lab().advance(std::chrono::seconds(200));
        out(from_to(instance, 5000, hole.b));
        out(from_to(other_instance, 6000, hole.a));
    }
    EXPECT_EQ(endpoint(instance, 5000, other_remote).source_port, hole.a.source_port);
    EXPECT_EQ(endpoint(other_instance, 6000, other_remote).source_port, hole.b.source_port);
}

}  // namespace
}  // namespace sallyport::support

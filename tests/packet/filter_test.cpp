// SPDX-License-Identifier: Apache-2.0
// Who may send to an external port that is in use (RFC 4787 section 5, RFC 5382 section 4.3), for both ways
// to map.
#include <arpa/inet.h>

#include <set>
#include <string>

#include "packet/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

constexpr const char* neighbour = "203.0.113.11";

class Filter : public PacketTest {
  protected:
    void SetUp() override {
        PacketTest::SetUp();
        as_it_was_ = lab().nat_gateway(0);
    }
    void TearDown() override {
        lab().change_nat_gateway(0, as_it_was_);
        PacketTest::TearDown();
    }

    static void set(endpoint_rule mapping, endpoint_rule filtering) {
        struct nat_gateway gateway = lab().nat_gateway(0);
        for (std::uint8_t& one : gateway.mapping) one = static_cast<std::uint8_t>(mapping);
        for (std::uint8_t& one : gateway.filtering) one = static_cast<std::uint8_t>(filtering);
        lab().change_nat_gateway(0, gateway);
    }
    static void filter(endpoint_rule filtering) {
        struct nat_gateway gateway = lab().nat_gateway(0);
        for (std::uint8_t& one : gateway.filtering) one = static_cast<std::uint8_t>(filtering);
        lab().change_nat_gateway(0, gateway);
    }

    // A first packet from outside, to where `seen` came from.
    static Packet first(const Packet& seen, const char* from, std::uint16_t port) {
        Packet packet = seen.protocol == 6 ? tcp() : udp();
        return packet.from(from, port).to(seen.source.to_string().c_str(), seen.source_port);
    }
    // "" if the instance got it as it should, else why it was dropped.
    static std::string enters(const Packet& packet, std::uint16_t port = 5000) {
        Outcome outcome = lab().run(Role::outside, packet);
        if (outcome.action != XDP_REDIRECT) return outcome.drop_reason;
        EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
        EXPECT_EQ(outcome.packet->destination.to_string(), instance);
        EXPECT_EQ(outcome.packet->destination_port, port);
        EXPECT_EQ(outcome.packet->source, packet.source);
        EXPECT_EQ(outcome.packet->source_port, packet.source_port);
        EXPECT_EQ(outcome.packet->ttl, packet.ttl - 1);
        return "";
    }
    static Packet open(const Packet& kind, const char* to = remote, std::uint16_t port = 7000) {
        return out(Packet(kind).from(instance, 5000).to(to, port));
    }
    static std::uint32_t entries_of(flow_kind kind) {
        std::uint32_t count = 0;
        lab().for_each_entry([&](const flow_entry& entry) { count += entry.key.kind == kind; });
        return count;
    }
    static int state_of(std::uint16_t remote_port) {
        for (const flow_entry& entry : lab().entries())
            if (entry.key.kind == FLOW_KIND_FLOW && entry.flags & FLOW_FORWARD &&
                entry.key.destination_port == htons(remote_port))
                return entry.state;
        return -1;
    }

  private:
    struct nat_gateway as_it_was_ {};
};

TEST_F(Filter, EachOfTheSixCombinationsLetsInWhatItSays) {
    for (const endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (const endpoint_rule filtering :
             {ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
            for (const Packet& kind : {udp(), tcp()}) {
                SCOPED_TRACE(std::to_string(mapping) + " " + std::to_string(filtering) + " " +
                             std::to_string(kind.protocol));
                set(mapping, filtering);
                Packet seen = open(kind);
                const char* refused = filtering == ADDRESS_DEPENDENT ? "filtered" : "unsolicited";
                const bool all = filtering == ENDPOINT_INDEPENDENT,
                           same_address = filtering <= ADDRESS_DEPENDENT;
                EXPECT_EQ(enters(first(seen, remote, 7001)), same_address ? "" : refused);
                EXPECT_EQ(enters(first(seen, other_remote, 7000)), all ? "" : refused);
                in(answer(seen, syn | ack));
                // A port in use is one instance's, towards everybody, unless only its remotes may send to it.
                std::set<std::uint16_t> ports{seen.source_port};
                for (std::uint16_t port = 8000; port < 8020; port++)
                    ports.insert(open(kind, other_remote, port).source_port);
                EXPECT_EQ(ports.size() == 1, mapping == ENDPOINT_INDEPENDENT);
                lab().reap_all(REAP_CUT);
                EXPECT_TRUE(lab().entries().empty());
            }
}

TEST_F(Filter, AnswersToWhatCameInLeaveByTheSamePort) {
    for (const endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT}) {
        set(mapping, ENDPOINT_INDEPENDENT);
        Packet seen = open(udp());
        Packet call = first(seen, other_remote, 9000);
        EXPECT_EQ(enters(call), "");
        EXPECT_EQ(state_of(9000), FLOW_STATE_OPENING_FROM_OUTSIDE);
        Packet answered = open(udp(), other_remote, 9000);
        EXPECT_EQ(answered.source, seen.source);
        EXPECT_EQ(answered.source_port, seen.source_port);
        EXPECT_EQ(state_of(9000), FLOW_STATE_ESTABLISHED);
        lab().reap_all(REAP_CUT);
    }
    auto after = lab().counters();
    EXPECT_EQ(after.nat_gateways[0].flow_attempts - before_.nat_gateways[0].flow_attempts, 4u);
    EXPECT_EQ(after.nat_gateways[0].flows_established - before_.nat_gateways[0].flows_established, 2u);
}

TEST_F(Filter, OnlyTheInstanceEstablishesWhatASynFromOutsideOpened) {
    set(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
    Packet seen = open(tcp());
    Packet call = first(seen, other_remote, 9000);
    for (int flags : {+ack, syn | ack, +rst, fin | ack, ack | psh})
        EXPECT_EQ(enters(Packet(call).flags(flags)), "unsolicited");
    EXPECT_EQ(enters(call), "");
    EXPECT_EQ(enters(call), "") << "sent again";
    EXPECT_EQ(state_of(9000), FLOW_STATE_OPENING_FROM_OUTSIDE);
    Packet taken =
        out(tcp().from(instance, 5000).to(other_remote, 9000).flags(syn | ack).seq(77, call.sequence + 1));
    EXPECT_EQ(taken.source_port, seen.source_port);
    EXPECT_EQ(state_of(9000), FLOW_STATE_ESTABLISHED);
    // Refused by the instance. Given up by the remote it counts as unanswered until it times out.
    EXPECT_EQ(enters(call = first(seen, other_remote, 9001)), "");
    out(tcp().from(instance, 5000).to(other_remote, 9001).flags(rst | ack).seq(0, call.sequence + 1));
    EXPECT_EQ(state_of(9001), FLOW_STATE_RESET);
    EXPECT_EQ(enters(call = first(seen, other_remote, 9002)), "");
    EXPECT_EQ(enters(Packet(call).flags(rst).seq(call.sequence + 1 + (1u << 30))), "");
    EXPECT_EQ(state_of(9002), FLOW_STATE_OPENING_FROM_OUTSIDE);
    EXPECT_EQ(enters(Packet(call).flags(rst).seq(call.sequence + 1)), "");
    EXPECT_EQ(state_of(9002), FLOW_STATE_OPENING_FROM_OUTSIDE);
    // Four minutes are all that an unanswered SYN gets.
    EXPECT_EQ(enters(call = first(seen, other_remote, 9003)), "");
    lab().advance(seconds(245));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(state_of(9003), -1);
}

TEST_F(Filter, AnAddressIsPermittedWhileAFlowToItLivesAndNoLonger) {
    set(ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT);
    Packet seen = open(udp(), remote, 7000);
    open(udp(), remote, 7001);
    open(udp(), neighbour, 7000);
    EXPECT_EQ(entries_of(FLOW_KIND_PERMIT), 2u) << "one for each address";
    lab().advance(seconds(200));
    open(udp(), remote, 7001);
    open(udp(), neighbour, 7000);
    lab().advance(seconds(150));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(state_of(7000), FLOW_STATE_OPENING);  // to the neighbour: the other has ended
    Packet call = first(seen, remote, 7000);
    EXPECT_EQ(enters(call), "") << "there is another flow to this address";
    EXPECT_EQ(enters(first(seen, other_remote, 7000)), "filtered");
    lab().reap_all(REAP_CUT);

    seen = open(udp(), remote, 7000);
    open(udp(), neighbour, 7000);
    lab().advance(seconds(200));
    open(udp(), neighbour, 7000);
    lab().advance(seconds(150));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(entries_of(FLOW_KIND_PERMIT), 1u);
    EXPECT_EQ(enters(first(seen, remote, 7001)), "filtered") << "no flow to this address lives";
    EXPECT_EQ(enters(first(seen, neighbour, 7001)), "");
}

TEST_F(Filter, WhatIsRefusedKeepsNothingAlive) {  // RFC 7857 section 7, decision C9
    set(ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT);
    Packet seen = open(udp());
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(enters(first(seen, other_remote, 7000)), "filtered");
        lab().advance(seconds(60));
    }
    lab().advance(seconds(25));
    EXPECT_EQ(enters(first(seen, other_remote, 7000)), "unsolicited")
        << "the mapping should be gone, without an agent";
    EXPECT_EQ(enters(first(seen, remote, 7001)), "unsolicited");
}

TEST_F(Filter, AChangedSettingCountsForNewPacketsAndCutsNoFlow) {  // RFC 4787 REQ-8a
    set(ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT);
    Packet seen = open(udp());
    const auto delivered = [&] {
        std::string set_of;
        if (enters(answer(seen)).empty()) set_of += "a";
        if (enters(first(seen, remote, 7001)).empty()) set_of += "b";
        if (enters(first(seen, other_remote, 7000)).empty()) set_of += "c";
        return set_of;
    };
    EXPECT_EQ(delivered(), "a");
    filter(ADDRESS_DEPENDENT);
    lab().bump_generation();
    EXPECT_EQ(delivered(), "ab");
    filter(ENDPOINT_INDEPENDENT);
    lab().bump_generation();
    EXPECT_EQ(delivered(), "abc");
    // What an instance has answered stays; what only the setting let in goes with it.
    out(udp().from(instance, 5000).to(remote, 7001));
    filter(ADDRESS_AND_PORT_DEPENDENT);
    lab().bump_generation();
    EXPECT_EQ(enters(first(seen, other_remote, 7000)), "flow_cut");
    EXPECT_EQ(delivered(), "ab");
}

TEST_F(Filter, IcmpErrorsFollowIt) {  // RFC 5508 REQ-4
    for (const endpoint_rule filtering :
         {ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT}) {
        set(ENDPOINT_INDEPENDENT, filtering);
        Packet seen = open(udp());
        const auto error_about = [&](const char* to, std::uint16_t port) {
            Packet error = icmp_error(3, 1, Packet(seen).to(to, port).ip());
            error.from("198.51.100.254").to(seen.source.to_string().c_str());
            Outcome outcome = lab().run(Role::outside, error);
            if (outcome.action != XDP_REDIRECT) return outcome.drop_reason;
            EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
            EXPECT_EQ(outcome.packet->destination.to_string(), instance);
            return std::string();
        };
        EXPECT_EQ(error_about(remote, 7000), "");
        EXPECT_EQ(error_about(remote, 7001), filtering <= ADDRESS_DEPENDENT ? "" : "icmp_error_without_flow");
        EXPECT_EQ(error_about(other_remote, 7000), filtering == ENDPOINT_INDEPENDENT ? ""
                                                   : filtering == ADDRESS_DEPENDENT
                                                       ? "filtered"
                                                       : "icmp_error_without_flow");
        EXPECT_EQ(lab().entries().size(), filtering == ADDRESS_DEPENDENT ? 5u : 4u)
            << "an error makes no flow";
        lab().reap_all(REAP_CUT);
    }
}

TEST_F(Filter, EchoRepliesFollowItToo) {
    set(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
    Packet seen = out(ping().from(instance, 77).to(remote));
    Packet reply = answer(seen);
    in(reply);
    Outcome outcome = lab().run(Role::outside, reply.from(other_remote));
    EXPECT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
    EXPECT_EQ(lab().run(Role::outside, ping().from(other_remote, seen.icmp_id).to(eip)).drop_reason,
              "unsolicited");
}

TEST_F(Filter, NobodyComesInUnderAnAddressThatIsAtHomeHere) {
    set(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
    Packet seen = open(udp());
    EXPECT_EQ(enters(first(seen, eip, 9000)), "elastic_ip_from_outside");
    EXPECT_EQ(enters(first(seen, "127.0.0.1", 9000)), "invalid_address");
    EXPECT_EQ(enters(first(seen, "0.1.2.3", 9000)), "invalid_address");
    EXPECT_EQ(enters(first(seen, "198.51.100.1", 9000)), "invalid_address") << "the gateway itself";
    EXPECT_EQ(enters(first(seen, other_instance, 9000)), "filtered") << "the VPC's own route";
    // What the instance could not send to cannot send to it.
    lab().add_route(1, "203.0.113.20/32", ROUTE_BLACKHOLE, 0);
    EXPECT_EQ(enters(first(seen, other_remote, 9000)), "filtered");
    lab().remove_route(1, "203.0.113.20/32");
    EXPECT_EQ(enters(first(seen, other_remote, 9000)), "");
    EXPECT_EQ(enters(first(seen, other_remote, 9001).to(eip, 1)), "unsolicited");
}

TEST_F(Filter, ADatagramComesInBesideAFlowToItsSenderOnAnotherPort) {
    set(ADDRESS_AND_PORT_DEPENDENT, ENDPOINT_INDEPENDENT);
    for (const Packet& kind : {udp(), tcp()}) {
        Packet seen = open(kind, remote, 7000), other = open(kind, other_remote, 7000);
        ASSERT_NE(seen.source_port, other.source_port);
        EXPECT_EQ(enters(first(seen, other_remote, 7000)), kind.protocol == 17 ? "" : "unsolicited");
        EXPECT_EQ(open(kind, other_remote, 7000).source_port, other.source_port);
        lab().reap_all(REAP_CUT);
        EXPECT_TRUE(lab().entries().empty());
    }
}

TEST_F(Filter, IsSetForEachProtocol) {  // RFC 5382 REQ-3b, RFC 7857 section 6
    struct nat_gateway gateway = lab().nat_gateway(0);
    gateway.mapping[NAT_TCP] = ENDPOINT_INDEPENDENT;
    gateway.filtering[NAT_UDP] = ENDPOINT_INDEPENDENT;
    lab().change_nat_gateway(0, gateway);
    Packet datagram = open(udp()), segment = open(tcp());
    EXPECT_EQ(enters(first(datagram, other_remote, 7000)), "");
    EXPECT_EQ(enters(first(segment, other_remote, 7000)), "unsolicited");
    Packet other = first(segment, other_remote, 7000).to(eip, datagram.source_port);
    EXPECT_EQ(enters(other), "unsolicited") << "a mapping is its protocol's alone";
}

TEST_F(Filter, AMappingLivesAsLongAsAnyOfItsFlows) {  // RFC 5382 REQ-1
    set(ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT);
    struct nat_gateway gateway = lab().nat_gateway(0);
    gateway.timeouts[TIMEOUT_TCP_ESTABLISHED] = timeout_units(seconds(60));
    gateway.first_port = gateway.last_port = 2000;
    lab().change_nat_gateway(0, gateway);
    open(tcp());
    lab().advance(seconds(200));  // of the 240 that it may take a connection to open
    EXPECT_EQ(lab().run(Role::inside, tcp().from(other_instance, 5000).to(other_remote, 7000)).drop_reason,
              "port_exhausted");
}

class Quarantine : public Filter {
  protected:
    void SetUp() override {
        Filter::SetUp();
        configure(4);
    }
    static void configure(std::uint32_t most) {
        set(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
        struct nat_gateway gateway = lab().nat_gateway(0);
        gateway.first_port = 2000;
        gateway.last_port = 2009;
        gateway.port_quarantine = timeout_units(seconds(120));
        gateway.port_quarantine_max = most;
        lab().change_nat_gateway(0, gateway);
    }
    static Outcome map(const char* from, std::uint16_t port) {
        return lab().run(Role::inside, udp().from(from, port).to(remote, 7000));
    }
    // How many of ten ports the other instance gets.
    static int granted() {
        int count = 0;
        for (std::uint16_t i = 0; i < 10; i++)
            count += map(other_instance, static_cast<std::uint16_t>(6000 + i)).drop_reason.empty();
        return count;
    }
    static void use_all() {
        for (std::uint16_t i = 0; i < 10; i++)
            EXPECT_EQ(map(instance, static_cast<std::uint16_t>(5000 + i)).drop_reason, "");
    }
};

TEST_F(Quarantine, FreedPortsRest) {  // RFC 6888 REQ-8
    configure(65536);
    use_all();
    lab().advance(seconds(303));
    EXPECT_EQ(lab().reap_all(REAP_EXPIRED), 10u);
    EXPECT_EQ(lab().resting_ports(), 10u);
    EXPECT_EQ(granted(), 0);
    Packet late = udp().from(remote, 7000).to(eip, 2003);
    EXPECT_EQ(enters(late), "unsolicited") << "a port that rests lets nothing in";
    lab().advance(seconds(119));
    EXPECT_EQ(granted(), 0);
    lab().advance(seconds(4));
    EXPECT_EQ(granted(), 10);
    EXPECT_EQ(lab().resting_ports(), 0u);
}

TEST_F(Quarantine, NoMoreRestThanMay) {
    use_all();
    lab().advance(seconds(303));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(lab().resting_ports(), 4u);
    EXPECT_EQ(granted(), 6);
    lab().advance(seconds(124));
    EXPECT_EQ(granted(), 10) << "six that it has, and four more";
}

TEST_F(Quarantine, ItsOwnPortIsGivenBack) {
    configure(65536);
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    lab().advance(seconds(303));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(lab().resting_ports(), 1u);
    EXPECT_EQ(out(udp().from(instance, 5000).to(other_remote, 7000)).source_port, seen.source_port);
    EXPECT_EQ(lab().resting_ports(), 0u);
    EXPECT_EQ(enters(first(seen, remote, 7001)), "");
    lab().advance(seconds(299));
    EXPECT_EQ(enters(first(seen, remote, 7002)), "") << "it has its old lifetime back";
}

TEST_F(Quarantine, WithoutAnAgentAsWell) {
    configure(65536);
    use_all();
    lab().advance(seconds(400));
    EXPECT_EQ(granted(), 0);
    lab().advance(seconds(60));
    EXPECT_EQ(granted(), 10);
}

TEST_F(Quarantine, IsNotForTcpNorForStricterFiltering) {
    for (const endpoint_rule filtering : {ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT}) {
        filter(filtering);
        use_all();
        lab().advance(seconds(303));
        lab().reap_all(REAP_EXPIRED);
        EXPECT_EQ(granted(), 10);
        lab().reap_all(REAP_CUT);
    }
    filter(ENDPOINT_INDEPENDENT);
    for (const char* who : {instance, other_instance}) {
        for (std::uint16_t i = 0; i < 10; i++)
            out(tcp().from(who, static_cast<std::uint16_t>(5000 + i)).to(remote, 7000));
        lab().advance(seconds(245));
        lab().reap_all(REAP_EXPIRED);
    }
    EXPECT_EQ(lab().resting_ports(), 0u);
}

}  // namespace
}  // namespace sallyport::support

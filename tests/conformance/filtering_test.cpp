// SPDX-License-Identifier: Apache-2.0
// Mapping and filtering as they are set: RFC 4787 sections 4.1 and 5, RFC 5382 sections 4.1 and 4.3, RFC 7857
// sections 3 to 7, RFC 6888 REQ-7 and REQ-8, and what a client of RFC 5780 would conclude.
#include <arpa/inet.h>

#include <array>
#include <random>
#include <set>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

class Filtering : public ConformanceTest {
  protected:
    void set(nat_protocol protocol, endpoint_rule mapping, endpoint_rule filtering) {
        change_gateway([=](struct nat_gateway& gateway) {
            gateway.mapping[protocol] = static_cast<std::uint8_t>(mapping);
            gateway.filtering[protocol] = static_cast<std::uint8_t>(filtering);
        });
    }
    void filter(nat_protocol protocol, endpoint_rule filtering) {
        change_gateway([=](struct nat_gateway& gateway) {
            gateway.filtering[protocol] = static_cast<std::uint8_t>(filtering);
        });
    }
    void use_ports(std::uint16_t first, std::uint16_t last) {
        change_gateway([=](struct nat_gateway& gateway) {
            gateway.first_port = first;
            gateway.last_port = last;
        });
    }
    void rest(seconds time, std::uint32_t most) {
        change_gateway([=](struct nat_gateway& gateway) {
            gateway.port_quarantine = timeout_units(time);
            gateway.port_quarantine_max = most;
        });
    }

    // A first packet from a server to where a mapping is seen.
    static Packet call(const Mapping& mapping, const char* from, std::uint16_t port) {
        Packet packet = mapping.sent.protocol == 6 ? tcp() : udp();
        return packet.from(from, port).to(mapping.seen.source.to_string().c_str(), mapping.seen.source_port);
    }
    // Whether it reaches the host and port that the mapping is of.
    bool arrives(const Mapping& mapping, const char* from, std::uint16_t port) {
        std::optional<Packet> packet = in(call(mapping, from, port));
        if (!packet) return false;
        EXPECT_EQ(packet->destination, mapping.sent.source);
        EXPECT_EQ(packet->destination_port, mapping.sent.source_port);
        return true;
    }
    // Who of three gets through, as letters: the one that was sent to, its other port, another address.
    std::string delivered(const Mapping& mapping) {
        std::string who;
        if (alive(mapping)) who += "a";
        if (arrives(mapping, S1, static_cast<std::uint16_t>(mapping.sent.destination_port + 1))) who += "b";
        if (arrives(mapping, S2, mapping.sent.destination_port)) who += "c";
        return who;
    }

    static constexpr std::array filters{ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT};
    static std::string expected(endpoint_rule filtering) {
        return filtering == ENDPOINT_INDEPENDENT ? "abc" : filtering == ADDRESS_DEPENDENT ? "ab" : "a";
    }

    // What RFC 5780 section 4.3 makes of the external endpoints that three destinations see.
    endpoint_rule mapping_class(const char* host, std::uint16_t port) {
        const External first = map(udp().from(host, port).to(S1, 3478)).external();
        const External second = map(udp().from(host, port).to(S1b, 3478)).external();
        const External third = map(udp().from(host, port).to(S1b, 3479)).external();
        if (second == first) return ENDPOINT_INDEPENDENT;
        return third == second ? ADDRESS_DEPENDENT : ADDRESS_AND_PORT_DEPENDENT;
    }
    // Section 4.4: a request to S1, the answer from elsewhere. S1b hears nothing of this port before.
    endpoint_rule filtering_class(const char* host, std::uint16_t port) {
        Mapping request = map(udp().from(host, port).to(S1, 3478));
        EXPECT_TRUE(alive(request));
        if (arrives(request, S1b, 3479)) return ENDPOINT_INDEPENDENT;
        return arrives(request, S1, 3479) ? ADDRESS_DEPENDENT : ADDRESS_AND_PORT_DEPENDENT;
    }
};

ROW(Filtering, OfUdpIsAsTheOptionSays, "4787-REQ-8", "6888-REQ-7") {
    std::uint16_t port = 5000;
    for (const endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (const endpoint_rule filtering : filters) {
            set(NAT_UDP, mapping, filtering);
            EXPECT_EQ(delivered(map(udp().from(H1, port++).to(S1, 7000))), expected(filtering));
        }
}

ROW(Filtering, MayBeChangedUnderAFlow, "4787-REQ-8a") {
    set(NAT_UDP, ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT);
    set(NAT_TCP, ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT);
    Mapping datagrams = map(udp().from(H1, 5000).to(S1, 7000)), connection = est(H1, 5000, S1, 80);
    for (const nat_protocol protocol : {NAT_UDP, NAT_TCP}) {
        const Mapping& mapping = protocol == NAT_UDP ? datagrams : connection;
        for (const endpoint_rule filtering :
             {ADDRESS_AND_PORT_DEPENDENT, ADDRESS_DEPENDENT, ENDPOINT_INDEPENDENT}) {
            filter(protocol, filtering);
            lab().bump_generation();
            EXPECT_EQ(delivered(mapping), expected(filtering));
        }
        // And back. What came in and was not answered goes: it is not of this set any more.
        filter(protocol, ADDRESS_AND_PORT_DEPENDENT);
        lab().bump_generation();
        EXPECT_EQ(delivered(mapping), "a");
    }
    EXPECT_TRUE(out(segment(connection, ack, h_sequence + 11, s_sequence + 11)));
    EXPECT_EQ(map(udp().from(H1, 5000).to(S1, 7000)).external(), datagrams.external());
}

ROW(Filtering, TcpMappingIsTheSameForEveryDestinationWhereItIsSet, "5382-REQ-1") {
    set(NAT_TCP, ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT);
    const External first = est(H1, 5000, S1, 80).external();
    Mapping second = est(H1, 5000, S1, 81), third = est(H1, 5000, S2, 80);
    EXPECT_EQ(second.external(), first);
    EXPECT_EQ(third.external(), first);
    // The first is closed and forgotten, the others are open.
    Mapping closed = est(H1, 5000, S1b, 80);
    EXPECT_TRUE(out(segment(closed, fin | ack, h_sequence + 11, s_sequence + 11)));
    EXPECT_TRUE(in(server_segment(closed, fin | ack, s_sequence + 11, h_sequence + 12)));
    idle(seconds(250));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_FALSE(alive(closed));
    EXPECT_TRUE(alive(second));
    EXPECT_EQ(est(H1, 5000, S2, 443).external(), first);
}

ROW(Filtering, OfTcpIsAsTheOptionSays, "5382-REQ-3", "5382-REQ-3a") {
    std::uint16_t port = 5000;
    for (const endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (const endpoint_rule filtering : filters) {
            set(NAT_TCP, mapping, filtering);
            Mapping flow = est(H1, port++, S1, 80);
            EXPECT_EQ(arrives(flow, S1, 81), filtering != ADDRESS_AND_PORT_DEPENDENT);
            EXPECT_EQ(arrives(flow, S2, 80), filtering == ENDPOINT_INDEPENDENT);
            if (filtering != ENDPOINT_INDEPENDENT) continue;
            // A connection from outside is as good as any.
            Packet taken = tcp()
                               .from(H1, flow.sent.source_port)
                               .to(S2, 80)
                               .flags(syn | ack)
                               .seq(77, call(flow, S2, 80).sequence + 1);
            std::optional<Packet> seen = out(taken);
            ASSERT_TRUE(seen);
            EXPECT_EQ(seen->source_port, flow.external().port);
            idle(seconds(7000));
            EXPECT_TRUE(in(call(flow, S2, 80).flags(ack).seq(call(flow, S2, 80).sequence + 1, 78)));
        }
}

ROW(Filtering, IsSetForEachProtocol, "5382-REQ-3b", "7857-§6-a") {
    set(NAT_UDP, ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
    set(NAT_TCP, ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT);
    Mapping datagrams = map(udp().from(H1, 5000).to(S1, 7000)), connection = est(H1, 5000, S1, 7000);
    EXPECT_EQ(delivered(datagrams), "abc");
    EXPECT_FALSE(arrives(connection, S1, 7001));
    EXPECT_FALSE(arrives(connection, S2, 7000));
    // A SYN to what is open for datagrams.
    EXPECT_FALSE(
        in(tcp().from(S2, 7000).to(datagrams.seen.source.to_string().c_str(), datagrams.external().port)));
}

ROW(Filtering, APortIsSharedOnlyBetweenDifferentDestinations, "7857-§3-a") {
    use_pool({E1});
    use_ports(20000, 20000);
    for (const nat_protocol protocol : {NAT_TCP, NAT_UDP})
        set(protocol, ADDRESS_AND_PORT_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT);
    for (const Packet& kind : {tcp(), udp()}) {
        Mapping one = map(Packet(kind).from(H1, 5000).to(S1, 80)),
                two = map(Packet(kind).from(H2, 5000).to(S2, 80));
        EXPECT_EQ(one.external(), two.external());
        EXPECT_TRUE(alive(one));
        EXPECT_TRUE(alive(two));
        EXPECT_EQ(from_inside(Packet(kind).from(H2, 5000).to(S1, 80)).drop_reason, "port_exhausted");
        lab().reap_all(REAP_CUT);
    }
}

// No port is shared at all where others than its remote may send to it: exact to the last one, in either
// mapping.
ROW(Filtering, WhereOthersMaySendAPortIsOneHostsAlone, "4787-REQ-3", "5382-REQ-7") {
    use_pool({E1});
    use_ports(20000, 20009);
    for (const endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (const endpoint_rule filtering : filters)
            for (const Packet& kind : {tcp(), udp()}) {
                const bool shared =
                    mapping == ADDRESS_AND_PORT_DEPENDENT && filtering == ADDRESS_AND_PORT_DEPENDENT;
                SCOPED_TRACE(std::to_string(mapping) + " " + std::to_string(filtering));
                set(kind.protocol == 6 ? NAT_TCP : NAT_UDP, mapping, filtering);
                std::vector<Mapping> mappings;
                std::set<External> externals;
                for (std::uint16_t i = 0; i < 10; i++) {
                    mappings.push_back(map(
                        Packet(kind).from(i % 2 ? H1 : H2, static_cast<std::uint16_t>(5000 + i)).to(S1, 80)));
                    externals.insert(mappings.back().external());
                }
                EXPECT_EQ(externals.size(), 10u);
                EXPECT_EQ(from_inside(Packet(kind).from(H1, 6000).to(S1, 80)).drop_reason, "port_exhausted");
                EXPECT_EQ(from_inside(Packet(kind).from(H1, 6000).to(S2, 80)).drop_reason,
                          shared ? "" : "port_exhausted");
                for (const Mapping& one : mappings) EXPECT_TRUE(alive(one));
                lab().reap_all(REAP_CUT);
            }
}

ROW(Filtering, WhatIsRefusedRefreshesNothing, "7857-§7-a") {
    set(NAT_UDP, ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT);
    set(NAT_TCP, ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT);
    Mapping datagrams = map(udp().from(H1, 5000).to(S1, 7000)),
            half_open = map(tcp().from(H1, 5000).to(S1, 80));
    for (int i = 0; i < 5; i++) {
        EXPECT_FALSE(arrives(datagrams, S2, 7000));
        EXPECT_FALSE(arrives(half_open, S2, 80));
        idle(seconds(60));
        lab().reap_all(REAP_EXPIRED);
    }
    EXPECT_FALSE(alive(half_open)) << "240 s";
    idle(seconds(3));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_FALSE(alive(datagrams)) << "300 s";
    EXPECT_TRUE(lab().entries().empty());
}

ROW(Filtering, AFreedPortRestsWhereAnybodyMaySend, "6888-REQ-8") {
    use_pool({E1});
    use_ports(20000, 20009);
    set(NAT_UDP, ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT);
    const auto take_ten = [&](const char* host) {
        int granted = 0;
        for (std::uint16_t i = 0; i < 10; i++)
            granted += from_inside(udp().from(host, static_cast<std::uint16_t>(5000 + i)).to(S1, 7000))
                           .drop_reason.empty();
        return granted;
    };
    rest(seconds(120), 65536);
    EXPECT_EQ(take_ten(H1), 10);
    idle(seconds(302));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(take_ten(H2), 0);
    idle(seconds(119));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(take_ten(H2), 0);
    idle(seconds(3));
    EXPECT_EQ(take_ten(H2), 10);

    // At most four rest: six come at once.
    rest(seconds(120), 4);
    idle(seconds(302));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(lab().resting_ports(), 4u);
    EXPECT_EQ(take_ten(H1), 6);
    lab().reap_all(REAP_CUT);

    // Five ports in use, and nobody that tidies up, as while the gateway's agent is away.
    rest(seconds(120), 65536);
    std::set<std::uint16_t> used;
    for (std::uint16_t i = 0; i < 5; i++)
        used.insert(map(udp().from(H1, static_cast<std::uint16_t>(6000 + i)).to(S1, 7000)).external().port);
    idle(seconds(350));
    EXPECT_EQ(take_ten(H2), 5);
    for (const flow_entry& entry : lab().entries()) {
        if (entry.key.kind == FLOW_KIND_FLOW && entry.flags & FLOW_FORWARD &&
            entry.key.source == Ipv4Address::parse(H2).value().to_network()) {
            EXPECT_FALSE(used.contains(ntohs(entry.new_port)));
        }
    }
    idle(seconds(110));
    EXPECT_EQ(take_ten("10.0.0.13"), 5) << "those that rested";
}

ROW(Filtering, AClientOfRfc5780FindsTheClassThatIsSet, "5780-§4.2", "5780-§4.3", "5780-§4.4") {
    std::uint16_t port = 40000;
    EXPECT_EQ(mapping_class(H1, port++), ENDPOINT_INDEPENDENT) << "the default";
    EXPECT_EQ(filtering_class(H1, port++), ADDRESS_AND_PORT_DEPENDENT) << "the default (decision C1)";
    for (const endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (const endpoint_rule filtering : filters) {
            set(NAT_UDP, mapping, filtering);
            EXPECT_EQ(mapping_class(H1, port++), mapping);
            EXPECT_EQ(filtering_class(H1, port++), filtering);
        }
}

ROW(Filtering, TheClassIsTheSameForManyPorts, "5780-§4.1") {
    std::mt19937 random(5780);
    std::set<std::uint16_t> ports;
    for (const auto& [first, last] : {std::pair{32768, 49151}, std::pair{49152, 65535}}) {
        std::uniform_int_distribution<int> some(first, last);
        for (std::size_t before = ports.size(); ports.size() < before + 50;)
            ports.insert(static_cast<std::uint16_t>(some(random)));
    }
    for (const endpoint_rule filtering : filters) {
        set(NAT_UDP, ENDPOINT_INDEPENDENT, filtering);
        for (const std::uint16_t port : ports) {
            EXPECT_EQ(filtering_class(H1, port), filtering) << port;
            EXPECT_EQ(mapping_class(H2, port), ENDPOINT_INDEPENDENT) << port;
        }
        lab().reap_all(REAP_CUT);
    }
}

// Section 4.6: a request from port X; after so long, one from port Y asks for an answer to X's external port,
// which comes from the address and port that X had sent to.
ROW(Filtering, TheLifetimeThatAClientFindsIsFiveMinutes, "5780-§4.6") {
    std::uint16_t port = 40000;
    for (const endpoint_rule filtering : filters) {
        set(NAT_UDP, ENDPOINT_INDEPENDENT, filtering);
        const auto lives_for = [&](seconds time) {
            Mapping x = map(udp().from(H1, port++).to(S1, 3478));
            idle(time);
            map(udp().from(H1, port++).to(S1, 3478));
            return alive(x);
        };
        seconds low(0), high(1024);
        while (high - low > seconds(1)) {
            const seconds middle = (low + high) / 2;
            (lives_for(middle) ? low : high) = middle;
        }
        EXPECT_GE(low, seconds(299));
        EXPECT_LE(high, seconds(330));
    }
}

}  // namespace
}  // namespace sallyport::support

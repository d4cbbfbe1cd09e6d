// SPDX-License-Identifier: Apache-2.0
// RFC 4787 sections 4.1 to 4.3: how an internal endpoint is mapped.
#include <algorithm>
#include <set>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class UdpMapping : public ConformanceTest {
  protected:
    void use_ports(std::uint16_t first, std::uint16_t last) {
        change_gateway([=](struct nat_gateway& gateway) {
            gateway.first_port = first;
            gateway.last_port = last;
        });
    }
};

ROW(UdpMapping, EveryDestinationSeesTheSameEndpoint, "4787-REQ-1") {
    const std::pair<const char*, std::uint16_t> destinations[] = {
        {S1, 7000}, {S1, 7001}, {S2, 7000}, {S2, 7001}};
    for (int i = 0; i < 100; i++) {
        auto port = static_cast<std::uint16_t>(1024 + i * 613);
        std::set<External> seen;
        for (auto [address, to] : destinations)
            seen.insert(map(udp().from(H1, port).to(address, to)).external());
        EXPECT_EQ(seen.size(), 1u) << "port " << port;
    }
}

ROW(UdpMapping, ALaterDestinationSeesTheSameWhenTheFirstSessionIsGone, "4787-REQ-1") {
    Mapping first = map(udp().from(H1, 5000).to(S1, 7000));
    Packet fourth = udp().from(H1, 5000).to(S2, 7001);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(map(fourth).external(), first.external());
        idle(std::chrono::seconds(200));
    }
    EXPECT_FALSE(alive(first)) << "the first session was idle for 800 s";
    EXPECT_EQ(map(udp().from(H1, 5000).to(S1b, 9)).external(), first.external());
}

ROW(UdpMapping, AllMappingsOfAHostShareAnAddress, "4787-REQ-2", "7857-§4-c") {
    std::set<Ipv4Address> addresses;
    for (std::uint16_t i = 0; i < 500; i++)
        addresses.insert(map(udp().from(H1, static_cast<std::uint16_t>(5000 + i)).to(S1, 7000)).seen.source);
    for (std::uint16_t i = 0; i < 100; i++)
        addresses.insert(map(tcp().from(H1, static_cast<std::uint16_t>(5000 + i)).to(S1, 80)).seen.source);
    for (std::uint16_t i = 0; i < 20; i++)
        addresses.insert(map(ping().from(H1, static_cast<std::uint16_t>(100 + i)).to(S1)).seen.source);
    EXPECT_EQ(addresses.size(), 1u);
}

ROW(UdpMapping, ThePoolIsSharedAmongHosts, "4787-REQ-2") {
    std::map<Ipv4Address, int> hosts;
    for (int host = 0; host < 200; host++) {
        std::string address = "10.0.7." + std::to_string(host + 1);
        hosts[map(udp().from(address.c_str(), 5000).to(S1, 7000)).seen.source]++;
    }
    ASSERT_EQ(hosts.size(), 2u);
    for (const auto& [address, count] : hosts) EXPECT_GT(count, 50) << address.to_string();
}

ROW(UdpMapping, TwoHostsNeverShareAnEndpoint, "4787-REQ-3") {
    use_pool({E1});
    Mapping first = map(udp().from(H1, 5000).to(S1, 7000)), second = map(udp().from(H2, 5000).to(S1, 7000));
    EXPECT_NE(first.external(), second.external());
    EXPECT_TRUE(alive(first));
    EXPECT_TRUE(alive(second));
}

ROW(UdpMapping, WhatFindsNoPortIsRefusedAndTakesNobodys, "4787-REQ-3", "6888-REQ-11a", "6888-REQ-11b") {
    use_pool({E1});
    use_ports(20000, 20009);
    std::vector<Mapping> mappings;
    std::set<External> externals;
    for (std::uint16_t i = 0; i < 10; i++) {
        const char* host = i % 2 ? H1 : H2;
        mappings.push_back(map(udp().from(host, static_cast<std::uint16_t>(5000 + i)).to(S1, 7000)));
        externals.insert(mappings.back().external());
    }
    EXPECT_EQ(externals.size(), 10u);
    Packet eleventh = udp().from(H2, 6000).to(S1, 7000).with_payload(100);
    Outcome refused = from_inside(eleventh);
    EXPECT_EQ(refused.drop_reason, "port_exhausted");
    ASSERT_TRUE(refused.packet);
    EXPECT_EQ(refused.packet->protocol, 1);
    EXPECT_EQ(refused.packet->icmp_type, 3);
    EXPECT_EQ(refused.packet->icmp_code, 1) << "decision C5: a soft error";
    EXPECT_EQ(refused.packet->destination.to_string(), H2);
    for (const Mapping& mapping : mappings) EXPECT_TRUE(alive(mapping)) << mapping.sent.to_string();
}

ROW(UdpMapping, SourcePortZeroIsTreatedTheSameEveryTimeAndNeverGiven, "4787-§4.2.1-a") {
    std::optional<std::string> first;
    for (int i = 0; i < 20; i++) {
        Outcome outcome = from_inside(udp().from(H1, 0).to(i % 2 ? S1 : S2, 7000));
        std::string way = outcome.drop_reason.empty() ? "mapped" : outcome.drop_reason;
        if (!first) first = way;
        EXPECT_EQ(way, *first);
        if (outcome.drop_reason.empty()) {
            ASSERT_TRUE(outcome.packet);
            EXPECT_NE(outcome.packet->source_port, 0);
        }
    }
}

// Endpoint-independent mapping, by what two destinations see.
ROW(UdpMapping, ItStaysTheSameWhateverTheLoad, "4787-REQ-11") {
    use_pool({E1});
    use_ports(20000, 20099);
    auto classify = [this](const char* host, std::uint16_t port) {
        Mapping mapping = map(udp().from(host, port).to(S1, 7000));
        EXPECT_EQ(map(udp().from(host, port).to(S1b, 7000)).external(), mapping.external());
        EXPECT_EQ(map(udp().from(host, port).to(S1b, 7001)).external(), mapping.external());
        // And filtering: only who was asked may answer, at the port that was asked.
        Packet other = answer_to(mapping.seen);
        other.from(S1, 7009);
        EXPECT_FALSE(in(other));
        other.from(S2, 7000);
        EXPECT_FALSE(in(other));
        EXPECT_TRUE(alive(mapping));
        return mapping;
    };
    std::vector<Mapping> classified;
    for (const char* host : {H1, H2, H3})
        classified.push_back(classify(host, 5000));  // one port, three hosts
    for (std::uint16_t i = 0; i < 87; i++)
        map(udp().from("10.0.7.1", static_cast<std::uint16_t>(1024 + i)).to(S2, 1));
    for (const char* host : {H1, H2, H3}) classified.push_back(classify(host, 5001));  // at 90 %
    for (std::uint16_t i = 0; i < 7; i++)
        map(udp().from("10.0.7.2", static_cast<std::uint16_t>(1024 + i)).to(S2, 1));
    EXPECT_EQ(from_inside(udp().from(H1, 5002).to(S1, 7000)).drop_reason, "port_exhausted");  // at 100 %
    for (const Mapping& mapping : classified) {
        EXPECT_EQ(classify(mapping.sent.source.to_string().c_str(), mapping.sent.source_port).external(),
                  mapping.external());
    }
    lab().bump_generation();  // the configuration was loaded again
    for (const Mapping& mapping : classified)
        EXPECT_EQ(classify(mapping.sent.source.to_string().c_str(), mapping.sent.source_port).external(),
                  mapping.external());
}

ROW(UdpMapping, ItStaysTheSameWhenTheTableIsFull, "4787-REQ-11", "6888-REQ-11d") {
    use_lab({.flow_capacity = 512});
    Mapping old = map(udp().from(H1, 5000).to(S1, 7000)), connection = est(H1, 5000, S1, 80);
    int refused = 0;
    for (int i = 0; i < 4000; i++) {
        Outcome outcome = from_inside(udp().from(H2, static_cast<std::uint16_t>(2000 + i)).to(S2, 7000));
        if (outcome.drop_reason.empty()) continue;
        EXPECT_EQ(outcome.drop_reason, "flow_table_full");
        refused++;
    }
    EXPECT_GT(refused, 1000);
    EXPECT_TRUE(alive(old)) << "no session is ended to make room for another";
    EXPECT_TRUE(out(segment(connection, ack, 1011, 5011)));
    // Who has a mapping keeps it for what still finds room; nobody gets another kind of mapping.
    for (std::uint16_t port = 7001; port < 7020; port++) {
        Outcome outcome = from_inside(udp().from(H1, 5000).to(S1, port));
        if (outcome.drop_reason.empty())
            EXPECT_EQ(outcome.packet->source_port, old.external().port);
        else
            EXPECT_EQ(outcome.drop_reason, "flow_table_full");
    }
}

ROW(UdpMapping, NoPayloadIsLookedAt, "4787-REQ-10") {
    const std::string bodies[] = {
        "INVITE sip:a@203.0.113.10 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.11:5060\r\n\r\n",
        "c=IN IP4 10.0.0.11\r\nm=audio 49170 RTP/AVP 0\r\n", "10.0.0.11", "\x0a\x01\x02\x0b",
        std::string("\x0a\x00\x00\x0b\x13\x88", 6)};
    for (const std::string& body : bodies)
        for (std::uint16_t port : std::initializer_list<std::uint16_t>{5060, 69, 137, 500, 53}) {
            Packet packet = udp().from(H1, port).to(S1, port);
            packet.payload.assign(body.begin(), body.end());
            Mapping mapping = map(packet);
            EXPECT_EQ(mapping.seen.payload, packet.payload);
            Packet reply = answer_to(mapping.seen);
            reply.payload.assign(body.begin(), body.end());
            std::optional<Packet> arrived = in(reply);
            ASSERT_TRUE(arrived);
            EXPECT_EQ(arrived->payload, reply.payload);
        }
}

}  // namespace
}  // namespace sallyport::support

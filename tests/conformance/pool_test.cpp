// SPDX-License-Identifier: Apache-2.0
// RFC 6888 REQ-3, RFC 7857 sections 5 and 11: pools, protocols, and sessions that share a mapping.
#include <fmt/format.h>

#include <map>
#include <set>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

class Pool : public ConformanceTest {};

ROW(Pool, ItMayBeScatteredAndOfAnySize, "6888-REQ-3") {
    use_pool({E1, "198.51.100.77"});
    for (int i = 128; i < 160; i++) lab().add_elastic_ip(fmt::format("192.0.2.{}", i).c_str());
    auto map_hosts = [this](int from, int count) {
        std::map<std::string, Mapping> by_address;
        for (int host = from; host < from + count; host++) {
            std::string address = fmt::format("10.0.{}.{}", 10 + host / 200, 1 + host % 200);
            Mapping mapping = map(udp().from(address.c_str(), 5000).to(S1, 7000));
            by_address.emplace(mapping.seen.source.to_string(), mapping);
        }
        return by_address;
    };
    std::map<std::string, Mapping> used = map_hosts(0, 1000);
    EXPECT_EQ(used.size(), 34u);

    // What the operator takes away is used no more; sessions on it end when they are next heard of, others
    // stay.
    for (int i = 128; i < 160; i++) lab().remove_elastic_ip(fmt::format("192.0.2.{}", i).c_str());
    lab().bump_generation();
    for (const auto& [address, mapping] : used) {
        bool stays = address == E1 || address == "198.51.100.77";
        Outcome outcome = from_inside(mapping.sent);
        EXPECT_EQ(outcome.drop_reason, stays ? "" : "flow_cut") << address;
        if (stays) {
            EXPECT_EQ(outcome.packet->source.to_string(), address);
        }
    }
    std::set<std::string> left;
    for (const auto& [address, mapping] : map_hosts(1000, 200)) left.insert(address);
    EXPECT_EQ(left, (std::set<std::string>{E1, "198.51.100.77"}));
}

ROW(Pool, PairingHoldsForEachTenantAndOverAllProtocols, "6888-REQ-2") {
    constexpr std::uint16_t other_zone = 2;
    lab().add_subnet(other_zone, "10.0.0.0/16", 1);
    auto addresses_of = [this](std::uint16_t zone, const char* host) {
        struct device inside = lab().device(ProgramLab::inside_slot);
        inside.zone = zone;
        lab().set_device(ProgramLab::inside_slot, inside);
        std::set<std::string> addresses;
        std::set<External> datagrams;
        for (const char* to : {S1, S2}) {
            Mapping datagram = map(udp().from(host, 5000).to(to, 7000));
            datagrams.insert(datagram.external());
            addresses.insert(datagram.seen.source.to_string());
            addresses.insert(map(tcp().from(host, 5000).to(to, 80)).seen.source.to_string());
            addresses.insert(map(ping().from(host, 9).to(to)).seen.source.to_string());
        }
        EXPECT_EQ(addresses.size(), 1u) << host << " zone " << zone;
        EXPECT_EQ(datagrams.size(), 1u);
        return std::pair{*addresses.begin(), *datagrams.begin()};
    };
    int apart = 0;
    for (int i = 0; i < 40; i++) {
        std::string host = fmt::format("10.0.3.{}", 1 + i);
        auto [address, endpoint] = addresses_of(1, host.c_str());
        auto [other_address, other_endpoint] = addresses_of(other_zone, host.c_str());
        EXPECT_NE(endpoint, other_endpoint) << "two tenants share an endpoint";
        apart += address != other_address;
    }
    EXPECT_GT(apart, 5) << "tenants with equal addresses are paired each for itself";
}

ROW(Pool, ASoftPairingGivesAnotherAddressWhenTheFirstIsFull, "7857-§4-b") {
    change_gateway([](struct nat_gateway& gateway) {
        gateway.first_port = 20000;
        gateway.last_port = 20019;
    });
    std::vector<Mapping> mappings;
    for (std::uint16_t i = 0; i < 21; i++)
        mappings.push_back(map(udp().from(H1, static_cast<std::uint16_t>(5000 + i)).to(S1, 7000)));
    for (std::size_t i = 1; i < 20; i++) EXPECT_EQ(mappings[i].seen.source, mappings[0].seen.source);
    EXPECT_NE(mappings[20].seen.source, mappings[0].seen.source);
    for (const Mapping& mapping : mappings) EXPECT_TRUE(alive(mapping));
    for (const Mapping& mapping : mappings) EXPECT_EQ(map(mapping.sent).external(), mapping.external());
}

ROW(Pool, MappingsArePerProtocol, "7857-§5-a") {
    Mapping datagrams = map(udp().from(H1, 5000).to(S1, 7000));
    Packet syn_in = tcp().from(S1, 7000).to(E1, datagrams.external().port);
    syn_in.destination = datagrams.external().address;
    EXPECT_FALSE(in(syn_in)) << "the mapping of UDP is none of TCP";
    Mapping connection = est(H1, 5000, S1, 7000);
    EXPECT_TRUE(alive(datagrams));
    Packet datagram_in = udp().from(S1, 7000).to(E1, connection.external().port);
    datagram_in.destination = connection.external().address;
    if (connection.external().port != datagrams.external().port) {
        EXPECT_FALSE(in(datagram_in));
    }
}

ROW(Pool, AQueryMappingLivesAsLongAsItsLastSession, "7857-§11-a") {
    Mapping first = map(ping().from(H1, 100).to(S1)), second = map(ping().from(H1, 100).to(S2));
    ASSERT_EQ(first.external(), second.external());
    idle(seconds(40));
    EXPECT_TRUE(alive(second));
    idle(seconds(40));  // the first one's sixty seconds are over
    EXPECT_FALSE(alive(first));
    EXPECT_TRUE(alive(second));
    EXPECT_EQ(map(ping().from(H1, 100).to(RX)).external(), second.external())
        << "the mapping is the same still";
    idle(seconds(200));
    EXPECT_FALSE(alive(second));
    lab().reap_all(REAP_EXPIRED);
    EXPECT_TRUE(lab().entries().empty());
}

}  // namespace
}  // namespace sallyport::support

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

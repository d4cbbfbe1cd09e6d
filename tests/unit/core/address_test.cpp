// SPDX-License-Identifier: Apache-2.0
#include "core/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <unordered_set>

namespace sallyport {
namespace {

TEST(Ipv4Address, ParsesWhatItPrints) {
    for (const char* text : {"0.0.0.0", "10.0.1.5", "198.51.100.10", "255.255.255.255"}) {
        const auto address = Ipv4Address::parse(text);
        ASSERT_TRUE(address) << text;
        EXPECT_EQ(address->to_string(), text);
    }
}

TEST(Ipv4Address, RefusesEverySpellingButOne) {
    for (const char* text :
         {"", "10", "10.0.1", "10.0.1.", ".10.0.1", "10.0.1.5.6", "10.0.1.256", "10.0.01.5", " 10.0.1.5",
          "10.0.1.5 ", "10.0.1.+5", "10.0.1.-5", "0x0a.0.1.5", "10..1.5", "::1"}) {
        EXPECT_FALSE(Ipv4Address::parse(text)) << text;
    }
}

TEST(Ipv4Address, HasHostAndNetworkOrder) {
    const Ipv4Address address(10, 0, 1, 5);
    EXPECT_EQ(address.value(), 0x0a000105U);
    EXPECT_EQ(address.to_network(), htonl(0x0a000105U));
    EXPECT_EQ(Ipv4Address::from_network(address.to_network()), address);
}

TEST(Ipv4Address, IsOrderedByNumberAndHashable) {
    EXPECT_LT(Ipv4Address(9, 255, 255, 255), Ipv4Address(10, 0, 0, 0));
    const std::unordered_set<Ipv4Address> set{Ipv4Address(10, 0, 0, 1), Ipv4Address(10, 0, 0, 1)};
    EXPECT_EQ(set.size(), 1U);
}

TEST(Ipv4Prefix, ParsesWhatItPrints) {
    for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24", "198.51.100.10/32", "128.0.0.0/1"}) {
        const auto prefix = Ipv4Prefix::parse(text);
        ASSERT_TRUE(prefix) << text;
        EXPECT_EQ(prefix->to_string(), text);
    }
}

TEST(Ipv4Prefix, SaysWhichPrefixWasMeant) {
    const auto prefix = Ipv4Prefix::parse("10.0.1.7/24");
    ASSERT_FALSE(prefix);
    EXPECT_EQ(prefix.error().message, "\"10.0.1.7/24\" has host bits set, unlike 10.0.1.0/24");
}

TEST(Ipv4Prefix, RefusesOtherSpellings) {
    for (const char* text : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0/8", "/8",
                             "10.0.0.0/-1", "10.0.0.0/255.0.0.0"}) {
        EXPECT_FALSE(Ipv4Prefix::parse(text)) << text;
    }
}

TEST(Ipv4Prefix, KnowsContainmentAndOverlap) {
    const Ipv4Prefix eight(Ipv4Address(10, 0, 0, 0), 8);
    const Ipv4Prefix sixteen(Ipv4Address(10, 1, 0, 0), 16);
    const Ipv4Prefix other(Ipv4Address(11, 0, 0, 0), 16);
    EXPECT_TRUE(eight.contains(sixteen));
    EXPECT_FALSE(sixteen.contains(eight));
    EXPECT_TRUE(sixteen.overlaps(eight));
    EXPECT_FALSE(sixteen.overlaps(other));
    EXPECT_TRUE(Ipv4Prefix().contains(Ipv4Address(255, 255, 255, 255)));
    EXPECT_TRUE(sixteen.contains(Ipv4Address(10, 1, 255, 255)));
    EXPECT_FALSE(sixteen.contains(Ipv4Address(10, 2, 0, 0)));
    EXPECT_EQ(Ipv4Prefix(Ipv4Address(10, 1, 2, 3), 16), sixteen);
}

TEST(MacAddress, ParsesWhatItPrints) {
    const auto mac = MacAddress::parse("02:00:5e:00:53:Af");
    ASSERT_TRUE(mac);
    EXPECT_EQ(mac->to_string(), "02:00:5e:00:53:af");
    for (const char* text :
         {"", "02:00:5e:00:53", "02-00-5e-00-53-af", "02:00:5e:00:53:ag", "02:00:5e:00:53:af:"}) {
        EXPECT_FALSE(MacAddress::parse(text)) << text;
    }
}

TEST(PortRange, ParsesOnePortAndRanges) {
    EXPECT_EQ(*PortRange::parse("80"), (PortRange{80, 80}));
    EXPECT_EQ(*PortRange::parse("1024-65535"), (PortRange{1024, 65535}));
    EXPECT_EQ(PortRange::parse("1024-65535")->size(), 64512U);
    EXPECT_EQ((PortRange{0, 65535}).size(), 65536U);
    EXPECT_EQ((PortRange{80, 80}).to_string(), "80");
    EXPECT_EQ((PortRange{1024, 65535}).to_string(), "1024-65535");
    for (const char* text : {"", "-", "80-", "-80", "90-80", "65536", "1-65536", "80 - 90", "http", "080"}) {
        EXPECT_FALSE(PortRange::parse(text)) << text;
    }
}

TEST(Protocol, HasThreeNames) {
    for (const Protocol protocol : {Protocol::tcp, Protocol::udp, Protocol::icmp}) {
        EXPECT_EQ(*parse_protocol(to_string(protocol)), protocol);
    }
    EXPECT_FALSE(parse_protocol("TCP"));
    EXPECT_FALSE(parse_protocol(""));
}

TEST(Endpoint, ParsesWhatItPrints) {
    const auto endpoint = Endpoint::parse("10.0.1.12:80");
    ASSERT_TRUE(endpoint);
    EXPECT_EQ(endpoint->address, Ipv4Address(10, 0, 1, 12));
    EXPECT_EQ(endpoint->port, 80);
    EXPECT_EQ(endpoint->to_string(), "10.0.1.12:80");
    for (const char* text : {"", "10.0.1.12", ":80", "10.0.1.12:", "10.0.1.12:65536", "10.0.1.12:80:90"}) {
        EXPECT_FALSE(Endpoint::parse(text)) << text;
    }
}

TEST(PortRange, IsTheFewestPrefixes) {
    for (const PortRange range :
         {PortRange{0, 65535}, {0, 0}, {65535, 65535}, {1, 65534}, {80, 80}, {5001, 5010}, {1024, 2047}}) {
        std::uint32_t next = range.first;
        for (const PortPrefix& prefix : range.prefixes()) {
            const std::uint32_t size = 1U << (16 - prefix.length);
            EXPECT_EQ(prefix.port, next);
            EXPECT_EQ(prefix.port % size, 0U);
            next += size;
        }
        EXPECT_EQ(next, range.last + 1U);
    }
    EXPECT_EQ((PortRange{0, 65535}).prefixes(), (std::vector<PortPrefix>{{0, 0}}));
    EXPECT_EQ((PortRange{1024, 2047}).prefixes(), (std::vector<PortPrefix>{{1024, 6}}));
    EXPECT_EQ((PortRange{1, 65534}).prefixes().size(), 30U);
}

}  // namespace
}  // namespace sallyport

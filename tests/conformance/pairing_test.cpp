// SPDX-License-Identifier: Apache-2.0
// RFC 7857 section 4, RFC 6888 REQ-2: one external address for a host, as long as that has a port.
#include <set>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class Pairing : public ConformanceTest {
  protected:
    void use_ports(std::uint16_t first, std::uint16_t last) {
        change_gateway([=](struct nat_gateway& gateway) {
            gateway.first_port = first;
            gateway.last_port = last;
        });
    }
    static Packet endpoint(int n) {
        return udp().from(H1, static_cast<std::uint16_t>(2000 + n)).to(S1, 7000);
    }
};

ROW(Pairing, StrictRefusesWhenTheAddressHasNoPort, "7857-§4-a") {
    use_ports(20000, 20019);
    change_gateway([](struct nat_gateway& gateway) { gateway.flags |= NAT_GATEWAY_STRICT_PAIRING; });
    std::vector<Mapping> mappings;
    std::set<Ipv4Address> addresses;
    for (int i = 0; i < 20; i++) {
        mappings.push_back(map(endpoint(i)));
        addresses.insert(mappings.back().seen.source);
    }
    EXPECT_EQ(addresses.size(), 1u);
    Outcome refused = from_inside(endpoint(20));
    EXPECT_EQ(refused.drop_reason, "port_exhausted");
    ASSERT_TRUE(refused.packet);
    EXPECT_EQ(refused.packet->destination.to_string(), H1);
    EXPECT_EQ(refused.packet->icmp_type, 3);
    EXPECT_EQ(refused.packet->icmp_code, 1);  // decision C5
    for (const Mapping& mapping : mappings) EXPECT_TRUE(alive(mapping));
    // TCP has ports of its own, and the same address.
    EXPECT_EQ(map(tcp().from(H1, 2000).to(S1, 443)).seen.source, *addresses.begin());
}

ROW(Pairing, SoftGoesOnToAnotherAddress, "7857-§4-b") {
    use_ports(20000, 20019);
    std::vector<Mapping> mappings;
    for (int i = 0; i < 40; i++) mappings.push_back(map(endpoint(i)));
    for (int i = 0; i < 40; i++) {
        EXPECT_EQ(mappings[static_cast<std::size_t>(i)].seen.source == mappings[0].seen.source, i < 20) << i;
        EXPECT_TRUE(alive(mappings[static_cast<std::size_t>(i)]));
        EXPECT_EQ(map(endpoint(i).to(S2, 7000)).external(), mappings[static_cast<std::size_t>(i)].external())
            << "earlier mappings stay where they are";
    }
    EXPECT_EQ(from_inside(endpoint(40)).drop_reason, "port_exhausted");
}

ROW(Pairing, IsForAllProtocolsAndForEachTenantByItself, "6888-REQ-2") {
    lab().add_subnet(2, "10.0.0.0/16");
    const struct device inside = lab().device(ProgramLab::inside_slot);
    std::set<std::pair<Ipv4Address, Ipv4Address>> homes;
    for (int host = 1; host <= 32; host++) {
        const std::string address = "10.0.9." + std::to_string(host);
        std::pair<Ipv4Address, Ipv4Address> home;
        for (std::uint16_t zone : {std::uint16_t{1}, std::uint16_t{2}}) {
            struct device device = inside;
            device.zone = zone;
            lab().set_device(ProgramLab::inside_slot, device);
            std::set<Ipv4Address> addresses;
            for (std::uint16_t i = 0; i < 5; i++) {
                addresses.insert(map(udp().from(address.c_str(), 5000 + i).to(S1, 7000)).seen.source);
                addresses.insert(map(tcp().from(address.c_str(), 5000 + i).to(S1, 443)).seen.source);
                addresses.insert(map(ping().from(address.c_str(), 5000 + i).to(S1)).seen.source);
            }
            EXPECT_EQ(addresses.size(), 1u) << address << " zone " << zone;
            (zone == 1 ? home.first : home.second) = *addresses.begin();
        }
        homes.insert(home);
    }
    lab().set_device(ProgramLab::inside_slot, inside);
    EXPECT_EQ(homes.size(), 4u) << "where one tenant's host is says nothing about another's";
}

}  // namespace
}  // namespace sallyport::support

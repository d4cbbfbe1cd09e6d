// SPDX-License-Identifier: Apache-2.0
// Port blocks: an instance's ports come from ranges that are its own, and one record tells of each.
#include <algorithm>
#include <set>

#include "packet/fixture.h"
#include "support/invariants.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

class PortBlocks : public PacketTest {
  protected:
    static constexpr std::uint16_t size = 64;
    static constexpr std::uint16_t hold_units = 60;
    static constexpr seconds hold{68};  // units are 1.07 s

    void SetUp() override {
        PacketTest::SetUp();
        as_it_was_ = lab().nat_gateway(0);
        use(1024, 65535);
        lab().port_block_events();
    }
    void TearDown() override {
        const Faults faults = table_faults(lab().entries(), lab().ticks());
        EXPECT_TRUE(faults.empty()) << faults.front();
        PacketTest::TearDown();
        lab().change_nat_gateway(0, as_it_was_);
    }

    static void use(std::uint16_t first_port, std::uint16_t last_port, std::uint16_t blocks = 2) {
        struct nat_gateway changed = lab().nat_gateway(0);
        changed.first_port = first_port;
        changed.last_port = last_port;
        changed.port_block_size = size;
        changed.port_blocks_max = blocks;
        changed.port_block_hold = hold_units;
        lab().change_nat_gateway(0, changed);
    }

    struct Block {
        std::uint16_t first, last;
        bool operator<(const Block& other) const { return first < other.first; }
        [[nodiscard]] bool has(std::uint16_t port) const { return first <= port && port <= last; }
    };
    // Of the events since the last call, those of one kind, with what they say of the instance checked.
    static std::set<Block> blocks(enum port_block_happening happened, const char* owner = instance) {
        std::set<Block> found;
        for (const port_block_event& event : lab().port_block_events()) {
            EXPECT_EQ(Ipv4Address::from_network(event.instance), *Ipv4Address::parse(owner));
            EXPECT_EQ(event.happened, static_cast<std::uint32_t>(happened));
            EXPECT_EQ(event.zone, 1);
            EXPECT_EQ(event.nat_gateway, 0);
            EXPECT_NE(event.time_ns, 0U);
            found.insert({event.first_port, event.last_port});
        }
        return found;
    }
    static Packet endpoint(int number, const char* from = instance) {
        return udp().from(from, static_cast<std::uint16_t>(5000 + number)).to(remote, 53);
    }
    static std::string refusal(const Packet& packet) { return lab().run(Role::inside, packet).drop_reason; }

  private:
    struct nat_gateway as_it_was_ {};
};

TEST_F(PortBlocks, HoldAllPortsOfAnInstanceAndAreToldOfOnce) {
    std::set<std::uint16_t> ports;
    for (int i = 0; i < size; i++) ports.insert(out(endpoint(i)).source_port);
    EXPECT_EQ(ports.size(), size);
    auto allocated = blocks(PORT_BLOCK_ALLOCATED);
    ASSERT_EQ(allocated.size(), 1U) << "one record for all of them";
    const Block first = *allocated.begin();
    EXPECT_EQ(first.first % size, 0);
    EXPECT_EQ(*ports.begin(), first.first);
    EXPECT_EQ(*ports.rbegin(), first.last) << "to the last port";
    // All protocols have the same one: its ports are still free towards a remote of TCP, and as identifiers.
    EXPECT_TRUE(first.has(out(tcp().from(instance, 5000).to(remote, 443)).source_port));
    EXPECT_TRUE(first.has(out(ping().from(instance, 7).to(remote)).icmp_id));
    EXPECT_TRUE(lab().port_block_events().empty());

    const std::uint16_t next = out(endpoint(size)).source_port;
    allocated = blocks(PORT_BLOCK_ALLOCATED);
    ASSERT_EQ(allocated.size(), 1U);
    EXPECT_TRUE(allocated.begin()->has(next));
    EXPECT_NE(allocated.begin()->first, first.first);
}

TEST_F(PortBlocks, AreNobodyElses) {
    std::set<std::uint16_t> ports;
    for (int i = 0; i < 2 * size; i++) ports.insert(out(endpoint(i)).source_port);
    const auto own = blocks(PORT_BLOCK_ALLOCATED);
    EXPECT_EQ(own.size(), 2U);
    EXPECT_EQ(refusal(endpoint(2 * size)), "port_exhausted") << "it has as many as it may";
    EXPECT_EQ(lab().counters().nat_gateways[0].port_allocation_errors -
                  before_.nat_gateways[0].port_allocation_errors,
              1U);
    for (int i = 0; i < 2 * size; i++) {
        const std::uint16_t port = out(endpoint(i, other_instance)).source_port;
        for (const Block& block : own) EXPECT_FALSE(block.has(port));
    }
    EXPECT_EQ(blocks(PORT_BLOCK_ALLOCATED, other_instance).size(), 2U);
}

TEST_F(PortBlocks, AreSharedBetweenRemotesLikeAnyPorts) {  // RFC 7857 section 3
    std::set<std::uint16_t> ports;
    for (const char* to : {remote, other_remote})
        for (int i = 0; i < 2 * size; i++)
            ports.insert(
                out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(to, 443)).source_port);
    EXPECT_EQ(ports.size(), 2U * size);
    EXPECT_EQ(refusal(tcp().from(instance, 9000).to(remote, 443)), "port_exhausted");
    EXPECT_EQ(blocks(PORT_BLOCK_ALLOCATED).size(), 2U);
}

TEST_F(PortBlocks, EndWhereTheRangeOfPortsEnds) {
    use(2000, 2120, 3);  // 2000 to 2047, 2048 to 2111, 2112 to 2120
    std::set<std::uint16_t> ports;
    for (int i = 0; i < 121; i++) ports.insert(out(endpoint(i)).source_port);
    EXPECT_EQ(ports.size(), 121U);
    EXPECT_EQ(*ports.begin(), 2000);
    EXPECT_EQ(*ports.rbegin(), 2120);
    EXPECT_EQ(refusal(endpoint(121)), "port_exhausted");
    EXPECT_EQ(refusal(endpoint(0, other_instance)), "port_exhausted") << "no block is left";
    EXPECT_EQ(blocks(PORT_BLOCK_ALLOCATED).size(), 3U);
}

TEST_F(PortBlocks, RestBeforeTheyAreAnotherInstances) {
    use(2048, 2111);  // one block
    out(endpoint(0));
    EXPECT_EQ(blocks(PORT_BLOCK_ALLOCATED).size(), 1U);
    lab().advance(seconds(310));  // the flow's timeout, but not the agent
    EXPECT_EQ(refusal(endpoint(0, other_instance)), "port_exhausted");
    lab().reap_all(REAP_EXPIRED);
    EXPECT_EQ(refusal(endpoint(0, other_instance)), "port_exhausted") << "it rests";
    out(endpoint(1));  // and is its instance's again, which is nothing new
    EXPECT_TRUE(lab().port_block_events().empty());
    lab().advance(seconds(310));
    lab().reap_all(REAP_EXPIRED);
    lab().advance(hold);
    out(endpoint(0, other_instance));
    const auto events = lab().port_block_events();
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[0].happened, static_cast<std::uint32_t>(PORT_BLOCK_RELEASED));
    EXPECT_EQ(Ipv4Address::from_network(events[0].instance), *Ipv4Address::parse(instance));
    EXPECT_EQ(events[0].first_port, 2048);
    EXPECT_EQ(events[0].last_port, 2111);
    EXPECT_EQ(events[1].happened, static_cast<std::uint32_t>(PORT_BLOCK_ALLOCATED));
    EXPECT_EQ(Ipv4Address::from_network(events[1].instance), *Ipv4Address::parse(other_instance));
}

TEST_F(PortBlocks, AreFoundAgainWithoutAnAgent) {
    use(2048, 2111);
    for (int i = 0; i < size; i++) out(endpoint(i));
    lab().advance(seconds(400));
    lab().trust_next_hops(false);  // the agent has been silent
    // Each refused packet has a part of the table looked through.
    for (int i = 0; i < 5000 && lab().entries().size() > 2; i++)
        EXPECT_EQ(refusal(endpoint(0, other_instance)), "port_exhausted");
    EXPECT_EQ(lab().entries().size(), 2U) << "the block alone, which rests";
    lab().trust_next_hops(true);
    lab().advance(hold);
    out(endpoint(0, other_instance));
}

TEST_F(PortBlocks, LiveAsLongAsAFlow) {
    const Packet seen = establish();
    for (int hour = 0; hour < 40; hour++) {  // longer than a timeout can say
        lab().advance(seconds(3600));
        out(tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001));
        lab().reap_all(REAP_EXPIRED);
    }
    EXPECT_EQ(blocks(PORT_BLOCK_ALLOCATED).size(), 1U);
    const auto entries = lab().entries();
    EXPECT_EQ(std::count_if(entries.begin(), entries.end(),
                            [](const flow_entry& entry) { return entry.key.kind == FLOW_KIND_BLOCK; }),
              2);
    EXPECT_EQ(in(answer(seen, ack)).destination_port, 5000);
}

TEST_F(PortBlocks, AreLeftWhenTheirElasticIpIsGone) {
    lab().add_elastic_ip("198.51.100.11");
    std::set<std::string> before, after;
    for (const char* from : {instance, other_instance})
        before.insert(out(endpoint(0, from)).source.to_string());
    for (const std::string& address : before) {
        lab().remove_elastic_ip(address.c_str());
        lab().bump_generation();
        for (const char* from : {instance, other_instance})
            EXPECT_NE(out(endpoint(1, from)).source.to_string(), address);
        lab().add_elastic_ip(address.c_str());
    }
    lab().remove_elastic_ip("198.51.100.11");
    lab().reap_all(REAP_CUT);
    lab().port_block_events();
}

TEST_F(PortBlocks, KeepTheirBoundsWhenTheSizeChanges) {
    const std::uint16_t before = out(endpoint(0)).source_port;
    const Block block = *blocks(PORT_BLOCK_ALLOCATED).begin();
    struct nat_gateway changed = lab().nat_gateway(0);
    changed.port_block_size = 512;
    lab().change_nat_gateway(0, changed);
    lab().bump_generation();
    EXPECT_EQ(out(endpoint(0)).source_port, before);
    for (int i = 1; i < size; i++) EXPECT_TRUE(block.has(out(endpoint(i)).source_port));
    EXPECT_FALSE(block.has(out(endpoint(size)).source_port));
    const auto larger = blocks(PORT_BLOCK_ALLOCATED);
    ASSERT_EQ(larger.size(), 1U);
    EXPECT_EQ(larger.begin()->last - larger.begin()->first, 511);
}

TEST_F(PortBlocks, GoWithEveryRule) {  // RFC 4787 REQ-1, REQ-8; what is counted is given back
    for (const auto mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (const auto filtering : {ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT}) {
            struct nat_gateway changed = lab().nat_gateway(0);
            for (int protocol = 0; protocol < NAT_PROTOCOLS; protocol++) {
                changed.mapping[protocol] = static_cast<std::uint8_t>(mapping);
                changed.filtering[protocol] = static_cast<std::uint8_t>(filtering);
            }
            changed.port_quarantine = 30;
            changed.port_quarantine_max = 100;
            changed.flags |= NAT_GATEWAY_PRESERVE_PARITY;
            lab().change_nat_gateway(0, changed);
            for (int i = 0; i < 20; i++) {
                EXPECT_EQ(out(endpoint(i)).source_port % 2, i % 2);
                out(endpoint(i).to(other_remote, 53));
                out(tcp().from(instance, static_cast<std::uint16_t>(5000 + i)).to(remote, 443));
            }
            EXPECT_EQ(blocks(PORT_BLOCK_ALLOCATED).size(), 1U);
            const Faults faults = table_faults(lab().entries(), lab().ticks());
            EXPECT_TRUE(faults.empty()) << faults.front();
            lab().advance(seconds(8000));
            for (int i = 0; i < 4; i++) lab().reap_all(REAP_EXPIRED);
            lab().advance(hold);
            lab().reap_all(REAP_EXPIRED);
            EXPECT_TRUE(lab().entries().empty());
            EXPECT_EQ(blocks(PORT_BLOCK_RELEASED).size(), 1U);
        }
}

}  // namespace
}  // namespace sallyport::support

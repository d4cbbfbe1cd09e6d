// SPDX-License-Identifier: Apache-2.0
// The oracle has to see what is wrong: each invariant is broken on purpose, by a packet made by hand.
#include "support/invariants.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <functional>

#include "support/packet.h"

namespace sallyport::support {
namespace {

constexpr const char* host = "10.0.0.11";
constexpr const char* external = "198.51.100.10";
constexpr const char* server = "203.0.113.10";
constexpr std::array<std::uint8_t, 6> lan{2, 0, 0, 0, 0, 0x0a}, wan{2, 0, 0, 0, 0, 0x0b};

Surroundings surroundings() {
    Surroundings world;
    world.private_prefixes = {Ipv4Prefix::parse("10.0.0.0/16").value()};
    world.devices = {{lan, Role::inside}, {wan, Role::outside}};
    return world;
}

Passage passage(Role role, const Packet& in, const Packet& out, Fate fate) {
    Passage way;
    way.role = role;
    way.in = in.frame();
    way.out = out.frame();
    device_counters& device = way.after.devices[way.slot()];
    device.received_packets = 1;
    way.action = XDP_REDIRECT;
    if (fate == Fate::forwarded || fate == Fate::passed) way.after.nat_gateways[0].out_packets = 1;
    if (fate == Fate::forwarded) device.forwarded = 1;
    if (fate == Fate::passed || fate == Fate::untouched) device.passed = 1, way.action = XDP_PASS;
    if (fate == Fate::answered) device.answered = 1;
    if (fate == Fate::dropped || fate == Fate::refused)
        device.dropped = 1, way.after.drops[DROP_UNSOLICITED] = 1;
    if (fate == Fate::dropped) way.action = XDP_DROP;
    return way;
}

// A datagram from inside, and what the outside sees of it.
Packet sent() {
    return udp().from(host, 5000).to(server, 7000);
}
Packet seen() {
    Packet packet = udp().from(external, 40000).to(server, 7000);
    packet.ttl = 63;
    packet.source_mac = wan;
    return packet;
}
Passage outbound(const Packet& in, const Packet& out) {
    return passage(Role::inside, in, out, Fate::forwarded);
}

// Fails unless the invariant fires, and fires alone unless `others` may.
void expect_broken(const Faults& faults, const std::string& invariant) {
    EXPECT_FALSE(faults.empty()) << "nothing noticed; expected " << invariant;
    for (const std::string& fault : faults) EXPECT_EQ(fault.substr(0, fault.find(':')), invariant) << fault;
}
void expect_broken(const Passage& way, const std::string& invariant) {
    expect_broken(packet_faults(surroundings(), way), invariant);
}
void expect_fine(const Passage& way, const std::vector<flow_entry>* flows = nullptr) {
    for (const std::string& fault : packet_faults(surroundings(), way, flows)) ADD_FAILURE() << fault;
}

std::vector<flow_entry> pair_of_entries(std::uint16_t port = 5000, std::uint16_t external_port = 40000,
                                        std::uint32_t id = 7) {
    flow_entry forward{}, reverse{};
    auto address = [](const char* text) { return Ipv4Address::parse(text).value().to_network(); };
    forward.key = {address(host), address(server), htons(port), htons(7000), 17, FLOW_KIND_FLOW, 1};
    forward.new_address = address(external);
    forward.new_port = htons(external_port);
    forward.flow_id = id;
    forward.flags = FLOW_FORWARD;
    reverse.key = {
        address(server), address(external), htons(7000), htons(external_port), 17, FLOW_KIND_FLOW, 0};
    reverse.new_address = address(host);
    reverse.new_port = htons(port);
    reverse.flow_id = id;
    return {forward, reverse};
}

// An error about what `seen` was, from a router outside; and what the host gets to see.
struct Errors {
    Packet in, out;
};
Errors inbound_error(std::size_t after_header = 8) {
    Errors errors;
    errors.in = icmp_error(3, 1, seen().ip(), after_header).from("198.51.100.254").to(external);
    Packet quoted = sent();
    quoted.ttl = 63;
    errors.out = icmp_error(3, 1, quoted.ip(), after_header).from("198.51.100.254").to(host);
    errors.out.ttl = 63;
    errors.out.source_mac = lan;
    return errors;
}
Passage inbound(const Errors& errors) {
    return passage(Role::outside, errors.in, errors.out, Fate::forwarded);
}

TEST(Invariants, NoneIsBrokenByWhatIsRight) {
    expect_fine(outbound(sent(), seen()));
    expect_fine(inbound(inbound_error()));
    std::vector<flow_entry> flows = pair_of_entries();
    Passage error = inbound(inbound_error());
    expect_fine(error, &flows);
    expect_fine(passage(Role::inside, sent(), sent(), Fate::untouched));
    expect_fine(passage(Role::inside, sent(), sent(), Fate::dropped));
    EXPECT_TRUE(table_faults(flows).empty());
}

TEST(Invariants, AFateIsReadFromTheCounters) {
    for (Fate fate :
         {Fate::untouched, Fate::passed, Fate::forwarded, Fate::dropped, Fate::refused, Fate::answered})
        EXPECT_EQ(passage(Role::outside, sent(), seen(), fate).fate(), fate);
}

TEST(Invariants, First_PrivateSource) {
    Packet out = seen();
    out.from(host, 40000);
    expect_broken(outbound(sent(), out), "INV-1");
}

TEST(Invariants, First_PrivateAddressInAnOption) {
    Packet in = sent(), out = seen();
    in.options = out.options = {7, 7, 8, 10, 0, 0, 11, 0};  // record route, filled
    expect_broken(outbound(in, out), "INV-1");
    in.options = out.options = {68, 12, 13, 1, 10, 0, 0, 11, 0, 0, 0, 1};  // timestamp with address
    expect_broken(outbound(in, out), "INV-1");
}

TEST(Invariants, First_PrivateAddressInAQuote) {
    // The host says that nobody listens; its gateway forgot to translate what is quoted.
    Packet arrived = udp().from(server, 7000).to(host, 5000);
    Packet in = icmp_error(3, 3, arrived.ip()).from(host).to(server);
    Packet out = in;
    out.from(external);
    out.ttl = 63;
    out.source_mac = wan;
    expect_broken(outbound(in, out), "INV-1");
}

TEST(Invariants, First_PrivateSourceOfAReplyToTheOutside) {
    Packet in = udp().from(server, 1).to(external, 2),
           out = icmp_error(11, 0, in.ip(), 9).from(host).to(server);
    expect_broken(passage(Role::outside, in, out, Fate::refused), "INV-1");
}

void spoil(Bytes& frame, std::size_t at) {
    frame[at] ^= 0x55;
}

TEST(Invariants, Second_HeaderChecksum) {
    Passage way = outbound(sent(), seen());
    spoil(way.out, 14 + 10);
    expect_broken(way, "INV-2");
}

TEST(Invariants, Second_TransportChecksumSpoiledOrRepaired) {
    Passage way = outbound(sent(), seen());
    spoil(way.out, 14 + 20 + 6);
    expect_broken(way, "INV-2");
    way = outbound(sent(), seen());
    spoil(way.in, 14 + 20 + 6);
    expect_broken(way, "INV-2");
    Packet in = tcp().from(host, 1).to(server, 2), out = tcp().from(external, 3).to(server, 2);
    out.ttl = 63;
    out.source_mac = wan;
    way = outbound(in, out);
    expect_fine(way);
    spoil(way.in, 14 + 20 + 16);
    expect_broken(way, "INV-2");
}

TEST(Invariants, Second_AMissingChecksumIsMade) {
    Packet in = sent(), out = seen();
    in.udp_without_checksum = true;
    expect_broken(outbound(in, out), "INV-2");
    out.udp_without_checksum = true;
    expect_fine(outbound(in, out));
}

TEST(Invariants, Second_TheQuotesChecksum) {
    Passage way = inbound(inbound_error(9));  // the whole datagram
    expect_fine(way);
    way = inbound(inbound_error(9));
    std::size_t quoted_udp = 14 + 20 + 8 + 20;
    way.out[quoted_udp + 6] ^= 1;
    way.out[14 + 20 + 3] ^= 0;  // the outer checksum is wrong now too: it covers the quote
    expect_broken(way, "INV-2");
}

TEST(Invariants, Third_AnErrorThatGoesElsewhere) {
    Errors errors = inbound_error();
    errors.out.to("10.0.0.12");
    expect_broken(inbound(errors), "INV-3");
}

TEST(Invariants, Third_PortsThatNobodySent) {
    std::vector<flow_entry> flows = pair_of_entries(5001);
    expect_broken(packet_faults(surroundings(), inbound(inbound_error()), &flows), "INV-3");
}

TEST(Invariants, Third_AReplyThatQuotesSomethingElse) {
    Packet in = sent(), out = icmp_error(11, 0, seen().ip(), 9).from("10.0.0.1").to(host);
    expect_broken(passage(Role::inside, in, out, Fate::refused), "INV-3");
    out = icmp_error(11, 0, in.ip(), 9).from("10.0.0.1").to(host);
    expect_fine(passage(Role::inside, in, out, Fate::refused));
}

TEST(Invariants, Fourth_Ttl) {
    for (std::uint8_t ttl : std::initializer_list<std::uint8_t>{64, 62, 0}) {
        Packet out = seen();
        out.ttl = ttl;
        expect_broken(outbound(sent(), out), "INV-4");
    }
    Packet in = sent(), out = seen();
    in.ttl = 1;
    out.ttl = 0;
    expect_broken(outbound(in, out), "INV-4");
    out.ttl = 63;
    expect_broken(passage(Role::inside, sent(), out, Fate::passed), "INV-4");
}

TEST(Invariants, Fifth_AnythingElseChanged) {
    const std::function<void(Packet&)> changes[] = {
        [](Packet& packet) { packet.tos = 8; },
        [](Packet& packet) { packet.dont_fragment = !packet.dont_fragment; },
        [](Packet& packet) { packet.payload = {'y'}; },
        [](Packet& packet) {
            packet.payload = {'x', 'x'};
        },
        [](Packet& packet) {
            packet.options = {1, 1, 1, 0};
        },
        [](Packet& packet) { packet.destination_mac = packet.destination_mac, packet.tos = 0xb8; },
    };
    for (const auto& change : changes) {
        Packet out = seen();
        change(out);
        expect_broken(outbound(sent(), out), "INV-5");
    }
    Packet in = tcp().from(host, 1).to(server, 2), out = tcp().from(external, 3).to(server, 2);
    out.ttl = 63;
    out.source_mac = wan;
    out.sequence++;
    expect_broken(outbound(in, out), "INV-5");
}

TEST(Invariants, Fifth_IdentificationOfAnAtomicDatagram) {
    Packet in = sent(), out = seen();
    out.identification = 99;
    expect_fine(outbound(in, out));  // decision C12
    in.dont_fragment = out.dont_fragment = true;
    expect_broken(outbound(in, out), "INV-5");
}

TEST(Invariants, Fifth_AMaximumSegmentSizeMayOnlyFall) {
    Packet in = tcp().from(host, 1).to(server, 2), out = tcp().from(external, 3).to(server, 2);
    out.ttl = 63;
    out.source_mac = wan;
    in.tcp_options = {2, 4, 0x05, 0xb4};
    out.tcp_options = {2, 4, 0x05, 0x00};
    expect_fine(outbound(in, out));
    std::swap(in.tcp_options, out.tcp_options);
    expect_broken(outbound(in, out), "INV-5");
}

TEST(Invariants, Fifth_ATouchedPacketOfTheHosts) {
    expect_broken(passage(Role::inside, sent(), seen(), Fate::untouched), "INV-5");
}

TEST(Invariants, Fifth_WhatLiesBehindAQuote) {
    Errors errors = inbound_error(9);
    errors.in.payload.insert(errors.in.payload.end(), {1, 2, 3, 4});
    errors.out.payload.insert(errors.out.payload.end(), {1, 2, 3, 4});
    expect_fine(inbound(errors));
    errors.out.payload.back() = 5;
    expect_broken(inbound(errors), "INV-5");
}

TEST(Invariants, Sixth_Reflection) {
    Packet out = seen();
    out.source_mac = lan;
    expect_broken(outbound(sent(), out), "INV-6");
    out.source_mac = {9, 9, 9, 9, 9, 9};
    expect_broken(outbound(sent(), out), "INV-6");
}

TEST(Invariants, Seventh_AnExternalEndpointWithTwoOwners) {
    auto entries = pair_of_entries(), others = pair_of_entries(5001, 40000, 8);
    for (flow_entry& entry : entries) entry.flags |= FLOW_MAPPED;
    for (flow_entry& entry : others) {
        entry.flags |= FLOW_MAPPED;
        // Towards another remote, so that nothing but the owner is wrong.
        (entry.flags & FLOW_FORWARD ? entry.key.destination_port : entry.key.source_port) = htons(7001);
    }
    entries.insert(entries.end(), others.begin(), others.end());
    expect_broken(table_faults(entries), "INV-7");
}

TEST(Invariants, Seventh_TwoEntriesOfOneKey) {
    auto entries = pair_of_entries();
    entries.push_back(entries[1]);
    expect_broken(table_faults(entries), "INV-7");
}

TEST(Invariants, Eighth_HalfAPair) {
    for (std::size_t gone : {0u, 1u}) {
        auto entries = pair_of_entries();
        entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(gone));
        expect_broken(table_faults(entries), "INV-8");
    }
    auto entries = pair_of_entries();
    entries[1].new_port = htons(5001);
    expect_broken(table_faults(entries), "INV-8");
    entries = pair_of_entries();
    entries[1].flow_id++;
    expect_broken(table_faults(entries), "INV-8");
}

TEST(Invariants, Ninth_Counters) {
    Passage way = outbound(sent(), seen());
    way.after.devices[0].received_packets++;
    expect_broken(way, "INV-9");
    way = passage(Role::inside, sent(), sent(), Fate::dropped);
    way.after.drops[DROP_UNSOLICITED] = 0;
    expect_broken(way, "INV-9");
    way = passage(Role::inside, sent(), sent(), Fate::dropped);
    way.after.drops[DROP_TTL_EXCEEDED] = 1;  // a second reason
    expect_broken(way, "INV-9");
    way = passage(Role::inside, sent(), sent(), Fate::dropped);
    way.after.drops[DROP_UNSOLICITED] = 0;
    way.after.drops[DROP_REASON_NONE] = 1;
    expect_broken(way, "INV-9");
    way = outbound(sent(), seen());
    way.after.drops[DROP_UNSOLICITED] = 1;  // forwarded, and a reason
    expect_broken(way, "INV-9");
}

TEST(Invariants, Tenth_AnswersThatMustNotBe) {
    auto refused = [](const Packet& in) {
        Bytes quote = in.ip();
        Packet out = icmp_error(3, 1, quote, quote.size() - 20).from("10.0.0.1");
        out.destination = in.source;
        return passage(Role::inside, in, out, Fate::refused);
    };
    expect_fine(refused(sent()));
    expect_broken(refused(icmp_error(3, 1, seen().ip()).from(host).to(server)), "INV-10");
    Packet later = sent();
    later.fragment_offset = 8;
    expect_broken(refused(later), "INV-10");
    Packet link = sent();
    link.destination_mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    expect_broken(refused(link), "INV-10");
    for (const char* to : {"224.0.0.1", "255.255.255.255"})
        expect_broken(refused(sent().to(to, 1)), "INV-10");
    for (const char* from : {"0.0.0.0", "127.0.0.1", "224.0.0.1"})
        expect_broken(refused(sent().from(from, 1)), "INV-10");
    Packet reset = tcp().from(host, 1).to(server, 2).flags(rst);
    expect_broken(
        passage(Role::inside, reset, tcp().from(server, 2).to(host, 1).flags(rst | ack), Fate::refused),
        "INV-10");
}

TEST(Invariants, Eleventh_AMappingThatCountsOtherThanItsFlows) {
    auto entries = pair_of_entries();
    for (flow_entry& entry : entries) entry.flags |= FLOW_MAPPED;
    entries[1].references = 9;  // the reverse entry says whose flow it is
    auto mapping = pair_of_entries(5000, 40000, 9);
    for (flow_entry& entry : mapping) {
        entry.key.kind = FLOW_KIND_MAPPING;
        (entry.flags & FLOW_FORWARD ? entry.key.destination : entry.key.source) = 0;
        (entry.flags & FLOW_FORWARD ? entry.key.destination_port : entry.key.source_port) = 0;
    }
    mapping[0].references = 1;
    entries.insert(entries.end(), mapping.begin(), mapping.end());
    EXPECT_TRUE(table_faults(entries).empty());
    entries[2].references = 2;
    expect_broken(table_faults(entries), "INV-11");
}

// An external port may have a new owner while the old one, past its timeout, still stands.
TEST(Invariants, Seventh_WhatIsPastItsTimeoutOwnsNothing) {
    auto entries = pair_of_entries();
    auto old = pair_of_entries();
    for (flow_entry& entry : old) entry.flow_id = 99;
    old[0].key.source_port = htons(5009);
    old[0].key.destination_port = htons(8);
    old[1].key.source_port = htons(8);
    old[1].new_port = htons(5009);
    for (auto* flow : {&entries, &old})
        for (flow_entry& entry : *flow) {
            entry.flags |= FLOW_MAPPED;
            entry.timeout = 10;
            entry.last_seen = flow == &old ? 1000 : 2000;
        }
    entries.insert(entries.end(), old.begin(), old.end());
    expect_broken(table_faults(entries, 1010), "INV-7");
    EXPECT_TRUE(table_faults(entries, 2010).empty());
    entries[3].last_seen = 2000;  // the other direction of the old one is in use
    expect_broken(table_faults(entries, 2010), "INV-7");
}

TEST(Invariants, Fourteenth_ATimerThatWasMoved) {
    auto before = pair_of_entries(), after = before;
    after[0].last_seen += 20;
    EXPECT_TRUE(timer_faults(outbound(sent(), seen()), before, after).empty());
    expect_broken(timer_faults(passage(Role::inside, sent(), sent(), Fate::dropped), before, after),
                  "INV-14");
    expect_broken(timer_faults(inbound(inbound_error()), before, after), "INV-14");
    Packet other = sent(), other_seen = seen();
    other.from("10.0.0.12", 5000);
    other_seen.from(external, 40001);
    expect_broken(timer_faults(outbound(other, other_seen), before, after), "INV-14");
    Passage hairpin = passage(Role::inside, sent(), sent(), Fate::dropped);  // by the receiver's filter
    hairpin.after.nat_gateways[0].out_packets = 1;
    EXPECT_TRUE(timer_faults(hairpin, before, after).empty());
    hairpin.in = other.frame();
    expect_broken(timer_faults(hairpin, before, after), "INV-14");
    after = before;
    after[1].timeout++;
    expect_broken(timer_faults(passage(Role::inside, sent(), sent(), Fate::refused), before, after),
                  "INV-14");
}

}  // namespace
}  // namespace sallyport::support

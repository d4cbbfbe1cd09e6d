// SPDX-License-Identifier: Apache-2.0
// Fragments (RFC 4787 section 11, RFC 791, RFC 1858) and identification (RFC 6864). With real hosts and a
// real agent: tests/netns/test_fragments.py.
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "conformance/fixture.h"
#include "support/fragments.h"

namespace sallyport::support {
namespace {

class Fragments : public ConformanceTest {
  protected:
    void SetUp() override {
        ConformanceTest::SetUp();
        keep_shape();
        lab().forget_datagrams();
        lab().hold_fragments(true);
        lab().words_to_the_agent();
    }
    void TearDown() override {
        lab().hold_fragments(false);
        ConformanceTest::TearDown();
    }

    // What the agent does with the word of a program, for one datagram at a time.
    void be_the_agent(Role role) {
        for (const ProgramLab::Word& word : lab().words_to_the_agent()) {
            if (!word.frame.empty()) {
                lab().await_datagram(word.datagram, true);
                held_.push_back(word.frame);
                continue;
            }
            lab().await_datagram(word.datagram, false);
            for (const Bytes& frame : std::exchange(held_, {})) {
                const Outcome outcome = lab().run_again(role, frame);
                EXPECT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
                sent_.push_back(outcome.frame);
            }
        }
    }

    // What becomes of a datagram whose fragments come in this order.
    Packet pass(Role role, const std::vector<Bytes>& frames, const std::array<std::size_t, 3>& order) {
        held_.clear();
        sent_.clear();
        for (const std::size_t which : order) {
            const Outcome outcome = run(role, frames[which]);
            EXPECT_EQ(outcome.drop_reason, "");
            if (outcome.action == XDP_REDIRECT) sent_.push_back(outcome.frame);
            be_the_agent(role);
        }
        EXPECT_EQ(sent_.size(), 3u);
        std::string faults;
        Packet whole = put_together(sent_, faults);
        EXPECT_EQ(faults, "");
        return whole;
    }

    std::vector<Bytes> held_, sent_;
};

std::vector<Packet> openings() {
    return {udp().from(H1, 5000).to(S1, 7000), tcp().from(H1, 5000).to(S1, 443), ping().from(H1, 50).to(S1)};
}

ROW(Fragments, AreDeliveredInAllOrders, "4787-REQ-14") {
    std::uint16_t identification = 100;
    for (Packet whole : openings()) {
        // So that a gateway that takes bytes of the payload for ports is found out.
        whole.payload.resize(4000);
        for (std::size_t i = 0; i < whole.payload.size(); ++i)
            whole.payload[i] = static_cast<std::uint8_t>(i * 7 ^ i >> 8);
        std::array<std::size_t, 3> order{0, 1, 2};
        do {
            whole.identification = ++identification;
            const Packet seen = pass(Role::inside, fragments_of(whole, 1480), order);
            EXPECT_EQ(seen.source.to_string().substr(0, 10), "198.51.100");
            EXPECT_EQ(seen.payload, whole.payload);
            Packet reply = answer_to(seen, syn | ack);
            reply.identification = identification;
            reply.payload = whole.payload;
            const Packet arrived = pass(Role::outside, fragments_of(reply, 1480), order);
            EXPECT_EQ(arrived.destination.to_string(), H1);
            if (whole.protocol == 1) {
                EXPECT_EQ(arrived.icmp_id, whole.icmp_id);
            } else {
                EXPECT_EQ(arrived.destination_port, whole.source_port);
            }
            EXPECT_EQ(arrived.payload, whole.payload);
        } while (std::next_permutation(order.begin(), order.end()));
    }
}

ROW(Fragments, AFloodOfLoneOnesHarmsNobody, "4787-REQ-14a") {
    const Mapping whole = map(udp().from(H1, 5000).to(S1, 7000));
    std::mt19937 random(1);
    std::map<std::string, int> memory;
    for (const char* name : {"early_fragments", "awaited_datagrams", "fragments", "early_fragment_budgets"})
        memory[name] = static_cast<int>(lab().map_bytes(name));
    const struct counters before = lab().counters();
    int rounds = 0, ordered = 0;
    for (; rounds < 30; ++rounds) {
        Packet datagram = udp().from(H2, 5000).to(S1, 7000).with_payload(4000);
        datagram.identification = static_cast<std::uint16_t>(rounds);
        std::vector<Bytes> sent;
        for (const Bytes& frame : fragments_of(datagram, 1480)) {
            for (int flood = 0; flood < 2000; ++flood) {
                Packet lone = udp().from("192.0.2.1").to(E1).with_payload(100);
                lone.source = Ipv4Address(0xc0000200u + random() % 256);
                lone.identification = static_cast<std::uint16_t>(random());
                lone.fragment_offset = static_cast<std::uint16_t>(8 * (1 + random() % 180));
                lab().run_quickly(Role::outside, lone.frame());
            }
            const Outcome outcome = run(Role::inside, frame);
            EXPECT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
            sent.push_back(outcome.frame);
            EXPECT_TRUE(out(whole.sent));
            EXPECT_TRUE(in(answer_to(whole.seen)));
        }
        std::string faults;
        const Packet seen = put_together(sent, faults);
        EXPECT_EQ(faults, "");
        ordered += seen.payload == datagram.payload;
    }
    EXPECT_EQ(ordered, rounds);
    const struct counters after = lab().counters();
    const std::uint64_t lone = after.devices[ProgramLab::outside_slot].held -
                               before.devices[ProgramLab::outside_slot].held +
                               after.drops[DROP_FRAGMENTS_LIMITED] - before.drops[DROP_FRAGMENTS_LIMITED];
    EXPECT_EQ(lone, 180'000u) << "each was held, or dropped for its reason";
    for (const auto& [name, bytes] : memory)
        EXPECT_EQ(lab().map_bytes(name), static_cast<std::uint64_t>(bytes)) << name;
    figure("lone fragments in the flood", std::to_string(lone));
}

ROW(Fragments, DoNotGetAroundTheFirst, "791-frag-a") {
    const Packet syn_packet = tcp().from(H1, 5000).to(S1, 443).with_payload(80);
    const auto tiny = fragments_of(syn_packet, 8);
    EXPECT_EQ(run(Role::inside, tiny[0]).drop_reason, "malformed_transport");
    EXPECT_EQ(run(Role::inside, tiny[1]).drop_reason, "fragment_overlap");

    Mapping flow = est(H1, 5001, S1, 443);
    est(H1, 5002, S1, 443);
    Packet data = segment(flow, ack | psh, h_sequence + 11, s_sequence + 11, 80);
    data.identification = 9;
    const auto frames = fragments_of(data, 40);
    EXPECT_EQ(run(Role::inside, frames[0]).action, XDP_REDIRECT);
    for (const std::size_t at : {1u, 2u})  // over flags, window and checksum, and over the end of the header
        EXPECT_EQ(run(Role::inside, fragments_of(data, 8)[at]).drop_reason, "fragment_overlap");
    Packet other = data;
    other.source_port = 5002;  // a first fragment once more, with other ports
    EXPECT_EQ(run(Role::inside, fragments_of(other, 40)[0]).drop_reason, "fragment_overlap");
    EXPECT_EQ(run(Role::inside, frames[1]).action, XDP_REDIRECT);
    EXPECT_EQ(run(Role::inside, frames[2]).action, XDP_REDIRECT);
}

ROW(Fragments, AnErrorAboutTheFirstIsDelivered, "1191-x2") {
    Packet whole = udp().from(H1, 5000).to(S1, 7000).with_payload(4000);
    std::vector<Packet> sent;
    for (const Bytes& frame : fragments_of(whole, 1480))
        sent.push_back(run(Role::inside, frame).packet.value());
    auto quoting = [&](const Packet& about) {
        Packet error = err(RX, 3, 4, about, 8);
        error.icmp_rest = 1300;
        return error;
    };
    ASSERT_TRUE(sent[0].more_fragments);
    const std::optional<Packet> arrived = in(quoting(sent[0]));
    ASSERT_TRUE(arrived);
    EXPECT_EQ(arrived->destination.to_string(), H1);
    // One about a later fragment quotes no ports: nobody can tell whose it is.
    const Outcome outcome = from_outside(quoting(sent[1]));
    EXPECT_EQ(outcome.action, XDP_DROP);
    EXPECT_EQ(outcome.drop_reason, "icmp_error_malformed");
}

// RFC 5780 section 3.5: the tests of a client once more, with requests and answers that do not fit into one
// packet.
class FragmentedDiscovery : public Fragments {
  protected:
    // What arrives of a datagram of one and a half packets, if all of it does.
    std::optional<Packet> through(Role role, Packet whole) {
        whole.with_payload(2200);
        whole.identification = ++identification_;
        std::vector<Bytes> arrived;
        const std::vector<Bytes> sent = fragments_of(whole, 1480);
        for (const Bytes& frame : sent) {
            const Outcome outcome = run(role, frame);
            if (outcome.action == XDP_REDIRECT && outcome.drop_reason.empty())
                arrived.push_back(outcome.frame);
        }
        if (arrived.empty()) return std::nullopt;
        EXPECT_EQ(arrived.size(), sent.size()) << "all of it or nothing";
        std::string faults;
        Packet seen = put_together(arrived, faults);
        EXPECT_EQ(faults, "");
        EXPECT_EQ(seen.payload, whole.payload);
        return seen;
    }
    External external(std::uint16_t port, const char* to, std::uint16_t to_port, const char* host = H1) {
        const std::optional<Packet> seen = through(Role::inside, udp().from(host, port).to(to, to_port));
        EXPECT_TRUE(seen);
        return seen ? External{seen->source, seen->source_port} : External{};
    }
    bool arrives(const External& at, const char* from, std::uint16_t port) {
        Packet answer = udp().from(from, port);
        answer.destination = at.address;
        answer.destination_port = at.port;
        return through(Role::outside, answer).has_value();
    }
    std::uint16_t identification_ = 0;
};

ROW(FragmentedDiscovery, FindsTheClassesOfWholePackets, "5780-§3.5") {
    std::uint16_t port = 40000;
    for (const endpoint_rule mapping : {ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT})
        for (const endpoint_rule filtering :
             {ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT}) {
            SCOPED_TRACE(std::to_string(mapping) + " " + std::to_string(filtering));
            change_gateway([=](struct nat_gateway& gateway) {
                gateway.mapping[NAT_UDP] = static_cast<std::uint8_t>(mapping);
                gateway.filtering[NAT_UDP] = static_cast<std::uint8_t>(filtering);
            });
            port++;
            const External first = external(port, S1, 3478), second = external(port, S1b, 3478),
                           third = external(port, S1b, 3479);
            EXPECT_EQ(first == second, mapping == ENDPOINT_INDEPENDENT);
            EXPECT_EQ(second == third, mapping == ENDPOINT_INDEPENDENT);
            const External fresh = external(++port, S1, 3478);  // of which S1b knows nothing
            EXPECT_TRUE(arrives(fresh, S1, 3478));
            EXPECT_EQ(arrives(fresh, S1b, 3479), filtering == ENDPOINT_INDEPENDENT);
            EXPECT_EQ(arrives(fresh, S1, 3479), filtering != ADDRESS_AND_PORT_DEPENDENT);
        }
}

ROW(FragmentedDiscovery, FindsHairpinning, "5780-§3.5") {
    change_gateway([](struct nat_gateway& gateway) { gateway.filtering[NAT_UDP] = ENDPOINT_INDEPENDENT; });
    const External a = external(5000, S1, 3478), b = external(6000, S1, 3478, H2);
    Packet request = udp().from(H1, 5000);
    request.destination = b.address;
    request.destination_port = b.port;
    const std::optional<Packet> seen = through(Role::inside, request);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->destination.to_string(), H2);
    EXPECT_EQ(seen->destination_port, 6000);
    EXPECT_EQ((External{seen->source, seen->source_port}), a);
    const std::optional<Packet> reply = through(Role::inside, answer_to(*seen));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->destination.to_string(), H1);
    EXPECT_EQ((External{reply->source, reply->source_port}), b);
}

class Identification : public Fragments {};

ROW(Identification, IsIgnoredOfAtomicDatagrams, "6864-§4.1-a") {
    for (Packet packet : openings()) {
        packet.dont_fragment = true;
        packet.identification = 0;
        const Mapping first = map(packet);
        for (int i = 1; i < 3334; ++i) {
            const Outcome seen = lab().run(Role::inside, packet);
            ASSERT_EQ(seen.action, XDP_REDIRECT);
            ASSERT_EQ(seen.packet->identification, 0);
        }
        Packet reply = answer_to(first.seen, syn | ack);
        reply.dont_fragment = true;
        reply.identification = 0;
        for (int i = 0; i < 10; ++i) EXPECT_TRUE(in(reply));
    }
}

ROW(Identification, OfWhatTheGatewayOriginatesNeedsNone, "6864-§4.2-a") {
    // All that it says itself is atomic: errors and resets.
    Packet expired = udp().from(H1, 5000).to(S1, 7000);
    expired.ttl = 1;
    for (const Packet& packet : {expired, tcp().from(H1, 5001).to(S1, 443).flags(ack)}) {
        const Outcome outcome = from_inside(packet);
        ASSERT_TRUE(outcome.packet);
        EXPECT_NE(outcome.drop_reason, "");
        EXPECT_EQ(outcome.packet->destination.to_string(), H1);
        EXPECT_TRUE(outcome.packet->dont_fragment);
        EXPECT_FALSE(outcome.packet->more_fragments);
    }
}

ROW(Identification, DoesNotRepeat, "6864-§4.3-a", "7857-§10-a") {
    use_pool({E1});
    for (Packet packet : openings()) {
        packet.dont_fragment = false;
        std::set<std::uint16_t> seen;
        const int each = packet.protocol == 17 ? 10'000 : 1'000;
        for (int i = 0; i < each; ++i)
            for (const char* host : {H1, H2}) {
                packet.identification = static_cast<std::uint16_t>(i);
                packet.source = Ipv4Address::parse(host).value();
                const Outcome outcome = lab().run(Role::inside, packet);
                ASSERT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
                ASSERT_EQ(outcome.packet->source.to_string(), E1);
                seen.insert(outcome.packet->identification);
            }
        EXPECT_EQ(seen.size(), 2u * static_cast<unsigned>(each)) << packet.to_string();
    }
}

ROW(Identification, DfIsNeverChanged, "6864-§4.3-b") {
    for (Packet packet : openings())
        for (const bool dont_fragment : {false, true}) {
            packet.dont_fragment = dont_fragment;
            packet.source_port = static_cast<std::uint16_t>(packet.source_port + 1);
            const Mapping flow = map(packet);
            EXPECT_EQ(flow.seen.dont_fragment, dont_fragment);
            Packet reply = answer_to(flow.seen, syn | ack);
            for (const bool of_reply : {false, true}) {
                reply.dont_fragment = of_reply;
                const std::optional<Packet> arrived = in(reply);
                ASSERT_TRUE(arrived);
                EXPECT_EQ(arrived->dont_fragment, of_reply);
            }
        }
    // Too large for what comes next, and not to be fragmented: an error, and nothing is sent.
    Packet large = udp().from(H1, 5000).to(S1, 7000).with_payload(1473);
    large.dont_fragment = true;
    const Outcome outcome = from_inside(large);
    EXPECT_EQ(outcome.drop_reason, "fragmentation_needed");
}

ROW(Identification, TellsDatagramsOfTwoHostsApart, "6864-§5.3.1-a", "7857-§10-a") {
    use_pool({E1});
    Packet one = udp().from(H1, 5000).to(S1, 7000).with_payload(2000, 'a');
    Packet other = udp().from(H2, 5000).to(S1, 7000).with_payload(2000, 'b');
    one.identification = other.identification = 0xbeef;
    const auto a = fragments_of(one, 1480), b = fragments_of(other, 1480);
    std::vector<Bytes> sent;
    for (const Bytes& frame : {a[0], b[0], b[1], a[1]}) {
        const Outcome outcome = run(Role::inside, frame);
        ASSERT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
        sent.push_back(outcome.frame);
    }
    std::string faults;
    const Packet first = put_together({sent[0], sent[3]}, faults),
                 second = put_together({sent[1], sent[2]}, faults);
    EXPECT_EQ(faults, "");
    EXPECT_EQ(first.payload, one.payload);
    EXPECT_EQ(second.payload, other.payload);
    EXPECT_EQ(first.source, second.source);
    EXPECT_NE(first.identification, second.identification);
}

}  // namespace
}  // namespace sallyport::support

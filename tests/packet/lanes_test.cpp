// SPDX-License-Identifier: Apache-2.0
//
// The express lane does what the stages do. Frames that are anything from ordinary to broken go through the
// programs twice, with and without the lane, from the same state: verdict, frame, counters and every byte of
// the flow table must be the same. SALLYPORT_TEST_SEED chooses other frames, SALLYPORT_LANES_FRAMES their
// number.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>

#include "fixture.h"

namespace sallyport::support {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* value = std::getenv(name);
    return value != nullptr ? std::strtoull(value, nullptr, 0) : otherwise;
}

// What one run leaves behind.
struct Trace {
    Outcome outcome;
    std::array<std::uint64_t, sizeof(struct counters) / sizeof(std::uint64_t)> counted{};
    Bytes table;
    std::uint32_t ended = 0;        // the time, in ticks
    std::set<std::uint32_t> flows;  // flow_id of every entry
};

std::string first_difference(const Bytes& table, const Bytes& other) {
    const auto at = std::mismatch(table.begin(), table.end(), other.begin());
    if (at.first == table.end()) return "";
    const auto byte = static_cast<std::size_t>(at.first - table.begin());
    return fmt::format("bucket {}, entry {}, byte {}: {} and {}", byte / FLOW_BUCKET_BYTES,
                       byte % FLOW_BUCKET_BYTES / sizeof(flow_entry), byte % sizeof(flow_entry), *at.first,
                       *at.second);
}

// A lab of its own, in the network of the one that all have.
class LanesTest : public PacketTest {
  protected:
    LanesTest()
        : lab_({.flow_capacity = 256, .stages_too = true, .make_network = false}),
          random_(from_environment("SALLYPORT_TEST_SEED", 1)) {}

    std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
    bool one_in(std::uint32_t chances) { return below(chances) == 0; }

    // From the state `table`, at the time `now`.
    Trace run(Role role, const Bytes& frame, Lane lane, const Bytes& table, std::uint32_t now) {
        lab_.refill_reply_budget();
        lab_.forget_datagrams();
        lab_.restore_table(table);
        lab_.set_ticks(now);
        Trace trace;
        const struct counters before = lab_.counters();
        trace.outcome = lab_.run(role, frame, lane);
        trace.ended = lab_.ticks();
        const struct counters after = lab_.counters();
        std::array<std::uint64_t, sizeof(struct counters) / sizeof(std::uint64_t)> start{};
        std::memcpy(start.data(), &before, sizeof before);
        std::memcpy(trace.counted.data(), &after, sizeof after);
        for (std::size_t i = 0; i < start.size(); ++i) trace.counted[i] -= start[i];
        trace.table = lab_.table();
        trace.flows = flows();
        return trace;
    }

    std::set<std::uint32_t> flows() {
        std::set<std::uint32_t> all;
        lab_.for_each_entry([&](const flow_entry& entry) { all.insert(entry.flow_id); });
        return all;
    }

    static bool made_a_flow(const Trace& trace, const std::set<std::uint32_t>& before) {
        return !std::includes(before.begin(), before.end(), trace.flows.begin(), trace.flows.end());
    }

    // Runs `frame` by the stages and then, from the same state, on the express lane.
    Outcome both_ways(Role role, const Bytes& frame) {
        const Bytes table = lab_.table();
        const std::set<std::uint32_t> before = flows();
        const std::uint32_t now = lab_.ticks();
        const Trace stages = run(role, frame, Lane::stages, table, now);
        const Trace express = run(role, frame, Lane::express, table, now);
        if (stages.ended != now || express.ended != now)
            return express.outcome;  // the clock did not stand still
        ++compared_;
        EXPECT_EQ(express.outcome.action, stages.outcome.action);
        EXPECT_EQ(express.outcome.drop_reason, stages.outcome.drop_reason);
        // A flow that was made has a random port, which may even have been that of one past its timeout.
        EXPECT_EQ(made_a_flow(express, before), made_a_flow(stages, before));
        if (!made_a_flow(express, before)) {
            EXPECT_EQ(express.counted, stages.counted);
            EXPECT_EQ(express.outcome.frame, stages.outcome.frame);
            EXPECT_EQ(first_difference(express.table, stages.table), "");
        } else {
            ++flows_made_;
        }
        return express.outcome;
    }

    // A flow of each kind and the packets that its two ends send.
    struct Conversation {
        Role out, in;
        Packet forward, reverse;
    };

    Conversation converse(Role out, Role in, Packet first, bool answered) {
        Outcome outcome = lab_.run(out, first, Lane::stages);
        EXPECT_EQ(outcome.action, XDP_REDIRECT) << first.to_string();
        Packet reverse = outcome.packet.value_or(Packet{});
        std::swap(reverse.source, reverse.destination);
        std::swap(reverse.source_port, reverse.destination_port);
        reverse.ttl = 64;
        if (reverse.protocol == 1) reverse.icmp_type = 0;
        reverse.tcp_flags = syn | ack;
        reverse.sequence = 5000;
        reverse.acknowledgement = first.sequence + 1;
        if (answered) {
            EXPECT_EQ(lab_.run(in, reverse, Lane::stages).action, XDP_REDIRECT);
        }
        first.tcp_flags = reverse.tcp_flags = ack;
        first.sequence = 1001;
        first.acknowledgement = 5001;
        return {out, in, first, reverse};
    }

    // Between two instances, through the Elastic IP of both.
    Conversation hairpin(Role role, std::uint16_t port) {
        Packet one = udp().from(instance, port).to(remote, 53);
        Packet other = udp().from(other_instance, port).to(remote, 53);
        const auto address = [&](Packet& packet, const Packet& peer) {
            const Packet seen = lab_.run(role, peer, Lane::stages).packet.value_or(Packet{});
            packet.destination = seen.source;
            packet.destination_port = seen.source_port;
        };
        Packet to_other = one, to_one = other;
        address(to_other, other);
        address(to_one, one);
        EXPECT_EQ(lab_.run(role, to_one, Lane::stages).drop_reason, "unsolicited");
        EXPECT_EQ(lab_.run(role, to_other, Lane::stages).action, XDP_REDIRECT);
        return {role, role, to_other, to_one};
    }

    std::vector<Conversation> conversations() {
        std::vector<Conversation> all;
        std::uint16_t port = 5000;
        for (Role out : {Role::inside, Role::both})
            for (Role in : {Role::outside, Role::both})
                for (bool answered : {true, true, false})
                    for (const char* from : {instance, other_instance}) {
                        ++port;
                        all.push_back(converse(out, in, tcp().from(from, port).to(remote, 443), answered));
                        all.push_back(
                            converse(out, in, udp().from(from, port).to(other_remote, 53), answered));
                        all.push_back(converse(out, in, ping().from(from, port).to(remote), answered));
                    }
        for (Role role : {Role::inside, Role::both})
            for (int i = 0; i < 3; i++) all.push_back(hairpin(role, ++port));
        return all;
    }

    // A packet of the conversation, made less ordinary in a way or two, often in none.
    Bytes frame_of(const Conversation& conversation, bool forward) {
        Packet packet = forward ? conversation.forward : conversation.reverse;
        packet.identification = static_cast<std::uint16_t>(random_());
        packet.dont_fragment = one_in(2);
        packet.payload.assign(below(40), static_cast<std::uint8_t>(random_()));
        packet.sequence += below(3000);
        packet.acknowledgement += below(3000);
        if (one_in(3)) packet.tcp_flags |= psh;
        for (std::uint32_t ways = one_in(3) ? 1 + below(2) : 0; ways > 0; --ways) make_odd(packet);
        Bytes frame = packet.frame();
        if (one_in(12)) spoil(frame);
        return frame;
    }

    void make_odd(Packet& packet) {
        switch (below(17)) {
            case 0:
                packet.ttl = static_cast<std::uint8_t>(below(3));
                break;
            case 1:
                packet.tcp_flags = static_cast<std::uint8_t>(random_());
                break;
            case 2:
                packet.tcp_flags = static_cast<std::uint8_t>(one_in(2) ? fin | ack : rst);
                break;
            case 3:
                packet.options.assign(4 * (1 + below(10)), 1);
                break;
            case 4:
                packet.vlans.assign(1 + below(3), 5);
                break;
            case 5:
                packet.payload.resize(1400 + below(300));
                break;
            case 6:
                packet.dont_fragment = !packet.dont_fragment;
                break;
            case 7:
                packet.more_fragments = true;
                packet.payload.resize(packet.payload.size() / 8 * 8);
                break;
            case 8:
                packet.fragment_offset = static_cast<std::uint16_t>(8 * below(4));
                break;
            case 9:
                packet.udp_without_checksum = true;
                break;
            case 10:
                packet.source_port = static_cast<std::uint16_t>(packet.source_port + below(2));
                break;
            case 11:
                packet.destination_port = static_cast<std::uint16_t>(packet.destination_port + below(2));
                break;
            case 12:
                packet.protocol = static_cast<std::uint8_t>(random_());
                break;
            case 13:
                packet.tos = static_cast<std::uint8_t>(random_());
                break;
            case 14:
                packet.payload.clear();
                break;
            case 15:
                packet.destination_mac[0] |= 1;
                break;
            default:
                packet.tcp_flags = syn;
                break;
        }
    }

    void spoil(Bytes& frame) {
        switch (below(4)) {
            case 0:  // any byte, mostly of a header
                frame[below(static_cast<std::uint32_t>(frame.size()))] = static_cast<std::uint8_t>(random_());
                break;
            case 1: {  // a byte of the IPv4 header that its checksum agrees with
                if (frame.size() < 34) break;
                frame[14 + below(20)] = static_cast<std::uint8_t>(random_());
                frame[24] = frame[25] = 0;
                const std::uint16_t sum = internet_checksum({frame.data() + 14, 20});
                frame[24] = static_cast<std::uint8_t>(sum >> 8);
                frame[25] = static_cast<std::uint8_t>(sum);
                break;
            }
            case 2:  // cut short; the kernel runs nothing below an Ethernet header
                frame.resize(14 + below(static_cast<std::uint32_t>(frame.size()) - 13));
                break;
            default:
                frame.resize(frame.size() + below(64));
                break;
        }
    }

    // What happens around a gateway, now and then.
    void pass_time() {
        switch (below(40)) {
            case 0:
                lab_.advance(std::chrono::milliseconds(below(3000)));
                break;
            case 1:
                lab_.advance(std::chrono::seconds(below(100)));
                break;
            case 2:
                lab_.bump_generation();
                break;
            case 3:
                lab_.trust_next_hops(one_in(2));
                break;
            case 4:
                lab_.trust_next_hops(true);
                break;
            default:
                break;
        }
    }

    ProgramLab lab_;
    std::mt19937_64 random_;
    std::uint64_t compared_ = 0, flows_made_ = 0;
};

TEST_F(LanesTest, GiveTheSame) {
    const std::uint64_t frames = from_environment("SALLYPORT_LANES_FRAMES", 8'000);
    std::vector<Conversation> alive;
    std::map<int, std::uint64_t> actions;
    for (std::uint64_t i = 0; i < frames; ++i) {
        if (i % 1000 == 0) {  // most conversations have been reset or have timed out
            lab_.reap_all(REAP_CUT);
            alive = conversations();
        }
        pass_time();
        const Conversation& conversation = alive[below(static_cast<std::uint32_t>(alive.size()))];
        const bool forward = one_in(2);
        const Bytes frame = frame_of(conversation, forward);
        ++actions[both_ways(forward ? conversation.out : conversation.in, frame).action];
        if (HasFailure()) {
            const std::optional<Packet> packet = Packet::parse(frame);
            FAIL() << "frame " << i << ", " << frame.size()
                   << " bytes: " << (packet ? packet->to_string() : "no IPv4 packet");
        }
    }
    // The frames were of all kinds, and the checks had something to check.
    EXPECT_GT(compared_, frames / 2);
    EXPECT_GT(actions[XDP_REDIRECT], frames / 2);
    EXPECT_GT(actions[XDP_DROP], frames / 50);
    EXPECT_GT(actions[XDP_PASS], frames / 200);
    EXPECT_GT(flows_made_, frames / 200);
}

}  // namespace
}  // namespace sallyport::support

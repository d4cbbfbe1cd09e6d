// SPDX-License-Identifier: Apache-2.0
// Fragments, and the identification that holds them together (RFC 6864).
#include <set>
#include <tuple>

#include "packet/fixture.h"
#include "support/fragments.h"

namespace sallyport::support {
namespace {

class Fragments : public PacketTest {
  protected:
    void SetUp() override {
        lab().forget_datagrams();
        PacketTest::SetUp();
    }

    // The datagram that the fragments are of, put together; all must have been forwarded.
    static Packet together(const std::vector<Outcome>& outcomes) {
        std::vector<Bytes> frames;
        for (const Outcome& outcome : outcomes) {
            EXPECT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
            frames.push_back(outcome.frame);
        }
        std::string faults;
        const Packet whole = put_together(frames, faults);
        EXPECT_EQ(faults, "");
        return whole;
    }

    static std::vector<Outcome> run_all(Role role, const std::vector<Bytes>& frames) {
        std::vector<Outcome> outcomes;
        outcomes.reserve(frames.size());
        for (const Bytes& frame : frames) outcomes.push_back(lab().run(role, frame));
        return outcomes;
    }
};

TEST_F(Fragments, FollowTheFirstInBothDirections) {
    for (Packet whole : {udp().from(instance, 5000).to(remote, 7000), ping().from(instance, 5000).to(remote),
                         tcp().from(instance, 5000).to(remote, 443)}) {
        whole.with_payload(4000);
        whole.identification = 77;
        const Packet seen = together(run_all(Role::inside, fragments_of(whole, 1480)));
        EXPECT_EQ(seen.source.to_string(), eip);
        EXPECT_EQ(seen.payload, whole.payload);

        Packet reply = answer(seen, syn | ack);
        const Packet back = together(run_all(Role::outside, fragments_of(reply, 1480)));
        EXPECT_EQ(back.destination.to_string(), instance);
        EXPECT_EQ(back.identification, reply.identification) << "what comes in keeps its identification";
        EXPECT_EQ(back.payload, reply.payload);
    }
}

TEST_F(Fragments, WithoutTheirFirstAreDropped) {
    Packet whole = udp().from(instance, 5000).to(remote, 7000).with_payload(4000);
    const auto frames = fragments_of(whole, 1480);
    together(run_all(Role::inside, frames));
    whole.identification = 78;
    EXPECT_EQ(lab().run(Role::inside, fragments_of(whole, 1480)[1]).drop_reason, "fragment_without_first");
    lab().advance(std::chrono::seconds(6));
    EXPECT_EQ(lab().run(Role::inside, frames[2]).drop_reason, "fragment_without_first");
}

// RFC 791, RFC 1858, RFC 3128
TEST_F(Fragments, DoNotOverlapTheTransportHeader) {
    const Packet whole = tcp().from(instance, 5000).to(remote, 443).with_payload(80);
    for (const std::size_t tiny : {8u, 16u})
        EXPECT_EQ(lab().run(Role::inside, fragments_of(whole, tiny)[0]).drop_reason, "malformed_transport")
            << "the rest of the header is not there, though the frame is padded";
    const auto frames = fragments_of(whole, 24);
    EXPECT_EQ(lab().run(Role::inside, frames[0]).action, XDP_REDIRECT);
    for (const std::size_t which : {1u, 2u}) {  // offsets 8 and 16
        Outcome outcome = lab().run(Role::inside, fragments_of(whole, 8)[which]);
        EXPECT_EQ(outcome.action, XDP_DROP);
        EXPECT_EQ(outcome.drop_reason, "fragment_overlap");
    }
    EXPECT_EQ(lab().run(Role::inside, frames[1]).action, XDP_REDIRECT);

    // No transport header at all, only padding.
    Bytes frame = fragments_of(udp().from(instance, 5000).to(remote, 7000).with_payload(16), 8)[0];
    frame[14 + 3] = 20;
    mend_ip_checksum(frame);
    EXPECT_EQ(lab().run(Role::inside, frame).drop_reason, "malformed_transport");
}

TEST_F(Fragments, ASecondFirstDoesNotContradictTheFirst) {
    const Packet one = udp().from(instance, 5000).to(remote, 7000).with_payload(2000);
    Packet other = one;
    other.source_port = 5001;
    const auto frames = fragments_of(one, 1480);
    const Outcome first = lab().run(Role::inside, frames[0]);
    EXPECT_EQ(first.action, XDP_REDIRECT);
    EXPECT_EQ(lab().run(Role::inside, fragments_of(other, 1480)[0]).drop_reason, "fragment_overlap");
    const Outcome again = lab().run(Role::inside, frames[0]);  // a duplicate is no contradiction
    EXPECT_EQ(again.frame, first.frame);
    const Outcome last = lab().run(Role::inside, frames[1]);
    together({first, last});
    // The datagram is complete: this is another one, whose sender numbers too fast.
    const Packet seen = together(run_all(Role::inside, fragments_of(other, 1480)));
    EXPECT_NE(seen.identification, first.packet->identification);
    EXPECT_NE(seen.source_port, first.packet->source_port);
}

TEST_F(Fragments, OfTwoInstancesAreToldApart) {  // RFC 6864 section 5.3.1
    Packet one = udp().from(instance, 5000).to(remote, 7000).with_payload(2000, 'a');
    Packet other = udp().from(other_instance, 5000).to(remote, 7000).with_payload(2000, 'b');
    one.identification = other.identification = 0xbeef;
    const auto a = fragments_of(one, 1480), b = fragments_of(other, 1480);
    const std::vector<Outcome> all = run_all(Role::inside, {a[0], b[0], a[1], b[1]});
    const Packet first = together({all[0], all[2]}), second = together({all[1], all[3]});
    EXPECT_EQ(first.payload, one.payload);
    EXPECT_EQ(second.payload, other.payload);
    EXPECT_NE(first.identification, second.identification);
}

class EarlyFragments : public Fragments {
  protected:
    void SetUp() override {
        Fragments::SetUp();
        lab().hold_fragments(true);
        lab().words_to_the_agent();
    }
    void TearDown() override {
        lab().hold_fragments(false);
        Fragments::TearDown();
    }

    // Hands the frame to the agent, or fails.
    static ProgramLab::Word hold(Role role, const Bytes& frame) {
        const Outcome outcome = lab().run(role, frame);
        EXPECT_EQ(outcome.action, XDP_DROP);
        EXPECT_EQ(outcome.drop_reason, "");
        const auto words = lab().words_to_the_agent();
        EXPECT_EQ(words.size(), 1u);
        if (words.size() != 1) return {};
        EXPECT_EQ(words[0].frame, frame);
        return words[0];
    }
};

TEST_F(EarlyFragments, AreHeldAndFollowWhenTheFirstHasCome) {
    for (Packet whole : {udp().from(instance, 5000).to(remote, 7000), ping().from(instance, 5000).to(remote),
                         tcp().from(instance, 5000).to(remote, 443)}) {
        whole.with_payload(4000);
        whole.identification = 77;
        for (const auto& order :
             std::vector<std::vector<std::size_t>>{{1, 2, 0}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}}) {
            ++whole.identification;
            const auto now = fragments_of(whole, 1480);
            std::vector<Outcome> outcomes(3);
            std::vector<std::size_t> held;
            for (const std::size_t which : order) {
                if (which != 0 && (held.empty() || order[2] == 0)) {
                    const auto word = hold(Role::inside, now[which]);
                    EXPECT_EQ(word.device, ProgramLab::inside_slot);
                    lab().await_datagram(word.datagram, true);
                    held.push_back(which);
                    continue;
                }
                outcomes[which] = lab().run(Role::inside, now[which]);
                if (which != 0) continue;
                const auto words = lab().words_to_the_agent();
                ASSERT_EQ(words.size(), 1u) << "the agent is told that the first one has come";
                EXPECT_TRUE(words[0].frame.empty());
                lab().await_datagram(words[0].datagram, false);
                for (const std::size_t waiting : held)
                    outcomes[waiting] = lab().run_again(Role::inside, now[waiting]);
            }
            const Packet seen = together(outcomes);
            EXPECT_EQ(seen.payload, whole.payload);
            EXPECT_EQ(seen.source.to_string(), eip);

            const Packet reply = answer(seen, syn | ack);
            const auto back = fragments_of(reply, 1480);
            const auto word = hold(Role::outside, back[2]);
            EXPECT_EQ(word.device, ProgramLab::outside_slot);
            outcomes = run_all(Role::outside, {back[0], back[1]});
            outcomes.push_back(lab().run_again(Role::outside, back[2]));
            EXPECT_EQ(together(outcomes).payload, reply.payload);
            EXPECT_TRUE(lab().words_to_the_agent().empty()) << "nobody waits, so nobody is told";
        }
    }
}

TEST_F(EarlyFragments, ThatTheAgentGivesUpAreDropped) {
    const auto frames = fragments_of(udp().from(instance, 5000).to(remote, 7000).with_payload(2000), 1480);
    hold(Role::inside, frames[1]);
    const Outcome outcome = lab().run_again(Role::inside, frames[1]);
    EXPECT_EQ(outcome.action, XDP_DROP);
    EXPECT_EQ(outcome.drop_reason, "fragment_without_first");
    EXPECT_TRUE(lab().words_to_the_agent().empty());
}

TEST_F(EarlyFragments, AreHeldOnlyIfTheyAreTheGateways) {
    const auto fragment = [](const char* from, const char* to) {
        return fragments_of(udp().from(from, 5000).to(to, 7000).with_payload(2000), 1480)[1];
    };
    for (const char* own : {"198.51.100.1", "10.0.0.1"})
        EXPECT_EQ(lab().run(Role::outside, fragment(remote, own)).action, XDP_PASS) << own;
    EXPECT_EQ(lab().run(Role::inside, fragment(instance, "10.0.0.1")).action, XDP_PASS);
    EXPECT_EQ(lab().run(Role::inside, fragment(instance, "10.0.3.4")).action, XDP_PASS);
    EXPECT_EQ(lab().run(Role::inside, fragment("10.9.0.1", remote)).drop_reason, "source_not_in_subnet");
    EXPECT_EQ(lab().run(Role::outside, fragment(remote, instance)).drop_reason, "private_destination");
    EXPECT_TRUE(lab().words_to_the_agent().empty());

    const Bytes tiny = fragments_of(tcp().from(instance, 5000).to(remote, 443).with_payload(80), 8)[1];
    EXPECT_EQ(lab().run(Role::inside, tiny).drop_reason, "fragment_overlap");
    lab().hold_fragments(false);
    EXPECT_EQ(lab().run(Role::inside, fragment(instance, remote)).drop_reason, "fragment_without_first");
    EXPECT_TRUE(lab().words_to_the_agent().empty());
}

TEST_F(EarlyFragments, OfDevicesOfBothRolesToo) {
    const device slot = lab().device(ProgramLab::inside_slot);
    device both = slot;
    both.role = DEVICE_BOTH;
    lab().set_device(ProgramLab::inside_slot, both);
    Packet whole = udp().from(instance, 5000).to(remote, 7000).with_payload(2000);
    const auto out = fragments_of(whole, 1480);
    hold(Role::both, out[1]);
    const Outcome first = lab().run(Role::both, out[0]);
    const Packet seen = together({first, lab().run_again(Role::both, out[1])});
    const auto in = fragments_of(answer(seen), 1480);
    hold(Role::both, in[1]);
    const Outcome reply = lab().run(Role::both, in[0]);
    EXPECT_EQ(together({reply, lab().run_again(Role::both, in[1])}).destination.to_string(), instance);
    lab().set_device(ProgramLab::inside_slot, slot);
}

TEST_F(EarlyFragments, OfOneSourceDoNotUseUpWhatAllMayHold) {
    const auto one = [](const char* from, std::uint16_t identification) {
        Packet whole = udp().from(from, 5000).to(remote, 7000).with_payload(60);
        whole.identification = identification;
        return fragments_of(whole, 40)[1];
    };
    const struct counters before = lab().counters();
    lab().time(Role::inside, one(instance, 1), 50'000);
    const struct counters after = lab().counters();
    EXPECT_GE(after.devices[ProgramLab::inside_slot].held - before.devices[ProgramLab::inside_slot].held,
              1024);
    EXPECT_GE(after.drops[DROP_FRAGMENTS_LIMITED] - before.drops[DROP_FRAGMENTS_LIMITED], 20'000)
        << "so many in a moment are too many";
    lab().words_to_the_agent();
    hold(Role::inside, one(other_instance, 1));
}

class Identification : public Fragments {};

TEST_F(Identification, IsNewForWhatMayBeFragmented) {  // RFC 6864 section 4.3
    std::set<std::tuple<std::string, int, std::uint16_t>> seen;
    std::size_t sent = 0;
    for (int i = 0; i < 2000; ++i)
        for (const char* from : {instance, other_instance})
            for (Packet packet : {udp().from(from, 5000).to(remote, 7000), ping().from(from, 9).to(remote),
                                  tcp().from(from, 5000).to(other_remote, 443)}) {
                packet.identification = static_cast<std::uint16_t>(i);
                const Outcome outcome = lab().run(Role::inside, packet);
                ASSERT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
                ASSERT_EQ(Packet::checksum_faults(outcome.frame), "");
                ASSERT_FALSE(outcome.packet->dont_fragment);
                seen.emplace(outcome.packet->destination.to_string(), packet.protocol,
                             outcome.packet->identification);
                ++sent;
            }
    EXPECT_EQ(seen.size(), sent);
}

TEST_F(Identification, OfAtomicDatagramsStays) {  // RFC 6864 section 4.1
    for (Packet packet : {udp().from(instance, 5000).to(remote, 7000), ping().from(instance, 9).to(remote),
                          tcp().from(instance, 5000).to(remote, 443)}) {
        packet.dont_fragment = true;
        for (const int identification : {0, 0, 1, 0xffff, 0}) {
            packet.identification = static_cast<std::uint16_t>(identification);
            const Packet seen = out(packet);
            EXPECT_EQ(seen.identification, packet.identification);
            EXPECT_TRUE(seen.dont_fragment);
        }
    }
}

TEST_F(Identification, OfErrorsFromInsideIsNew) {
    const Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    const Packet received = in(answer(seen));
    Packet error = icmp_error(3, 3, received.ip()).from(instance).to(remote);
    error.identification = 5;
    const Packet first = out(error), second = out(error);
    EXPECT_NE(first.identification, second.identification);
}

TEST_F(Identification, BeginsElsewhereForEachRemote) {
    std::set<std::uint16_t> seen;
    for (int host = 1; host <= 100; ++host)
        seen.insert(out(udp().from(instance, 5000).to(("203.0.113." + std::to_string(host)).c_str(), 7000))
                        .identification);
    EXPECT_GT(seen.size(), 95u);
}

}  // namespace
}  // namespace sallyport::support

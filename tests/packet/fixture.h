// SPDX-License-Identifier: Apache-2.0
//
// Packets in, packets out, with the reason of a drop. One lab for all: to load the programs takes longer than
// any test. Every test starts with the flows of the one before it cut, and every suite with the lab as it was
// when it was new.
#pragma once

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include "support/program_lab.h"

namespace sallyport::support {

inline constexpr const char* instance = "10.0.0.11";
inline constexpr const char* other_instance = "10.0.0.12";
inline constexpr const char* eip = "198.51.100.10";
inline constexpr const char* remote = "203.0.113.10";
inline constexpr const char* other_remote = "203.0.113.20";

class PacketTest : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        if (!lab_) {
            lab_ = std::make_unique<ProgramLab>();
            new_ = lab_->save();
        }
        lab_->refill_reply_budget();
    }
    static void TearDownTestSuite() { lab_->restore(new_); }

    void SetUp() override { before_ = lab().counters(); }

    void TearDown() override {
        // Every packet that came in went out, was passed, dropped for a reason, or answered.
        auto after = lab().counters();
        std::uint64_t dropped = 0, reasons = 0;
        for (int slot = 0; slot < 2; slot++) {
            const device_counters &a = after.devices[slot], &b = before_.devices[slot];
            EXPECT_EQ(a.received_packets - b.received_packets,
                      (a.forwarded - b.forwarded) + (a.passed - b.passed) + (a.dropped - b.dropped) +
                          (a.answered - b.answered) + (a.held - b.held))
                << "slot " << slot;
            dropped += a.dropped - b.dropped;
        }
        for (int reason = 0; reason < DROP_REASONS_MAX; reason++)
            reasons += after.drops[reason] - before_.drops[reason];
        EXPECT_EQ(dropped, reasons);

        lab().reap_all(REAP_CUT);
        EXPECT_TRUE(lab().entries().empty()) << "a flow left something behind";
    }

    static ProgramLab& lab() { return *lab_; }

    // What the outside sees of a packet from an instance; fails the test if it is not forwarded.
    static Packet out(const Packet& packet) {
        Outcome outcome = lab().run(Role::inside, packet);
        EXPECT_EQ(outcome.action, XDP_REDIRECT) << packet.to_string() << " " << outcome.drop_reason;
        EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
        return outcome.packet.value_or(Packet{});
    }
    // What the instance sees of a packet from outside.
    static Packet in(const Packet& packet) {
        Outcome outcome = lab().run(Role::outside, packet);
        EXPECT_EQ(outcome.action, XDP_REDIRECT) << packet.to_string() << " " << outcome.drop_reason;
        EXPECT_EQ(Packet::checksum_faults(outcome.frame), "");
        return outcome.packet.value_or(Packet{});
    }
    // The answer to a translated packet, from whoever got it.
    static Packet answer(const Packet& seen, int flags = 0) { return answer_to(seen, flags); }
    // Three-way handshake; returns the SYN as the outside saw it.
    static Packet establish(std::uint16_t port = 5000, const char* from = instance, const char* to = remote) {
        Packet seen = out(tcp().from(from, port).to(to, 443));
        in(answer(seen, syn | ack));
        out(tcp().from(from, port).to(to, 443).flags(ack).seq(1001, 5001));
        return seen;
    }

    struct counters before_ {};

  private:
    static inline std::unique_ptr<ProgramLab> lab_;
    static inline ProgramLab::Memory new_;
};

}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// RFC 768, 1624 and 3022: the arithmetic of checksums, on the programs' own functions and on packets.
#include <array>
#include <cstring>
#include <random>
#include <utility>

#include "conformance/icmp.h"

// The programs' own arithmetic, in the C that it is written in.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
extern "C" {
#include "lib/checksum.h"
}
#pragma GCC diagnostic pop

namespace sallyport::support {
namespace {

// The sixteen bits at `at` of the frame's transport header.
std::uint16_t field(const Outcome& outcome, std::size_t at) {
    return get16(outcome.frame, transport_at + at);
}

constexpr std::size_t udp_checksum = 6, tcp_checksum = 16, icmp_checksum = 2;

class Checksums : public IcmpTest {
  protected:
    void SetUp() override {
        IcmpTest::SetUp();
        keep_shape();
    }
    // A payload of two bytes with which the checksum of what leaves is computed as 0.
    static Packet with_sum_of_zero(Packet packet, const Outcome& with_zeros, std::size_t at) {
        packet.payload = {0, 0};
        put16(packet.payload, 0, field(with_zeros, at));
        return packet;
    }
};

ROW(Checksums, OfUdpMayBeNone, "768-a") {
    Packet packet = udp().from(H1, 5000).to(S1, 4500).with_payload(20);
    packet.udp_without_checksum = true;
    Outcome seen = from_inside(packet);
    ASSERT_TRUE(seen.packet);
    EXPECT_NE(seen.packet->source, packet.source);
    EXPECT_EQ(field(seen, udp_checksum), 0);
    Outcome got = from_outside(answer_to(*seen.packet));
    ASSERT_TRUE(got.packet);
    EXPECT_EQ(field(got, udp_checksum), 0);
}

ROW(Checksums, OfUdpAreNeverZeroByAccident, "768-b") {
    Packet packet = udp().from(H1, 5000).to(S1, 7000).with_payload(2, 0);
    packet = with_sum_of_zero(packet, from_inside(packet), udp_checksum);
    Outcome seen = from_inside(packet);
    EXPECT_EQ(field(seen, udp_checksum), 0xffff);
    // And on the way in.
    Packet reply = answer_to(*seen.packet);
    reply.payload = {0, 0};
    reply = with_sum_of_zero(reply, from_outside(reply), udp_checksum);
    EXPECT_EQ(field(from_outside(reply), udp_checksum), 0xffff);
}

ROW(Checksums, OfTcpAndIcmpMayBeZero, "768-c") {
    const Mapping flow = est(H1, 5000, S1, 443);
    Packet packet = segment(flow, ack | psh, h_sequence + 11, s_sequence + 11, 2);
    packet.payload = {0, 0};
    packet = with_sum_of_zero(packet, from_inside(packet), tcp_checksum);
    EXPECT_EQ(field(from_inside(packet), tcp_checksum), 0);

    Packet echo = ping().from(H1, 100).to(S1).with_payload(2, 0);
    echo = with_sum_of_zero(echo, from_inside(echo), icmp_checksum);
    EXPECT_EQ(field(from_inside(echo), icmp_checksum), 0);
}

ROW(Checksums, OfDamagedPacketsStayWrong, "1624-x1") {
    est(H1, 5001, S1, 443);
    struct Damaged {
        Packet packet;
        std::size_t at;
    };
    for (const Damaged& damaged :
         {Damaged{udp().from(H1, 5000).to(S1, 7000).with_payload(30), udp_checksum},
          Damaged{tcp().from(H1, 5001).to(S1, 443).flags(ack).seq(1011, 5011).with_payload(30), tcp_checksum},
          Damaged{tcp().from(H1, 5002).to(S1, 443), tcp_checksum},
          Damaged{ping().from(H1, 100).to(S1).with_payload(30), icmp_checksum}}) {
        Outcome right = from_inside(damaged.packet);
        Bytes frame = damaged.packet.frame();
        put16(frame, transport_at + damaged.at, get16(frame, transport_at + damaged.at) + 1u);
        Outcome wrong = run(Role::inside, frame);
        ASSERT_TRUE(wrong.packet) << damaged.packet.to_string();
        EXPECT_EQ(field(wrong, damaged.at), static_cast<std::uint16_t>(field(right, damaged.at) + 1u));
    }
}

// Words as the programs see them: loaded from memory in the processor's own order.
std::uint16_t word(const std::uint8_t* at) {
    std::uint16_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
}

class ChecksumsAtScale : public IcmpTest {};

ROW(ChecksumsAtScale, FollowEquationThree, "1624-§3-a") {
    // The vector of RFC 1624 section 4, on which RFC 1141 fails.
    EXPECT_EQ(checksum_apply(0xdd2f, checksum_delta16(0x5555, 0x3285)), 0x0000);
    EXPECT_EQ(checksum_apply_one(0xdd2f, checksum_fold(checksum_delta16(0x5555, 0x3285))), 0x0000);

    constexpr std::size_t bytes = 64, check_at = 10;
    constexpr int updates = 10'000'000;
    std::mt19937_64 random(1624);
    std::array<std::uint8_t, bytes> data{};
    const auto recompute = [&] {
        data[check_at] = data[check_at + 1] = 0;
        const std::uint16_t sum = internet_checksum(data);
        put16(data, check_at, sum);
        return word(&data[check_at]);
    };
    for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(random());
    std::uint16_t kept = recompute();
    int wrong = 0;
    for (int i = 0; i < updates; i++) {
        // A port, an IPv4 address or an IPv6 one, in front of the checksum or behind it, at an odd place too.
        const std::uint64_t choice = random();
        const std::size_t width = std::size_t{2} << choice % 3 * (choice % 3 + 1) / 2;  // 2, 4 or 16
        const std::size_t at = check_at + 2 + (choice >> 8) % (bytes - check_at - 2 - width + 1);
        std::uint32_t delta = 0;
        for (std::size_t j = 0; j < width; j += 2) {
            const auto to = static_cast<std::uint16_t>(choice % 5 ? random() : choice % 2 * 0xffffu);
            std::uint16_t before = word(&data[at + j]), after = to;
            std::memcpy(&data[at + j], &to, sizeof to);
            if (at % 2) {  // the checksum sees the two bytes the other way round
                before = __builtin_bswap16(before);
                after = __builtin_bswap16(after);
            }
            delta += checksum_delta16(before, after);
        }
        const std::uint16_t folded = checksum_fold(delta);
        const std::uint16_t updated = checksum_apply(kept, delta), by_one = checksum_apply_one(kept, folded);
        const std::uint16_t undone = checksum_apply_one(updated, checksum_delta_back(folded));
        const std::uint16_t before = std::exchange(kept, recompute());
        wrong += updated != kept || by_one != kept || undone != before;
    }
    EXPECT_EQ(wrong, 0) << "of " << updates;
    figure("incremental checksum updates compared", std::to_string(updates));
}

ROW(ChecksumsAtScale, OfHeadersAreNeverAllOnes, "1624-§5-a") {
    Packet packet = udp().from(H1, 5000).to(S1, 7000);
    packet.dont_fragment = true;  // so that its identification stays
    map(packet);
    int wrong = 0, zeros = 0;
    for (std::uint32_t id = 0; id <= 0xffff; id++) {  // every sum that a header can have
        packet.identification = static_cast<std::uint16_t>(id);
        const Outcome outcome = lab().run(Role::inside, packet);
        const std::uint16_t sum = get16(outcome.frame, ip_at + 10);
        wrong += outcome.action != XDP_REDIRECT || sum == 0xffff ||
                 internet_checksum({outcome.frame.data() + ip_at, 20}) != 0;
        zeros += sum == 0;
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_GT(zeros, 0) << "the edge was met";
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// The maximum segment size of a SYN is lowered to what the gateway's links carry (RFC 4821, row 4821-x2).
#include "packet/fixture.h"
#include "support/fragments.h"

namespace sallyport::support {
namespace {

constexpr std::uint8_t nop = 1, end_of_options = 0;

Bytes mss(std::uint16_t bytes) {
    return {2, 4, static_cast<std::uint8_t>(bytes >> 8), static_cast<std::uint8_t>(bytes)};
}

class Mss : public PacketTest {
  protected:
    void SetUp() override {
        PacketTest::SetUp();
        clamp(true);
    }
    void TearDown() override {
        clamp(false);
        PacketTest::TearDown();
    }

    static void clamp(bool on) {
        struct nat_gateway gateway = lab().nat_gateway(0);
        gateway.flags &= ~std::uint32_t{NAT_GATEWAY_CLAMP_MSS};
        if (on) gateway.flags |= NAT_GATEWAY_CLAMP_MSS;
        lab().change_nat_gateway(0, gateway);
    }

    // The options of a SYN after the gateway; out() looks at the checksum.
    Bytes after(const Bytes& options, int flags = syn) {
        Packet packet = tcp().from(instance, ++port_).to(remote, 443);
        packet.tcp_options = options;
        packet.flags(flags);
        return out(packet).tcp_options;
    }

    std::uint16_t port_ = 5000;
};

TEST_F(Mss, IsLoweredToTheMtu) {
    EXPECT_EQ(after(mss(8960)), mss(1460));
    EXPECT_EQ(after(mss(1461)), mss(1460));
    EXPECT_EQ(after(mss(65535)), mss(1460));
}

TEST_F(Mss, IsNeverRaisedAndNeverAdded) {
    for (std::uint16_t bytes : std::initializer_list<std::uint16_t>{0, 536, 1200, 1460})
        EXPECT_EQ(after(mss(bytes)), mss(bytes));
    EXPECT_EQ(after({}), Bytes{});
    const Bytes others{3, 3, 7, nop};
    EXPECT_EQ(after(others), others);
}

TEST_F(Mss, IsFoundWhereverItStands) {
    for (std::size_t before = 0; before <= 36; ++before) {
        Bytes options(before, nop);
        const Bytes high = mss(9000), low = mss(1460);
        options.insert(options.end(), high.begin(), high.end());
        Bytes expected(before, nop);
        expected.insert(expected.end(), low.begin(), low.end());
        while (options.size() % 4 != 0) options.push_back(nop), expected.push_back(nop);
        EXPECT_EQ(after(options), expected) << before;
    }
    // As Linux sends it, and behind others.
    EXPECT_EQ(after({2, 4, 0x23, 0x28, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, nop, 3, 3, 7}),
              (Bytes{2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, nop, 3, 3, 7}));
    EXPECT_EQ(after({3, 3, 7, 4, 2, 2, 4, 0x23, 0x28, nop, nop, nop}),
              (Bytes{3, 3, 7, 4, 2, 2, 4, 0x05, 0xb4, nop, nop, nop}));
}

TEST_F(Mss, OptionsThatAreNoneStayAsTheyAre) {
    for (const Bytes& options : {
             Bytes{end_of_options, 2, 4, 0x23, 0x28, 0, 0, 0},               // after the end
             Bytes{8, 0, 2, 4, 0x23, 0x28, 0, 0},                            // a length of nothing
             Bytes{2, 3, 0x23, 0x28},                                        // not as long as it has to be
             Bytes{nop, nop, nop, 2},                                        // cut off
             Bytes{nop, 2, 4, 0x23}, Bytes{8, 200, 2, 4, 0x23, 0x28, 0, 0},  // beyond the header
             Bytes{nop, nop, 8, 2, 4, 127, 0x7d, 0},  // beyond it by so much that it came out inside again
             Bytes{8, 1, 2, 4, 0x23, 0x28, 0, 0},     // a length that does not count itself
         })
        EXPECT_EQ(after(options), options);
}

TEST_F(Mss, OfAnAnswerIsLoweredToo) {
    Packet seen = out(tcp().from(instance, 5000).to(remote, 443));
    Packet reply = answer(seen, syn | ack);
    reply.tcp_options = mss(8960);
    EXPECT_EQ(in(reply).tcp_options, mss(1460));
}

TEST_F(Mss, FollowsTheSmallerOfTheTwoLinks) {
    const struct device lan = lab().device(ProgramLab::inside_slot);
    struct device narrow = lan;
    narrow.mtu = 1400;
    lab().set_device(ProgramLab::inside_slot, narrow);
    EXPECT_EQ(after(mss(1460)), mss(1360));
    lab().set_device(ProgramLab::inside_slot, lan);
}

TEST_F(Mss, IsLeftAloneWithoutSynAndWhenSwitchedOff) {
    establish(5000);
    Packet data = tcp().from(instance, 5000).to(remote, 443).flags(ack).seq(1001, 5001);
    data.tcp_options = mss(8960);
    EXPECT_EQ(out(data).tcp_options, mss(8960));
    clamp(false);
    EXPECT_EQ(after(mss(8960)), mss(8960));
}

// The rest of the header comes with the next fragment, so what looks like it is padding.
TEST_F(Mss, IsNotTakenFromBehindAFirstFragment) {
    Packet packet = tcp().from(instance, 5000).to(remote, 443);
    packet.tcp_options = {nop, nop, nop, nop, 2, 4, 0x23, 0x28};
    Bytes frame = fragments_of(packet, 24)[0];
    const Bytes padding = mss(9000);
    frame.resize(58);
    frame.insert(frame.end(), padding.begin(), padding.end());
    const Outcome outcome = lab().run(Role::inside, frame);
    EXPECT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
    EXPECT_EQ(Bytes(outcome.frame.begin() + 58, outcome.frame.end()), padding);
}

TEST_F(Mss, WorksBehindOptionsOfIpv4) {
    Packet packet = tcp().from(instance, 5000).to(remote, 443);
    packet.options = {nop, nop, nop, nop, nop, nop, nop, nop};
    packet.tcp_options = mss(8960);
    EXPECT_EQ(out(packet).tcp_options, mss(1460));
}

}  // namespace
}  // namespace sallyport::support

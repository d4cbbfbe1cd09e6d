// SPDX-License-Identifier: Apache-2.0
// RFC 4787 sections 7 and 8: what ICMP does to a mapping, and what becomes of packets that are too large.
#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class UdpIcmp : public ConformanceTest {
  protected:
    void SetUp() override {
        ConformanceTest::SetUp();
        if (!HasFatalFailure()) mapping_ = map(udp().from(H1, 5000).to(S1, 7000).with_payload(40));
    }
    Mapping mapping_;
};

ROW(UdpIcmp, NoErrorEndsAMapping, "4787-REQ-12") {
    std::vector<std::pair<int, int>> errors = {{4, 0}, {11, 0}, {11, 1}, {12, 0}, {12, 1}, {12, 2}};
    for (int code = 0; code <= 15; code++) errors.emplace_back(3, code);
    for (int code = 0; code <= 3; code++) errors.emplace_back(5, code);
    for (auto [type, code] : errors) {
        from_outside(
            err(RX, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code), mapping_.seen));
        EXPECT_TRUE(alive(mapping_)) << type << "/" << code;
        EXPECT_EQ(map(mapping_.sent).external(), mapping_.external()) << type << "/" << code;
    }
    // And none from the host itself, about what came in.
    std::optional<Packet> arrived = in(answer_to(mapping_.seen));
    ASSERT_TRUE(arrived);
    EXPECT_TRUE(out(err(H1, 3, 3, *arrived)));
    EXPECT_TRUE(alive(mapping_));
}

ROW(UdpIcmp, ErrorsComeFromAnywhere, "4787-REQ-12a") {
    for (const char* from : {RX, S1, S2, "8.9.10.11"}) {
        std::optional<Packet> error = in(err(from, 3, 1, mapping_.seen));
        ASSERT_TRUE(error) << from;
        EXPECT_EQ(error->source.to_string(), from);
        EXPECT_EQ(error->destination.to_string(), H1);
        auto quoted = Ipv4View::of(error->payload, true);
        ASSERT_TRUE(quoted);
        EXPECT_EQ(quoted->source().to_string(), H1);
        EXPECT_EQ(get16(quoted->transport, 0), 5000);
    }
}

ROW(UdpIcmp, DestinationUnreachableReachesTheHost, "4787-REQ-12b") {
    for (std::uint8_t code = 0; code <= 15; code++) {
        std::optional<Packet> error = in(err(RX, 3, code, mapping_.seen));
        ASSERT_TRUE(error) << int{code};
        EXPECT_EQ(error->icmp_type, 3);
        EXPECT_EQ(error->icmp_code, code);
    }
}

ROW(UdpIcmp, WhatIsTooLargeAndMustNotBeCutIsRefused, "4787-REQ-13", "1191-§4-a") {
    keep_shape();
    constexpr std::uint16_t mtu = 1400;
    struct device outside = lab().device(ProgramLab::outside_slot);
    outside.mtu = mtu;
    lab().set_device(ProgramLab::outside_slot, outside);
    lab().add_next_hop(RX, ProgramLab::outside_slot, {2, 0, 0, 0, 1, 0xfe});
    lab().bump_generation();
    Packet large = udp().from(H1, 5000).to(S1, 7000).with_payload(1500 - 28);
    large.dont_fragment = true;
    Outcome refused = from_inside(large);
    EXPECT_EQ(refused.drop_reason, "fragmentation_needed");
    ASSERT_TRUE(refused.packet);
    EXPECT_EQ(refused.packet->source.to_string(), P0);
    EXPECT_EQ(refused.packet->destination.to_string(), H1);
    EXPECT_EQ(refused.packet->icmp_type, 3);
    EXPECT_EQ(refused.packet->icmp_code, 4);
    EXPECT_EQ(refused.packet->icmp_rest, mtu);  // the upper half is zero
    auto quoted = Ipv4View::of(refused.packet->payload, true);
    ASSERT_TRUE(quoted);
    EXPECT_EQ(quoted->source().to_string(), H1);
    EXPECT_EQ(quoted->ttl(), 64) << "as it came";
    EXPECT_EQ(get16(quoted->transport, 0), 5000);
    large.with_payload(mtu - 28);
    EXPECT_TRUE(out(large)) << "what just fits goes out";
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// RFC 4821, and what helps where it is not done: the maximum segment size.
#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class SegmentSize : public ConformanceTest {
  protected:
    void SetUp() override {
        ConformanceTest::SetUp();
        keep_shape();
        change_gateway([](struct nat_gateway& gateway) { gateway.flags |= NAT_GATEWAY_CLAMP_MSS; });
        struct device outside = lab().device(ProgramLab::outside_slot);
        outside.mtu = 1400;
        lab().set_device(ProgramLab::outside_slot, outside);
        lab().add_next_hop(RX, ProgramLab::outside_slot, {2, 0, 0, 0, 1, 0xfe});
        lab().bump_generation();
    }
    static Bytes size(std::uint16_t value) {
        return {2, 4, static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
    }
};

ROW(SegmentSize, IsLoweredOnlyAndOnlyInHandshakes, "4821-x2") {
    std::uint16_t port = 5000;
    const std::pair<Bytes, Bytes> cases[] = {{size(8960), size(1360)},
                                             {size(1361), size(1360)},
                                             {size(1360), size(1360)},
                                             {size(1200), size(1200)},
                                             {{}, {}}};
    for (const auto& [sent, seen] : cases) {
        Packet opening = tcp().from(H1, port++).to(S1, 443);
        opening.tcp_options = sent;
        Mapping flow = map(opening);
        EXPECT_EQ(flow.seen.tcp_options, seen);
        Packet answer = answer_to(flow.seen, syn | ack);
        answer.tcp_options = sent;
        std::optional<Packet> arrived = in(answer);
        ASSERT_TRUE(arrived);
        EXPECT_EQ(arrived->tcp_options, seen) << "the same in the answer";
        // An option of that form in any other segment is none of ours.
        Packet later = segment(flow, ack, 1001, 5001);
        later.tcp_options = size(8960);
        std::optional<Packet> passed = out(later);
        ASSERT_TRUE(passed);
        EXPECT_EQ(passed->tcp_options, size(8960));
    }
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// RFC 4787 section 4.3: how long a mapping lives, and what keeps it alive.
#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

class UdpTimer : public ConformanceTest {
  protected:
    void set_udp_timeout(seconds timeout) {
        change_gateway(
            [=](struct nat_gateway& gateway) { gateway.timeouts[TIMEOUT_UDP] = timeout_units(timeout); });
    }
};

ROW(UdpTimer, AMappingLivesForTwoMinutes, "4787-REQ-5") {
    Mapping silent = map(udp().from(H1, 5000).to(S1, 7000));  // never answered
    idle(seconds(119));
    EXPECT_TRUE(alive(silent));
    Mapping answered = map(udp().from(H1, 5001).to(S1, 7000));
    EXPECT_TRUE(alive(answered));
    idle(seconds(119));
    EXPECT_TRUE(alive(answered));
}

ROW(UdpTimer, NoDestinationPortHasAShorterOne, "4787-REQ-5a") {  // the default of what is optional
    Mapping dns = map(udp().from(H1, 5000).to(S1, 53)), both = map(udp().from(H1, 6000).to(S1, 53));
    Mapping other = map(udp().from(H1, 6000).to(S1, 7000));
    idle(seconds(299));
    for (const Mapping& mapping : {dns, both, other}) EXPECT_TRUE(alive(mapping)) << mapping.sent.to_string();
}

ROW(UdpTimer, ItIsASetting, "4787-REQ-5b") {
    for (int timeout : {180, 600}) {
        set_udp_timeout(seconds(timeout));
        Mapping kept = map(udp().from(H1, static_cast<std::uint16_t>(5000 + timeout)).to(S1, 7000));
        idle(seconds(timeout - 1));
        EXPECT_TRUE(alive(kept)) << timeout;
        idle(seconds(timeout + 5));
        EXPECT_FALSE(alive(kept)) << timeout;
    }
}

ROW(UdpTimer, ByDefaultAMappingLivesForFiveMinutes, "4787-REQ-5c") {
    use_pool({E1});
    change_gateway([](struct nat_gateway& gateway) { gateway.first_port = gateway.last_port = 30000; });
    Mapping mapping = map(udp().from(H1, 5000).to(S1, 7000));
    idle(seconds(299));
    EXPECT_TRUE(alive(mapping));
    idle(seconds(330));
    EXPECT_FALSE(alive(mapping));
    EXPECT_EQ(map(udp().from(H2, 5000).to(S1, 7000)).external(), mapping.external())
        << "the port is free again";
}

ROW(UdpTimer, OutboundPacketsRefresh, "4787-REQ-6") {
    Mapping first = map(udp().from(H1, 5000).to(S1, 7000));
    for (int i = 0; i < 5; i++) {
        idle(seconds(200));
        EXPECT_EQ(map(first.sent).external(), first.external());
    }
    EXPECT_TRUE(alive(first));
    idle(seconds(299));
    EXPECT_TRUE(alive(first));
}

ROW(UdpTimer, InboundPacketsOfTheSessionRefresh, "4787-REQ-6a") {  // decision C9, `session`
    Mapping mapping = map(udp().from(H1, 5000).to(S1, 7000));
    for (int i = 0; i < 5; i++) {
        idle(seconds(200));
        EXPECT_TRUE(alive(mapping));
    }
    Packet stranger = answer_to(mapping.seen);
    stranger.from(S2, 7000);
    for (int i = 0; i < 5; i++) {
        idle(seconds(70));
        EXPECT_FALSE(in(stranger));
    }
    EXPECT_FALSE(alive(mapping)) << "what is filtered refreshes nothing";
}

}  // namespace
}  // namespace sallyport::support

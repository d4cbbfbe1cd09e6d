// SPDX-License-Identifier: Apache-2.0
// RFC 6888 REQ-6: destinations that are sent to as they are.
#include "conformance/fixture.h"
#include "support/fragments.h"

namespace sallyport::support {
namespace {

class NoTranslation : public ConformanceTest {
  protected:
    static constexpr const char* destinations = "203.0.113.20/32";

    void SetUp() override {
        ConformanceTest::SetUp();
        lab().add_route(1, destinations, ROUTE_UNTRANSLATED, 0);
        oracle().expect_untranslated(Ipv4Prefix::parse(destinations).value());
    }
};

ROW(NoTranslation, TheDestinationSeesTheHostItself, "6888-REQ-6") {
    for (const Packet& packet :
         {udp().from(H1, 5000).to(S2, 53), tcp().from(H1, 5000).to(S2, 53), ping().from(H1, 77).to(S2)}) {
        Mapping plain = map(packet);
        EXPECT_EQ(plain.seen.source.to_string(), H1);
        EXPECT_EQ(plain.external().port, packet.protocol == 1 ? 77 : 5000);
        std::optional<Packet> reply = in(answer_to(plain.seen, syn | ack));
        ASSERT_TRUE(reply) << packet.to_string();
        EXPECT_EQ(reply->destination.to_string(), H1);
        EXPECT_EQ(reply->source.to_string(), S2);
        EXPECT_TRUE(alive(plain));
        // To everybody else the same endpoint is translated.
        Packet elsewhere = packet;
        elsewhere.to(S1, packet.destination_port);
        Mapping translated = map(elsewhere);
        EXPECT_NE(translated.seen.source.to_string(), H1);
        EXPECT_TRUE(alive(translated));
    }
}

ROW(NoTranslation, FragmentsFollowTheirFirst, "6888-REQ-6") {
    Packet whole = udp().from(H1, 5000).to(S2, 53).with_payload(2200);
    whole.identification = 7;
    for (const Bytes& frame : fragments_of(whole, 1480)) {
        const Outcome sent = run(Role::inside, frame);
        EXPECT_EQ(sent.action, XDP_REDIRECT) << sent.drop_reason;
    }
    for (const Bytes& frame : fragments_of(answer_to(whole), 1480)) {
        const Outcome came = run(Role::outside, frame);
        EXPECT_EQ(came.action, XDP_REDIRECT) << came.drop_reason;
    }
}

ROW(NoTranslation, OnlyWhatWasAskedForComesIn, "6888-REQ-6") {
    EXPECT_EQ(from_outside(udp().from(S2, 53).to(H1, 5000)).drop_reason, "private_destination");
    Mapping plain = map(udp().from(H1, 5000).to(S2, 53));
    Packet reply = answer_to(plain.seen);
    EXPECT_TRUE(in(reply));
    reply.source_port = 54;
    EXPECT_EQ(from_outside(reply).drop_reason, "private_destination");
    reply.from(S1, 53);
    EXPECT_EQ(from_outside(reply).drop_reason, "private_destination");
    idle(std::chrono::seconds(310));
    EXPECT_FALSE(alive(plain));
}

ROW(NoTranslation, ErrorsComeBack, "6888-REQ-6") {
    Mapping plain = map(udp().from(H1, 5000).to(S2, 53));
    std::optional<Packet> error = in(err(RX, 3, 1, plain.seen));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->destination.to_string(), H1);
}

ROW(NoTranslation, ItIsASettingThatMayChange, "6888-REQ-6") {
    Mapping plain = map(udp().from(H1, 5000).to(S2, 53));
    lab().remove_route(1, destinations);
    lab().bump_generation();
    EXPECT_EQ(from_inside(plain.sent).drop_reason, "flow_cut");
    Mapping translated = map(plain.sent);
    EXPECT_NE(translated.seen.source.to_string(), H1);
    lab().add_route(1, destinations, ROUTE_UNTRANSLATED, 0);
    lab().bump_generation();
    EXPECT_EQ(from_inside(plain.sent).drop_reason, "flow_cut");
    EXPECT_EQ(map(plain.sent).seen.source.to_string(), H1);
}

}  // namespace
}  // namespace sallyport::support

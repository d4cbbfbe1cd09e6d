// SPDX-License-Identifier: Apache-2.0
// RFC 5508 sections 3 and 8: query sessions, and messages that are neither queries nor errors.
#include <map>

#include "conformance/icmp.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

class IcmpQueries : public IcmpTest {
  protected:
    // A message of another type, from inside and from outside: neither is forwarded, and each is counted.
    void expect_dropped(std::uint8_t type, std::uint8_t code = 0) {
        Packet message = ping().from(H1, 100).to(S1);
        message.icmp_type = type;
        message.icmp_code = code;
        EXPECT_EQ(refused(Role::inside, message), "unsupported_icmp") << int{type};
        const Mapping session = map(ping().from(H1, 100).to(S1));
        Packet reply = answer_to(session.seen);
        reply.icmp_type = type;
        reply.icmp_code = code;
        EXPECT_NE(refused(Role::outside, reply), "") << int{type};
    }
    // The same where the message quotes a packet of a session.
    void expect_dropped_with_a_quote(std::uint8_t type, std::uint8_t code = 0) {
        const Mapping session = sessions()[0];
        EXPECT_NE(refused(Role::outside, err(RX, type, code, session.seen)), "") << int{type};
        EXPECT_NE(refused(Role::inside, err(H1, type, code, arrived(session))), "") << int{type};
    }
};

ROW(IcmpQueries, AndTheirRepliesPass, "5508-REQ-1") {
    use_pool({E1});
    Packet request = ping().from(H1, 100).to(S1).with_payload(56);
    request.icmp_sequence = 7;
    const Mapping session = map(request);
    EXPECT_EQ(session.seen.source.to_string(), E1);
    EXPECT_EQ(session.seen.icmp_type, 8);
    EXPECT_EQ(session.seen.icmp_sequence, 7);
    EXPECT_EQ(session.seen.payload, request.payload);
    std::optional<Packet> reply = in(answer_to(session.seen));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->source.to_string(), S1);
    EXPECT_EQ(reply->destination.to_string(), H1);
    EXPECT_EQ(reply->icmp_type, 0);
    EXPECT_EQ(reply->icmp_id, 100);
    EXPECT_EQ(reply->icmp_sequence, 7);
    EXPECT_EQ(reply->payload, request.payload);
}

ROW(IcmpQueries, AreMappedAlikeForAllDestinations, "5508-REQ-1a") {
    const External first = map(ping().from(H1, 100).to(S1)).external();
    EXPECT_EQ(map(ping().from(H1, 100).to(S2)).external(), first);
    EXPECT_EQ(map(ping().from(H1, 100).to(RX)).external(), first);
    EXPECT_NE(map(ping().from(H2, 100).to(S1)).external(), first);
}

ROW(IcmpQueries, WaitAMinuteForTheirReply, "5508-REQ-2") {
    const Mapping session = map(ping().from(H1, 100).to(S1));
    idle(seconds(59));
    EXPECT_TRUE(alive(session));
}

ROW(IcmpQueries, WaitAsLongAsIsSet, "5508-REQ-2a") {  // less than a minute needs a flag: TimeoutFloors
    change_gateway(
        [](struct nat_gateway& gateway) { gateway.timeouts[TIMEOUT_ICMP] = timeout_units(seconds(90)); });
    const Mapping session = map(ping().from(H1, 100).to(S1));
    idle(seconds(89));
    EXPECT_TRUE(alive(session));
    idle(seconds(100));
    EXPECT_FALSE(alive(session));
}

ROW(IcmpQueries, HoldTheirMappingUntilTheLastOneEnds, "7857-§11-a") {
    const Mapping first = map(ping().from(H1, 100).to(S1));
    idle(seconds(50));
    const Mapping second = map(ping().from(H1, 100).to(S2));
    EXPECT_EQ(second.external(), first.external());
    idle(seconds(20));  // the first has timed out, the second has not
    EXPECT_FALSE(alive(first));
    EXPECT_TRUE(alive(second));
    EXPECT_EQ(map(ping().from(H1, 100).to(RX)).external(), first.external());
    idle(seconds(400));
    EXPECT_FALSE(alive(second));
}

ROW(IcmpQueries, OfOtherKindsAreNeverForwardedUntranslated, "5508-REQ-10b") {
    for (const std::uint8_t type : std::initializer_list<std::uint8_t>{13, 14})
        expect_dropped(type);  // timestamp
    for (std::uint8_t code = 0; code <= 3; code++) expect_dropped_with_a_quote(5, code);
    // Parameter problems are translated as all errors are.
    EXPECT_TRUE(in(err(RX, 12, 0, sessions()[0].seen)));
}

ROW(IcmpQueries, OfHistoryAreDropped, "5508-REQ-10c") {
    for (const std::uint8_t type : std::initializer_list<std::uint8_t>{15, 16, 17, 18}) expect_dropped(type);
    expect_dropped_with_a_quote(4);
}

ROW(IcmpQueries, AreNotWhatElseIcmpKnows, "5508-REQ-11") {
    for (const std::uint8_t type : std::initializer_list<std::uint8_t>{9, 10, 40, 41, 42, 253})
        expect_dropped(type);
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// RFC 5508 sections 4 and 7: errors about packets of a session, from outside and from inside.
#include "conformance/fixture.h"
#include "conformance/icmp.h"

namespace sallyport::support {
namespace {

using std::chrono::seconds;

// Every error that is translated: RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
std::vector<IcmpType> all_errors() {
    std::vector<IcmpType> types;
    for (std::uint8_t code = 0; code <= 15; code++) types.push_back({3, code});
    for (std::uint8_t code = 0; code <= 1; code++) types.push_back({11, code});
    types.push_back({12, 0});
    return types;
}

constexpr std::size_t everything = 2000;  // more than any quote

class IcmpErrors : public IcmpTest {};

ROW(IcmpErrors, WithAWrongChecksumAreDropped, "5508-REQ-3") {
    for (const Mapping& session : sessions())
        for (const std::size_t quoted : std::initializer_list<std::size_t>{8u, 9u, 28u, 59u, 300u}) {
            const Packet error = err(RX, 3, 3, session.seen, quoted);
            ASSERT_TRUE(in(error)) << quoted;
            Bytes frame = error.frame();
            put16(frame, icmp_at + 2, get16(frame, icmp_at + 2) + 1u);
            EXPECT_EQ(refused(Role::outside, frame), "icmp_error_checksum");
            frame = error.frame();
            frame[ip_at + error.ip().size() - 1] ^= 0x10;  // the last byte that is quoted
            EXPECT_EQ(refused(Role::outside, frame), "icmp_error_checksum");
        }
    Bytes frame = err(H1, 3, 3, arrived(sessions()[0])).frame();
    frame[icmp_at + 7] ^= 1;
    EXPECT_EQ(refused(Role::inside, frame), "icmp_error_checksum");
}

ROW(IcmpErrors, ThatQuoteAWrongHeaderChecksumAreDropped, "5508-REQ-3a") {
    const Mapping session = sessions()[0];
    Packet error = err(RX, 3, 3, session.seen);
    error.payload[10] ^= 1;
    EXPECT_EQ(refused(Role::outside, error), "icmp_error_checksum");
    error = err(H1, 3, 3, arrived(session));
    error.payload[11] ^= 1;
    EXPECT_EQ(refused(Role::inside, error), "icmp_error_checksum");
}

ROW(IcmpErrors, MayQuoteOptions, "5508-REQ-3b") {
    for (const Mapping& session : sessions())
        for (const Bytes& options : {Bytes(12, 1), Bytes{0x9e, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}) {
            Mapping with = session;
            with.sent.options = with.seen.options = options;
            std::optional<Packet> error = in(err(RX, 3, 1, with.seen));
            ASSERT_TRUE(error);
            EXPECT_EQ(error->destination.to_string(), H1);
            EXPECT_EQ(error->payload, quote_of(with, error->payload.size()));
        }
}

ROW(IcmpErrors, MayQuoteAWrongTransportChecksum, "5508-REQ-3c") {
    const Mapping session = sessions()[0];
    Packet error = err(RX, 3, 3, session.seen, everything);
    error.payload[20 + 6] ^= 0x55;
    std::optional<Packet> got = in(error);
    ASSERT_TRUE(got);
    Bytes expected = quote_of(session, everything);
    EXPECT_EQ(Bytes(got->payload.begin(), got->payload.begin() + 20 + 6),
              Bytes(expected.begin(), expected.begin() + 20 + 6));
    EXPECT_NE(get16(got->payload, 20 + 6), get16(expected, 20 + 6)) << "nothing was repaired";
}

ROW(IcmpErrors, FromOutsideReachTheHostWithItsOwnPacket, "5508-REQ-4", "3022-§4.3-a") {
    for (const Mapping& session : sessions())
        for (IcmpType type : all_errors())
            for (const char* from : {RX, S1})
                for (std::size_t quoted : {std::size_t{8}, std::size_t{28}, everything}) {
                    std::optional<Packet> got = in(err(from, type.type, type.code, session.seen, quoted));
                    ASSERT_TRUE(got) << session.sent.to_string();
                    EXPECT_EQ(got->source.to_string(), from);
                    EXPECT_EQ(got->destination.to_string(), H1);
                    EXPECT_EQ(got->icmp_type, type.type);
                    EXPECT_EQ(got->icmp_code, type.code);
                    EXPECT_EQ(got->payload, quote_of(session, got->payload.size()));
                }
    for (Mapping session : sessions()) {  // a remote that is not the session's, an endpoint that nobody has
        Packet other = session.seen;
        other.to(S2, other.destination_port);
        EXPECT_EQ(refused(Role::outside, err(RX, 3, 1, other)), "icmp_error_without_flow");
        session.seen.source_port ^= 1;
        session.seen.icmp_id ^= 1;
        EXPECT_EQ(refused(Role::outside, err(RX, 3, 1, session.seen)), "icmp_error_without_flow");
        session.seen.from("198.51.100.77");
        EXPECT_FALSE(in(err(RX, 3, 1, session.seen)));
    }
}

ROW(IcmpErrors, AreNotWrittenToBeyondWhatTheyQuote, "5508-REQ-4-x1") {
    for (const Mapping& session : sessions()) {
        Packet error = err(RX, 3, 4, session.seen, 8);
        ASSERT_EQ(error.payload.size(), 28U);
        Bytes frame = error.frame();
        const std::size_t end = frame.size();
        frame.resize(end + 60, 0xa5);  // what a link adds is no part of the quote
        Outcome outcome = run(Role::outside, frame);
        ASSERT_TRUE(outcome.packet) << outcome.drop_reason;
        EXPECT_EQ(outcome.packet->payload, quote_of(session, 28));
        EXPECT_EQ(Bytes(outcome.frame.begin() + static_cast<std::ptrdiff_t>(end), outcome.frame.end()),
                  Bytes(60, 0xa5));
    }
    Packet without = udp().from(H1, 5009).to(S1, 7000);
    without.udp_without_checksum = true;
    const Mapping session = map(without);
    std::optional<Packet> got = in(err(RX, 3, 3, session.seen));
    ASSERT_TRUE(got);
    EXPECT_EQ(get16(got->payload, 20 + 6), 0) << "no checksum stays none";
    EXPECT_EQ(got->payload, quote_of(session, 28));
}

ROW(IcmpErrors, MustQuoteARemoteThatMaySend, "5508-REQ-4-x2") {
    const Mapping session = sessions()[0];
    Mapping to_other = session;
    to_other.sent.to(S2, 7000);
    to_other.seen.to(S2, 7000);
    const Packet error = err(RX, 3, 1, to_other.seen);
    EXPECT_EQ(refused(Role::outside, error), "icmp_error_without_flow");
    change_gateway([](struct nat_gateway& gateway) { gateway.filtering[NAT_UDP] = ENDPOINT_INDEPENDENT; });
    const std::size_t entries = lab().entries().size();
    std::optional<Packet> got = in(error);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->destination.to_string(), H1);
    EXPECT_EQ(got->payload, quote_of(to_other, got->payload.size()));
    EXPECT_EQ(lab().entries().size(), entries) << "an error opens nothing";
}

ROW(IcmpErrors, FromInsideShowWhatTheOutsideSent, "5508-REQ-5") {
    for (const Mapping& session : sessions()) {
        const Packet delivered = arrived(session);
        Packet sent = answer_to(session.seen, ack);
        sent.ttl = delivered.ttl;
        sent.identification = delivered.identification;
        for (IcmpType type : all_errors())
            for (std::size_t quoted : {std::size_t{8}, everything}) {
                std::optional<Packet> got = out(err(H1, type.type, type.code, delivered, quoted));
                ASSERT_TRUE(got);
                EXPECT_EQ(got->source, session.seen.source);
                EXPECT_EQ(got->destination.to_string(), S1);
                EXPECT_EQ(got->icmp_type, type.type);
                EXPECT_EQ(got->icmp_code, type.code);
                Bytes original = sent.ip();
                original.resize(got->payload.size());
                EXPECT_EQ(got->payload, original);
            }
        Packet stranger = delivered;
        stranger.destination_port ^= 1;
        stranger.icmp_id ^= 1;
        EXPECT_EQ(refused(Role::inside, err(H1, 3, 3, stranger)), "icmp_error_without_flow");
    }
}

ROW(IcmpErrors, FromARouterInsideShowThePublicAddress, "5508-REQ-5c") {
    for (const Mapping& session : sessions()) {
        std::optional<Packet> got = out(err(RP, 11, 0, arrived(session)));
        ASSERT_TRUE(got);
        EXPECT_EQ(got->source, session.seen.source);
        EXPECT_EQ(got->destination.to_string(), S1);
    }
}

ROW(IcmpErrors, NeitherRefreshNorEndASession, "5508-REQ-6") {
    struct Times {
        Packet packet;
        int error, alive, gone;
    };
    for (const Times& times : {Times{ping().from(H1, 100).to(S1), 50, 59, 75},
                               Times{udp().from(H1, 5000).to(S1, 7000), 250, 299, 330}})
        for (bool late : {false, true}) {
            const Mapping session = map(times.packet);
            idle(seconds(times.error));
            ASSERT_TRUE(in(err(RX, 3, 1, session.seen)));
            idle(seconds((late ? times.gone : times.alive) - times.error));
            EXPECT_EQ(alive(session), !late) << times.packet.to_string();
            idle(seconds(1000));
        }
}

ROW(IcmpErrors, AboutPacketsThatAreTooLargeReachTheHost, "5508-§7.1.2-a") {
    const Mapping session = est(H1, 5000, S1, 443);
    Packet error = err(RX, 3, 4, session.seen);
    error.icmp_rest = 1300;
    std::optional<Packet> got = in(error);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->destination.to_string(), H1);
    EXPECT_EQ(got->icmp_code, 4);
    EXPECT_EQ(got->icmp_rest, 1300U);
    EXPECT_EQ(get16(got->payload, 20), 5000);
    EXPECT_TRUE(out(segment(session, ack | psh, h_sequence + 11, s_sequence + 11, 100)));
    EXPECT_TRUE(alive(session));
}

ROW(IcmpErrors, OfRoutersThatKnowNoMtuPass, "1191-x1") {
    const Mapping session = est(H1, 5000, S1, 443);
    std::optional<Packet> got = in(err(RX, 3, 4, session.seen));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->icmp_rest, 0U);
}

ROW(IcmpErrors, AboutATooLargePacketMustMatchASession, "1191-x3") {
    const Mapping session = est(H1, 5000, S1, 443);
    Packet forged = err(S2, 3, 4, session.seen);
    forged.icmp_rest = 68;
    EXPECT_TRUE(in(forged)) << "anybody on the way may say so";
    for (int what = 0; what < 4; what++) {
        Packet quoted = session.seen;
        if (what == 0) quoted.source_port ^= 1;
        if (what == 1) quoted.destination_port ^= 1;
        if (what == 2) quoted.to(S2, quoted.destination_port);
        if (what == 3)
            quoted.from(session.external().address.to_string() == E1 ? E2 : E1, quoted.source_port);
        EXPECT_EQ(refused(Role::outside, err(RX, 3, 4, quoted)), "icmp_error_without_flow") << what;
    }
}

ROW(IcmpErrors, ThatQuoteASourceRouteDoNotLeave, "5508-§7.3-a") {
    const Bytes loose{131, 7, 4, 203, 0, 113, 20, 0};
    Packet echo = ping().from(H1, 100).to(S1);
    echo.options = loose;
    EXPECT_EQ(refused(Role::inside, echo), "source_routed");
    Packet quoted = arrived(sessions()[0]);
    quoted.options = loose;
    EXPECT_EQ(refused(Role::inside, err(H1, 3, 3, quoted)), "source_routed");
}

}  // namespace
}  // namespace sallyport::support

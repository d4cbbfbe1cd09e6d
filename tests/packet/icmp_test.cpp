// SPDX-License-Identifier: Apache-2.0
// ICMP errors that quote a packet of a flow (RFC 5508 sections 4 and 7).
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class IcmpError : public PacketTest {};

struct ErrorType {
    std::uint8_t type, code;
};

std::vector<ErrorType> all_types() {
    std::vector<ErrorType> types;
    for (std::uint8_t code = 0; code <= 15; code++) types.push_back({3, code});
    for (std::uint8_t code = 0; code <= 1; code++) types.push_back({11, code});
    for (std::uint8_t code = 0; code <= 2; code++) types.push_back({12, code});
    return types;
}

TEST_F(IcmpError, FromOutsideReachesTheInstanceWithItsOwnPacket) {
    for (Packet sent : {tcp().from(instance, 5000).to(remote, 443), udp().from(instance, 5001).to(remote, 53),
                        ping().from(instance, 100).to(remote)}) {
        sent.with_payload(64);
        Packet seen = out(sent);
        for (ErrorType type : all_types())
            for (std::size_t quoted : {8u, 28u, 1000u}) {
                Packet error = icmp_error(type.type, type.code, seen.ip(), quoted);
                error.from("198.51.100.254").to(eip);
                error.icmp_rest = 1300;
                Packet got = in(error);
                EXPECT_EQ(got.source.to_string(), "198.51.100.254");
                EXPECT_EQ(got.destination.to_string(), instance);
                EXPECT_EQ(got.icmp_type, type.type);
                EXPECT_EQ(got.icmp_code, type.code);
                EXPECT_EQ(got.icmp_rest, 1300u);
                // The quote is what the instance sent, but for the TTL and the identification, which it
                // got at the gateway and which nobody knows the old one of any more.
                Packet expected = sent;
                expected.ttl = seen.ttl;
                expected.identification = seen.identification;
                Bytes original = expected.ip();
                original.resize(got.payload.size());
                EXPECT_EQ(got.payload, original)
                    << sent.to_string() << " type " << int{type.type} << " quoted " << quoted;
            }
    }
}

TEST_F(IcmpError, FromInsideShowsNoPrivateAddress) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    Packet delivered = in(answer(seen));
    for (ErrorType type : all_types()) {
        Packet error = icmp_error(type.type, type.code, delivered.ip(), 100);
        error.from(instance).to(remote);
        Packet got = out(error);
        EXPECT_EQ(got.source.to_string(), eip);
        EXPECT_EQ(got.destination.to_string(), remote);
        Packet expected = answer(seen);
        expected.ttl = delivered.ttl;
        EXPECT_EQ(got.payload, expected.ip());
    }
    // A router inside noticed it: the gateway's public address stands for it.
    Packet error = icmp_error(11, 0, delivered.ip());
    error.from("10.0.0.2").to(remote);
    EXPECT_EQ(out(error).source.to_string(), eip);
}

TEST_F(IcmpError, AboutNoFlowIsDroppedInSilence) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    Packet stranger = seen;
    stranger.source_port ^= 1;
    Outcome outcome =
        lab().run(Role::outside, icmp_error(3, 3, stranger.ip()).from("198.51.100.254").to(eip));
    EXPECT_EQ(outcome.action, XDP_DROP);
    EXPECT_EQ(outcome.drop_reason, "icmp_error_without_flow");

    outcome = lab().run(
        Role::inside, icmp_error(3, 3, udp().from(remote, 9).to(instance, 9).ip()).from(instance).to(remote));
    EXPECT_EQ(outcome.action, XDP_DROP);
    EXPECT_EQ(outcome.drop_reason, "icmp_error_without_flow");
}

TEST_F(IcmpError, WithTooLittleQuotedIsMalformed) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    Packet error = icmp_error(3, 3, seen.ip(), 8).from("198.51.100.254").to(eip);
    error.payload.resize(20);
    // Frames are padded to 60 bytes, so the rest of the quote must not be taken from the padding.
    EXPECT_EQ(lab().run(Role::outside, error).drop_reason, "icmp_error_malformed");
}

TEST_F(IcmpError, NeitherRefreshesNorEndsAFlow) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    lab().advance(std::chrono::seconds(250));
    in(icmp_error(3, 1, seen.ip()).from("198.51.100.254").to(eip));
    lab().advance(std::chrono::seconds(48));
    Packet reply = answer(seen);
    EXPECT_EQ(in(reply).destination.to_string(), instance);
}

TEST_F(IcmpError, DoesNotRefresh) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    lab().advance(std::chrono::seconds(250));
    in(icmp_error(3, 1, seen.ip()).from("198.51.100.254").to(eip));
    lab().advance(std::chrono::seconds(60));
    EXPECT_EQ(lab().run(Role::outside, answer(seen)).drop_reason, "unsolicited");
}

}  // namespace
}  // namespace sallyport::support

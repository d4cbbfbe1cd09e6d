// SPDX-License-Identifier: Apache-2.0
// RFC 4884, 4950 and 5837: errors that say more than RFC 792 does.
#include "conformance/icmp.h"

namespace sallyport::support {
namespace {

class IcmpExtensions : public IcmpTest {
  protected:
    static constexpr std::size_t quote_bytes = 128;  // at least, if an extension follows
    static constexpr std::uint32_t length_attribute = quote_bytes / 4 << 16;

    static Bytes object(std::uint8_t kind, std::uint8_t type, const Bytes& content) {
        Bytes bytes{0, static_cast<std::uint8_t>(4 + content.size()), kind, type};
        bytes.insert(bytes.end(), content.begin(), content.end());
        return bytes;
    }
    static Bytes extension(const Bytes& objects) {
        Bytes bytes{0x20, 0, 0, 0};
        bytes.insert(bytes.end(), objects.begin(), objects.end());
        put16(bytes, 2, internet_checksum(bytes));
        return bytes;
    }
    static Bytes mpls() { return extension(object(1, 1, {0, 1, 0x40, 0xff, 0x12, 0x34, 0x51, 1})); }

    // An error about the session with its quote padded with zeros, and then the extension.
    static Packet extended(std::uint8_t type, std::uint8_t code, const Mapping& session, const Bytes& behind,
                           std::uint32_t rest) {
        Packet error = err(RX, type, code, session.seen, 2000);
        error.payload.resize(quote_bytes);
        error.payload.insert(error.payload.end(), behind.begin(), behind.end());
        error.icmp_rest = rest;
        return error;
    }
    // What the host has to get of it: its own packet in front, all else as it came.
    static Bytes expected(const Mapping& session, const Packet& error) {
        Bytes bytes = error.payload;
        const Bytes quote = quote_of(session, quote_bytes);
        std::copy(quote.begin(), quote.end(), bytes.begin());
        return bytes;
    }
    void expect_whole(const Mapping& session, const Packet& error) {
        std::optional<Packet> got = in(error);
        ASSERT_TRUE(got) << session.sent.to_string();
        EXPECT_EQ(got->payload, expected(session, error));
        EXPECT_EQ(got->icmp_rest, error.icmp_rest);
    }
};

ROW(IcmpExtensions, DoNotCountAsQuotedTransport, "5508-REQ-3d", "4884-§4-a") {
    for (const Mapping& session : sessions())
        expect_whole(session, extended(11, 0, session, mpls(), length_attribute));
}

ROW(IcmpExtensions, PassWithoutALengthToo, "4884-§5-a") {
    for (const Mapping& session : sessions())
        for (const std::uint8_t type : std::initializer_list<std::uint8_t>{3, 11, 12}) {
            expect_whole(session, extended(type, 0, session, mpls(), 0));
            expect_whole(session, extended(type, 0, session, {}, 0));
        }
}

ROW(IcmpExtensions, KeepTheirLengthBesideAnMtu, "4884-§6-a") {
    for (const Mapping& session : sessions())
        for (IcmpType type : {IcmpType{3, 4}, IcmpType{3, 3}, IcmpType{11, 1}, IcmpType{12, 0}})
            expect_whole(session, extended(type.type, type.code, session, mpls(), length_attribute | 1400));
}

ROW(IcmpExtensions, AreNotVerified, "4884-§7-a") {
    Bytes wrong = mpls(), none = mpls();
    wrong[2] ^= 0xff;
    none[2] = none[3] = 0;
    const Mapping session = sessions()[0];
    for (const Bytes& behind : {wrong, none})
        expect_whole(session, extended(11, 0, session, behind, length_attribute));
}

ROW(IcmpExtensions, CarryMplsLabels, "4950-§5-a") {
    const Mapping session = sessions()[0];
    expect_whole(session, extended(11, 0, session, mpls(), length_attribute));
}

ROW(IcmpExtensions, CarryInterfaces, "5837-x1") {
    // The interface that a packet came in by: index, address of RX, name.
    const Bytes interface = extension(
        object(2, 0x0e, {0, 0, 0, 3, 0, 1, 0, 0, 198, 51, 100, 254, 8, 'e', 't', 'h', '0', 0, 0, 0}));
    const Mapping session = sessions()[0];
    expect_whole(session, extended(11, 0, session, interface, length_attribute));
}

// A quote cut to eight bytes and padded all the same: the zeros are no TCP header. The invariants would take
// them for one.
ROW(IcmpExtensions, BehindAShortQuoteAreLeftAlone, "4884-§6-a") {
    const Mapping session = est(H1, 5001, S1, 443);
    Packet error = err(RX, 11, 0, session.seen, 8);
    error.payload.resize(quote_bytes);
    const Bytes behind = mpls();
    error.payload.insert(error.payload.end(), behind.begin(), behind.end());
    std::optional<Packet> got = lab().run(Role::outside, error).packet;
    ASSERT_TRUE(got);
    EXPECT_EQ(Bytes(got->payload.begin(), got->payload.begin() + 28), quote_of(session, 28));
    EXPECT_EQ(Bytes(got->payload.begin() + 28, got->payload.end()),
              Bytes(error.payload.begin() + 28, error.payload.end()));
}

}  // namespace
}  // namespace sallyport::support

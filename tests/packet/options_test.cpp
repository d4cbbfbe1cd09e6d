// SPDX-License-Identifier: Apache-2.0
// IPv4 options: which of them pass (RFC 1812 section 4.2.2.6, RFC 3022 section 4.6, decision C16).
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class Options : public PacketTest {
  protected:
    static Packet with(Bytes options) {
        Packet packet = udp().from(instance, 5000).to(remote, 7000);
        options.resize((options.size() + 3) / 4 * 4);
        packet.options = std::move(options);
        return packet;
    }
    static std::string refused(Role role, const Packet& packet) {
        Outcome outcome = lab().run(role, packet);
        EXPECT_EQ(outcome.action, XDP_DROP) << packet.to_string();
        return outcome.drop_reason;
    }
};

const Bytes loose_source_route{131, 7, 4, 203, 0, 113, 20};
const Bytes strict_source_route{1, 137, 7, 4, 203, 0, 113, 20};
const Bytes empty_record_route{7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0};
const Bytes filled_record_route{7, 11, 8, 10, 0, 0, 11, 0, 0, 0, 0};
const Bytes timestamps{68, 12, 9, 0, 1, 2, 3, 4, 0, 0, 0, 0};
const Bytes empty_timestamps_with_address{68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0};
const Bytes timestamps_with_address{68, 12, 13, 1, 10, 0, 0, 11, 1, 2, 3, 4};
const Bytes timestamps_of_whom{68, 12, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0};

TEST_F(Options, PassAsTheyAre) {
    const Bytes unknown{0x9e, 4, 1, 2};
    for (const Bytes& options : {unknown, Bytes(40, 1), Bytes{0, 255, 255, 255}, empty_record_route,
                                 timestamps, empty_timestamps_with_address}) {
        Packet sent = with(options);
        Packet seen = out(sent);
        EXPECT_EQ(seen.options, sent.options);
        EXPECT_EQ(seen.source.to_string(), eip);
        Packet reply = answer(seen);
        EXPECT_EQ(in(reply).options, sent.options);
    }
}

TEST_F(Options, WithASourceRouteAreNotForwarded) {
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    Packet delivered = in(answer(seen));
    for (const Bytes& options : {loose_source_route, strict_source_route}) {
        Packet packet = with(options);
        EXPECT_EQ(refused(Role::inside, packet), "source_routed");
        Packet to_the_host = packet;
        to_the_host.to("10.0.0.1", 9);
        EXPECT_EQ(refused(Role::inside, to_the_host), "source_routed");
        Packet reply = answer(seen);
        reply.options = packet.options;
        EXPECT_EQ(refused(Role::outside, reply), "source_routed");
        delivered.options = packet.options;
        Packet error = icmp_error(3, 3, delivered.ip()).from(instance).to(remote);
        EXPECT_EQ(refused(Role::inside, error), "source_routed");
    }
}

TEST_F(Options, ThatRecordedTheInsideDoNotLeave) {
    for (const Bytes& options : {filled_record_route, timestamps_with_address, timestamps_of_whom}) {
        Packet packet = with(options);
        EXPECT_EQ(refused(Role::inside, packet), "recorded_address");
        Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
        EXPECT_EQ(refused(Role::inside, packet), "recorded_address") << "of a flow that stands";
        Packet reply = answer(seen);
        reply.options = packet.options;
        Packet delivered = in(reply);
        EXPECT_EQ(delivered.options, packet.options) << "what the outside recorded may come in";
        Packet error = icmp_error(3, 3, delivered.ip()).from(instance).to(remote);
        EXPECT_EQ(refused(Role::inside, error), "recorded_address");
    }
}

TEST_F(Options, ThatContradictThemselvesAreMalformed) {
    for (const Bytes& options : {Bytes{7, 0, 0, 0}, Bytes{1, 1, 1, 7}, Bytes{68, 1, 0, 0},
                                 Bytes{0x9e, 5, 0, 0}, Bytes{1, 131, 40, 4, 0, 0, 0, 0}})
        EXPECT_EQ(refused(Role::inside, with(options)), "malformed_ipv4");
}

}  // namespace
}  // namespace sallyport::support

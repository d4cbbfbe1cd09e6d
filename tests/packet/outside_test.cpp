// SPDX-License-Identifier: Apache-2.0
// Nothing gets in that was not asked for, and nobody is told.
#include "packet/fixture.h"

namespace sallyport::support {
namespace {

class Outside : public PacketTest {};

TEST_F(Outside, UnsolicitedPacketsToAnElasticIpAreDroppedInSilence) {
    std::vector<Packet> packets = {tcp().from(remote, 1).to(eip, 80), udp().from(remote, 1).to(eip, 80),
                                   ping().from(remote, 1).to(eip)};
    for (int flags : {0, +fin, +rst, +ack, syn | ack, fin | psh | 32})
        packets.push_back(tcp().from(remote, 1).to(eip, 80).flags(flags));
    Packet other = udp().from(remote).to(eip);
    other.protocol = 47;
    packets.push_back(other);
    for (const Packet& packet : packets) {
        Outcome outcome = lab().run(Role::outside, packet);
        EXPECT_EQ(outcome.action, XDP_DROP) << packet.to_string();
        EXPECT_EQ(outcome.drop_reason, "unsolicited");
    }
}

TEST_F(Outside, OnlyTheRemoteOfAFlowMayAnswer) {  // address- and port-dependent filtering
    Packet seen = out(udp().from(instance, 5000).to(remote, 7000));
    in(answer(seen));
    Packet other_port = answer(seen);
    other_port.source_port = 7001;
    EXPECT_EQ(lab().run(Role::outside, other_port).drop_reason, "unsolicited");
    Packet other_address = answer(seen);
    other_address.from(other_remote, 7000);
    EXPECT_EQ(lab().run(Role::outside, other_address).drop_reason, "unsolicited");
}

TEST_F(Outside, PrivatePrefixesAreOutOfReach) {
    for (const Packet& packet : {tcp().from(remote, 1).to(instance, 22), ping().from(remote).to("10.0.3.4"),
                                 udp().from(remote, 1).to("10.0.255.255", 9)}) {
        Outcome outcome = lab().run(Role::outside, packet);
        EXPECT_EQ(outcome.action, XDP_DROP);
        EXPECT_EQ(outcome.drop_reason, "private_destination");
    }
}

TEST_F(Outside, OneArmedDevicesServeBothSides) {
    device slot = lab().device(ProgramLab::inside_slot), both = slot;
    both.role = DEVICE_BOTH;
    lab().set_device(ProgramLab::inside_slot, both);
    Outcome outcome = lab().run(Role::both, tcp().from(instance, 5000).to(remote, 443));
    EXPECT_EQ(outcome.action, XDP_REDIRECT) << outcome.drop_reason;
    EXPECT_EQ(outcome.packet->source.to_string(), eip);
    Outcome back = lab().run(Role::both, answer(*outcome.packet, syn | ack));
    EXPECT_EQ(back.action, XDP_REDIRECT) << back.drop_reason;
    EXPECT_EQ(back.packet->destination.to_string(), instance);
    EXPECT_EQ(lab().run(Role::both, tcp().from(remote, 9).to(eip, 9)).drop_reason, "unsolicited");
    EXPECT_EQ(lab().run(Role::both, tcp().from(remote, 9).to("10.0.0.1", 22)).action, XDP_PASS);
    lab().add_private_prefix("10.9.0.0/16");
    EXPECT_EQ(lab().run(Role::both, tcp().from("10.9.0.1", 9).to(remote, 9)).drop_reason,
              "source_not_in_subnet");
    lab().set_device(ProgramLab::inside_slot, slot);
}

}  // namespace
}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
// What the gateway says itself: RFC 5508 section 7, RFC 1812 sections 4.3 and 5.2.7, RFC 1191.
#include <thread>

#include "conformance/icmp.h"

namespace sallyport::support {
namespace {

class IcmpMade : public IcmpTest {
  protected:
    void TearDown() override {
        for (const std::string& command : undo_) shell(command);
        IcmpTest::TearDown();
    }
    // Changes the routing of the lab's namespace until the test ends.
    void change_routing(const std::string& command, const std::string& back) {
        shell(command);
        undo_.push_back(back);
    }
    void change_device(std::uint8_t slot, const std::function<void(struct device&)>& change) {
        struct device device = lab().device(slot);
        change(device);
        lab().set_device(slot, device);
    }
    // A packet from inside or outside whose TTL runs out at the gateway.
    static Packet dying(Packet packet) {
        packet.ttl = 1;
        return packet;
    }
    static Packet from_h1() { return udp().from(H1, 5000).to(S1, 7000).with_payload(40); }
    // What a packet from outside that belongs to a session looks like.
    Packet reply_to_h1() { return answer_to(map(from_h1()).seen); }
    // All that fits of it, as it came.
    static Bytes quote_of_what_was_sent(const Packet& packet) {
        Bytes quote = packet.ip();
        quote.resize(std::min<std::size_t>(quote.size(), 576 - 28));
        return quote;
    }

  private:
    static void shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }
    std::vector<std::string> undo_;
};

ROW(IcmpMade, TimeExceededInBothDirections, "5508-§7.2-a", "5508-REQ-10a", "1812-§4.3.2.4-a") {
    use_pool({E1});
    Packet answer = answered(Role::inside, dying(from_h1()), "ttl_exceeded");
    EXPECT_EQ(answer.icmp_type, 11);
    EXPECT_EQ(answer.icmp_code, 0);
    EXPECT_EQ(answer.source.to_string(), P0);
    answer = answered(Role::outside, dying(reply_to_h1()), "ttl_exceeded");
    EXPECT_EQ(answer.icmp_type, 11);
    EXPECT_EQ(answer.source.to_string(), X0);
    EXPECT_EQ(Ipv4View::of(answer.payload, true)->destination().to_string(), E1);
}

ROW(IcmpMade, FragmentationNeededInBothDirections, "5508-§7.1.1-a", "1191-§4-b", "4821-§4-a") {
    keep_shape();
    const Packet reply = reply_to_h1();
    for (const bool tagged : {false, true})  // a VLAN tag is no part of an IPv4 packet
        for (const std::uint16_t mtu : std::initializer_list<std::uint16_t>{68, 576, 1400, 1500})
            for (const Role role : {Role::inside, Role::outside}) {
                const std::uint8_t egress =
                    role == Role::inside ? ProgramLab::outside_slot : ProgramLab::inside_slot;
                change_device(egress, [=](struct device& device) { device.mtu = mtu; });
                if (role == Role::inside)
                    lab().add_next_hop(RX, egress, {2, 0, 0, 0, 1, 0xfe});
                else
                    lab().add_next_hop(H1, egress, {2, 0, 0, 0, 2, 0x11});
                lab().bump_generation();
                lab().refill_reply_budget();
                Packet packet = role == Role::inside ? from_h1() : reply;
                packet.dont_fragment = true;
                if (tagged) packet.vlans = {5};
                packet.with_payload(mtu - 28u);
                EXPECT_EQ(run(role, packet).drop_reason, "") << "what just fits passes";
                packet.with_payload(mtu - 27u);
                for (int i = 0; i < 3; i++) {
                    const Packet answer = answered(role, packet, "fragmentation_needed");
                    EXPECT_EQ(answer.icmp_type, 3);
                    EXPECT_EQ(answer.icmp_code, 4);
                    EXPECT_EQ(answer.icmp_rest, mtu);
                    EXPECT_EQ(answer.source.to_string(), role == Role::inside ? P0 : X0);
                    EXPECT_EQ(answer.payload, quote_of_what_was_sent(packet));
                }
            }
}

ROW(IcmpMade, WhenNoPortIsLeft, "5508-REQ-8") {
    keep_shape();
    use_pool({E1});
    change_gateway([](struct nat_gateway& gateway) {
        gateway.first_port = 30000;
        gateway.last_port = 30009;
    });
    std::vector<Mapping> held;
    for (std::uint16_t port = 1; port <= 10; port++) held.push_back(map(udp().from(H1, port).to(S1, 7000)));
    const Packet one_more = udp().from(H2, 5000).to(S1, 7000);
    struct Told {
        exhaustion setting;
        std::uint8_t code;
    };
    for (const Told& told : {Told{EXHAUSTION_UNREACHABLE, 1}, Told{EXHAUSTION_PROHIBITED, 13}}) {
        change_gateway([&](struct nat_gateway& gateway) { gateway.icmp_on_exhaustion = told.setting; });
        const Packet answer = answered(Role::inside, one_more, "port_exhausted");
        EXPECT_EQ(answer.icmp_type, 3);
        EXPECT_EQ(answer.icmp_code, told.code);
        EXPECT_EQ(answer.payload, quote_of_what_was_sent(one_more));
    }
    change_gateway([](struct nat_gateway& gateway) { gateway.icmp_on_exhaustion = EXHAUSTION_NOT_TOLD; });
    EXPECT_EQ(refused(Role::inside, one_more), "port_exhausted");
    for (const Mapping& mapping : held) EXPECT_TRUE(alive(mapping));
}

ROW(IcmpMade, WhenTheAdministratorForbidsIt, "5508-REQ-8", "1812-§5.2.7.1-a") {
    change_routing("ip route add prohibit 203.0.113.0/28", "ip route del prohibit 203.0.113.0/28");
    Packet answer = answered(Role::inside, from_h1(), "no_kernel_route");
    EXPECT_EQ(answer.icmp_type, 3);
    EXPECT_EQ(answer.icmp_code, 13);
    change_device(ProgramLab::inside_slot, [](struct device& device) { device.address = 0; });
    EXPECT_EQ(refused(Role::inside, from_h1()), "no_kernel_route") << "switched off";
}

ROW(IcmpMade, WhenThereIsNoWay, "1812-§4.3.3.1-a") {
    keep_shape();
    change_routing("ip route del default", std::string("ip route add default via ") + RX);
    const Packet answer = answered(Role::inside, from_h1(), "no_kernel_route");
    EXPECT_EQ(answer.icmp_type, 3);
    EXPECT_EQ(answer.icmp_code, 0);
    EXPECT_EQ(answer.payload, quote_of_what_was_sent(from_h1()));
}

// tests/netns has the same with real neighbours.
ROW(IcmpMade, WhenTheNeighbourDoesNotAnswer, "1812-§4.3.3.1-a") {
    keep_shape();
    constexpr const char* silent = "198.51.100.77";
    lab().add_next_hop(silent, ProgramLab::outside_slot, {}, NEXT_HOP_UNREACHABLE);
    const std::uint32_t second = lab().ticks() / FLOW_TOUCH_TICKS + 1;
    lab().set_ticks(second * FLOW_TOUCH_TICKS + 1);  // in between two tries
    const Packet packet = udp().from(H1, 5000).to(silent, 7000);
    for (int i = 0; i < 3; i++) {  // asked of the kernel, and then remembered
        const Packet answer = answered(Role::inside, packet, "neighbour_unreachable");
        EXPECT_EQ(answer.icmp_type, 3);
        EXPECT_EQ(answer.icmp_code, 1);
        EXPECT_EQ(answer.payload, quote_of_what_was_sent(packet));
    }
    lab().set_ticks((second + 1) * FLOW_TOUCH_TICKS);
    EXPECT_EQ(from_inside(packet).action, XDP_PASS) << "once a second it is tried anew";
}

ROW(IcmpMade, OnlyWhereADeviceAllowsIt, "5508-REQ-9") {
    const Mapping session = map(from_h1());
    change_device(ProgramLab::outside_slot, [](struct device& device) { device.address = 0; });
    EXPECT_EQ(refused(Role::outside, dying(answer_to(session.seen))), "ttl_exceeded");
    answered(Role::inside, dying(from_h1()), "ttl_exceeded");
    EXPECT_TRUE(out(err(H1, 3, 3, arrived(session)))) << "what others say is forwarded";
    EXPECT_TRUE(in(err(RX, 3, 3, session.seen)));
}

ROW(IcmpMade, WithTheClassOfWhatCausedIt, "5508-REQ-10d", "1812-§4.3.2.5-a") {
    for (const std::uint8_t dscp : std::initializer_list<std::uint8_t>{0, 10, 46, 63})
        for (const std::uint8_t congestion : std::initializer_list<std::uint8_t>{0, 1, 3}) {
            Packet packet = dying(from_h1());
            packet.tos = static_cast<std::uint8_t>(dscp << 2 | congestion);
            EXPECT_EQ(answered(Role::inside, packet, "ttl_exceeded").tos, dscp << 2);
        }
}

ROW(IcmpMade, NeverAboutSomeThings, "5508-REQ-10e", "1812-§4.3.2.7-a") {
    const Mapping session = map(from_h1());
    // An ICMP error.
    EXPECT_EQ(refused(Role::inside, dying(err(H1, 3, 3, arrived(session)))), "ttl_exceeded");
    EXPECT_EQ(refused(Role::outside, dying(err(RX, 11, 0, session.seen))), "ttl_exceeded");
    // A header that fails its check.
    Bytes frame = dying(from_h1()).frame();
    frame[ip_at + 10] ^= 1;
    EXPECT_EQ(refused(Role::inside, frame), "malformed_ipv4");
    // To many hosts, by its IPv4 address or by its frame's.
    for (const char* many : {"224.0.0.251", "239.1.2.3", "255.255.255.255"}) {
        const Packet packet = dying(udp().from(H1, 5000).to(many, 7000));
        EXPECT_EQ(from_inside(packet).action, XDP_PASS) << "the host's own affair";
    }
    EXPECT_EQ(refused(Role::inside, dying(udp().from(H1, 5000).to("198.51.100.255", 7000))),
              "invalid_address");
    for (const std::uint8_t group : std::initializer_list<std::uint8_t>{0xff, 0x01, 0x33}) {
        Packet packet = dying(from_h1());
        packet.destination_mac[0] = group;
        EXPECT_EQ(refused(Role::inside, packet), "link_broadcast");
    }
    // From no single host.
    for (const char* nobody : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"})
        EXPECT_EQ(refused(Role::inside, dying(udp().from(nobody, 5000).to(S1, 7000))), "invalid_address");
    // A fragment that is not the first.
    Packet later = dying(from_h1());
    later.fragment_offset = 64;
    EXPECT_EQ(from_inside(later).action, XDP_DROP);
}

ROW(IcmpMade, AtALimitedRate, "5508-REQ-10f", "1812-§4.3.2.8-a") {
    const Mapping session = map(from_h1());
    for (const std::uint32_t per_second : std::initializer_list<std::uint32_t>{10U, 100U, 1000U}) {
        change_device(ProgramLab::inside_slot,
                      [=](struct device& device) { device.replies_per_second = per_second; });
        lab().refill_reply_budget();
        const auto before = lab().counters();
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < 2000; i++) from_inside(dying(from_h1()));
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        const auto after = lab().counters();
        const auto sent = after.icmp_errors_sent - before.icmp_errors_sent;
        EXPECT_EQ(sent + after.replies_suppressed - before.replies_suppressed, 2000U);
        // On one processor at a time: a fifth of a second's at once, and then the rate. The test may be moved
        // to another processor, which has a budget of its own.
        const auto most = static_cast<std::uint64_t>((per_second / 5.0 + took.count() * per_second + 1) *
                                                     std::thread::hardware_concurrency());
        EXPECT_GE(sent, std::min(per_second / 5, 2000U));
        EXPECT_LE(sent, most);
        EXPECT_TRUE(alive(session)) << "what is forwarded does not suffer";
        EXPECT_TRUE(out(from_h1()));
    }
}

ROW(IcmpMade, WithATimeToLiveOfItsOwn, "1812-§4.3.2.2-a") {
    EXPECT_EQ(answered(Role::inside, dying(from_h1()), "ttl_exceeded").ttl, 64);
    EXPECT_EQ(answered(Role::outside, dying(reply_to_h1()), "ttl_exceeded").ttl, 64);
}

ROW(IcmpMade, QuotingAsMuchAsFits, "1812-§4.3.2.3-a") {
    keep_shape();
    for (const std::size_t payload : {std::size_t{0}, std::size_t{1}, std::size_t{519}, std::size_t{520},
                                      std::size_t{521}, std::size_t{1372}})
        for (const std::size_t options : std::initializer_list<std::size_t>{0, 4, 40}) {
            Packet packet = dying(from_h1()).with_payload(payload);
            packet.options.assign(options, 1);
            packet.tos = 0xb9;
            const Packet answer = answered(Role::inside, packet, "ttl_exceeded");
            EXPECT_EQ(answer.payload, quote_of_what_was_sent(packet));
            if (payload >= 520) {
                EXPECT_EQ(answer.ip().size(), 576U);
            }
        }
}

ROW(IcmpMade, WithoutExtensions, "4884-§4.6-a") {
    keep_shape();
    EXPECT_EQ(answered(Role::inside, dying(from_h1()), "ttl_exceeded").icmp_rest, 0U);
    const Packet answer = answered(Role::inside, dying(from_h1()).with_payload(1372), "ttl_exceeded");
    EXPECT_EQ(answer.icmp_rest, 0U);
    EXPECT_EQ(answer.payload, quote_of_what_was_sent(dying(from_h1()).with_payload(1372)));
}

}  // namespace
}  // namespace sallyport::support

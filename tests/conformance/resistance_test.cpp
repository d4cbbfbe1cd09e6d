// SPDX-License-Identifier: Apache-2.0
// What floods and exhaustion leave to everybody else: flows that stand lose nothing, and new ones are made.
#include <fmt/format.h>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class Resistance : public ConformanceTest {
  protected:
    void limit(std::uint32_t flows, std::uint32_t ports, std::uint32_t per_second) {
        struct host_limits limits {};
        limits.flows = flows;
        limits.ports = ports;
        limits.new_flows_per_second = per_second;
        lab().change_host_limits(0, limits);
        change_gateway([](struct nat_gateway& gateway) { gateway.flags |= NAT_GATEWAY_LIMITS; });
    }

    // Connections and datagram flows of many hosts that stand before anything happens.
    void establish() {
        for (int i = 0; i < 50; i++) {
            const auto port = static_cast<std::uint16_t>(4000 + i);
            standing_.push_back(est(others[i % 2], port, S1, 443));
            standing_.push_back(map(udp().from(others[i % 2], port).to(S2, 53)));
            EXPECT_TRUE(alive(standing_.back()));
        }
    }
    // Both directions of one of them, another one each time.
    void use_one_that_stands() {
        const Mapping& flow = standing_[next_++ % standing_.size()];
        sent_ += 2;
        Packet again = flow.sent;
        if (again.protocol == 6) again = segment(flow, ack, h_sequence + 11, s_sequence + 11);
        const auto seen = out(again);
        lost_ += !seen || seen->source != flow.seen.source || seen->source_port != flow.seen.source_port;
        lost_ += !alive(flow);
    }
    // A new flow of a host that does nothing else, with its answer.
    void open_another(const char* to = S1) {
        const char* host = others[wanted_ / 2 % 2];
        const auto port = static_cast<std::uint16_t>(20000 + wanted_);
        wanted_++;
        const auto seen =
            out(wanted_ % 2 ? tcp().from(host, port).to(to, 443) : udp().from(host, port).to(to, 53));
        made_ += seen && in(answer_to(*seen, syn | ack));
    }
    void verdict(const std::string& during) {
        EXPECT_EQ(lost_, 0) << "of packets of flows that stood";
        EXPECT_EQ(made_, wanted_) << "of new flows of others";
        figure(during + ": packets of standing flows lost", fmt::format("{} of {}", lost_, sent_));
        figure(during + ": new flows of others made", fmt::format("{} of {}", made_, wanted_));
    }

    // Those that answers reach: their links are known.
    static constexpr const char* others[] = {H2, "10.0.0.13"};

    static Packet flood(int n, const char* host = H1) {
        const auto port = static_cast<std::uint16_t>(1024 + n % 60000);
        return n % 2 ? udp().from(host, port).to(S1, static_cast<std::uint16_t>(1 + n % 50000))
                     : tcp().from(host, port).to(S1, static_cast<std::uint16_t>(1 + n % 50000));
    }

  private:
    std::vector<Mapping> standing_;
    std::size_t next_ = 0;
    int sent_ = 0, lost_ = 0, wanted_ = 0, made_ = 0;
};

ROW(Resistance, ToAFloodOfNewFlowsFromOneHostWithLimits, "6888-REQ-4c", "6888-REQ-5b", "6888-REQ-11d") {
    establish();
    limit(2000, 1000, 500);
    std::map<std::string, int> ends;
    for (int n = 0; n < 20000; n++) {
        ends[from_inside(flood(n)).drop_reason]++;
        if (n % 20 == 0) use_one_that_stands();
        if (n % 20 == 10) open_another();
        if (n % 100 == 0) lab().advance(std::chrono::milliseconds(10));
    }
    EXPECT_LE(ends[""], 2000) << "what the host may have";
    EXPECT_GT(ends["new_flow_rate"], 0);
    verdict("20,000 new flows of one host with limits");
}

// Without limits: what no one answers is capped, and the rest of the table is for flows that are answered.
ROW(Resistance, ToAFloodOfUnansweredFlowsWithoutLimits, "6888-REQ-11d") {
    use_lab({.flow_capacity = 4096});
    lab().set_unanswered_capacity(2048);
    establish();
    std::map<std::string, int> ends;
    for (int n = 0; n < 20000; n++) {
        ends[from_inside(flood(n)).drop_reason]++;
        if (n % 20 == 0) use_one_that_stands();
        if (n % 20 == 10 && n < 10000) open_another();
    }
    EXPECT_GT(ends["unanswered_limit"], 10000);
    EXPECT_EQ(ends["flow_table_full"], 0);
    verdict("20,000 unanswered flows of one host without limits, table of 4,096");
}

// From as many hosts as the flood likes: at the cap new flows end, and nothing else.
ROW(Resistance, ToAFullTable, "6888-REQ-11d") {
    use_lab({.flow_capacity = 2048});
    establish();
    std::map<std::string, int> ends;
    for (int n = 0; n < 20000; n++) {
        const std::string host = fmt::format("10.0.{}.{}", 40 + n / 200 % 100, 1 + n % 200);
        ends[from_inside(flood(n, host.c_str())).drop_reason]++;
        if (n % 20 == 0) use_one_that_stands();
    }
    EXPECT_GT(ends["flow_table_full"], 10000);
    EXPECT_GE(lab().entries().size(), 2u * 2048) << "both directions of as many as it is made for";
    verdict("20,000 new flows of 20,000 hosts, table of 2,048 full");
}

ROW(Resistance, ToAFloodOfSynsFromOutside, "6888-REQ-11d") {
    establish();
    const std::size_t before = lab().entries().size();
    std::uint32_t random = 1;
    for (int n = 0; n < 20000; n++) {
        random = random * 1664525 + 1013904223;
        Packet packet = tcp()
                            .from(S1, static_cast<std::uint16_t>(random))
                            .to(n % 2 ? E1 : E2, static_cast<std::uint16_t>(random >> 16));
        packet.source = Ipv4Address(0x08000000 + random % 0x01000000);
        const Outcome outcome = from_outside(packet);
        EXPECT_EQ(outcome.drop_reason, "unsolicited");
        EXPECT_EQ(outcome.action, XDP_DROP) << "in silence";
        if (n == 10000) {
            EXPECT_EQ(lab().entries().size(), before + 2 * 500) << "nothing is stored";
        }
        if (n % 20 == 0) use_one_that_stands();
        if (n % 20 == 10 && n < 10000) {
            const auto port = static_cast<std::uint16_t>(20000 + n);
            const Mapping flow = map(tcp().from(others[n / 20 % 2], port).to(S1, 443));
            EXPECT_TRUE(in(answer_to(flow.seen, syn | ack)));
        }
    }
    verdict("20,000 SYNs from outside");
}

ROW(Resistance, ToAnExhaustedAddress, "6888-REQ-4", "6888-REQ-11d") {
    use_pool({E1});
    establish();
    change_gateway([](struct nat_gateway& gateway) {
        gateway.first_port = 30000;
        gateway.last_port = 32999;
    });
    limit(0, 1000, 0);
    std::map<std::string, int> ends;
    for (int n = 0; n < 20000; n++) {
        // All to one remote port: there every flow needs a port of its own.
        ends[from_inside(
                 tcp().from(n % 2 ? H1 : "10.0.40.1", static_cast<std::uint16_t>(1024 + n)).to(S1, 443))
                 .drop_reason]++;
        if (n % 20 == 0) use_one_that_stands();
        if (n % 40 == 10) open_another();
    }
    EXPECT_EQ(ends[""], 2000) << "what the two may have";
    EXPECT_EQ(ends["port_limit"], 18000);
    verdict("two hosts that want all ports of an address, with limits");

    // Without: it is exhausted, and still nobody loses what he has.
    limit(0, 0, 0);
    ends.clear();
    for (int n = 0; n < 5000; n++) {
        ends[from_inside(tcp().from(H1, static_cast<std::uint16_t>(30000 + n)).to(S1, 443)).drop_reason]++;
        if (n % 20 == 0) use_one_that_stands();
        if (n % 40 == 10) open_another(S2);  // other remotes have their ports still
    }
    EXPECT_GT(ends["port_exhausted"], 1000);
    verdict("an address that is exhausted towards one remote");
}

}  // namespace
}  // namespace sallyport::support

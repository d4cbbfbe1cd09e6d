// SPDX-License-Identifier: Apache-2.0
// RFC 4787 section 4.2, RFC 6056 sections 4 and 5: external ports that resemble the internal ones, and ports
// that are never given out.
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "conformance/fixture.h"

namespace sallyport::support {
namespace {

class PortSelection : public ConformanceTest {
  protected:
    void preserve(unsigned flags) {
        change_gateway([=](struct nat_gateway& gateway) { gateway.flags |= flags; });
    }
};

ROW(PortSelection, RangesAreToldApartIfAskedFor, "4787-REQ-3a") {
    EXPECT_GE(map(udp().from(H1, 500).to(S1, 7000)).external().port, 1024) << "decision C6";
    EXPECT_GE(map(udp().from(H1, 5000).to(S1, 7000)).external().port, 1024);
    preserve(NAT_GATEWAY_PRESERVE_RANGE);
    for (int i = 0; i < 200; i++) {
        const auto low = static_cast<std::uint16_t>(600 + i),
                   high = static_cast<std::uint16_t>(6000 + 100 * i);
        EXPECT_LT(map(udp().from(H1, low).to(S1, 7000)).external().port, 1024);
        EXPECT_GE(map(udp().from(H1, high).to(S1, 7000)).external().port, 1024);
        EXPECT_NE(map(tcp().from(H1, low).to(S1, 443)).external().port, 0);
    }
}

ROW(PortSelection, ParityIsKeptIfAskedFor, "4787-REQ-4", "7857-§8-a", "6056-§4-a") {
    preserve(NAT_GATEWAY_PRESERVE_PARITY);
    std::set<std::uint16_t> given;
    for (int i = 0; i < 200; i++) {
        const auto port = static_cast<std::uint16_t>(1024 + i * 317);
        for (const char* host : {H1, H2}) {
            const std::uint16_t external = map(udp().from(host, port).to(S1, 7000)).external().port;
            EXPECT_EQ(external % 2, port % 2);
            given.insert(external);
        }
    }
    EXPECT_GT(given.size(), 395u) << "random within the parity";
    EXPECT_GT(*given.rbegin() - *given.begin(), 60000);
}

ROW(PortSelection, AHostsOwnPortIsKeptIfAskedFor, "6056-§4-a", "7857-§9-a") {
    use_pool({E1});
    std::set<std::uint16_t> random;
    for (int repeat = 0; repeat < 20; repeat++) {
        EXPECT_NE(map(udp().from(H1, 5000).to(S1, 7000)).external().port, 5000) << "obfuscated by default";
        lab().reap_all(REAP_CUT);
    }
    preserve(NAT_GATEWAY_PRESERVE_PORT);
    for (int repeat = 0; repeat < 20; repeat++) {
        EXPECT_EQ(map(udp().from(H1, 5000).to(S1, 7000)).external().port, 5000);
        random.insert(map(udp().from(H2, 5000).to(S1, 7000)).external().port);
        lab().reap_all(REAP_CUT);
    }
    EXPECT_EQ(random.size(), 20u);
    EXPECT_FALSE(random.contains(5000));
}

// New connections one after the other, straight through the program: a million packets are too many to judge.
class ScatteredExclusions : public ConformanceTest {
  protected:
    static constexpr int first = 1024, last = 65535;

    // Ends all flows now and then, so that no port is taken for long.
    void pick(int count, std::vector<int>& picked) {
        const int program = lab().program_fd(Role::inside);
        Bytes out(2048);
        for (int n = 0; n < count; n++) {
            if (n % 20000 == 0) lab().reap_all(REAP_CUT);
            const Bytes frame =
                tcp().from(H1, static_cast<std::uint16_t>(1024 + n % 20000)).to(S1, 443).frame();
            LIBBPF_OPTS(bpf_test_run_opts, run);
            run.data_in = frame.data();
            run.data_size_in = static_cast<std::uint32_t>(frame.size());
            run.data_out = out.data();
            run.data_size_out = static_cast<std::uint32_t>(out.size());
            run.repeat = 1;
            ASSERT_EQ(bpf_prog_test_run_opts(program, &run), 0);
            ASSERT_EQ(run.retval, static_cast<std::uint32_t>(XDP_REDIRECT));
            picked[static_cast<std::size_t>(out[34] << 8 | out[35])]++;
        }
        lab().reap_all(REAP_CUT);
        oracle().restart();
    }
};

ROW(ScatteredExclusions, LeaveTheOthersEquallyLikely, "6056-§5-a", "6056-§3.2-a", "7857-§9-a") {
    use_lab({.flow_capacity = 40000});
    use_pool({E1});
    // Blocks of a hundred, two in every nine of which a third at random: long runs and lone ports.
    std::vector<PortRange> reserved;
    std::set<int> excluded;
    std::uint32_t random = 12345;
    for (int block = first; block + 100 <= last && excluded.size() < 20000; block += 100) {
        random = random * 1664525 + 1013904223;
        if ((random >> 16) % 3 != 0)
            for (int port = block; port < block + 100; port++) {
                random = random * 1664525 + 1013904223;
                if ((random >> 16) % 16 < ((random >> 8) % 2 ? 15 : 1)) excluded.insert(port);
            }
    }
    ASSERT_GE(excluded.size(), 15000u);
    for (int port = last - 1; excluded.size() < 20000; port -= 2) excluded.insert(port);
    for (int port : excluded)
        reserved.push_back({static_cast<std::uint16_t>(port), static_cast<std::uint16_t>(port)});
    lab().reserve_ports(0, reserved);

    // The other ways through the programs choose ports in the same place: one is asked in full.
    const bool in_full =
        std::getenv("SALLYPORT_LANE") == nullptr && std::getenv("SALLYPORT_SHAPE") == nullptr;
    const int picks = in_full ? 1'000'000 : 50'000;
    std::vector<int> picked(65536);
    ASSERT_NO_FATAL_FAILURE(pick(picks, picked));
    const double mean = picks / (last - first + 1.0 - static_cast<double>(excluded.size()));
    int most = 0;
    for (int port = 0; port <= last; port++) {
        const int times = picked[static_cast<std::size_t>(port)];
        if (port < first || excluded.contains(port)) {
            EXPECT_EQ(times, 0) << port;
        }
        most = std::max(most, times);
    }
    if (!in_full) return;
    EXPECT_LT(most, 3 * mean);
    figure("the likeliest port with 20,000 scattered ones excluded, against the mean of a million picks",
           fmt::format("{:.2f}", most / mean));
}

class PortBlocks : public ConformanceTest {};

ROW(PortBlocks, OneRecordTellsOfAllEndpointsInABlock, "6888-REQ-14", "7422-§2-c") {
    change_gateway([](struct nat_gateway& gateway) {
        gateway.port_block_size = 512;
        gateway.port_blocks_max = 4;
        gateway.port_block_hold = 120;
    });
    lab().port_block_events();
    const auto endpoint = [](int n) {
        return udp().from(H1, static_cast<std::uint16_t>(2000 + n)).to(S1, 7000);
    };
    std::set<std::uint16_t> ports;
    for (int i = 0; i < 512; i++) ports.insert(map(endpoint(i)).seen.source_port);
    EXPECT_EQ(ports.size(), 512U);
    const auto records = lab().port_block_events();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].first_port, *ports.begin());
    EXPECT_EQ(records[0].last_port, *ports.rbegin());
    map(endpoint(512));
    EXPECT_EQ(lab().port_block_events().size(), 1U);
    figure("records of 512 endpoints of one host in a port block of 512", std::to_string(records.size()));
}

}  // namespace
}  // namespace sallyport::support

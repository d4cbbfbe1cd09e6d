// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "host/table.h"

namespace sallyport::flow_table {

inline constexpr std::uint8_t tcp = 6, udp = 17, icmp = 1;
inline constexpr std::uint64_t second = 1'000'000'000;

std::uint16_t network(std::uint16_t value);
std::uint32_t network(std::uint32_t value);
std::uint32_t address(unsigned a, unsigned b, unsigned c, unsigned d);  // in network order

// The key of a packet from an instance; ports in host order. ICMP: the identifier is the source port.
flow_key forward_key(std::uint32_t instance, std::uint16_t port, std::uint32_t remote,
                     std::uint16_t remote_port, std::uint8_t protocol = tcp, std::uint16_t zone = 1);

bool equal(const flow_key& a, const flow_key& b);
std::string text(const flow_key& key);

struct KeyLess {
    bool operator()(const flow_key& a, const flow_key& b) const;
};
struct KeyHash {
    std::size_t operator()(const flow_key& key) const;
};
struct KeyEqual {
    bool operator()(const flow_key& a, const flow_key& b) const { return equal(a, b); }
};

// Mixes all bits of a key, without the table's own hash.
std::uint64_t fingerprint(const flow_key& key);

// A number of the environment, or `otherwise`.
std::uint64_t from_environment(const char* name, std::uint64_t otherwise);

// What a checksum changes by when these words take the place of those; by the definition (RFC 1071), not by
// the programs' arithmetic.
std::uint16_t checksum_difference(const std::vector<std::uint16_t>& from,
                                  const std::vector<std::uint16_t>& to);
// An entry's deltas are those that its key and its new address and port ask for.
bool deltas_fit(const flow_key& key, bool forward, std::uint32_t new_address, std::uint16_t new_port,
                std::uint16_t ip_delta, std::uint16_t transport_delta);

// Everything that must be true of a table in which nothing is going on. Empty: all of it is. Without pairs,
// of a table whose entries are no flows.
enum class Pairs { yes, no };
std::vector<std::string> audit(std::uint32_t regions, Pairs pairs = Pairs::yes);

inline constexpr table_shape default_shape{
    .regions = 4, .port_sets = 64, .seed = {0x1234567, 0x89abcdef, 42, 7}};

// A table of its own for each test, with NAT gateway 1 on one Elastic IP, and the clock at some hour.
class TableTest : public testing::Test {
  public:
    ~TableTest() override { table_free(); }

  protected:
    TableTest() { reset(default_shape); }

    void reset(const table_shape& shape);
    // Gives a NAT gateway these addresses and the default timers.
    void gateway(std::uint32_t number, const std::vector<std::uint32_t>& addresses,
                 std::uint16_t first_port = 1024, std::uint16_t last_port = 65535);
    static void advance(std::uint64_t nanoseconds) { host_now_ns += nanoseconds; }
    void expect_sound() const;

    const std::uint32_t elastic_ip_ = address(198, 51, 100, 10);
    const std::uint32_t remote_ = address(203, 0, 113, 10);
    std::uint32_t regions_ = 0;
};

}  // namespace sallyport::flow_table

// SPDX-License-Identifier: Apache-2.0
//
// Rows of the standards as tests: packets in, packets expected out, in the topology that catalogue.tsv's rows
// speak of. Every packet is judged by the invariants too, and every test starts from empty state.
//
//   ROW(Udp, AMappingIsTheSameForEveryDestination, "4787-REQ-1") { … }
#pragma once

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/invariants.h"
#include "support/program_lab.h"

namespace sallyport::support {

// Says once, for the report, which rows a test proves.
class ProvedRows {
  public:
    ProvedRows(const char* suite, const char* test, std::initializer_list<const char*> rows);
    static std::string of(const std::string& suite, const std::string& test);  // joined by '|'
};

#define ROW(suite, name, ...)                                                                   \
    const ::sallyport::support::ProvedRows suite##_##name##_rows(#suite, #name, {__VA_ARGS__}); \
    TEST_F(suite, name)

// NOLINTBEGIN(readability-identifier-naming): names of the catalogue
inline constexpr const char* H1 = "10.0.0.11";
inline constexpr const char* H2 = "10.0.0.12";
inline constexpr const char* H3 = "10.0.0.50";
inline constexpr const char* RP = "10.0.0.2";      // a router inside
inline constexpr const char* P0 = "10.0.0.1";      // the gateway, inside
inline constexpr const char* X0 = "198.51.100.1";  // the gateway, outside
inline constexpr const char* E1 = "198.51.100.10";
inline constexpr const char* E2 = "198.51.100.11";
inline constexpr const char* RX = "198.51.100.254";  // the first router outside
inline constexpr const char* S1 = "203.0.113.10";
inline constexpr const char* S1b = "203.0.113.11";
inline constexpr const char* S2 = "203.0.113.20";
// NOLINTEND(readability-identifier-naming)

struct External {
    Ipv4Address address;
    std::uint16_t port = 0;  // echo: the identifier
    auto operator<=>(const External&) const = default;
};

// A packet from inside and what the outside saw of it.
struct Mapping {
    Packet sent, seen;
    [[nodiscard]] External external() const;
};

class ConformanceTest : public ::testing::Test {
  protected:
    static constexpr std::uint32_t h_sequence = 1000, s_sequence = 5000;  // the SYNs' of est()

    void SetUp() override;
    void TearDown() override;

    // The lab of all tests, with a pool of E1 and E2; or one of a test's own, made by use_lab().
    ProgramLab& lab() { return own_lab_ ? *own_lab_ : *shared_; }
    void use_lab(LabOptions options);
    Oracle& oracle() { return *oracle_; }

    // Settings.
    void use_pool(std::initializer_list<const char*> addresses);
    void change_gateway(const std::function<void(struct nat_gateway&)>& change);
    // Frames go as they are, also where the suite runs with VLAN tags or IP options: for tests of sizes.
    void keep_shape() { shape_kept_ = true; }

    // One frame through a program, judged by the invariants.
    Outcome run(Role role, const Bytes& frame);
    Outcome run(Role role, const Packet& packet);
    Outcome from_inside(const Packet& packet) { return run(Role::inside, packet); }
    Outcome from_outside(const Packet& packet) { return run(Role::outside, packet); }

    // MAP: sends it from inside; fails the test unless it is forwarded.
    Mapping map(const Packet& packet);
    // IN: sends it from outside; what reached the private side, or nothing.
    std::optional<Packet> in(const Packet& packet);
    // The same the other way: what reached the outside, or nothing.
    std::optional<Packet> out(const Packet& packet);
    // EST: a handshake and acknowledged data both ways. Each side has sent 10 bytes.
    Mapping est(const char* host, std::uint16_t port, const char* server, std::uint16_t server_port);
    // ERR: the error that `from` sends about a packet as it saw it, with so many bytes after its header.
    static Packet err(const char* from, std::uint8_t type, std::uint8_t code, const Packet& about,
                      std::size_t after_header = 8);
    // IDLE.
    void idle(std::chrono::seconds time) { lab().advance(time); }
    // ALIVE: the peer's packet still arrives at the right host and port.
    bool alive(const Mapping& mapping);

    // A segment of an established flow, from the host or from the server.
    static Packet segment(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack,
                          std::size_t payload = 0);
    static Packet server_segment(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack,
                                 std::size_t payload = 0);

    // A number for the report.
    void figure(const std::string& name, const std::string& value);

  private:
    static inline std::unique_ptr<ProgramLab> shared_;
    static inline ProgramLab::Memory fresh_;  // of the shared lab
    std::unique_ptr<ProgramLab> own_lab_;
    std::unique_ptr<Oracle> oracle_;
    bool shape_kept_ = false;
};

}  // namespace sallyport::support

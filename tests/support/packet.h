// SPDX-License-Identifier: Apache-2.0
//
// Frames as values. A test says what matters and reads what came out:
//   Tcp().from("10.0.0.11", 5000).to("203.0.113.10", 443).syn()
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/address.h"
#include "support/wire.h"

namespace sallyport::support {

enum TcpFlag : std::uint8_t { fin = 1, syn = 2, rst = 4, psh = 8, ack = 16 };

struct Packet {
    std::array<std::uint8_t, 6> destination_mac{2, 0, 0, 0, 0, 1};
    std::array<std::uint8_t, 6> source_mac{2, 0, 0, 0, 0, 2};
    std::vector<std::uint16_t> vlans;

    Ipv4Address source, destination;
    std::uint8_t protocol = 17;
    std::uint8_t ttl = 64;
    std::uint8_t tos = 0;
    std::uint16_t identification = 1;
    bool dont_fragment = false;
    bool more_fragments = false;
    std::uint16_t fragment_offset = 0;  // bytes, a multiple of 8
    Bytes options;                      // of the IPv4 header, a multiple of 4

    std::uint16_t source_port = 0, destination_port = 0;
    std::uint32_t sequence = 0, acknowledgement = 0;
    std::uint8_t tcp_flags = 0;
    Bytes tcp_options;  // a multiple of 4
    bool udp_without_checksum = false;
    std::uint8_t icmp_type = 8, icmp_code = 0;
    std::uint16_t icmp_id = 0, icmp_sequence = 0;
    std::uint32_t icmp_rest = 0;  // errors: the second word
    Bytes payload;                // errors: the quote

    // The IPv4 packet, all checksums right.
    [[nodiscard]] Bytes ip() const;
    // The frame, padded to 60 bytes.
    [[nodiscard]] Bytes frame() const;

    // Takes a frame apart; nullopt if it is no IPv4 one or is cut short.
    static std::optional<Packet> parse(std::span<const std::uint8_t> frame);

    // Faults of the checksums in a frame, as words; empty if all are right.
    static std::string checksum_faults(std::span<const std::uint8_t> frame);

    [[nodiscard]] std::string to_string() const;

    // Builders.
    Packet& from(const char* address, std::uint16_t port = 0);
    Packet& to(const char* address, std::uint16_t port = 0);
    Packet& with_payload(std::size_t bytes, std::uint8_t fill = 'x');
    Packet& flags(int flags);
    Packet& seq(std::uint32_t sequence_number, std::uint32_t acknowledgement_number = 0);
};

Packet tcp();   // a SYN
Packet udp();   // one byte of payload
Packet ping();  // an echo request
Packet icmp_error(std::uint8_t type, std::uint8_t code, const Bytes& quoted_ip, std::size_t after_header = 8);

// The answer to a translated packet, from whoever got it.
Packet answer_to(const Packet& seen, int flags = 0);

}  // namespace sallyport::support

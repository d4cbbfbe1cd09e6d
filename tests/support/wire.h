// SPDX-License-Identifier: Apache-2.0
//
// Bytes of a frame, read where they lie; for whoever builds, takes apart or judges frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/address.h"

namespace sallyport::support {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::uint16_t ethertype_ipv4 = 0x0800;
inline constexpr std::uint16_t ethertype_vlan = 0x8100;

inline void put16(std::span<std::uint8_t> to, std::size_t at, std::uint32_t value) {
    to[at] = static_cast<std::uint8_t>(value >> 8);
    to[at + 1] = static_cast<std::uint8_t>(value);
}
inline void put32(std::span<std::uint8_t> to, std::size_t at, std::uint32_t value) {
    put16(to, at, value >> 16);
    put16(to, at + 2, value & 0xffff);
}
inline std::uint16_t get16(std::span<const std::uint8_t> from, std::size_t at) {
    return static_cast<std::uint16_t>(from[at] << 8 | from[at + 1]);
}
inline std::uint32_t get32(std::span<const std::uint8_t> from, std::size_t at) {
    return static_cast<std::uint32_t>(get16(from, at)) << 16 | get16(from, at + 2);
}

// Sum of 16-bit words in network order, folded and complemented.
std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0);

// What TCP's and UDP's checksums begin with.
std::uint32_t pseudo_header_sum(Ipv4Address source, Ipv4Address destination, std::uint8_t protocol,
                                std::size_t length);

bool is_icmp_error(std::uint8_t type);

// An IPv4 packet where it lies: the whole of it, its header, what comes after.
struct Ipv4View {
    std::span<const std::uint8_t> all, header, transport;

    [[nodiscard]] Ipv4Address source() const { return Ipv4Address(get32(header, 12)); }
    [[nodiscard]] Ipv4Address destination() const { return Ipv4Address(get32(header, 16)); }
    [[nodiscard]] std::uint8_t protocol() const { return header[9]; }
    [[nodiscard]] std::uint8_t ttl() const { return header[8]; }
    [[nodiscard]] std::span<const std::uint8_t> options() const { return header.subspan(20); }
    [[nodiscard]] bool later_fragment() const { return get16(header, 6) & 0x1fff; }
    [[nodiscard]] bool fragment() const { return get16(header, 6) & 0x3fff; }
    [[nodiscard]] bool dont_fragment() const { return get16(header, 6) & 0x4000; }
    [[nodiscard]] bool is_icmp_error() const {
        return protocol() == 1 && !later_fragment() && transport.size() >= 8 &&
               support::is_icmp_error(transport[0]);
    }

    // `cut`: what an ICMP error quotes, which need not be the whole packet.
    static std::optional<Ipv4View> of(std::span<const std::uint8_t> packet, bool cut = false);
    static std::optional<Ipv4View> of_frame(std::span<const std::uint8_t> frame);
};

// Where the IPv4 header of a frame starts, or 0.
std::size_t ip_offset(std::span<const std::uint8_t> frame);

}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
#include "support/wire.h"

namespace sallyport::support {
namespace {

constexpr std::size_t ethernet_bytes = 14;
constexpr std::uint16_t ethertype_service_vlan = 0x88a8;

}  // namespace

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes, std::uint32_t sum) {
    for (std::size_t i = 0; i < bytes.size(); i += 2)
        sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

std::uint32_t pseudo_header_sum(Ipv4Address source, Ipv4Address destination, std::uint8_t protocol,
                                std::size_t length) {
    return (source.value() >> 16) + (source.value() & 0xffff) + (destination.value() >> 16) +
           (destination.value() & 0xffff) + protocol + static_cast<std::uint32_t>(length);
}

bool is_icmp_error(std::uint8_t type) {
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

std::size_t ip_offset(std::span<const std::uint8_t> frame) {
    std::size_t at = ethernet_bytes - 2;
    while (frame.size() >= at + 6 &&
           (get16(frame, at) == ethertype_vlan || get16(frame, at) == ethertype_service_vlan))
        at += 4;
    return frame.size() >= at + 22 && get16(frame, at) == ethertype_ipv4 ? at + 2 : 0;
}

std::optional<Ipv4View> Ipv4View::of(std::span<const std::uint8_t> packet, bool cut) {
    if (packet.size() < 20 || packet[0] >> 4 != 4) return std::nullopt;
    std::size_t header = (packet[0] & 15u) * 4u, length = get16(packet, 2);
    if (header < 20 || length < header || packet.size() < header) return std::nullopt;
    if (length > packet.size()) {
        if (!cut) return std::nullopt;
        length = packet.size();
    }
    return Ipv4View{packet.first(length), packet.first(header), packet.subspan(header, length - header)};
}

std::optional<Ipv4View> Ipv4View::of_frame(std::span<const std::uint8_t> frame) {
    std::size_t at = ip_offset(frame);
    return at ? of(frame.subspan(at)) : std::nullopt;
}

}  // namespace sallyport::support

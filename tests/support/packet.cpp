// SPDX-License-Identifier: Apache-2.0
#include "support/packet.h"

#include <fmt/format.h>

#include <algorithm>

#include "support/wire.h"

namespace sallyport::support {

Bytes Packet::ip() const {
    Bytes transport;
    if (fragment_offset == 0) {
        if (protocol == 6) {
            transport.resize(20 + tcp_options.size());
            put32(transport, 4, sequence);
            put32(transport, 8, acknowledgement);
            transport[12] = static_cast<std::uint8_t>(transport.size() / 4 << 4);
            std::copy(tcp_options.begin(), tcp_options.end(), transport.begin() + 20);
            transport[13] = tcp_flags;
            put16(transport, 14, 65535);
        } else if (protocol == 17) {
            transport.resize(8);
            put16(transport, 4, static_cast<std::uint32_t>(8 + payload.size()));
        } else if (protocol == 1) {
            transport.resize(8);
            transport[0] = icmp_type;
            transport[1] = icmp_code;
            if (is_icmp_error(icmp_type)) {
                put32(transport, 4, icmp_rest);
            } else {
                put16(transport, 4, icmp_id);
                put16(transport, 6, icmp_sequence);
            }
        }
        if (protocol == 6 || protocol == 17) {
            put16(transport, 0, source_port);
            put16(transport, 2, destination_port);
        }
    }
    transport.insert(transport.end(), payload.begin(), payload.end());
    if (fragment_offset == 0) {
        std::uint32_t pseudo = pseudo_header_sum(source, destination, protocol, transport.size());
        if (protocol == 6) put16(transport, 16, internet_checksum(transport, pseudo));
        if (protocol == 1) put16(transport, 2, internet_checksum(transport));
        if (protocol == 17 && !udp_without_checksum) {
            std::uint16_t checksum = internet_checksum(transport, pseudo);
            put16(transport, 6, checksum ? checksum : 0xffff);
        }
    }

    Bytes packet(20 + options.size());
    packet[0] = static_cast<std::uint8_t>(0x40 | packet.size() / 4);
    packet[1] = tos;
    put16(packet, 2, static_cast<std::uint32_t>(packet.size() + transport.size()));
    put16(packet, 4, identification);
    put16(packet, 6,
          static_cast<std::uint32_t>((dont_fragment ? 0x4000 : 0) | (more_fragments ? 0x2000 : 0) |
                                     fragment_offset / 8));
    packet[8] = ttl;
    packet[9] = protocol;
    put32(packet, 12, source.value());
    put32(packet, 16, destination.value());
    std::copy(options.begin(), options.end(), packet.begin() + 20);
    put16(packet, 10, internet_checksum(packet));
    packet.insert(packet.end(), transport.begin(), transport.end());
    return packet;
}

Bytes Packet::frame() const {
    Bytes frame;
    frame.insert(frame.end(), destination_mac.begin(), destination_mac.end());
    frame.insert(frame.end(), source_mac.begin(), source_mac.end());
    for (std::uint16_t vlan : vlans) {
        frame.resize(frame.size() + 4);
        put16(frame, frame.size() - 4, ethertype_vlan);
        put16(frame, frame.size() - 2, vlan);
    }
    frame.resize(frame.size() + 2);
    put16(frame, frame.size() - 2, ethertype_ipv4);
    Bytes packet = ip();
    frame.insert(frame.end(), packet.begin(), packet.end());
    if (frame.size() < 60) frame.resize(60);
    return frame;
}

std::optional<Packet> Packet::parse(std::span<const std::uint8_t> frame) {
    std::size_t at = ip_offset(frame);
    if (at == 0) return std::nullopt;
    Packet packet;
    std::copy_n(frame.begin(), 6, packet.destination_mac.begin());
    std::copy_n(frame.begin() + 6, 6, packet.source_mac.begin());
    for (std::size_t tag = 12; tag + 2 < at; tag += 4) packet.vlans.push_back(get16(frame, tag + 2));

    std::span<const std::uint8_t> ip = frame.subspan(at);
    std::size_t header = (ip[0] & 15u) * 4u, length = get16(ip, 2);
    if (header < 20 || length < header || ip.size() < length) return std::nullopt;
    packet.tos = ip[1];
    packet.identification = get16(ip, 4);
    packet.dont_fragment = ip[6] & 0x40;
    packet.more_fragments = ip[6] & 0x20;
    packet.fragment_offset = static_cast<std::uint16_t>((get16(ip, 6) & 0x1fff) * 8);
    packet.ttl = ip[8];
    packet.protocol = ip[9];
    packet.source = Ipv4Address(get32(ip, 12));
    packet.destination = Ipv4Address(get32(ip, 16));
    packet.options.assign(ip.begin() + 20, ip.begin() + static_cast<std::ptrdiff_t>(header));

    std::span<const std::uint8_t> transport = ip.subspan(header, length - header);
    std::size_t own = 0;
    if (packet.fragment_offset == 0) {
        own = packet.protocol == 6 ? 20 : packet.protocol == 17 || packet.protocol == 1 ? 8 : 0;
        if (transport.size() < own) return std::nullopt;
        if (packet.protocol == 6 || packet.protocol == 17) {
            packet.source_port = get16(transport, 0);
            packet.destination_port = get16(transport, 2);
        }
        if (packet.protocol == 6) {
            packet.sequence = get32(transport, 4);
            packet.acknowledgement = get32(transport, 8);
            packet.tcp_flags = transport[13];
            own = (transport[12] >> 4) * 4u;
            if (own >= 20 && own <= transport.size())
                packet.tcp_options.assign(transport.begin() + 20,
                                          transport.begin() + static_cast<std::ptrdiff_t>(own));
        } else if (packet.protocol == 17) {
            packet.udp_without_checksum = get16(transport, 6) == 0;
        } else if (packet.protocol == 1) {
            packet.icmp_type = transport[0];
            packet.icmp_code = transport[1];
            packet.icmp_id = get16(transport, 4);
            packet.icmp_sequence = get16(transport, 6);
            packet.icmp_rest = get32(transport, 4);
        }
    }
    if (transport.size() < own) return std::nullopt;
    packet.payload.assign(transport.begin() + static_cast<std::ptrdiff_t>(own), transport.end());
    return packet;
}

std::string Packet::checksum_faults(std::span<const std::uint8_t> frame) {
    std::size_t at = ip_offset(frame);
    if (at == 0) return "";
    std::span<const std::uint8_t> ip = frame.subspan(at);
    std::size_t header = (ip[0] & 15u) * 4u, length = get16(ip, 2);
    if (header < 20 || length < header || ip.size() < length) return "the IPv4 header is malformed";
    std::string faults;
    if (internet_checksum(ip.first(header)) != 0) faults += "IPv4 header; ";
    if ((get16(ip, 6) & 0x3fff) != 0) return faults;  // a fragment has no checksum of its own
    std::span<const std::uint8_t> transport = ip.subspan(header, length - header);
    std::uint32_t pseudo =
        pseudo_header_sum(Ipv4Address(get32(ip, 12)), Ipv4Address(get32(ip, 16)), ip[9], transport.size());
    if (ip[9] == 6 && internet_checksum(transport, pseudo) != 0) faults += "TCP; ";
    if (ip[9] == 17 && get16(transport, 6) != 0 && internet_checksum(transport, pseudo) != 0)
        faults += "UDP; ";
    if (ip[9] == 1 && internet_checksum(transport) != 0) faults += "ICMP; ";
    return faults;
}

std::string Packet::to_string() const {
    std::string text =
        fmt::format("{}:{} > {}:{} protocol {} ttl {} id {} payload {}", source.to_string(), source_port,
                    destination.to_string(), destination_port, protocol, ttl, identification, payload.size());
    if (protocol == 6)
        text += fmt::format(" flags {:#x} seq {} ack {}", tcp_flags, sequence, acknowledgement);
    if (protocol == 1) text += fmt::format(" icmp {}/{} id {}", icmp_type, icmp_code, icmp_id);
    if (more_fragments || fragment_offset) text += fmt::format(" fragment at {}", fragment_offset);
    return text;
}

Packet& Packet::from(const char* address, std::uint16_t port) {
    source = Ipv4Address::parse(address).value();
    source_port = port;
    if (protocol == 1 && !is_icmp_error(icmp_type) && port) icmp_id = port;
    return *this;
}
Packet& Packet::to(const char* address, std::uint16_t port) {
    destination = Ipv4Address::parse(address).value();
    destination_port = port;
    return *this;
}
Packet& Packet::with_payload(std::size_t bytes, std::uint8_t fill) {
    payload.assign(bytes, fill);
    return *this;
}
Packet& Packet::flags(int flags) {
    tcp_flags = static_cast<std::uint8_t>(flags);
    return *this;
}
Packet& Packet::seq(std::uint32_t sequence_number, std::uint32_t acknowledgement_number) {
    sequence = sequence_number;
    acknowledgement = acknowledgement_number;
    return *this;
}

Packet tcp() {
    Packet packet;
    packet.protocol = 6;
    packet.tcp_flags = syn;
    packet.sequence = 1000;
    return packet;
}
Packet udp() {
    Packet packet;
    packet.protocol = 17;
    packet.payload = {'x'};
    return packet;
}
Packet ping() {
    Packet packet;
    packet.protocol = 1;
    packet.payload.assign(16, 'p');
    return packet;
}
Packet icmp_error(std::uint8_t type, std::uint8_t code, const Bytes& quoted_ip, std::size_t after_header) {
    Packet packet;
    packet.protocol = 1;
    packet.icmp_type = type;
    packet.icmp_code = code;
    std::size_t bytes = std::min(quoted_ip.size(), (quoted_ip[0] & 15u) * 4u + after_header);
    packet.payload.assign(quoted_ip.begin(), quoted_ip.begin() + static_cast<std::ptrdiff_t>(bytes));
    return packet;
}
Packet answer_to(const Packet& seen, int flags) {
    Packet reply = seen;
    std::swap(reply.source, reply.destination);
    std::swap(reply.source_port, reply.destination_port);
    reply.ttl = 64;
    reply.tcp_flags = static_cast<std::uint8_t>(flags);
    reply.sequence = 5000;
    reply.acknowledgement = seen.sequence + 1;
    if (reply.protocol == 1) reply.icmp_type = 0;
    return reply;
}

}  // namespace sallyport::support

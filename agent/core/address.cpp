// SPDX-License-Identifier: Apache-2.0
#include "core/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace sallyport {
namespace {

// A decimal number of at most `most`, without sign, spaces or leading zeros: "010" is 8 to some readers
// and 10 to others, so it is nothing to us.
std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t most) {
    if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
    std::uint32_t number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || stop != text.data() + text.size() || number > most) return std::nullopt;
    return number;
}

std::optional<std::uint8_t> parse_hexadecimal_byte(std::string_view text) {
    if (text.size() != 2) return std::nullopt;
    std::uint8_t byte = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + 2, byte, 16);
    if (error != std::errc{} || stop != text.data() + 2) return std::nullopt;
    return byte;
}

}  // namespace

Result<Ipv4Address> Ipv4Address::parse(std::string_view text) {
    std::uint32_t value = 0;
    std::string_view rest = text;
    for (int octet = 0; octet < 4; ++octet) {
        const auto dot = rest.find('.');
        const bool last = octet == 3;
        const auto number = parse_number(rest.substr(0, dot), 255);
        if (!number || last != (dot == std::string_view::npos)) {
            return failure(fmt::format("\"{}\" is no IPv4 address", text));
        }
        value = value << 8 | *number;
        if (!last) rest.remove_prefix(dot + 1);
    }
    return Ipv4Address(value);
}

Ipv4Address Ipv4Address::from_network(std::uint32_t network_order) {
    return Ipv4Address(ntohl(network_order));
}

std::uint32_t Ipv4Address::to_network() const {
    return htonl(value_);
}

std::string Ipv4Address::to_string() const {
    return fmt::format("{}.{}.{}.{}", value_ >> 24, value_ >> 16 & 255, value_ >> 8 & 255, value_ & 255);
}

Result<Ipv4Prefix> Ipv4Prefix::parse(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) {
        return failure(fmt::format("\"{}\" is no prefix: the length is missing", text));
    }
    const auto address = Ipv4Address::parse(text.substr(0, slash));
    if (!address) return failure(fmt::format("\"{}\" is no IPv4 prefix", text));
    const auto length = parse_number(text.substr(slash + 1), 32);
    if (!length) return failure(fmt::format("\"{}\" is no prefix: the length must be 0 to 32", text));
    const Ipv4Prefix prefix(*address, static_cast<std::uint8_t>(*length));
    if (prefix.address() != *address) {
        return failure(fmt::format("\"{}\" has host bits set, unlike {}", text, prefix.to_string()));
    }
    return prefix;
}

std::string Ipv4Prefix::to_string() const {
    return fmt::format("{}/{}", address_.to_string(), length_);
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
    const auto wrong = [text] { return failure(fmt::format("\"{}\" is no MAC address", text)); };
    if (text.size() != 17) return wrong();
    std::array<std::uint8_t, 6> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto byte = parse_hexadecimal_byte(text.substr(i * 3, 2));
        if (!byte || (i < 5 && text[i * 3 + 2] != ':')) return wrong();
        bytes[i] = *byte;
    }
    return MacAddress(bytes);
}

std::string MacAddress::to_string() const {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes_[0], bytes_[1], bytes_[2],
                       bytes_[3], bytes_[4], bytes_[5]);
}

Result<PortRange> PortRange::parse(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_number(text.substr(0, dash), 65535);
    const auto last = dash == std::string_view::npos ? first : parse_number(text.substr(dash + 1), 65535);
    if (!first || !last) {
        return failure(fmt::format("\"{}\" is no port and no range of ports", text));
    }
    if (*first > *last)
        return failure(fmt::format("\"{}\" is no range of ports: it ends before it begins", text));
    return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::vector<PortPrefix> PortRange::prefixes() const {
    constexpr unsigned port_bits = 16;
    std::vector<PortPrefix> prefixes;
    for (std::uint32_t port = first; port <= last;) {
        unsigned open_bits = 0;  // that the prefix leaves open: as many as begin at `port` and fit
        while (open_bits < port_bits && port % (2U << open_bits) == 0 && port + (2U << open_bits) - 1 <= last)
            ++open_bits;
        prefixes.push_back(
            {static_cast<std::uint16_t>(port), static_cast<std::uint8_t>(port_bits - open_bits)});
        port += 1U << open_bits;
    }
    return prefixes;
}

std::string PortRange::to_string() const {
    return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

std::vector<PortRange> joined(std::vector<PortRange> ranges) {
    std::ranges::sort(ranges);
    std::vector<PortRange> result;
    for (const PortRange& range : ranges) {
        if (!result.empty() && range.first <= result.back().last + 1) {
            result.back().last = std::max(result.back().last, range.last);
        } else {
            result.push_back(range);
        }
    }
    return result;
}

std::uint32_t count_within(const std::vector<PortRange>& ranges, const PortRange& range) {
    std::uint32_t count = 0;
    for (const PortRange& one : ranges) {
        const PortRange common{std::max(one.first, range.first), std::min(one.last, range.last)};
        if (common.first <= common.last) count += common.size();
    }
    return count;
}

Result<Protocol> parse_protocol(std::string_view text) {
    for (const Protocol protocol : {Protocol::tcp, Protocol::udp, Protocol::icmp}) {
        if (text == to_string(protocol)) return protocol;
    }
    return failure(fmt::format("\"{}\" is no protocol; there are tcp, udp and icmp", text));
}

std::string_view to_string(Protocol protocol) {
    switch (protocol) {
        case Protocol::icmp:
            return "icmp";
        case Protocol::tcp:
            return "tcp";
        case Protocol::udp:
            return "udp";
    }
    return "";
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
    const auto colon = text.find(':');
    const auto wrong = [text] { return failure(fmt::format("\"{}\" is no address with a port", text)); };
    if (colon == std::string_view::npos) return wrong();
    const auto address = Ipv4Address::parse(text.substr(0, colon));
    const auto port = parse_number(text.substr(colon + 1), 65535);
    if (!address || !port) return wrong();
    return Endpoint{*address, static_cast<std::uint16_t>(*port)};
}

std::string Endpoint::to_string() const {
    return fmt::format("{}:{}", address.to_string(), port);
}

}  // namespace sallyport

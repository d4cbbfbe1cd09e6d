// SPDX-License-Identifier: Apache-2.0
//
// Addresses, prefixes and ports as values: ordered, hashable, parsed and printed in one place.
// Inside they are in host order; only agent/dataplane/ and agent/netlink/ turn them into network order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace sallyport {

class Ipv4Address {
  public:
    constexpr Ipv4Address() = default;
    constexpr explicit Ipv4Address(std::uint32_t host_order) : value_(host_order) {}
    constexpr Ipv4Address(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d)
        : value_(std::uint32_t{a} << 24 | std::uint32_t{b} << 16 | std::uint32_t{c} << 8 | d) {}

    // Four decimal octets and nothing else: no leading zeros, no spaces.
    static Result<Ipv4Address> parse(std::string_view text);
    static Ipv4Address from_network(std::uint32_t network_order);

    [[nodiscard]] constexpr std::uint32_t value() const { return value_; }  // host order
    [[nodiscard]] std::uint32_t to_network() const;
    [[nodiscard]] std::string to_string() const;

    constexpr auto operator<=>(const Ipv4Address&) const = default;

  private:
    std::uint32_t value_ = 0;
};

// A prefix whose host bits are zero; parse() refuses others and says which prefix was meant.
class Ipv4Prefix {
  public:
    constexpr Ipv4Prefix() = default;
    // Clears the host bits. `length` must be at most 32.
    constexpr Ipv4Prefix(Ipv4Address address, std::uint8_t length)
        : address_(address.value() & mask(length)), length_(length) {}

    static Result<Ipv4Prefix> parse(std::string_view text);  // "10.0.0.0/16"

    [[nodiscard]] constexpr Ipv4Address address() const { return address_; }
    [[nodiscard]] constexpr std::uint8_t length() const { return length_; }
    [[nodiscard]] constexpr bool contains(Ipv4Address address) const {
        return (address.value() & mask(length_)) == address_.value();
    }
    [[nodiscard]] constexpr bool contains(const Ipv4Prefix& other) const {
        return length_ <= other.length_ && contains(other.address_);
    }
    [[nodiscard]] constexpr bool overlaps(const Ipv4Prefix& other) const {
        return contains(other) || other.contains(*this);
    }
    [[nodiscard]] std::string to_string() const;

    constexpr auto operator<=>(const Ipv4Prefix&) const = default;

  private:
    static constexpr std::uint32_t mask(std::uint8_t length) {
        return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
    }
    Ipv4Address address_;
    std::uint8_t length_ = 0;
};

class MacAddress {
  public:
    constexpr MacAddress() = default;
    constexpr explicit MacAddress(std::array<std::uint8_t, 6> bytes) : bytes_(bytes) {}
    static Result<MacAddress> parse(std::string_view text);
    [[nodiscard]] constexpr const std::array<std::uint8_t, 6>& bytes() const { return bytes_; }
    [[nodiscard]] std::string to_string() const;
    constexpr auto operator<=>(const MacAddress&) const = default;

  private:
    std::array<std::uint8_t, 6> bytes_{};
};

// All ports that agree with `port` in their first `length` bits.
struct PortPrefix {
    std::uint16_t port = 0;
    std::uint8_t length = 16;
    constexpr auto operator<=>(const PortPrefix&) const = default;
};

// First and last port, both included, first <= last.
struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;

    static Result<PortRange> parse(std::string_view text);  // "80" or "1024-65535"
    [[nodiscard]] constexpr std::uint32_t size() const { return std::uint32_t{last} - first + 1; }
    [[nodiscard]] constexpr bool contains(std::uint16_t port) const { return first <= port && port <= last; }
    [[nodiscard]] std::vector<PortPrefix> prefixes() const;  // the fewest that make it up, in order
    [[nodiscard]] std::string to_string() const;
    constexpr auto operator<=>(const PortRange&) const = default;
};

// In order, and joined where they overlap or touch: the same ports always give the same ranges.
std::vector<PortRange> joined(std::vector<PortRange> ranges);
// How many ports of `range` the joined ranges hold.
std::uint32_t count_within(const std::vector<PortRange>& ranges, const PortRange& range);

enum class Protocol : std::uint8_t { icmp = 1, tcp = 6, udp = 17 };  // IANA protocol numbers
Result<Protocol> parse_protocol(std::string_view text);              // "tcp", "udp", "icmp"
std::string_view to_string(Protocol protocol);

struct Endpoint {  // for ICMP the port is the query identifier
    Ipv4Address address;
    std::uint16_t port = 0;

    static Result<Endpoint> parse(std::string_view text);  // "10.0.1.12:80"
    [[nodiscard]] std::string to_string() const;
    constexpr auto operator<=>(const Endpoint&) const = default;
};

}  // namespace sallyport

template <>
struct std::hash<sallyport::Ipv4Address> {
    std::size_t operator()(const sallyport::Ipv4Address& address) const noexcept {
        return std::hash<std::uint32_t>{}(address.value());
    }
};

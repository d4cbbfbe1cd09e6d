// SPDX-License-Identifier: Apache-2.0
#include "core/host_name.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/address.h"

namespace sallyport {
namespace {

constexpr std::size_t name_most = 253;  // RFC 1035 section 2.3.4, without the root
constexpr std::size_t label_most = 63;

bool is_digit(char character) {
    return character >= '0' && character <= '9';
}

// The underscore is in no host name of RFC 1123, and in many that are in use.
bool is_label(std::string_view label) {
    const auto known = [](char character) {
        return is_digit(character) || (character >= 'a' && character <= 'z') || character == '-' ||
               character == '_';
    };
    return !label.empty() && label.size() <= label_most && label.front() != '-' && label.back() != '-' &&
           std::ranges::all_of(label, known);
}

bool is_dns_name(std::string_view name) {
    if (name.size() > name_most) return false;
    while (true) {
        const std::size_t dot = std::min(name.find('.'), name.size());
        if (!is_label(name.substr(0, dot))) return false;
        // What ends in a number is an address to a browser, in one of its many spellings.
        if (dot == name.size()) return !std::ranges::all_of(name, is_digit);
        name.remove_prefix(dot + 1);
    }
}

}  // namespace

Result<HostName> HostName::parse(std::string_view text) {
    if (text.starts_with('[') && text.ends_with(']')) {
        const std::string inside(text.substr(1, text.size() - 2));
        in6_addr address{};
        std::array<char, INET6_ADDRSTRLEN> canonical{};
        if (inet_pton(AF_INET6, inside.c_str(), &address) == 1 && inside.find('\0') == std::string::npos &&
            inet_ntop(AF_INET6, &address, canonical.data(), canonical.size()) != nullptr) {
            return HostName(fmt::format("[{}]", canonical.data()));
        }
        return failure(fmt::format("\"{}\" is no IPv6 address in brackets", text));
    }
    if (const auto address = Ipv4Address::parse(text)) return HostName(address->to_string());
    std::string name(text);
    std::ranges::transform(name, name.begin(), [](char character) {
        return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
    });
    if (!is_dns_name(name)) return failure(fmt::format("\"{}\" is no host name and no address", text));
    return HostName(std::move(name));
}

}  // namespace sallyport

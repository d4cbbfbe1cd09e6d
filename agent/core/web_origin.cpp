// SPDX-License-Identifier: Apache-2.0
#include "core/web_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "core/host_name.h"

namespace sallyport {
namespace {

std::string lower_case(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(), [](char character) {
        return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
    });
    return lower;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc{} || stop != end || port == 0) return std::nullopt;
    return port;
}

}  // namespace

Result<WebOrigin> WebOrigin::parse(std::string_view text) {
    if (text.find('*') != std::string_view::npos) {
        return failure(fmt::format("\"{}\" has a wildcard, and each origin has to be named", text));
    }
    if (text == "null") return failure("\"null\" is the origin of every page that has none of its own");
    const std::size_t colon = text.find("://");
    const std::string scheme = lower_case(text.substr(0, colon));
    if (colon == std::string_view::npos || (scheme != "http" && scheme != "https")) {
        return failure(fmt::format("\"{}\" begins with neither https:// nor http://", text));
    }
    std::string_view authority = text.substr(colon + 3);
    authority = authority.substr(0, authority.find('/'));
    // The colons of an IPv6 address stand in brackets.
    const std::size_t after_address = authority.starts_with('[') ? authority.find(']') : 0;
    const std::size_t port_at =
        after_address == std::string_view::npos ? after_address : authority.find(':', after_address);
    const Result<HostName> host = HostName::parse(authority.substr(0, port_at));
    if (!host) return failure(fmt::format("\"{}\" has no host that can be: {}", text, host.error().message));
    std::string written = fmt::format("{}://{}", scheme, host->to_string());
    if (port_at != std::string_view::npos) {
        const std::optional<std::uint16_t> port = parse_port(authority.substr(port_at + 1));
        if (!port) return failure(fmt::format("\"{}\" has a port that cannot be", text));
        if (*port != (scheme == "https" ? 443 : 80)) written += fmt::format(":{}", *port);
    }
    if (written != text) {
        return failure(fmt::format("\"{}\" is not how browsers write the origin {}", text, written));
    }
    return WebOrigin(std::move(written));
}

}  // namespace sallyport

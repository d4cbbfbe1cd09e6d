// SPDX-License-Identifier: Apache-2.0
#include "api/flow_filter.h"

#include <fmt/format.h>

#include <charconv>

namespace sallyport::api {

namespace {

constexpr std::uint64_t largest_limit = 1000000;

std::optional<EndpointFilter> parse_endpoint_filter(const std::string& text) {
    if (text.find('/') != std::string::npos) {
        const Result<Ipv4Prefix> prefix = Ipv4Prefix::parse(text);
        return prefix ? std::optional(EndpointFilter{*prefix, {}}) : std::nullopt;
    }
    if (text.find(':') != std::string::npos) {
        const Result<Endpoint> endpoint = Endpoint::parse(text);
        if (!endpoint) return std::nullopt;
        return EndpointFilter{Ipv4Prefix(endpoint->address, 32), endpoint->port};
    }
    const Result<Ipv4Address> address = Ipv4Address::parse(text);
    return address ? std::optional(EndpointFilter{Ipv4Prefix(*address, 32), {}}) : std::nullopt;
}

std::optional<bool> parse_flag(const std::string& text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_number(const std::string& text, std::uint64_t most) {
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || stopped != end || number > most) return std::nullopt;
    return number;
}

tl::expected<FlowFilter, std::string> FlowFilter::parse(const Request& request) {
    FlowFilter filter;
    std::string fault;
    const auto read = [&](const char* name, auto& into, const auto& parse, std::string_view expected) {
        const std::string* text = request.parameter(name);
        if (text == nullptr || !fault.empty()) return;
        if (auto value = parse(*text)) {
            into = *value;
        } else {
            fault = fmt::format("{}=\"{}\" cannot be read; expected: {}", name, *text, expected);
        }
    };
    constexpr std::string_view endpoint = "an address, a prefix or address:port";
    read("inside", filter.inside, parse_endpoint_filter, endpoint);
    read("external", filter.external, parse_endpoint_filter, endpoint);
    read("remote", filter.remote, parse_endpoint_filter, endpoint);
    read("protocol", filter.protocol, parse_protocol, "tcp, udp or icmp");
    read(
        "limit", filter.limit, [](const std::string& text) { return parse_number(text, largest_limit); },
        fmt::format("a number of at most {}", largest_limit));
    read("count", filter.count, parse_flag, "true or false");
    read("top", filter.top, parse_flag, "true or false");
    read("inner", filter.inner, parse_flag, "true or false");
    if (!fault.empty()) return tl::unexpected(fault);
    if (filter.count && filter.top) return tl::unexpected<std::string>("count and top exclude each other");
    if (filter.inner && (filter.external || filter.remote || filter.top))
        return tl::unexpected<std::string>(
            "a flow that stays inside has no external endpoint and no remote: with inner, only inside, "
            "protocol, limit and count are of use");
    return filter;
}

}  // namespace sallyport::api

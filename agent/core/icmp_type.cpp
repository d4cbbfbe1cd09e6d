// SPDX-License-Identifier: Apache-2.0
#include "core/icmp_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace sallyport {

namespace {

constexpr std::array<std::pair<std::uint8_t, std::string_view>, 15> names{{
    {0, "echo_reply"},
    {3, "destination_unreachable"},
    {4, "source_quench"},
    {5, "redirect"},
    {8, "echo_request"},
    {9, "router_advertisement"},
    {10, "router_solicitation"},
    {11, "time_exceeded"},
    {12, "parameter_problem"},
    {13, "timestamp_request"},
    {14, "timestamp_reply"},
    {17, "address_mask_request"},
    {18, "address_mask_reply"},
    {42, "extended_echo_request"},
    {43, "extended_echo_reply"},
}};

}  // namespace

Result<IcmpType> IcmpType::parse(std::string_view text) {
    for (const auto& [number, name] : names) {
        if (name == text) return IcmpType{number};
    }
    IcmpType type;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), type.number);
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
        return failure(fmt::format("\"{}\" is no ICMP type", text));
    return type;
}

std::string IcmpType::to_string() const {
    for (const auto& [known, name] : names) {
        if (known == number) return std::string(name);
    }
    return fmt::format("{}", number);
}

std::vector<std::string_view> icmp_type_names() {
    std::vector<std::string_view> result;
    result.reserve(names.size());
    for (const auto& [number, name] : names) result.push_back(name);
    return result;
}

}  // namespace sallyport

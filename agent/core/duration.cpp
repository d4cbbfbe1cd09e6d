// SPDX-License-Identifier: Apache-2.0
#include "core/duration.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

namespace sallyport {
namespace {

constexpr std::int64_t longest = std::int64_t{100} * 365 * 24 * 3600;

std::int64_t seconds_in(char unit) {
    switch (unit) {
        case 's':
            return 1;
        case 'm':
            return 60;
        case 'h':
            return 3600;
        case 'd':
            return 86400;
        default:
            return 0;
    }
}

}  // namespace

Result<std::chrono::seconds> parse_duration(std::string_view text) {
    const auto wrong = [text](std::string_view why) {
        return failure(fmt::format("\"{}\" is no duration: {}", text, why));
    };
    if (text.empty()) return wrong("it is empty");
    std::int64_t total = 0;
    std::int64_t last_unit = 0;
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    while (at != end) {
        std::uint32_t number = 0;
        const auto [stop, error] = std::from_chars(at, end, number);
        if (error == std::errc::result_out_of_range) return wrong("the number is too large");
        if (error != std::errc{}) return wrong("a whole number with a unit is wanted");
        if (stop == end) return wrong("the unit is missing (s, m, h or d)");
        const std::int64_t unit = seconds_in(*stop);
        if (unit == 0) return wrong("the unit must be s, m, h or d");
        if (last_unit != 0 && unit >= last_unit) return wrong("larger units come first, each of them once");
        last_unit = unit;
        total += unit * std::int64_t{number};
        if (total > longest) return wrong("it is longer than 100 years");
        at = stop + 1;
    }
    return std::chrono::seconds(total);
}

std::string format_duration(std::chrono::seconds duration) {
    return fmt::format("{}s", duration.count());
}

}  // namespace sallyport

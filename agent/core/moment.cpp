// SPDX-License-Identifier: Apache-2.0
#include "core/moment.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

namespace sallyport {

namespace {

using namespace std::chrono;

// The system's clock counts nanoseconds, and has no more years.
constexpr sys_seconds end_of_time = sys_days{year{2262} / January / 1};

bool is_digit(char character) {
    return std::isdigit(static_cast<unsigned char>(character)) != 0;
}

// Takes parts off the front of a text.
class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}

    // A number of exactly so many digits.
    std::optional<int> number(std::size_t digits) {
        int value = 0;
        if (text_.size() < digits || !std::all_of(text_.begin(), text_.begin() + digits, is_digit))
            return std::nullopt;
        std::from_chars(text_.data(), text_.data() + digits, value);
        text_.remove_prefix(digits);
        return value;
    }
    bool literal(std::string_view characters) {  // one of them
        if (text_.empty() || characters.find(text_.front()) == std::string_view::npos) return false;
        text_.remove_prefix(1);
        return true;
    }
    std::string_view digits() {
        const auto end = std::find_if_not(text_.begin(), text_.end(), is_digit);
        const auto taken = text_.substr(0, static_cast<std::size_t>(end - text_.begin()));
        text_.remove_prefix(taken.size());
        return taken;
    }
    [[nodiscard]] char next() const { return text_.empty() ? '\0' : text_.front(); }
    [[nodiscard]] bool at_end() const { return text_.empty(); }

  private:
    std::string_view text_;
};

Moment whole_second(system_clock::time_point second) {
    return {second, second + microseconds{999'999}};
}

std::optional<Moment> parse_unix_seconds(std::string_view text) {
    constexpr std::size_t most_digits = 10;
    if (text.empty() || text.size() > most_digits || !std::all_of(text.begin(), text.end(), is_digit))
        return std::nullopt;
    std::int64_t count = 0;
    std::from_chars(text.data(), text.data() + text.size(), count);
    if (seconds{count} >= end_of_time.time_since_epoch()) return std::nullopt;
    return whole_second(system_clock::time_point{seconds{count}});
}

std::optional<minutes> parse_offset(Reader& reader) {
    if (reader.literal("Zz")) return minutes{0};
    const int sign = reader.next() == '-' ? -1 : 1;
    if (!reader.literal("+-")) return std::nullopt;
    const auto hour = reader.number(2);
    if (!hour || *hour > 23 || !reader.literal(":")) return std::nullopt;
    const auto minute = reader.number(2);
    if (!minute || *minute > 59) return std::nullopt;
    return sign * (hours{*hour} + minutes{*minute});
}

std::optional<Moment> parse_rfc3339(std::string_view text) {
    Reader reader(text);
    const auto year_number = reader.number(4);
    if (!year_number || *year_number < 1970 || *year_number > 2261 || !reader.literal("-"))
        return std::nullopt;
    const auto month_number = reader.number(2);
    if (!month_number || !reader.literal("-")) return std::nullopt;
    const auto day_number = reader.number(2);
    if (!day_number || !reader.literal("Tt ")) return std::nullopt;
    const year_month_day date{year{*year_number}, month{static_cast<unsigned>(*month_number)},
                              day{static_cast<unsigned>(*day_number)}};
    const auto hour = reader.number(2);
    if (!hour || *hour > 23 || !reader.literal(":")) return std::nullopt;
    const auto minute = reader.number(2);
    if (!minute || *minute > 59 || !reader.literal(":")) return std::nullopt;
    const auto second = reader.number(2);
    if (!second || *second > 60 || !date.ok()) return std::nullopt;  // 60: a leap second

    std::optional<microseconds> fraction;
    if (reader.literal(".")) {
        std::string digits(reader.digits());
        if (digits.empty()) return std::nullopt;
        digits.resize(6, '0');
        int value = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
        fraction = microseconds{value};
    }
    const auto offset = parse_offset(reader);
    if (!offset || !reader.at_end()) return std::nullopt;
    const system_clock::time_point time =
        sys_days{date} + hours{*hour} + minutes{*minute} + seconds{*second} - *offset;
    if (time < system_clock::time_point{}) return std::nullopt;
    if (fraction) return Moment{time + *fraction, time + *fraction};
    return whole_second(time);
}

}  // namespace

Result<Moment> parse_moment(std::string_view text) {
    std::optional<Moment> moment = parse_unix_seconds(text);
    if (!moment) moment = parse_rfc3339(text);
    if (!moment) {
        return failure(fmt::format(
            "\"{}\" is no time: 2026-01-02T03:04:05Z or so is wanted, or seconds since 1970", text));
    }
    return *moment;
}

std::string format_moment(system_clock::time_point time) {
    const auto seconds_part = floor<seconds>(time);
    const auto micros = duration_cast<microseconds>(time - seconds_part).count();
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(system_clock::to_time_t(seconds_part)),
                       micros);
}

}  // namespace sallyport

// SPDX-License-Identifier: Apache-2.0
//
// Moments as people and logs write them: RFC 3339.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sallyport {

// What a text says of a moment: one that leaves out the fraction of a second means all of that second.
struct Moment {
    std::chrono::system_clock::time_point first;
    std::chrono::system_clock::time_point last;  // included
    bool operator==(const Moment&) const = default;
};

// "2026-01-02T03:04:05Z", "2026-01-02T04:04:05.678901+01:00", or UNIX seconds: "1767323045". From 1970 to
// 2261.
Result<Moment> parse_moment(std::string_view text);

// In UTC, to the microsecond: "2026-01-02T03:04:05.678901Z".
std::string format_moment(std::chrono::system_clock::time_point time);

}  // namespace sallyport

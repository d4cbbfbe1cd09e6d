// SPDX-License-Identifier: Apache-2.0
//
// Durations as people write them: whole numbers, each with a unit.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sallyport {

// "300s", "5m", "2h", "1d", and sums with the larger unit first: "2h4m". No sign, no fraction, no spaces;
// a number without a unit is refused. At most 100 years.
Result<std::chrono::seconds> parse_duration(std::string_view text);

// In seconds, as parse_duration() reads it: "7440s".
std::string format_duration(std::chrono::seconds duration);

}  // namespace sallyport

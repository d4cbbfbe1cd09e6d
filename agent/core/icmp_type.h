// SPDX-License-Identifier: Apache-2.0
//
// Types of ICMP messages, with the names that IANA's registry has for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace sallyport {

struct IcmpType {
    std::uint8_t number = 0;
    static Result<IcmpType> parse(std::string_view text);  // "8" or "echo_request"
    [[nodiscard]] std::string to_string() const;           // the name, where there is one
    constexpr auto operator<=>(const IcmpType&) const = default;
};

// All that have one, by number.
std::vector<std::string_view> icmp_type_names();

}  // namespace sallyport

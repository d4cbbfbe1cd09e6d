// SPDX-License-Identifier: Apache-2.0
//
// Addresses as tests write them. A text that is none ends the test program.
#pragma once

#include <string_view>

#include "core/address.h"

namespace sallyport::control {

inline Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}
inline Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}
// Of an address alone, with port 0.
inline Endpoint endpoint(std::string_view text) {
    if (const auto read = Endpoint::parse(text)) return *read;
    return Endpoint{address(text), 0};
}

}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
//
// The shortest timeouts that the RFCs allow.
#pragma once

#include <array>
#include <chrono>
#include <string_view>

#include "model/resources.h"

namespace sallyport::model {

// `absolute` holds even where the operator accepts non-conformant timeouts.
struct TimeoutFloor {
    std::string_view field;
    std::chrono::seconds Timeouts::*value;
    std::chrono::seconds floor;
    std::chrono::seconds absolute;
    std::string_view source;
};
inline constexpr std::array timeout_floors{
    TimeoutFloor{"udp", &Timeouts::udp, std::chrono::seconds(120), std::chrono::seconds(1), "RFC 4787 REQ-5"},
    TimeoutFloor{"tcp_established", &Timeouts::tcp_established, std::chrono::seconds(7440),
                 std::chrono::seconds(1), "RFC 5382 REQ-5"},
    TimeoutFloor{"tcp_opening", &Timeouts::tcp_opening, std::chrono::seconds(1), std::chrono::seconds(1),
                 "RFC 7857 section 2.1"},
    TimeoutFloor{"tcp_closing", &Timeouts::tcp_closing, std::chrono::seconds(240), std::chrono::seconds(1),
                 "RFC 5382 REQ-5"},
    TimeoutFloor{"tcp_reset", &Timeouts::tcp_reset, std::chrono::seconds(240), std::chrono::seconds(10),
                 "RFC 7857 section 2.2"},
    TimeoutFloor{"icmp", &Timeouts::icmp, std::chrono::seconds(60), std::chrono::seconds(1),
                 "RFC 5508 REQ-2"},
};

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
#include "core/pin_name.h"

#include <fmt/format.h>

namespace sallyport {

std::string pin_name(std::string_view device) {
    std::string name;
    for (const char c : device) {
        if (c == '.' || c == '%') {
            name += fmt::format("%{:02x}", static_cast<unsigned char>(c));
        } else {
            name += c;
        }
    }
    return name;
}

std::string device_of_pin(std::string_view pin) {
    std::string name;
    for (std::size_t i = 0; i < pin.size(); ++i) {
        if (pin[i] == '%' && i + 2 < pin.size()) {
            name += pin.substr(i + 1, 2) == "2e" ? '.' : '%';
            i += 2;
        } else {
            name += pin[i];
        }
    }
    return name;
}

}  // namespace sallyport

// SPDX-License-Identifier: Apache-2.0
//
// Names of pins. A BPF file system takes no dots in names, and VLAN devices have them.
#pragma once

#include <string>
#include <string_view>

namespace sallyport {

std::string pin_name(std::string_view device);
std::string device_of_pin(std::string_view pin);

}  // namespace sallyport

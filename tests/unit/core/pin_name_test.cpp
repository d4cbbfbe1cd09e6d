// SPDX-License-Identifier: Apache-2.0
#include "core/pin_name.h"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

TEST(PinName, HasNoDotAndLeadsBackToTheDevice) {
    for (const char* device : {"lan0", "eth0.100", "50%", "a%2eb.", "."}) {
        const std::string pin = pin_name(device);
        EXPECT_EQ(pin.find('.'), std::string::npos) << device;
        EXPECT_EQ(device_of_pin(pin), device);
    }
    EXPECT_EQ(pin_name("eth0.100"), "eth0%2e100");
}

}  // namespace
}  // namespace sallyport

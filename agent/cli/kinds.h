// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace sallyport::cli {

// A kind of resource as `get` offers it, and the fields that a list of that kind shows as columns. One
// object alone is shown with all its fields.
struct Kind {
    std::string_view name;
    std::vector<std::string_view> columns;
};

std::span<const Kind> kinds();

}  // namespace sallyport::cli

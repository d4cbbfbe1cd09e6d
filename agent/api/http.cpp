// SPDX-License-Identifier: Apache-2.0
#include "api/http.h"

#include <algorithm>

namespace sallyport::api {

const std::string* Request::parameter(std::string_view name) const {
    for (const auto& [key, value] : query) {
        if (key == name) return &value;
    }
    return nullptr;
}

const std::string* Request::header(std::string_view name) const {
    const std::string* found = nullptr;
    for (const auto& [key, value] : headers) {
        if (key != name) continue;
        if (found != nullptr) return nullptr;
        found = &value;
    }
    return found;
}

bool Request::has_header(std::string_view name) const {
    return std::ranges::any_of(headers, [name](const auto& header) { return header.first == name; });
}

}  // namespace sallyport::api

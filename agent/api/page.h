// SPDX-License-Identifier: Apache-2.0
//
// A long list, one page at a time: the parameters `limit` and `after`. Where a page ends is told by what it
// ends with and not by a position, so that what comes or goes meanwhile shifts nothing: no element is shown
// twice, and none is missed that was there all the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "api/http.h"

namespace sallyport::api {

struct Page {
    static constexpr std::size_t largest = 10000;

    std::optional<std::size_t> limit;  // none: as many as there are
    std::optional<std::string> after;  // what the page before ended with

    // Otherwise the problem to answer with.
    static tl::expected<Page, Response> parse(const Request& request);
    [[nodiscard]] bool is_whole() const { return !limit && !after; }
};

// The answer to a request that asked for a page, with where the next one begins: as `next` of the body and as
// header Link (RFC 8288). `last` is what this page ends with; none: nothing comes after it.
Response page_response(const Request& request, nlohmann::json body, const std::optional<std::string>& last);

// 400, about one parameter.
Response wrong_parameter(const Request& request, const std::string& name, const std::string& expected);

}  // namespace sallyport::api

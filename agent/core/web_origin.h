// SPDX-License-Identifier: Apache-2.0
//
// Where a web page comes from, as browsers write it in the header Origin (the HTML standard's "serialization
// of an origin"): scheme, host, and the port unless it is the scheme's own.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sallyport {

class WebOrigin {
  public:
    WebOrigin() = default;
    // Only what a browser could send, so that comparing texts compares origins. Neither "*" nor "null": the
    // first is no origin, and the second is that of every page that has none.
    static Result<WebOrigin> parse(std::string_view text);

    [[nodiscard]] const std::string& to_string() const { return text_; }

    auto operator<=>(const WebOrigin&) const = default;

  private:
    explicit WebOrigin(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

}  // namespace sallyport

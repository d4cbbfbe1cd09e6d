// SPDX-License-Identifier: Apache-2.0
//
// The host of a URL or of the header Host, as a value: a DNS name, an IPv4 address or an IPv6 address in
// brackets. Equal hosts are equal as text: names are in lower case, addresses in their one canonical form.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sallyport {

class HostName {
  public:
    HostName() = default;
    // Without a port. Names in other than ASCII are taken only as they go over the wire ("xn--…").
    static Result<HostName> parse(std::string_view text);

    [[nodiscard]] const std::string& to_string() const { return text_; }

    auto operator<=>(const HostName&) const = default;

  private:
    explicit HostName(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

}  // namespace sallyport

// SPDX-License-Identifier: Apache-2.0
//
// Base64 of RFC 4648 section 4, for bytes that travel in JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sallyport {

std::string encode_base64(std::string_view bytes);
// Nothing where the text is not what encode_base64() gives.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace sallyport

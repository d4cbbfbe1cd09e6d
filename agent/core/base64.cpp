// SPDX-License-Identifier: Apache-2.0
#include "core/base64.h"

#include <cstdint>

namespace sallyport {
namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t group_bytes = 3;
constexpr std::size_t group_digits = 4;

std::uint32_t byte_at(std::string_view bytes, std::size_t position) {
    return position < bytes.size() ? static_cast<unsigned char>(bytes[position]) : 0;
}

}  // namespace

std::string encode_base64(std::string_view bytes) {
    std::string text;
    text.reserve((bytes.size() + group_bytes - 1) / group_bytes * group_digits);
    for (std::size_t i = 0; i < bytes.size(); i += group_bytes) {
        const std::uint32_t group =
            byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 | byte_at(bytes, i + 2);
        text += digits[group >> 18];
        text += digits[group >> 12 & 63];
        text += i + 1 < bytes.size() ? digits[group >> 6 & 63] : '=';
        text += i + 2 < bytes.size() ? digits[group & 63] : '=';
    }
    return text;
}

std::optional<std::string> decode_base64(std::string_view text) {
    if (text.size() % group_digits != 0) return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
    std::string bytes;
    bytes.reserve(text.size() / group_digits * group_bytes);
    for (std::size_t i = 0; i < text.size(); i += group_digits) {
        std::uint32_t group = 0;
        for (std::size_t k = i; k < i + group_digits; ++k) {
            const std::size_t digit = k < text.size() - padding ? digits.find(text[k]) : 0;
            if (digit == std::string_view::npos) return std::nullopt;
            group = group << 6 | static_cast<std::uint32_t>(digit);
        }
        for (const unsigned shift : {16U, 8U, 0U}) bytes += static_cast<char>(group >> shift & 0xff);
    }
    bytes.resize(bytes.size() - padding);
    if (encode_base64(bytes) != text) return std::nullopt;  // bits that must be zero are not
    return bytes;
}

}  // namespace sallyport

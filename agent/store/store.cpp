// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <array>
#include <utility>

namespace sallyport::store {

namespace {
constexpr std::array<std::pair<Source, std::string_view>, 4> words{{
    {Source::file, "file"},
    {Source::apply, "apply"},
    {Source::reload, "reload"},
    {Source::api, "api"},
}};
}  // namespace

std::string_view to_string(Source source) {
    for (const auto& [value, word] : words) {
        if (value == source) return word;
    }
    return "";
}

std::optional<Source> parse_source(std::string_view text) {
    for (const auto& [value, word] : words) {
        if (word == text) return value;
    }
    return std::nullopt;
}

}  // namespace sallyport::store

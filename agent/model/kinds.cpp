// SPDX-License-Identifier: Apache-2.0
#include "model/kinds.h"

#include <algorithm>

namespace sallyport::model {
namespace {

struct Words {
    std::string_view name;
    std::string_view word;
    std::string_view help;
};

constexpr std::array words{
#define X(name, Type, word, help) Words{#name, word, help},
    SALLYPORT_KINDS(X)
#undef X
};

const Words& words_for(Kind kind) {
    return words.at(static_cast<std::size_t>(kind));
}

bool is_letter_or_digit(char character) {
    return (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9');
}

}  // namespace

std::string_view to_string(Kind kind) {
    return words_for(kind).name;
}

std::string_view word_for(Kind kind) {
    return words_for(kind).word;
}

std::string with_article(Kind kind) {
    const std::string_view word = word_for(kind);
    const bool vowel = std::string_view("aeiouAEIOU").find(word.front()) != std::string_view::npos;
    return std::string(vowel ? "an " : "a ").append(word);
}

std::string_view help_for(Kind kind) {
    return words_for(kind).help;
}

std::optional<Kind> parse_kind(std::string_view text) {
    for (const Kind kind : all_kinds) {
        if (to_string(kind) == text) return kind;
    }
    return std::nullopt;
}

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
           std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-'; });
}

}  // namespace sallyport::model

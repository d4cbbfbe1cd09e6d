// SPDX-License-Identifier: Apache-2.0
#include "api/bearer_tokens.h"

#include <fmt/format.h>
#include <gnutls/gnutls.h>

#include <algorithm>

#include "core/file.h"
#include "store/store.h"

namespace sallyport::api {

namespace {

constexpr std::size_t hash_digits = 64;
constexpr std::size_t name_most = 64;

char lower(char character) {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

// Names stand in the history and in the journal.
bool is_token_name(std::string_view text) {
    const auto known = [](char character) {
        const char low = lower(character);
        return (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9') || low == '-' || low == '_' ||
               low == '.' || low == '@';
    };
    return !text.empty() && text.size() <= name_most && std::ranges::all_of(text, known);
}

bool is_hash(std::string_view text) {
    return text.size() == hash_digits && std::ranges::all_of(text, [](char digit) {
               return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
           });
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r";
    const std::size_t begin = std::min(text.find_first_not_of(blank), text.size());
    text.remove_prefix(begin);
    return text.substr(0, text.find_last_not_of(blank) + 1);
}

}  // namespace

Result<BearerTokens> BearerTokens::parse(std::string_view text, const std::string& file_name) {
    BearerTokens tokens;
    for (int number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.front() == '#') continue;
        const std::size_t colon = std::min(line.find(':'), line.size());
        Token token{std::string(line.substr(0, colon)),
                    std::string(line.substr(std::min(colon + 1, line.size())))};
        std::ranges::transform(token.hash, token.hash.begin(), lower);
        // What stands there may be a token that somebody forgot to hash: it is not repeated in a message.
        if (!is_token_name(token.name) || !is_hash(token.hash)) {
            return failure(fmt::format(
                "{}:{}: expected NAME:HASH, a name of A-Z, a-z, 0-9, \"-\", \"_\", \".\" and \"@\" and the "
                "SHA-256 of its token in {} hexadecimal digits",
                file_name, number, hash_digits));
        }
        const auto same = std::ranges::find(tokens.tokens_, token.hash, &Token::hash);
        if (same != tokens.tokens_.end()) {
            return failure(fmt::format("{}:{}: {} and {} have the same token; expected one for each",
                                       file_name, number, same->name, token.name));
        }
        tokens.tokens_.push_back(std::move(token));
    }
    return tokens;
}

Result<BearerTokens> BearerTokens::load(const std::string& path) {
    const Result<std::string> text = read_secret_file(path);
    if (!text) return tl::unexpected(text.error());
    return parse(*text, path);
}

std::optional<std::string> BearerTokens::name_of(std::string_view token) const {
    const std::string hash = store::digest(token);
    const Token* found = nullptr;
    for (const Token& known : tokens_) {
        if (gnutls_memcmp(known.hash.data(), hash.data(), hash_digits) == 0) found = &known;
    }
    if (found == nullptr) return std::nullopt;
    return found->name;
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
    constexpr std::string_view scheme = "bearer ";
    if (authorization.size() < scheme.size() ||
        !std::ranges::equal(authorization.substr(0, scheme.size()), scheme, {}, lower)) {
        return std::nullopt;
    }
    return trimmed(authorization.substr(scheme.size()));
}

}  // namespace sallyport::api

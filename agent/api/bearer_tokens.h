// SPDX-License-Identifier: Apache-2.0
//
// Who may use the API over the network (RFC 6750). Only hashes of tokens are known here: who reads the file
// of tokens learns none.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace sallyport::api {

class BearerTokens {
  public:
    BearerTokens() = default;

    // Lines "NAME:HASH"; the hash is the SHA-256 of the token in hexadecimal. Empty lines and such that begin
    // with "#" say nothing. A name may have several tokens: so one follows the other without a gap.
    // `file_name` is only for messages.
    static Result<BearerTokens> parse(std::string_view text, const std::string& file_name);
    static Result<BearerTokens> load(const std::string& path);  // which must be closed to others

    // Whose token it is. How long it takes to find out depends on the number of tokens and on nothing else.
    [[nodiscard]] std::optional<std::string> name_of(std::string_view token) const;
    [[nodiscard]] std::size_t size() const { return tokens_.size(); }

  private:
    struct Token {
        std::string name;
        std::string hash;  // in lower case
    };
    std::vector<Token> tokens_;
};

// The token of a header Authorization: what stands behind "Bearer "; nothing: another scheme.
std::optional<std::string_view> bearer_token(std::string_view authorization);

}  // namespace sallyport::api

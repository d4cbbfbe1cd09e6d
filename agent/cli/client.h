// SPDX-License-Identifier: Apache-2.0
//
// The agent's API from the client's side: HTTP over its Unix socket. libcurl is seen nowhere else.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/problem.h"

namespace sallyport::cli {

// Names and values, not encoded yet.
using Query = std::vector<std::pair<std::string, std::string>>;

class Client {
  public:
    // Nothing is opened before the first request.
    explicit Client(std::string socket_path) : socket_path_(std::move(socket_path)) {}

    // `path` is made with path_of(). Blocks until the answer is complete, at most `patience`.
    [[nodiscard]] Outcome get(const std::string& path, const Query& query = {},
                              std::chrono::seconds patience = default_patience) const;
    [[nodiscard]] Outcome post(const std::string& path, const Json& body) const;
    // Posts with a key of its own (Idempotency-Key), so that it is sent again when the connection breaks and
    // nobody knows whether it was done.
    [[nodiscard]] Outcome post_once(const std::string& path, const Json& body) const;
    [[nodiscard]] Outcome patch(const std::string& path, const Json& body) const;
    [[nodiscard]] Outcome remove(const std::string& path) const;  // DELETE; the answer is an empty object

  private:
    static constexpr std::chrono::seconds default_patience{60};

    struct Request {
        const char* method = "GET";
        std::string target;
        std::optional<std::string> body = {};
        std::string idempotency_key = {};
        std::chrono::seconds patience = default_patience;
    };
    struct Answer;
    [[nodiscard]] Answer perform(const Request& request) const;
    [[nodiscard]] Outcome outcome_of(const Answer& answer, std::chrono::seconds patience) const;
    [[nodiscard]] Outcome send(const Request& request) const;

    std::string socket_path_;
};

// "/v1/vpcs/main" of {"vpcs", "main"}, each part encoded.
std::string path_of(std::initializer_list<std::string_view> parts);
// The path with the query behind it, encoded.
std::string with_query(std::string path, const Query& query);

}  // namespace sallyport::cli

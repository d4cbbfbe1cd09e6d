// SPDX-License-Identifier: Apache-2.0
//
// The agent's API from the client's side: HTTP over its Unix socket. libcurl is seen nowhere else.
#pragma once

#include <chrono>
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

  private:
    static constexpr std::chrono::seconds default_patience{60};

    [[nodiscard]] Outcome request(const std::string& target, const std::string* body,
                                  std::chrono::seconds patience) const;

    std::string socket_path_;
};

// "/v1/vpcs/main" of {"vpcs", "main"}, each part encoded.
std::string path_of(std::initializer_list<std::string_view> parts);

}  // namespace sallyport::cli

// SPDX-License-Identifier: Apache-2.0
//
// The agent's API from the client's side: HTTP over its Unix socket, or over TCP. libcurl is seen nowhere
// else.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/problem.h"

namespace sallyport::cli {

// Names and values, not encoded yet.
using Query = std::vector<std::pair<std::string, std::string>>;

// Where the agent listens.
struct Server {
    std::string socket_path = {};
    std::string url = {};      // of its listener on TCP, which then counts instead of the socket
    std::string token = {};    // for that; empty: none
    std::string ca_file = {};  // whom to trust there; empty: whom the system trusts
    [[nodiscard]] bool is_remote() const { return !url.empty(); }
    [[nodiscard]] const std::string& place() const { return is_remote() ? url : socket_path; }
};

// What is wrong with the URL of a listener; empty: nothing.
std::string fault_of_url(const std::string& url);

// An answer with what its head says.
struct Reply {
    Json body = {};
    std::string entity_tag = {};  // of one object, with its quotes
    std::uint64_t revision = 0;   // the newest one when this was answered; 0: not said
    bool is_unchanged = false;    // since the revision or the tag that was asked about; without body
};

class Client {
  public:
    // Nothing is opened before the first request.
    explicit Client(Server server) : server_(std::move(server)) {}

    [[nodiscard]] const Server& server() const { return server_; }

    // `path` is made with path_of(). Blocks until the answer is complete, at most `patience`.
    [[nodiscard]] Outcome get(const std::string& path, const Query& query = {},
                              std::chrono::seconds patience = default_patience) const;
    [[nodiscard]] tl::expected<Reply, Problem> read(const std::string& path, const Query& query = {},
                                                    std::chrono::seconds patience = default_patience) const;
    // Whether the newest revision is in force on all devices: {"ready": true}, or the problem says why not.
    [[nodiscard]] Outcome ready() const;
    // With a key (Idempotency-Key) it is sent again when the connection breaks and nobody knows whether it
    // was done.
    [[nodiscard]] Outcome post(const std::string& path, const Json& body, const std::string& key = {}) const;
    // These change one object; with a tag, only while it has that one (If-Match). The answer to remove() is
    // an empty object.
    [[nodiscard]] Outcome put(const std::string& path, const Json& body, const std::string& tag = {}) const;
    [[nodiscard]] Outcome patch(const std::string& path, const Json& body, const std::string& tag = {}) const;
    [[nodiscard]] Outcome remove(const std::string& path, const std::string& tag = {}) const;

  private:
    static constexpr std::chrono::seconds default_patience{60};

    struct Request {
        const char* method = "GET";
        std::string target;
        std::optional<std::string> body = {};
        std::string idempotency_key = {};
        std::string if_match = {};
        std::chrono::seconds patience = default_patience;
    };
    struct Answer;
    [[nodiscard]] Answer perform(const Request& request) const;
    [[nodiscard]] tl::expected<Reply, Problem> reply_of(const Answer& answer,
                                                        std::chrono::seconds patience) const;
    [[nodiscard]] Outcome outcome_of(const Answer& answer, std::chrono::seconds patience) const;
    [[nodiscard]] tl::unexpected<Problem> not_reached(const Answer& answer,
                                                      std::chrono::seconds patience) const;
    [[nodiscard]] Outcome send(const Request& request) const;

    Server server_;
};

// A key that nobody else has.
std::string random_key();

// "/v1/vpcs/main" of {"vpcs", "main"}, each part encoded.
std::string path_of(std::initializer_list<std::string_view> parts);
// The path with the query behind it, encoded.
std::string with_query(std::string path, const Query& query);

}  // namespace sallyport::cli

// SPDX-License-Identifier: Apache-2.0
//
// From a request to its handler, by one table of routes. What can be refused by looking at the head of a
// request is refused here, so that handlers meet only requests that they can answer.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"
#include "api/lanes.h"

namespace sallyport::api {

// Commands change state, queries read it. The two share neither code (docs/api.md) nor a thread: of a query
// that waits for events, which the thread of commands collects, `query_in_turn` says that it takes its turn
// among them.
enum class Purpose { query, query_in_turn, command };

// A request with what its path says.
struct Call {
    const Request& request;
    std::vector<std::string> parts;  // what stands for {…} in the pattern, in order
};

// What a request of a route brings.
enum class Body {
    nothing,
    document,             // the text of a configuration
    document_to_confirm,  // which may be rolled back by itself
    revision,             // the number of one, or nothing
    timeout,              // how long it may take, or nothing
    object,
    merge_patch,  // of an object
};

// A route for people, and for programs that read of it first: openapi.h.
struct Words {
    std::string_view summary = {};  // {} stands for what one object of the kind is called
    Body body = Body::nothing;
    unsigned success = 200;
    std::string_view answer = {};  // media type, if it is not JSON
    bool repeatable = false;       // it may carry an Idempotency-Key
};

struct Route {
    std::string_view method;   // "GET" (which serves HEAD as well), "POST", "PUT", "PATCH" or "DELETE"
    std::string_view pattern;  // "/v1/{kind}/{name}"; the first route that fits is taken
    Purpose purpose = Purpose::query;
    std::vector<std::string_view> parameters;  // of the query; others are refused
    std::function<void(const Call&, Respond)> handle;
    Words words = {};
};

// Whether this peer may use the API.
using Admission = std::function<bool(const std::optional<Peer>&)>;

class Router final : public RequestHandler {
  public:
    // `revision` gives what the header Sallyport-Revision says where a handler has not set it; it is asked in
    // any of the lanes.
    Router(std::vector<Route> routes, Admission admit, std::function<std::string()> revision, Lanes lanes);

    // These are called where answers are sent, and so is `respond`.
    std::optional<Response> refuse(const Request& head) override;
    void handle(Request request, Respond respond) override;
    Response body_too_large(const Request& head) override;
    Response too_busy(const Request& head) override;

    // For Allow and its like: "GET, HEAD"; empty: there is nothing at this path.
    [[nodiscard]] std::string methods_for(const std::string& path) const;

  private:
    struct Match {
        const Route* route = nullptr;
        std::vector<std::string> parts;
    };
    [[nodiscard]] std::optional<std::string_view> pattern_for(const std::string& path) const;
    [[nodiscard]] std::optional<Match> find(const Request& request) const;
    [[nodiscard]] Response stamped(Response response) const;

    std::vector<Route> routes_;
    Admission admit_;
    std::function<std::string()> revision_;
    Lanes lanes_;
};

// Root, the agent's own user and members of `group` may.
Admission admit_peers(std::optional<gid_t> group);

}  // namespace sallyport::api

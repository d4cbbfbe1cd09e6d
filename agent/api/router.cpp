// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "api/problem.h"

namespace sallyport::api {

namespace {

std::vector<std::string_view> split(std::string_view path) {
    std::vector<std::string_view> parts;
    while (!path.empty() && path.front() == '/') {
        path.remove_prefix(1);
        const std::size_t end = std::min(path.find('/'), path.size());
        parts.push_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    return parts;
}

// What stands for the {…} of the pattern, if the path fits it.
std::optional<std::vector<std::string>> fit(std::string_view pattern, std::string_view path) {
    const std::vector<std::string_view> wanted = split(pattern);
    const std::vector<std::string_view> given = split(path);
    if (path.empty() || path.front() != '/' || wanted.size() != given.size()) return std::nullopt;
    std::vector<std::string> values;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i].starts_with('{')) {
            if (given[i].empty()) return std::nullopt;
            values.emplace_back(given[i]);
        } else if (wanted[i] != given[i]) {
            return std::nullopt;
        }
    }
    return values;
}

// What a body may be. A merge patch is JSON too, and many clients say no more than that.
std::vector<std::string_view> body_types(std::string_view method) {
    if (method == "POST" || method == "PUT") return {"application/json"};
    if (method == "PATCH") return {"application/merge-patch+json", "application/json"};
    return {};
}

std::string_view effective_method(const Request& request) {
    return request.method == "HEAD" ? std::string_view("GET") : std::string_view(request.method);
}

}  // namespace

Router::Router(std::vector<Route> routes, Admission admit, std::function<std::string()> revision, Lanes lanes)
    : routes_(std::move(routes)), admit_(std::move(admit)), revision_(std::move(revision)), lanes_(lanes) {
}

// The first pattern that fits decides: "/v1/apply" is never taken for an object's kind, whatever the method.
std::optional<std::string_view> Router::pattern_for(const std::string& path) const {
    for (const Route& route : routes_) {
        if (fit(route.pattern, path)) return route.pattern;
    }
    return std::nullopt;
}

std::optional<Router::Match> Router::find(const Request& request) const {
    const std::optional<std::string_view> pattern = pattern_for(request.path);
    for (const Route& route : routes_) {
        if (route.pattern == pattern && route.method == effective_method(request)) {
            return Match{&route, *fit(route.pattern, request.path)};
        }
    }
    return std::nullopt;
}

std::string Router::methods_for(const std::string& path) const {
    const std::optional<std::string_view> pattern = pattern_for(path);
    std::string methods;
    for (const Route& route : routes_) {
        if (route.pattern != pattern) continue;
        if (!methods.empty()) methods += ", ";
        methods += route.method == "GET" ? "GET, HEAD" : route.method;
    }
    return methods;
}

Response Router::stamped(Response response) const {
    const auto is_stamp = [](const auto& header) { return header.first == revision_header; };
    if (std::ranges::none_of(response.headers, is_stamp))
        response.headers.emplace_back(revision_header, revision_());
    return response;
}

std::optional<Response> Router::refuse(const Request& head) {
    const auto no = [this](unsigned status, const std::string& detail) {
        return stamped(problem(status, detail));
    };
    if (!admit_(head.peer)) {
        return no(403, "only root and members of the group sallyport may use this socket");
    }
    const std::optional<Match> match = find(head);
    if (!match) {
        const std::string methods = methods_for(head.path);
        if (methods.empty()) return no(404, fmt::format("there is nothing at {}", head.path));
        Response response =
            no(405, fmt::format("{} cannot be done to {}; allowed: {}", head.method, head.path, methods));
        response.headers.emplace_back("Allow", methods);
        return response;
    }
    for (const auto& [name, value] : head.query) {
        const auto& known = match->route->parameters;
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            return no(400,
                      known.empty()
                          ? fmt::format("unknown parameter \"{}\": {} takes none", name, head.path)
                          : fmt::format("unknown parameter \"{}\"; known: {}", name, fmt::join(known, ", ")));
        }
        if (std::count_if(head.query.begin(), head.query.end(),
                          [&name = name](const auto& other) { return other.first == name; }) > 1) {
            return no(400, fmt::format("the parameter \"{}\" is given more than once", name));
        }
    }
    const std::vector<std::string_view> types = body_types(match->route->method);
    if (!types.empty() && !head.content_type.empty() &&
        std::find(types.begin(), types.end(), head.content_type) == types.end()) {
        return no(415, fmt::format("the content type is {}; expected: {}", head.content_type,
                                   fmt::join(types, " or ")));
    }
    return std::nullopt;
}

void Router::handle(Request request, Respond respond) {
    const std::optional<Match> match = find(request);
    if (!match) {  // refuse() lets no such request through
        respond(stamped(problem(404, "there is nothing here")));
        return;
    }
    if (!request.body.empty() && request.content_type.empty()) {
        respond(
            stamped(problem(415, "the request has a body and no content type; expected: application/json")));
        return;
    }
    const Route& route = *match->route;
    const std::string* key = route.words.repeatable ? request.header("idempotency-key") : nullptr;
    if (key != nullptr) {
        if (!lanes_.running.begin(*key)) {
            Response response = stamped(problem(
                409,
                fmt::format("a request with the Idempotency-Key \"{}\" is still being carried out", *key)));
            response.headers.emplace_back("Retry-After", "1");
            respond(std::move(response));
            return;
        }
        respond = [this, key = *key, respond = std::move(respond)](Response response) {
            lanes_.running.end(key);
            respond(std::move(response));
        };
    }
    // Stamped where it was made: by the time that it is sent another revision may be there.
    Respond answer = [this, respond = std::move(respond)](Response response) {
        lanes_.answers.post(
            [respond, response = stamped(std::move(response))]() mutable { respond(std::move(response)); });
    };
    Executor& lane = route.purpose == Purpose::query ? lanes_.queries : lanes_.commands;
    lane.post([&route, request = std::move(request), parts = match->parts, answer = std::move(answer)] {
        route.handle(Call{request, parts}, answer);
    });
}

Response Router::body_too_large(const Request&) {
    return stamped(problem(413, "the body is larger than 16 MiB"));
}

Response Router::too_busy(const Request&) {
    Response response = stamped(problem(503, "too many large requests are coming in; try again"));
    response.headers.emplace_back("Retry-After", "1");
    return response;
}

Admission admit_peers(std::optional<gid_t> group) {
    return [group](const std::optional<Peer>& peer) {
        if (!peer) return false;
        if (peer->uid == 0 || peer->uid == geteuid()) return true;
        if (!group) return false;
        return peer->gid == *group ||
               std::find(peer->groups.begin(), peer->groups.end(), *group) != peer->groups.end();
    };
}

}  // namespace sallyport::api

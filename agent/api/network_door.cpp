// SPDX-License-Identifier: Apache-2.0
#include "api/network_door.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "api/problem.h"

namespace sallyport::api {

namespace {

Response with(Response response, Headers headers) {
    std::ranges::move(headers, std::back_inserter(response.headers));
    return response;
}

Response unauthorized(Unknown why) {
    // RFC 6750 section 3.1: a request without a token is told no error, only what is needed.
    const bool wrong = why == Unknown::wrong_token;
    return with(problem(401, wrong ? "the token is not known" : "a bearer token is needed"),
                {{"WWW-Authenticate", wrong ? "Bearer error=\"invalid_token\"" : "Bearer"}});
}

}  // namespace

// The order is part of it: nobody is asked for a token by a page or under a name that is not to be trusted
// with one, and a preflight has none.
std::optional<Response> NetworkDoor::judge(const Request& head) const {
    switch (judge_host(*policy_, head)) {
        case HostVerdict::ours:
            break;
        case HostVerdict::missing:
            return problem(400, "the header Host is missing");
        case HostVerdict::malformed:
            return problem(400, "the header Host is not one host with or without a port");
        case HostVerdict::foreign:
            return problem(421, fmt::format("this is not {}: a name of the gateway has to be one of "
                                            "api.allowed_hosts in its configuration",
                                            *head.header("host")));
    }
    const bool foreign = judge_origin(*policy_, head) == OriginVerdict::foreign;
    if (foreign && (is_preflight(head) || !is_safe(head))) {
        return problem(403,
                       "pages of this origin may not use the API: it is not one of "
                       "api.cors.allowed_origins in the configuration of the gateway");
    }
    if (is_preflight(head)) return answer_preflight(head);
    const auto who = identify(*policy_, head);
    if (!who) return unauthorized(who.error());
    return std::nullopt;
}

Response NetworkDoor::answer_preflight(const Request& head) const {
    const std::string methods = router_.methods_for(head.path);
    if (methods.empty()) return problem(404, fmt::format("there is nothing at {}", head.path));
    return {204, {}, {}, preflight_headers(head, methods)};
}

std::optional<Response> NetworkDoor::refuse(const Request& head) {
    std::optional<Response> refusal = judge(head);
    if (!refusal) refusal = router_.refuse(head);
    if (refusal) refusal = with(*std::move(refusal), cors_headers(*policy_, head));
    return refusal;
}

void NetworkDoor::handle(Request request, Respond respond) {
    Headers headers = cors_headers(*policy_, request);
    Respond answer = [headers = std::move(headers), respond = std::move(respond)](Response response) {
        respond(with(std::move(response), headers));
    };
    // Once more: a body may take long, and the token may have been taken away meanwhile.
    if (std::optional<Response> refusal = judge(request)) {
        answer(*std::move(refusal));
        return;
    }
    request.actor = *identify(*policy_, request);
    router_.handle(std::move(request), std::move(answer));
}

Response NetworkDoor::body_too_large(const Request& head) {
    return with(router_.body_too_large(head), cors_headers(*policy_, head));
}

Response NetworkDoor::too_busy(const Request& head) {
    return with(router_.too_busy(head), cors_headers(*policy_, head));
}

}  // namespace sallyport::api

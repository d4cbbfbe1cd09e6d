// SPDX-License-Identifier: Apache-2.0
#include "api/network_policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/api_settings.h"

namespace sallyport::api {

namespace {

// How long a browser may keep the answer to a preflight, in seconds; each keeps its own upper bound.
constexpr std::string_view preflight_max_age = "600";
constexpr std::string_view allowed_headers =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match";
constexpr std::string_view exposed_headers = "Sallyport-Revision, ETag, Link, Location, Idempotency-Replayed";

// The host of "HOST[:PORT]" (RFC 9110 section 7.2). The port says nothing about who asks: behind a tunnel it
// is another one.
std::optional<HostName> host_of(std::string_view header) {
    const std::size_t address_end = header.starts_with('[') ? header.find(']') : 0;
    if (address_end == std::string_view::npos) return std::nullopt;
    const std::size_t colon = std::min(header.find(':', address_end), header.size());
    const std::string_view port = header.substr(std::min(colon + 1, header.size()));
    if (!std::ranges::all_of(port, [](char digit) { return digit >= '0' && digit <= '9'; }))
        return std::nullopt;
    const Result<HostName> host = HostName::parse(header.substr(0, colon));
    if (!host) return std::nullopt;
    return *host;
}

// What every host calls itself: so says who comes through a tunnel.
bool is_local(const std::string& host) {
    const Result<Ipv4Address> address = Ipv4Address::parse(host);
    return host == "localhost" || host == "[::1]" || (address && config::is_loopback(*address));
}

const WebOrigin* allowed_origin(const NetworkPolicy& policy, const Request& request) {
    const std::string* origin = request.header("origin");
    if (origin == nullptr) return nullptr;
    const auto found = std::ranges::find(policy.allowed_origins, *origin, &WebOrigin::to_string);
    return found == policy.allowed_origins.end() ? nullptr : &*found;
}

}  // namespace

HostVerdict judge_host(const NetworkPolicy& policy, const Request& request) {
    if (!request.has_header("host")) return HostVerdict::missing;
    const std::string* header = request.header("host");
    const std::optional<HostName> host = header == nullptr ? std::nullopt : host_of(*header);
    if (!host) return HostVerdict::malformed;
    // An address is no name that somebody else could make lead here.
    const bool reached_so = request.reached_at && host->to_string() == request.reached_at->to_string();
    if (reached_so || is_local(host->to_string()) ||
        std::ranges::find(policy.allowed_hosts, *host) != policy.allowed_hosts.end()) {
        return HostVerdict::ours;
    }
    return HostVerdict::foreign;
}

OriginVerdict judge_origin(const NetworkPolicy& policy, const Request& request) {
    if (!request.has_header("origin")) return OriginVerdict::none;
    return allowed_origin(policy, request) != nullptr ? OriginVerdict::allowed : OriginVerdict::foreign;
}

bool is_preflight(const Request& request) {
    return request.method == "OPTIONS" && request.has_header("origin") &&
           request.has_header("access-control-request-method");
}

bool is_safe(const Request& request) {
    return request.method == "GET" || request.method == "HEAD";
}

Headers cors_headers(const NetworkPolicy& policy, const Request& request) {
    // Always: a cache that got the answer without the other headers must not give it to a page that may have
    // it.
    Headers headers{{"Vary", "Origin"}};
    if (const WebOrigin* origin = allowed_origin(policy, request)) {
        headers.emplace_back("Access-Control-Allow-Origin", origin->to_string());
        headers.emplace_back("Access-Control-Expose-Headers", exposed_headers);
    }
    return headers;
}

Headers preflight_headers(const Request& request, const std::string& methods) {
    Headers headers{
        {"Access-Control-Allow-Methods", methods},
        {"Access-Control-Allow-Headers", std::string(allowed_headers)},
        {"Access-Control-Max-Age", std::string(preflight_max_age)},
    };
    // A page from the internet asks for a host inside: the operator has named its origin, which is the
    // answer.
    const std::string* private_network = request.header("access-control-request-private-network");
    if (private_network != nullptr && *private_network == "true") {
        headers.emplace_back("Access-Control-Allow-Private-Network", "true");
    }
    return headers;
}

tl::expected<std::string, Unknown> identify(const NetworkPolicy& policy, const Request& request) {
    if (!request.has_header("authorization")) {
        if (!policy.token_needed) return "a client on loopback";
        return tl::unexpected(Unknown::no_token);
    }
    const std::string* header = request.header("authorization");
    const std::optional<std::string_view> token = header == nullptr ? std::nullopt : bearer_token(*header);
    if (!token) return tl::unexpected(Unknown::no_token);
    const std::optional<std::string> name = policy.tokens.name_of(*token);
    if (!name) return tl::unexpected(Unknown::wrong_token);
    return fmt::format("token {}", *name);
}

}  // namespace sallyport::api

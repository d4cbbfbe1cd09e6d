// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the head of a request over the network, and as a file of tokens: never a crash, and nobody
// gets in who should not. An input is lines "name: value", an empty line, and the file.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/network_policy.h"
#include "store/store.h"

namespace {

using namespace sallyport;
using namespace sallyport::api;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
}

constexpr std::string_view token = "let-me-in";
constexpr std::string_view host = "gw1.example.net";
constexpr std::string_view origin = "https://console.example.net";

const NetworkPolicy& policy() {
    static const NetworkPolicy made{
        .tokens = *BearerTokens::parse("alice:" + store::digest(token), "tokens"),
        .allowed_hosts = {*HostName::parse(host)},
        .allowed_origins = {*WebOrigin::parse(origin)},
    };
    return made;
}

Request request_of(std::string_view head) {
    Request request;
    request.method = "POST";
    request.reached_at = Ipv4Address(10, 0, 1, 1);
    while (!head.empty()) {
        const std::string_view line = head.substr(0, head.find('\n'));
        head.remove_prefix(std::min(line.size() + 1, head.size()));
        const std::size_t colon = line.find(": ");
        if (colon == std::string_view::npos) continue;
        request.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
    return request;
}

void check_values(std::string_view text) {
    if (const auto name = HostName::parse(text)) {
        const auto again = HostName::parse(name->to_string());
        require(again && *again == *name, "a host name has one form");
        const auto of_page = WebOrigin::parse("https://" + name->to_string());
        require(of_page.has_value(), "a host can be that of a page");
    }
    if (const auto page = WebOrigin::parse(text)) {
        require(page->to_string() == text, "an origin is taken as it stands");
        require(text.find_first_of("* /\\@?#", text.find("://") + 3) == std::string_view::npos,
                "an origin has a scheme, a host and a port");
    }
}

void check_request(const Request& request) {
    for (const auto& [name, value] : request.headers) check_values(value);
    if (judge_host(policy(), request) == HostVerdict::ours) {
        const std::string* given = request.header("host");
        require(given != nullptr, "ours is one host");
        std::string lower = given->substr(0, given->rfind(':'));
        if (HostName::parse(*given)) lower = *given;
        std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
        const bool known = lower == host || lower == "localhost" || lower == "10.0.1.1" ||
                           lower.starts_with("127.") || lower.starts_with('[');
        require(known, "ours is a name that was allowed");
    }
    const std::string* page = request.header("origin");
    const bool allowed = judge_origin(policy(), request) == OriginVerdict::allowed;
    require(allowed == (page != nullptr && *page == origin), "an origin is compared exactly");
    require((cors_headers(policy(), request).size() > 1) == allowed, "only allowed pages get CORS headers");
    if (identify(policy(), request)) {
        const std::string* given = request.header("authorization");
        require(given != nullptr && given->find(token) != std::string::npos, "who gets in has the token");
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it so
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    const std::size_t gap = text.find("\n\n");
    check_request(request_of(std::string_view(text).substr(0, gap)));
    if (gap == std::string::npos) return 0;
    const auto tokens = BearerTokens::parse(std::string_view(text).substr(gap + 2), "tokens");
    if (!tokens) {
        require(tokens.error().message.starts_with("tokens:"), "a fault has a line");
    } else {
        require(!tokens->name_of("a token that is nobody's"), "nobody has any token");
    }
    return 0;
}

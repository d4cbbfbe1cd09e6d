// SPDX-License-Identifier: Apache-2.0
#include "api/page.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "api/document.h"
#include "api/flow_filter.h"
#include "api/problem.h"

namespace sallyport::api {

namespace {

constexpr std::size_t longest_cursor = 256;

// Clients are not to read anything into where a page ends.
std::string to_cursor(std::string_view text) {
    std::string cursor;
    for (const char byte : text) cursor += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return cursor;
}

std::optional<std::string> from_cursor(std::string_view cursor) {
    if (cursor.empty() || cursor.size() % 2 != 0 || cursor.size() > longest_cursor) return std::nullopt;
    std::string text;
    for (std::size_t i = 0; i < cursor.size(); i += 2) {
        unsigned byte = 0;
        const char* end = cursor.data() + i + 2;
        const auto [stopped, error] = std::from_chars(cursor.data() + i, end, byte, 16);
        if (error != std::errc{} || stopped != end) return std::nullopt;
        text += static_cast<char>(byte);
    }
    return text;
}

// RFC 3986 section 2.1: all but what is unreserved.
std::string encoded(std::string_view text) {
    std::string result;
    for (const char letter : text) {
        const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                           (letter >= '0' && letter <= '9') || letter == '-' || letter == '.' ||
                           letter == '_' || letter == '~';
        if (plain) {
            result += letter;
        } else {
            result += fmt::format("%{:02X}", static_cast<unsigned char>(letter));
        }
    }
    return result;
}

// The same request, but for the page. A client that waited for a revision has it by now.
std::string target_of_next(const Request& request, const std::string& cursor) {
    std::string target = request.path + "?";
    for (const auto& [name, value] : request.query) {
        if (name != "after" && name != "after_revision" && name != "wait")
            target += fmt::format("{}={}&", encoded(name), encoded(value));
    }
    return target + "after=" + cursor;
}

}  // namespace

tl::expected<Page, Response> Page::parse(const Request& request) {
    Page page;
    if (const std::string* text = request.parameter("limit")) {
        const auto number = parse_number(*text, largest);
        if (!number || *number == 0) {
            return tl::unexpected(
                wrong_parameter(request, "limit", fmt::format("a number from 1 to {}", largest)));
        }
        page.limit = *number;
    }
    if (const std::string* text = request.parameter("after")) {
        page.after = from_cursor(*text);
        if (!page.after)
            return tl::unexpected(wrong_parameter(request, "after", "what a page before called next"));
    }
    return page;
}

Response page_response(const Request& request, nlohmann::json body, const std::optional<std::string>& last) {
    const std::string cursor = last ? to_cursor(*last) : std::string();
    body["next"] = last ? nlohmann::json(cursor) : nlohmann::json(nullptr);
    Response response = json_response(body);
    if (last) {
        response.headers.emplace_back("Link",
                                      fmt::format("<{}>; rel=\"next\"", target_of_next(request, cursor)));
    }
    return response;
}

Response wrong_parameter(const Request& request, const std::string& name, const std::string& expected) {
    const std::string* given = request.parameter(name);
    return problem_of_parameter(name, given == nullptr ? std::string() : *given, expected);
}

}  // namespace sallyport::api

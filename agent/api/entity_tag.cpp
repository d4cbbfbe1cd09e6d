// SPDX-License-Identifier: Apache-2.0
#include "api/entity_tag.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/problem.h"
#include "store/store.h"

namespace sallyport::api {

namespace {

// Whether the tag is among those of a header. None of ours has a comma in it.
bool names(std::string_view header, const std::optional<std::string>& tag, bool weakly) {
    constexpr std::string_view blank = " \t";
    constexpr std::string_view weak = "W/";
    if (!tag) return false;
    while (!header.empty()) {
        std::string_view one = header.substr(0, header.find(','));
        header.remove_prefix(std::min(one.size() + 1, header.size()));
        one.remove_prefix(std::min(one.find_first_not_of(blank), one.size()));
        one = one.substr(0, one.find_last_not_of(blank) + 1);
        if (weakly && one.starts_with(weak)) one.remove_prefix(weak.size());
        if (one == "*" || one == *tag) return true;
    }
    return false;
}

}  // namespace

std::string json_text(const nlohmann::json& object) {
    return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string entity_tag(const std::string& json) {
    constexpr std::size_t digits = 32;
    return fmt::format("\"{}\"", store::digest(json).substr(0, digits));
}

Response object_response(const std::string& json) {
    return {200, "application/json", json + "\n", {{"ETag", entity_tag(json)}}};
}

std::optional<Response> failed_precondition(const Request& request, const std::optional<std::string>& tag) {
    for (const char* name : {"if-match", "if-none-match"}) {
        if (request.has_header(name) && request.header(name) == nullptr)
            return problem(400, fmt::format("the header {} is given more than once", name));
    }
    const std::string* match = request.header("if-match");
    if (match != nullptr && !names(*match, tag, false)) {
        return problem(412, tag ? fmt::format("the object has been changed: its ETag is {} now", *tag)
                                : std::string("there is no such object any more"));
    }
    const std::string* none_match = request.header("if-none-match");
    if (none_match == nullptr || !names(*none_match, tag, true)) return std::nullopt;
    if (request.method == "GET" || request.method == "HEAD") return Response{304, "", "", {{"ETag", *tag}}};
    return problem(412, fmt::format("the object is there already, with the ETag {}", *tag));
}

}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
#include "api/document.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/problem.h"
#include "model/json.h"

namespace sallyport::api {

namespace {

using nlohmann::json;

tl::expected<json, Response> read_object(const Request& request) {
    json body = json::parse(request.body, nullptr, false);
    if (body.is_discarded()) return tl::unexpected(problem(400, "the body is no JSON"));
    if (!body.is_object()) return tl::unexpected(problem(400, "the body is no JSON object"));
    return body;
}

}  // namespace

tl::expected<Document, Response> read_document(const Request& request) {
    const auto body = read_object(request);
    if (!body) return tl::unexpected(body.error());
    Document document;
    document.name = "document";
    bool found = false;
    for (const auto& [key, value] : body->items()) {
        if (key != "document" && key != "name") {
            return tl::unexpected(
                problem(400, fmt::format("unknown key \"{}\"; expected: document, name", key)));
        }
        if (!value.is_string())
            return tl::unexpected(problem(400, fmt::format("\"{}\" must be a string", key)));
        if (key == "name") {
            document.name = value.get<std::string>();
        } else {
            document.text = value.get<std::string>();
            found = true;
        }
    }
    if (!found)
        return tl::unexpected(problem(400, "the key \"document\" is missing: the text of a configuration"));
    return document;
}

tl::expected<void, Response> expect_no_arguments(const Request& request) {
    if (request.body.empty()) return {};
    const auto body = read_object(request);
    if (!body) return tl::unexpected(body.error());
    if (!body->empty()) {
        return tl::unexpected(
            problem(400, fmt::format("unknown key \"{}\"; expected: {{}}", body->begin().key())));
    }
    return {};
}

Response json_response(const json& body) {
    // Names and messages may quote bytes of the operator's file that are no UTF-8.
    return {200, "application/json", body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n", {}};
}

Response refusal_response(const control::Refusal& refusal) {
    const bool invalid = refusal.kind == control::Refusal::Kind::invalid;
    return problem(invalid ? 400 : 500, refusal.message, refusal.faults);
}

json changes_json(const std::vector<model::Change>& changes) {
    json list = json::array();
    for (const model::Change& change : changes) list.push_back(model::to_json(change));
    return list;
}

}  // namespace sallyport::api

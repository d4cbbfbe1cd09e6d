// SPDX-License-Identifier: Apache-2.0
#include "api/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "api/problem.h"
#include "core/duration.h"
#include "core/moment.h"
#include "model/json.h"

namespace sallyport::api {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds shortest_confirmation{1};
constexpr std::chrono::seconds longest_confirmation = std::chrono::hours{24};
constexpr std::chrono::seconds longest_timeout = std::chrono::hours{24 * 365};

tl::expected<json, Response> read_object(const Request& request) {
    json body = json::parse(request.body, nullptr, false);
    if (body.is_discarded()) return tl::unexpected(problem(400, "the body is no JSON"));
    if (!body.is_object()) return tl::unexpected(problem(400, "the body is no JSON object"));
    return body;
}

tl::expected<config::Sources, Response> read_fragments(const json& list) {
    config::Sources fragments;
    const auto wrong = [] {
        return tl::unexpected(problem(
            400, R"("fragments" must be a list of {"name": "…", "document": "…"} with names that differ)"));
    };
    if (!list.is_array()) return wrong();
    for (const json& entry : list) {
        if (!entry.is_object() || entry.size() != 2 || !entry.contains("name") ||
            !entry.contains("document") || !entry["name"].is_string() || !entry["document"].is_string())
            return wrong();
        config::Source fragment{entry["name"].get<std::string>(), entry["document"].get<std::string>()};
        if (std::ranges::find(fragments, fragment.name, &config::Source::name) != fragments.end())
            return wrong();
        fragments.push_back(std::move(fragment));
    }
    if (fragments.size() > config::fragments_most) {
        return tl::unexpected(problem(400, fmt::format("there are {} fragments; expected at most {}",
                                                       fragments.size(), config::fragments_most)));
    }
    return fragments;
}

}  // namespace

tl::expected<Document, Response> read_document(const Request& request, bool may_await) {
    const auto body = read_object(request);
    if (!body) return tl::unexpected(body.error());
    Document document;
    config::Source main{"document", ""};
    config::Sources fragments;
    bool found = false;
    for (const auto& [key, value] : body->items()) {
        const bool awaits = may_await && key == "confirm_within";
        if (key != "document" && key != "name" && key != "fragments" && key != "prune" && !awaits) {
            return tl::unexpected(
                problem(400, fmt::format("unknown key \"{}\"; expected: document, name, fragments, prune{}",
                                         key, may_await ? ", confirm_within" : "")));
        }
        if (key == "prune") {
            if (!value.is_boolean()) return tl::unexpected(problem(400, "\"prune\" must be true or false"));
            document.prune = value.get<bool>();
            continue;
        }
        if (key == "fragments") {
            auto read = read_fragments(value);
            if (!read) return tl::unexpected(read.error());
            fragments = *std::move(read);
            continue;
        }
        if (!value.is_string())
            return tl::unexpected(problem(400, fmt::format("\"{}\" must be a string", key)));
        const auto text = value.get<std::string>();
        if (awaits) {
            const auto within = parse_duration(text);
            if (!within || *within < shortest_confirmation || *within > longest_confirmation) {
                return tl::unexpected(
                    problem(400, fmt::format("\"confirm_within\" is \"{}\"; expected a duration "
                                             "from {} to {}",
                                             text, format_duration(shortest_confirmation),
                                             format_duration(longest_confirmation))));
            }
            document.confirm_within = *within;
        } else if (key == "name") {
            main.name = text;
        } else {
            main.text = text;
            found = true;
        }
    }
    if (!found)
        return tl::unexpected(problem(400, "the key \"document\" is missing: the text of a configuration"));
    document.sources.push_back(std::move(main));
    std::ranges::move(fragments, std::back_inserter(document.sources));
    return document;
}

tl::expected<std::optional<std::uint64_t>, Response> read_revision(const Request& request) {
    if (request.body.empty()) return std::optional<std::uint64_t>{};
    const auto body = read_object(request);
    if (!body) return tl::unexpected(body.error());
    std::optional<std::uint64_t> revision;
    for (const auto& [key, value] : body->items()) {
        if (key != "revision")
            return tl::unexpected(problem(400, fmt::format("unknown key \"{}\"; expected: revision", key)));
        if (!value.is_number_unsigned())
            return tl::unexpected(problem(400, "\"revision\" must be the number of a revision"));
        revision = value.get<std::uint64_t>();
    }
    return revision;
}

tl::expected<std::optional<std::chrono::seconds>, Response> read_timeout(const Request& request) {
    if (request.body.empty()) return std::optional<std::chrono::seconds>{};
    const auto body = read_object(request);
    if (!body) return tl::unexpected(body.error());
    std::optional<std::chrono::seconds> timeout;
    for (const auto& [key, value] : body->items()) {
        if (key != "timeout")
            return tl::unexpected(problem(400, fmt::format("unknown key \"{}\"; expected: timeout", key)));
        const auto read =
            value.is_string() ? parse_duration(value.get<std::string>()) : failure("it is no string");
        if (!read || *read > longest_timeout) {
            return tl::unexpected(
                problem(400, fmt::format("\"timeout\" is {}; expected a duration of at most "
                                         "{}, such as \"90s\" or \"5m\"",
                                         value.dump(), format_duration(longest_timeout))));
        }
        timeout = *read;
    }
    return timeout;
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

json confirmation_json(const store::Confirmation& confirmation) {
    return {{"revision", confirmation.revision},
            {"fallback", confirmation.fallback},
            {"deadline", format_moment(confirmation.deadline)}};
}

json drain_json(const control::DrainStatus& status) {
    const store::Drain& drain = status.drain;
    return {{"elastic_ip", drain.elastic_ip},
            {"state", status.drained ? "drained" : "draining"},
            {"started", format_moment(drain.started)},
            {"deadline", drain.deadline ? json(format_moment(*drain.deadline)) : json(nullptr)}};
}

Response json_response(const json& body) {
    // Names and messages may quote bytes of the operator's file that are no UTF-8.
    return {200, "application/json", body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n", {}};
}

Response refusal_response(const control::Refusal& refusal) {
    const auto status = [&] {
        switch (refusal.kind) {
            case control::Refusal::Kind::invalid:
                return 400U;
            case control::Refusal::Kind::missing:
                return 404U;
            case control::Refusal::Kind::conflict:
                return 409U;
            case control::Refusal::Kind::key_reused:
                return 422U;
            default:
                return 500U;
        }
    }();
    return problem(status, refusal.message, refusal.faults);
}

json changes_json(const std::vector<model::Change>& changes) {
    json list = json::array();
    for (const model::Change& change : changes) list.push_back(model::to_json(change));
    return list;
}

}  // namespace sallyport::api

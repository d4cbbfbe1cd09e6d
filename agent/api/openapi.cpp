// SPDX-License-Identifier: Apache-2.0
#include "api/openapi.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <nlohmann/json.hpp>
#include <string_view>

#include "model/json_schema.h"
#include "model/kinds.h"

namespace sallyport::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kind_part = "{kind}";
constexpr std::string_view name_part = "{name}";

// Parameters mean the same wherever they are taken, but for those that say of what they are.
struct Parameter {
    std::string_view name;
    std::string_view type;
    std::string_view help;
    std::string_view of = {};  // the only pattern that takes it so
};
constexpr std::array parameters{
    Parameter{"inside", "string", "Flows of this instance: an address, a prefix or ADDRESS:PORT."},
    Parameter{"external", "string",
              "Flows with this external endpoint: an address, a prefix or ADDRESS:PORT."},
    Parameter{"remote", "string", "Flows to this remote: an address, a prefix or ADDRESS:PORT."},
    Parameter{"protocol", "string", "tcp, udp or icmp."},
    Parameter{"limit", "integer", "How many are listed; 100 unless given.", "/v1/flows"},
    Parameter{"limit", "integer", "A page of at most so many, from 1 to 10000; without it all are listed."},
    Parameter{"count", "boolean", "Only count."},
    Parameter{"top", "boolean", "The instances with the most flows."},
    Parameter{
        "inner", "boolean",
        "Those that stay inside a VPC and that security groups have let through, in place of all others."},
    Parameter{"address", "string", "An external address."},
    Parameter{"port", "integer", "A port; of who, an external one or the identifier of an ICMP query."},
    Parameter{"source", "string", "ADDRESS:PORT; for ICMP the port is the query identifier."},
    Parameter{"destination", "string", "ADDRESS:PORT; for ICMP an address."},
    Parameter{"vpc", "string", "The VPC that the packet comes from, where VPCs overlap."},
    Parameter{"flags", "string", "Of TCP: syn unless given; ack, rst, fin or syn-ack."},
    Parameter{"at", "string", "A time of RFC 3339, or UNIX seconds; now unless given."},
    Parameter{"after", "integer", "What the answer before called next.", "/v1/drops"},
    Parameter{"after", "string", "The page after the one that called this next."},
    Parameter{"wait", "integer", "For how many seconds, 30 at most, the answer may wait for an event.",
              "/v1/drops"},
    Parameter{"after_revision", "integer", "Answer 304 unless something has changed since this revision."},
    Parameter{"wait", "integer",
              "With after_revision: for how many seconds, 30 at most, the answer may wait for a change."},
    Parameter{"capture", "integer", "The number of the capture, from the answer that began it."},
    Parameter{"device", "string", "Only packets that this device receives."},
    Parameter{"host", "string", "Only packets from or to this address."},
    Parameter{"points", "string",
              "Which are captured: a list out of received, sent, dropped and passed; all unless given."},
    Parameter{"snap_length", "integer",
              "How many bytes of each packet are kept, 14 to 1514; 256 unless given."},
    Parameter{"min_revision", "integer", "Answer 412 unless this revision is there."},
};

Json parameter_json(std::string_view name, std::string_view pattern) {
    const auto known = std::ranges::find_if(parameters, [&](const Parameter& parameter) {
        return parameter.name == name && (parameter.of.empty() || parameter.of == pattern);
    });
    const bool is_known = known != parameters.end();
    return {{"name", name},
            {"in", "query"},
            {"description", is_known ? known->help : std::string_view()},
            {"schema", {{"type", is_known ? known->type : "string"}}}};
}

Json header(std::string_view name, std::string_view help) {
    return {{"name", name}, {"in", "header"}, {"description", help}, {"schema", {{"type", "string"}}}};
}

Json content(std::string_view type, Json schema) {
    return {{std::string(type), {{"schema", std::move(schema)}}}};
}

Json reference_to(std::string_view schema) {
    return {{"$ref", fmt::format("#/components/schemas/{}", schema)}};
}

Json body_schema(Body body, std::string_view kind) {
    const auto with = [](std::initializer_list<std::pair<const char*, const char*>> members,
                         std::initializer_list<const char*> required) {
        Json result{{"type", "object"}, {"additionalProperties", false}};
        if (required.size() > 0) result["required"] = required;
        for (const auto& [name, type] : members) result["properties"][name] = {{"type", type}};
        return result;
    };
    switch (body) {
        case Body::document:
        case Body::document_to_confirm: {
            Json schema =
                with({{"document", "string"}, {"name", "string"}, {"prune", "boolean"}}, {"document"});
            schema["properties"]["fragments"] = {
                {"type", "array"},
                {"items", with({{"name", "string"}, {"document", "string"}}, {"name", "document"})}};
            if (body == Body::document_to_confirm)
                schema["properties"]["confirm_within"] = {{"type", "string"}};
            return schema;
        }
        case Body::revision:
            return with({{"revision", "integer"}}, {});
        case Body::timeout:
            return with({{"timeout", "string"}}, {});
        case Body::object:
            return reference_to(kind);
        case Body::merge_patch:
            return {{"type", "object"}};
        case Body::nothing:
            break;
    }
    return {};
}

Json answer_schema(const Route& route, std::string_view kind) {
    if (kind.empty()) return {{"type", "object"}};
    if (route.method == "GET" && !route.pattern.ends_with(name_part)) {
        return {{"type", "object"},
                {"properties",
                 {{std::string(kind), {{"type", "array"}, {"items", reference_to(kind)}}},
                  {"next",
                   {{"type", {"string", "null"}},
                    {"description",
                     "Of a page: what `after` has to be for the next one; null: there is none."}}}}}};
    }
    return reference_to(kind);
}

Json operation(const Route& route, std::string_view kind) {
    Json result{
        {"summary", kind.empty() ? std::string(route.words.summary)
                                 : fmt::format(fmt::runtime(route.words.summary),
                                               model::word_for(*model::parse_kind(kind)))},
        {"tags", Json::array({kind.empty() ? (route.purpose == Purpose::command ? "commands" : "queries")
                                           : std::string(kind)})}};
    Json taken = Json::array();
    if (route.pattern.find(name_part) != std::string_view::npos) {
        taken.push_back(
            {{"name", "name"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
    }
    for (const std::string_view name : route.parameters) taken.push_back(parameter_json(name, route.pattern));
    if (route.words.repeatable)
        taken.push_back(header("Idempotency-Key", "A key of the client's own: the request may be repeated."));
    if (!kind.empty() && route.purpose == Purpose::command) {
        if (route.method != "POST")
            taken.push_back(
                header("If-Match", "Only if the object still has this ETag (RFC 9110 section 13)."));
        if (route.method == "PUT")
            taken.push_back(header("If-None-Match", "`*`: only if there is no such object yet."));
    }
    if (!taken.empty()) result["parameters"] = std::move(taken);
    if (route.words.body != Body::nothing) {
        Json schema = body_schema(route.words.body, kind);
        Json types = content("application/json", schema);
        if (route.words.body == Body::merge_patch)
            types.update(content("application/merge-patch+json", std::move(schema)));
        result["requestBody"] = {
            {"required", route.words.body != Body::revision && route.words.body != Body::timeout},
            {"content", std::move(types)}};
    }
    Json success{{"description", route.words.success == 201 ? "It was made." : "It was done."}};
    if (route.words.success == 204) {
        success["description"] = "It is gone.";
    } else if (!route.words.answer.empty()) {
        success["content"] = content(route.words.answer, {{"type", "string"}});
    } else {
        success["content"] = content("application/json", answer_schema(route, kind));
    }
    Json responses = Json::object();
    responses[std::to_string(route.words.success)] = success;
    if (route.method == "PUT") {
        success["description"] = "It is as sent now, and was there before.";
        responses["200"] = success;
    }
    if (std::ranges::find(route.parameters, "after_revision") != route.parameters.end())
        responses["304"] = {{"description", "Nothing has changed since."}};
    responses["default"] = {{"$ref", "#/components/responses/problem"}};
    result["responses"] = std::move(responses);
    return result;
}

std::string lower_case(std::string_view method) {
    std::string result(method);
    std::ranges::transform(result, result.begin(),
                           [](char letter) { return static_cast<char>(letter - 'A' + 'a'); });
    return result;
}

// JSON is YAML, but nobody likes to read it: maps and lists get lines of their own. Texts stay in quotes, so
// that none of them is taken for a number or a date.
void write_yaml(const Json& value, const std::string& indent, std::string& out) {
    const auto write_member = [&](const Json& member) {
        if (member.is_structured() && !member.empty()) {
            out += '\n';
            write_yaml(member, indent + "  ", out);
        } else {
            out += ' ' + member.dump() + '\n';
        }
    };
    if (value.is_object()) {
        for (const auto& [key, member] : value.items()) {
            out += fmt::format("{}{}:", indent, Json(key).dump());
            write_member(member);
        }
        return;
    }
    for (const Json& member : value) {
        out += indent + "-";
        write_member(member);
    }
}

Json problem_schema() {
    Json fault{{"type", "object"}, {"properties", Json::object()}};
    for (const char* name : {"pointer", "parameter", "file", "path", "read", "expected", "message"})
        fault["properties"][name] = {{"type", "string"}};
    for (const char* name : {"line", "column"}) fault["properties"][name] = {{"type", "integer"}};
    return {{"type", "object"},
            {"description", "RFC 9457; `faults` has one entry for each thing that is wrong."},
            {"properties",
             {{"type", {{"type", "string"}}},
              {"title", {{"type", "string"}}},
              {"status", {{"type", "integer"}}},
              {"detail", {{"type", "string"}}},
              {"faults", {{"type", "array"}, {"items", std::move(fault)}}}}}};
}

}  // namespace

std::string openapi_document(const std::vector<Route>& routes, const std::string& version) {
    Json paths = Json::object(), schemas = Json::object();
    for (const Route& route : routes) {
        const std::string pattern(route.pattern);
        const std::size_t kind_at = pattern.find(kind_part);
        const std::string method = lower_case(route.method);
        if (kind_at == std::string::npos) {
            paths[pattern][method] = operation(route, {});
            continue;
        }
        for (const model::Kind kind : model::all_kinds) {
            std::string path = pattern;
            path.replace(kind_at, kind_part.size(), model::to_string(kind));
            paths[path][method] = operation(route, model::to_string(kind));
        }
    }
    for (const model::Kind kind : model::all_kinds)
        schemas[std::string(model::to_string(kind))] = model::json_schema(kind);
    schemas["problem"] = problem_schema();
    Json problem{{"description", "It was refused, or it failed."},
                 {"content", content("application/problem+json", reference_to("problem"))}};
    const Json document{
        {"openapi", "3.1.0"},
        {"info",
         {{"title", "Sallyport"},
          {"version", version},
          {"description", "The API of a Sallyport gateway, on its Unix socket and, if configured, over TCP."},
          {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
        {"security", Json::array({{{"token", Json::array()}}, Json::object()})},
        {"paths", std::move(paths)},
        {"components",
         {{"securitySchemes",
           {{"token",
             {{"type", "http"},
              {"scheme", "bearer"},
              {"description", "Over TCP; on the Unix socket the kernel says who asks."}}}}},
          {"responses", {{"problem", std::move(problem)}}},
          {"schemas", std::move(schemas)}}}};
    std::string text;
    write_yaml(document, "", text);
    return text;
}

}  // namespace sallyport::api

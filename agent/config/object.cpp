// SPDX-License-Identifier: Apache-2.0
#include "config/object.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/document.h"
#include "config/faults.h"
#include "config/reader.h"
#include "model/validate.h"

namespace sallyport::config {
namespace {

constexpr std::string_view origin_key = "origin";

const Files no_file({""});  // in messages about bodies of requests

// Of a path such as "routes[0].destination".
std::string pointer_of(std::string_view path) {
    std::string pointer;
    while (!path.empty()) {
        if (path.front() == '[') {
            const auto end = path.find(']');
            pointer += fmt::format("/{}", path.substr(1, end - 1));
            path.remove_prefix(end + 1);
        } else {
            if (path.front() == '.') path.remove_prefix(1);
            const auto end = std::min(path.find_first_of(".["), path.size());
            pointer += pointer_token(path.substr(0, end));
            path.remove_prefix(end);
        }
    }
    return pointer;
}

// What is left of a path behind that of the object.
std::string_view within_object(std::string_view path, std::string_view object) {
    path.remove_prefix(object.size());
    if (path.starts_with('.')) path.remove_prefix(1);
    return path;
}

Fault fault_at(std::string_view key, std::string read, std::string expected, std::string_view what) {
    std::string message = fmt::format("{}; expected {}", what, expected);
    return {{},
            0,
            0,
            std::string(key),
            std::move(read),
            std::move(expected),
            std::move(message),
            pointer_token(key)};
}

// What was read says where the object is from, and what is written may say it too.
void take_origin(Node& node, std::vector<Fault>& faults) {
    const auto key = std::ranges::find(node.keys, origin_key, &Key::text);
    if (key == node.keys.end()) return;
    const auto child = node.children.begin() + (key - node.keys.begin());
    const std::string_view api = model::to_string(model::Origin::api);
    if (child->type != Node::Type::scalar || child->scalar != api) {
        faults.push_back(fault_at(origin_key, child->scalar, std::string(api),
                                  "the API makes no objects of another origin than its own"));
    }
    node.children.erase(child);
    node.keys.erase(key);
}

void set_name(Node& node, std::string_view name, std::vector<Fault>& faults) {
    const Node wanted{.type = Node::Type::scalar, .quoted = true, .scalar = std::string(name)};
    const auto key = std::ranges::find(node.keys, "name", &Key::text);
    if (key == node.keys.end()) {
        node.keys.push_back({"name", {}});
        node.children.push_back(wanted);
        return;
    }
    Node& given = node.children[static_cast<std::size_t>(key - node.keys.begin())];
    if (given.type == Node::Type::scalar && given.scalar != name) {
        faults.push_back(
            fault_at("name", given.scalar, std::string(name),
                     fmt::format("\"{}\" was read, and a name cannot be changed", given.scalar)));
        given = wanted;
    }
}

Draft read_node(model::Kind kind, Node node, std::string_view name) {
    Draft draft{model::empty_object(kind, std::string(name)), {}};
    if (node.type == Node::Type::map) {
        take_origin(node, draft.faults);
        if (!name.empty()) set_name(node, name, draft.faults);
    } else {
        draft.legible = false;
    }
    std::visit(
        [&](auto& object) {
            Reader(draft.faults).read(node, object);
            object.origin = model::Origin::api;
        },
        draft.object);
    return draft;
}

Draft illegible(model::Kind kind, std::vector<Fault> faults) {
    return {model::empty_object(kind, {}), std::move(faults), false};
}

// A fault of a state as one of the object at `here` in it.
Fault as_fault_of(const model::Fault& fault, std::string_view here, const model::DesiredState& state) {
    const bool own = is_inside(fault.path, here);
    const std::string_view path = own ? fault.path : fault.other_path;
    const std::string_view inside = is_inside(path, here) ? within_object(path, here) : std::string_view{};
    std::string message = fault.message;
    if (!own) {
        if (const auto other = model::object_at(state, fault.path))
            message = fmt::format("{}: {}", model::describe(*other), message);
    }
    return {
        {}, 0, 0, std::string(inside), fault.read, fault.expected, std::move(message), pointer_of(inside)};
}

// Whether what was wrong with the object already makes a statement about this part of it doubtful.
bool is_doubtful(const Fault& conclusion, const std::vector<Fault>& faults) {
    return std::ranges::any_of(faults, [&](const Fault& fault) {
        return fault.path.empty() || conclusion.path.empty() || is_inside(conclusion.path, fault.path) ||
               is_inside(fault.path, conclusion.path);
    });
}

}  // namespace

Draft read_object(model::Kind kind, std::string_view json, std::string_view name) {
    std::vector<Fault> faults;
    Node node = parse_json(json, faults);
    if (!faults.empty()) return illegible(kind, std::move(faults));
    return read_node(kind, std::move(node), name);
}

Draft patch_object(const model::Object& object, std::string_view json) {
    std::vector<Fault> faults;
    parse_json(json, faults);
    if (!faults.empty()) return illegible(model::kind_of(object), std::move(faults));
    nlohmann::json patched = model::to_json(object);
    patched.erase(std::string(origin_key));
    patched.merge_patch(nlohmann::json::parse(json));
    return read_object(model::kind_of(object), patched.dump(), model::name_of(object));
}

tl::expected<model::DesiredState, std::vector<Fault>> with_object(const model::DesiredState& state,
                                                                  const Draft& draft) {
    if (!draft.legible) return tl::make_unexpected(in_order(draft.faults, no_file));
    model::DesiredState next = state;
    const std::size_t index = model::put_object(next, draft.object);
    const std::string here = fmt::format("{}[{}]", to_string(model::kind_of(draft.object)), index);
    std::vector<Fault> faults = draft.faults;
    for (const model::Fault& found : model::validate(next)) {
        Fault fault = as_fault_of(found, here, next);
        if (!is_doubtful(fault, draft.faults)) faults.push_back(std::move(fault));
    }
    if (!faults.empty()) return tl::make_unexpected(in_order(std::move(faults), no_file));
    return next;
}

std::vector<Fault> faults_without_object(const model::DesiredState& state) {
    std::vector<Fault> faults;
    for (const model::Fault& found : model::validate(state)) faults.push_back(as_fault_of(found, "-", state));
    return in_order(std::move(faults), no_file);
}

std::string object_text(const model::Object& object) {
    nlohmann::json text = model::to_json(object);
    text.erase(std::string(origin_key));
    return text.dump();
}

tl::expected<model::Object, std::vector<Fault>> read_object_text(model::Kind kind, std::string_view text) {
    Draft draft = read_object(kind, text);
    if (!draft.legible && draft.faults.empty())
        draft.faults.push_back({{}, 0, 0, {}, {}, {}, "this is no JSON object", ""});
    if (!draft.faults.empty()) return tl::make_unexpected(in_order(std::move(draft.faults), no_file));
    return std::move(draft.object);
}

}  // namespace sallyport::config

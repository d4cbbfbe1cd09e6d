// SPDX-License-Identifier: Apache-2.0
#include "model/objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "model/json.h"
#include "model/references.h"

namespace sallyport::model {

namespace {

// Calls visit(list) with the list of the state that holds the objects of a kind.
template <typename State, typename Visit>
void visit_list(State& state, Kind kind, Visit&& visit) {
    visit_kinds([&](Kind visited, auto objects_of_kind) {
        if (visited == kind) visit(state.*objects_of_kind);
    });
}

template <typename List>
auto position(List& list, std::string_view name) {
    return std::ranges::find(
        list, name, [](const auto& object) -> const auto& { return object.name; });
}

}  // namespace

Kind kind_of(const Object& object) {
    return all_kinds.at(object.index());
}

const std::string& name_of(const Object& object) {
    return std::visit([](const auto& held) -> const std::string& { return held.name; }, object);
}

Origin origin_of(const Object& object) {
    return std::visit([](const auto& held) { return held.origin; }, object);
}

Object empty_object(Kind kind, std::string name) {
    Object object;
    const DesiredState none;
    visit_list(none, kind, [&]<typename T>(const std::vector<T>&) {
        T made;
        made.name = std::move(name);
        object = std::move(made);
    });
    return object;
}

std::optional<Object> find_object(const DesiredState& state, Kind kind, std::string_view name) {
    std::optional<Object> found;
    visit_list(state, kind, [&](const auto& list) {
        if (const auto object = position(list, name); object != list.end()) found = *object;
    });
    return found;
}

std::vector<Object> objects_of(const DesiredState& state, Origin origin) {
    std::vector<Object> found;
    visit_kinds([&](Kind, auto objects_of_kind) {
        for (const auto& object : state.*objects_of_kind) {
            if (object.origin == origin) found.emplace_back(object);
        }
    });
    return found;
}

void append_object(DesiredState& state, Object object) {
    visit_list(state, kind_of(object),
               [&]<typename T>(std::vector<T>& list) { list.push_back(std::move(std::get<T>(object))); });
}

std::size_t put_object(DesiredState& state, Object object) {
    std::size_t index = 0;
    visit_list(state, kind_of(object), [&]<typename T>(std::vector<T>& list) {
        T& put = std::get<T>(object);
        const auto known = position(list, put.name);
        if (known != list.end()) {
            index = static_cast<std::size_t>(known - list.begin());
            *known = std::move(put);
            return;
        }
        const auto place = std::ranges::find_if(list, [&](const T& other) {
            return put.origin == Origin::api && other.origin == Origin::api && other.name > put.name;
        });
        index = static_cast<std::size_t>(place - list.begin());
        list.insert(place, std::move(put));
    });
    return index;
}

void remove_object(DesiredState& state, Kind kind, std::string_view name) {
    visit_list(state, kind, [&](auto& list) {
        if (const auto object = position(list, name); object != list.end()) list.erase(object);
    });
}

std::optional<Object> object_at(const DesiredState& state, std::string_view path) {
    const auto open = path.find('[');
    if (open == std::string_view::npos) return std::nullopt;
    const std::optional<Kind> kind = parse_kind(path.substr(0, open));
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(path.data() + open + 1, path.data() + path.size(), index);
    if (!kind || error != std::errc{}) return std::nullopt;
    std::optional<Object> found;
    visit_list(state, *kind, [&](const auto& list) {
        if (index < list.size()) found = list[index];
    });
    return found;
}

std::string describe(Kind kind, std::string_view name) {
    return fmt::format("{} \"{}\"", word_for(kind), name);
}

std::string describe(const Object& object) {
    return describe(kind_of(object), name_of(object));
}

std::vector<std::string> referrers(const DesiredState& state, Kind kind, std::string_view name) {
    std::vector<std::string> found;
    const auto refers = [&](const auto& owner) {
        bool does = false;
        visit_references(owner, Step{}, [&](const ReferringField& field) {
            does = does || (field.kind == kind && std::ranges::find(field.names, name) != field.names.end());
        });
        return does;
    };
    if (refers(state.gateway)) found.emplace_back("the gateway's devices");
    visit_kinds([&](Kind referring, auto objects_of_kind) {
        for (const auto& object : state.*objects_of_kind) {
            const bool itself = referring == kind && object.name == name;
            if (!itself && refers(object)) found.push_back(describe(referring, object.name));
        }
    });
    return found;
}

nlohmann::json to_json(const Object& object) {
    return std::visit([](const auto& held) { return to_json(held); }, object);
}

}  // namespace sallyport::model

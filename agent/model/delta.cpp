// SPDX-License-Identifier: Apache-2.0
#include "model/delta.h"

#include <algorithm>
#include <utility>

#include "model/json_values.h"

namespace sallyport::model {
namespace {

template <typename T>
bool same(const T& one, const T& other) {
    return one == other;
}

// No list of the model means anything by its order.
template <typename T>
bool same(const std::vector<T>& one, const std::vector<T>& other) {
    if (one.size() != other.size()) return false;
    if (one == other) return true;
    const auto sorted = [](const std::vector<T>& values) {
        std::vector<std::string> texts;
        texts.reserve(values.size());
        for (const T& value : values) texts.push_back(value_to_json(value).dump());
        std::ranges::sort(texts);
        return texts;
    };
    return sorted(one) == sorted(other);
}

template <typename T>
std::vector<std::string> fields_that_differ(const T& from, const T& to) {
    std::vector<std::string> names;
    visit_fields<T>([&](const auto& field) {
        if (!same(field.get(from), field.get(to))) names.emplace_back(field.name);
    });
    return names;
}

// The first of each name, in the order of names.
template <typename T>
std::vector<std::pair<std::string_view, const T*>> by_name(const std::vector<T>& objects_of_kind) {
    std::vector<std::pair<std::string_view, const T*>> result;
    result.reserve(objects_of_kind.size());
    for (const T& object : objects_of_kind) result.emplace_back(object.name, &object);
    const auto name = [](const auto& element) { return element.first; };
    std::ranges::stable_sort(result, {}, name);
    const auto surplus = std::ranges::unique(result, {}, name);
    result.erase(surplus.begin(), surplus.end());
    return result;
}

template <typename T>
void add_changes(std::vector<Change>& changes, std::string_view kind, const std::vector<T>& from,
                 const std::vector<T>& to) {
    const auto before = by_name(from);
    const auto after = by_name(to);
    const auto add = [&](std::string_view name, ChangeType type, std::vector<std::string> fields = {}) {
        changes.push_back({std::string(kind), std::string(name), type, std::move(fields)});
    };
    // Both are in the order of names, so one walk through the two meets every name once.
    auto old = before.begin();
    auto next = after.begin();
    while (old != before.end() || next != after.end()) {
        if (next == after.end() || (old != before.end() && old->first < next->first)) {
            add(old->first, ChangeType::remove);
            ++old;
        } else if (old == before.end() || next->first < old->first) {
            add(next->first, ChangeType::create);
            ++next;
        } else {
            if (*old->second != *next->second) {
                if (auto fields = fields_that_differ(*old->second, *next->second); !fields.empty())
                    add(next->first, ChangeType::update, std::move(fields));
            }
            ++old;
            ++next;
        }
    }
}

void add_gateway_change(std::vector<Change>& changes, const Gateway& from, const Gateway& to) {
    auto fields = fields_that_differ(from, to);
    if (fields.empty()) return;
    if (from == Gateway{}) {
        changes.push_back({"gateway", to.name, ChangeType::create, {}});
    } else if (to == Gateway{}) {
        changes.push_back({"gateway", from.name, ChangeType::remove, {}});
    } else {
        changes.push_back({"gateway", to.name, ChangeType::update, std::move(fields)});
    }
}

}  // namespace

std::string_view to_string(ChangeType change) {
    switch (change) {
        case ChangeType::create:
            return "create";
        case ChangeType::update:
            return "update";
        case ChangeType::remove:
            return "delete";
    }
    return "";
}

std::vector<Change> delta(const DesiredState& from, const DesiredState& to) {
    std::vector<Change> changes;
    add_gateway_change(changes, from.gateway, to.gateway);
    visit_kinds([&](Kind kind, auto objects_of_kind) {
        add_changes(changes, to_string(kind), from.*objects_of_kind, to.*objects_of_kind);
    });
    return changes;
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
//
// References, wherever fields.h declares one, however deep. Heavy to include, like fields.h.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "model/fields.h"

namespace sallyport::model {

// A field that names objects of another kind, or of its own.
struct ReferringField {
    std::string path;  // "route_tables[0].routes[1].nat_gateway"
    Kind kind;         // of what is named
    std::vector<std::string> names;
    bool list = false;  // it may hold several names; each has a position behind the path then
};

template <Described T, typename Visit>
void visit_references(const T& owner, const std::string& path, Visit&& visit);

namespace detail {

template <typename T, typename Visit>
void visit_references_in(const T&, const std::string&, std::string_view, Visit&) {
}

template <Described T, typename Visit>
void visit_references_in(const std::vector<T>& list, const std::string& path, std::string_view field,
                         Visit& visit) {
    for (std::size_t i = 0; i < list.size(); ++i)
        visit_references(list[i], fmt::format("{}.{}[{}]", path, field, i), visit);
}

template <Described T, typename Visit>
void visit_references_in(const std::optional<std::vector<T>>& list, const std::string& path,
                         std::string_view field, Visit& visit) {
    if (list) visit_references_in(*list, path, field, visit);
}

inline std::vector<std::string> names_in(const std::string& name) {
    return name.empty() ? std::vector<std::string>{} : std::vector{name};
}
inline std::vector<std::string> names_in(const std::optional<std::string>& name) {
    return name ? names_in(*name) : std::vector<std::string>{};
}
inline std::vector<std::string> names_in(const std::vector<std::string>& names) {
    return names;
}

}  // namespace detail

// Calls visit(ReferringField) for each field of `owner` that names anything.
template <Described T, typename Visit>
void visit_references(const T& owner, const std::string& path, Visit&& visit) {
    visit_fields<T>([&](const auto& field) {
        using Value = typename std::remove_cvref_t<decltype(field)>::Value;
        if constexpr (std::is_same_v<Value, std::string> || std::is_same_v<Value, std::vector<std::string>> ||
                      std::is_same_v<Value, std::optional<std::string>>) {
            if (!field.refers_to) return;
            auto names = detail::names_in(field.get(owner));
            if (names.empty()) return;
            visit(ReferringField{fmt::format("{}.{}", path, field.name), *field.refers_to, std::move(names),
                                 std::is_same_v<Value, std::vector<std::string>>});
        } else {
            detail::visit_references_in(field.get(owner), path, field.name, visit);
        }
    });
}

}  // namespace sallyport::model

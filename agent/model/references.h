// SPDX-License-Identifier: Apache-2.0
//
// References, wherever fields.h declares one, however deep. Heavy to include, like fields.h.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "model/fields.h"

namespace sallyport::model {

// Where something stands: what it stands in, and a field or a position there. Written out only when somebody
// is told, because a large site has a hundred thousand references and not one fault.
struct Step {
    const Step* outer = nullptr;
    std::string_view field = {};
    std::optional<std::size_t> index = {};

    [[nodiscard]] std::string path() const {
        std::string text = outer == nullptr ? std::string() : outer->path();
        if (!text.empty() && !field.empty()) text += '.';
        text += field;
        if (index) text += fmt::format("[{}]", *index);
        return text;
    }
};

// A field that names objects of another kind, or of its own.
struct ReferringField {
    const Step& place;
    Kind kind;  // of what is named
    std::span<const std::string> names;
    bool list = false;  // it may hold several names; each has a position behind the path then

    [[nodiscard]] std::string path() const {
        return place.path();
    }  // "route_tables[0].routes[1].nat_gateway"
};

template <Described T, typename Visit>
void visit_references(const T& owner, const Step& place, Visit&& visit);

namespace detail {

template <typename T, typename Visit>
void visit_references_in(const T&, const Step&, std::string_view, Visit&) {
}

template <Described T, typename Visit>
void visit_references_in(const std::vector<T>& list, const Step& place, std::string_view field,
                         Visit& visit) {
    for (std::size_t i = 0; i < list.size(); ++i) visit_references(list[i], Step{&place, field, i}, visit);
}

template <Described T, typename Visit>
void visit_references_in(const std::optional<std::vector<T>>& list, const Step& place, std::string_view field,
                         Visit& visit) {
    if (list) visit_references_in(*list, place, field, visit);
}

inline std::span<const std::string> names_in(const std::string& name) {
    return {&name, name.empty() ? 0U : 1U};
}
inline std::span<const std::string> names_in(const std::optional<std::string>& name) {
    return name ? names_in(*name) : std::span<const std::string>();
}
inline std::span<const std::string> names_in(const std::vector<std::string>& names) {
    return names;
}

}  // namespace detail

// Calls visit(ReferringField) for each field of `owner` that names anything.
template <Described T, typename Visit>
void visit_references(const T& owner, const Step& place, Visit&& visit) {
    visit_fields<T>([&](const auto& field) {
        using Value = typename std::remove_cvref_t<decltype(field)>::Value;
        if constexpr (std::is_same_v<Value, std::string> || std::is_same_v<Value, std::vector<std::string>> ||
                      std::is_same_v<Value, std::optional<std::string>>) {
            if (!field.refers_to) return;
            const auto& held = field.get(owner);
            const std::span<const std::string> names = detail::names_in(held);
            if (names.empty()) return;
            const Step here{&place, field.name, {}};
            visit(ReferringField{here, *field.refers_to, names,
                                 std::is_same_v<Value, std::vector<std::string>>});
        } else {
            detail::visit_references_in(field.get(owner), place, field.name, visit);
        }
    });
}

}  // namespace sallyport::model

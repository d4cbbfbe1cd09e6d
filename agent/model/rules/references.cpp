// SPDX-License-Identifier: Apache-2.0
//
// References, wherever fields.h declares one, however deep.
#include <fmt/format.h>

#include <map>
#include <optional>
#include <type_traits>

#include "model/fields.h"
#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

class References : Rules {
  public:
    explicit References(Examination& examination) : Rules(examination) {}

    void check() {
        check_references_of(state_.gateway, "gateway");
        visit_kinds([this](Kind kind, auto objects_of_kind) {
            const auto& list = state_.*objects_of_kind;
            for (std::size_t i = 0; i < list.size(); ++i)
                check_references_of(list[i], at(to_string(kind), i));
        });
    }

  private:
    template <Described T>
    void check_references_of(const T& owner, const std::string& path) {
        visit_fields<T>([&](const auto& field) {
            using Value = typename std::remove_cvref_t<decltype(field)>::Value;
            if constexpr (std::is_same_v<Value, std::string> ||
                          std::is_same_v<Value, std::vector<std::string>> ||
                          std::is_same_v<Value, std::optional<std::string>>) {
                if (field.refers_to) check_reference(field.get(owner), *field.refers_to, path, field.name);
            } else {
                check_references_in(field.get(owner), path, field.name);
            }
        });
    }

    template <typename T>
    void check_references_in(const T&, const std::string&, std::string_view) {}

    template <Described T>
    void check_references_in(const std::vector<T>& list, const std::string& path, std::string_view field) {
        for (std::size_t i = 0; i < list.size(); ++i) {
            check_references_of(list[i], fmt::format("{}.{}[{}]", path, field, i));
        }
    }

    template <Described T>
    void check_references_in(const std::optional<std::vector<T>>& list, const std::string& path,
                             std::string_view field) {
        if (list) check_references_in(*list, path, field);
    }

    void check_reference(const std::string& name, Kind kind, const std::string& path,
                         std::string_view field) {
        if (name.empty()) return;  // not given; whether it had to be is another rule
        if (!index_of(kind, name)) dangling(fmt::format("{}.{}", path, field), name, kind);
    }

    void check_reference(const std::optional<std::string>& name, Kind kind, const std::string& path,
                         std::string_view field) {
        if (name && !name->empty() && !index_of(kind, *name))
            dangling(fmt::format("{}.{}", path, field), *name, kind);
    }

    void check_reference(const std::vector<std::string>& names, Kind kind, const std::string& path,
                         std::string_view field) {
        std::map<std::string_view, std::size_t> seen;
        for (std::size_t i = 0; i < names.size(); ++i) {
            std::string here = fmt::format("{}.{}[{}]", path, field, i);
            const auto [first, added] = seen.emplace(names[i], i);
            if (!added) {
                wrong(std::move(here), names[i], "each name once",
                      fmt::format("{} {} is listed twice", word_for(kind), quoted(names[i])),
                      fmt::format("{}.{}[{}]", path, field, first->second));
            } else if (!index_of(kind, names[i])) {
                dangling(std::move(here), names[i], kind);
            }
        }
    }

    void dangling(std::string path, const std::string& name, Kind kind) {
        const Examination::Names& known = names(kind);
        constexpr std::size_t shown = 8;
        std::string expected;
        std::size_t listed = 0;
        for (const auto& [candidate, index] : known) {
            if (listed == shown) break;
            expected += fmt::format("{}{}", listed++ == 0 ? "" : ", ", candidate);
        }
        if (known.empty()) {
            expected = fmt::format("the name of {}, of which there are none", with_article(kind));
        } else if (known.size() > 1) {
            expected = fmt::format("one of {}{}", expected, known.size() > shown ? ", …" : "");
        }
        // The whole list is what it is at odds with: while that could not be read, nothing is said.
        wrong(std::move(path), name, std::move(expected),
              fmt::format("there is no {} {}", word_for(kind), quoted(name)), std::string(to_string(kind)));
    }
};

}  // namespace

void check_references(Examination& examination) {
    References(examination).check();
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
//
// References, wherever fields.h declares one, however deep.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "model/references.h"
#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

class References : Rules {
  public:
    explicit References(Examination& examination) : Rules(examination) {}

    void check() {
        const auto check = [this](const ReferringField& field) { check_field(field); };
        visit_references(state_.gateway, Step{nullptr, "gateway", {}}, check);
        visit_kinds([&](Kind kind, auto objects_of_kind) {
            const auto& list = state_.*objects_of_kind;
            for (std::size_t i = 0; i < list.size(); ++i)
                visit_references(list[i], Step{nullptr, to_string(kind), i}, check);
        });
    }

  private:
    void check_field(const ReferringField& field) {
        if (!field.list) {
            if (!index_of(field.kind, field.names.front()))
                dangling(field.path(), field.names.front(), field.kind);
            return;
        }
        std::unordered_map<std::string_view, std::size_t> seen;
        for (std::size_t i = 0; i < field.names.size(); ++i) {
            const std::string& name = field.names[i];
            const auto [first, added] = seen.emplace(name, i);
            if (!added) {
                wrong(at(field.path(), i), name, "each name once",
                      fmt::format("{} {} is listed twice", word_for(field.kind), quoted(name)),
                      at(field.path(), first->second));
            } else if (!index_of(field.kind, name)) {
                dangling(at(field.path(), i), name, field.kind);
            }
        }
    }

    void dangling(std::string path, const std::string& name, Kind kind) {
        constexpr std::size_t shown = 8;
        std::vector<std::string_view> known;
        for (const auto& [candidate, index] : names(kind)) known.push_back(candidate);
        std::ranges::sort(known);
        std::string expected;
        if (known.empty()) {
            expected = fmt::format("the name of {}, of which there are none", with_article(kind));
        } else {
            const bool more = known.size() > shown;
            const bool one = known.size() == 1;
            known.resize(std::min(known.size(), shown));
            expected = fmt::format("{}{}{}", one ? "" : "one of ", fmt::join(known, ", "), more ? ", …" : "");
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

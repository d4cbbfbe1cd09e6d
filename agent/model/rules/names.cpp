// SPDX-License-Identifier: Apache-2.0
//
// Names: their form, and that each is given once in its kind.
#include <fmt/format.h>

#include <cstddef>

#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

class NameRules : Rules {
  public:
    explicit NameRules(Examination& examination) : Rules(examination) {}

    void check() {
        check_form("gateway.name", state_.gateway.name);
        visit_kinds([this](Kind kind, auto objects_of_kind) {
            const auto& list = state_.*objects_of_kind;
            for (std::size_t i = 0; i < list.size(); ++i) {
                const std::string& name = list[i].name;
                check_form(at(to_string(kind), i, "name"), name);
                const std::size_t first = *index_of(kind, name);
                if (first == i) continue;
                wrong(at(to_string(kind), i, "name"), name, "another name",
                      fmt::format("there is {} {} already", with_article(kind), quoted(name)),
                      at(to_string(kind), first, "name"));
            }
        });
    }

  private:
    void check_form(std::string path, const std::string& name) {
        if (is_name(name)) return;
        wrong(std::move(path), name, "1 to 63 of a-z, 0-9 and \"-\", with no \"-\" at the ends",
              fmt::format("{} is no name", quoted(name)));
    }
};

}  // namespace

void check_names(Examination& examination) {
    NameRules(examination).check();
}

}  // namespace sallyport::model

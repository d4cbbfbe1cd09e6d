// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "config/document.h"
#include "config/faults.h"
#include "config/object.h"
#include "model/validate.h"

namespace sallyport::config {
namespace {

bool is_of_api(const std::optional<model::Object>& object) {
    return object && model::origin_of(*object) == model::Origin::api;
}

// In a file, an object of the API has no place and is told by its name.
Fault placed(const model::Fault& fault, const model::DesiredState& state, const Node& root,
             const std::string& file_name) {
    const auto subject = model::object_at(state, fault.path);
    const auto other = model::object_at(state, fault.other_path);
    if (!is_of_api(subject)) {
        Fault result = at_its_place(fault, root, file_name);
        if (is_of_api(other))
            result.message += fmt::format(" ({} was made through the API)", model::describe(*other));
        return result;
    }
    Fault result{file_name,
                 0,
                 0,
                 {},
                 fault.read,
                 fault.expected,
                 fmt::format("{}, made through the API: {}", model::describe(*subject), fault.message)};
    const Place place = find_place(root, fault.other_path);
    if (!fault.other_path.empty() && place.exact && !is_of_api(other)) {
        result.line = place.mark.line;
        result.column = place.mark.column;
        result.path = fault.other_path;
    }
    return result;
}

// The parsed file, made when it is first needed.
class Places {
  public:
    Places(std::string_view text, const std::string& file_name) : text_(text), file_name_(file_name) {}
    const Node& root() {
        std::vector<Fault> none;
        if (!root_) root_ = parse_document(text_, file_name_, none);
        return *root_;
    }

  private:
    std::string_view text_;
    const std::string& file_name_;
    std::optional<Node> root_;
};

}  // namespace

tl::expected<Loaded, std::vector<Fault>> join(const Loaded& file, std::string_view text,
                                              const std::string& file_name,
                                              const std::vector<model::Object>& objects) {
    if (objects.empty()) return file;
    Loaded joined = file;
    Places places(text, file_name);
    std::vector<Fault> faults;
    for (const model::Object& object : objects) model::append_object(joined.state, object);
    for (const model::Fault& fault : model::validate(joined.state))
        faults.push_back(placed(fault, joined.state, places.root(), file_name));
    if (!faults.empty()) return tl::make_unexpected(in_order(std::move(faults), file_name));
    joined.warnings = joined_warnings(joined.state, file.warnings, text, file_name);
    return joined;
}

std::vector<Fault> joined_warnings(const model::DesiredState& state, const std::vector<Fault>& known,
                                   std::string_view text, const std::string& file_name) {
    std::vector<Fault> warnings;
    // What is no matter of objects is as the file alone says.
    for (const Fault& warning : known) {
        if (is_inside(warning.path, "api")) warnings.push_back(warning);
    }
    Places places(text, file_name);
    // Where the file alone has more warnings than are listed, one more is not worth looking for its place.
    const bool all_known = known.size() <= faults_most;
    std::size_t unlisted = 0;
    for (const model::Fault& warning : model::warnings(state)) {
        const auto same = std::ranges::find_if(known, [&](const Fault& candidate) {
            return candidate.path == warning.path && candidate.message.starts_with(warning.message);
        });
        if (same != known.end()) {
            warnings.push_back(*same);
        } else if (const auto object = model::object_at(state, warning.path); is_of_api(object)) {
            warnings.push_back(
                {{}, 0, 0, model::describe(*object), warning.read, warning.expected, warning.message});
        } else if (!all_known) {
            ++unlisted;
        } else if (find_place(places.root(), warning.path).exact) {
            warnings.push_back(placed(warning, state, places.root(), file_name));
        }
    }
    return in_order(std::move(warnings), file_name, unlisted);
}

}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "config/document.h"
#include "config/faults.h"
#include "config/files.h"
#include "config/object.h"
#include "model/validate.h"

namespace sallyport::config {
namespace {

bool is_of_api(const std::optional<model::Object>& object) {
    return object && model::origin_of(*object) == model::Origin::api;
}

// In a file, an object of the API has no place and is told by its name.
Fault placed(const model::Fault& fault, const model::DesiredState& state, const Files& files) {
    const auto subject = model::object_at(state, fault.path);
    const auto other = model::object_at(state, fault.other_path);
    if (!is_of_api(subject)) {
        Fault result = at_its_place(fault, files);
        if (is_of_api(other))
            result.message += fmt::format(" ({} was made through the API)", model::describe(*other));
        return result;
    }
    Fault result{files.main_name(),
                 0,
                 0,
                 {},
                 fault.read,
                 fault.expected,
                 fmt::format("{}, made through the API: {}", model::describe(*subject), fault.message)};
    const Files::Spot spot = files.find(fault.other_path);
    if (!fault.other_path.empty() && spot.place.exact && !is_of_api(other)) {
        result.file = spot.file;
        result.line = spot.place.mark.line;
        result.column = spot.place.mark.column;
        result.path = spot.path;
    }
    return result;
}

// The parsed files, made when they are first needed.
class Places {
  public:
    explicit Places(const Sources& sources) : sources_(sources) {}
    const Files& files() {
        if (!files_) files_ = merged(sources_);
        return *files_;
    }

  private:
    const Sources& sources_;
    std::optional<Files> files_;
};

}  // namespace

tl::expected<Loaded, std::vector<Fault>> join(const Loaded& file, const Sources& sources,
                                              const std::vector<model::Object>& objects) {
    if (objects.empty()) return file;
    Loaded joined = file;
    Places places(sources);
    std::vector<Fault> faults;
    for (const model::Object& object : objects) model::append_object(joined.state, object);
    for (const model::Fault& fault : model::validate(joined.state))
        faults.push_back(placed(fault, joined.state, places.files()));
    if (!faults.empty()) return tl::make_unexpected(in_order(std::move(faults), places.files()));
    joined.warnings = joined_warnings(joined.state, file.warnings, sources);
    return joined;
}

std::vector<Fault> joined_warnings(const model::DesiredState& state, const std::vector<Fault>& known,
                                   const Sources& sources) {
    std::vector<Fault> warnings;
    // What is no matter of objects is as the file alone says.
    for (const Fault& warning : known) {
        if (is_inside(warning.path, "api")) warnings.push_back(warning);
    }
    Places places(sources);
    // Where the file alone has more warnings than are listed, one more is not worth looking for its place.
    const bool all_known = known.size() <= faults_most;
    std::size_t unlisted = 0;
    for (const model::Fault& warning : model::warnings(state)) {
        const auto same = std::ranges::find_if(known, [&](const Fault& candidate) {
            if (!candidate.message.starts_with(warning.message)) return false;
            if (sources.size() == 1) return candidate.path == warning.path;
            const Files::Spot spot = places.files().find(warning.path);
            return candidate.file == spot.file && candidate.path == spot.path;
        });
        if (same != known.end()) {
            warnings.push_back(*same);
        } else if (const auto object = model::object_at(state, warning.path); is_of_api(object)) {
            warnings.push_back(
                {{}, 0, 0, model::describe(*object), warning.read, warning.expected, warning.message});
        } else if (!all_known) {
            ++unlisted;
        } else if (places.files().find(warning.path).place.exact) {
            warnings.push_back(placed(warning, state, places.files()));
        }
    }
    std::vector<std::string> names;
    for (const Source& source : sources) names.push_back(source.name);
    return in_order(std::move(warnings), Files(std::move(names)), unlisted);
}

}  // namespace sallyport::config

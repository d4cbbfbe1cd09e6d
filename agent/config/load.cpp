// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/document.h"
#include "config/faults.h"
#include "config/reader.h"
#include "config/schema.h"
#include "model/validate.h"

namespace sallyport::config {
namespace {

// Whether `path` is that of an object in the list `list`, or that of its name: "vpcs[3]", "vpcs[3].name".
bool hides_a_name(std::string_view path, std::string_view list) {
    if (!path.starts_with(list)) return false;
    path.remove_prefix(list.size());
    const auto end = path.find(']');
    return path.starts_with('[') && (path.substr(end) == "]" || path.substr(end) == "].name");
}

// Whether one of the faults so far makes a statement about `path` doubtful: a fault of what holds it, of it
// or of what it holds. A list of objects as a whole is good for finding names, as long as none is missing.
bool is_doubtful(std::string_view path, const Files& files, const std::vector<Fault>& faults) {
    if (path.empty()) return false;
    const bool list_of_names = model::parse_kind(path).has_value();
    const Files::Spot spot = files.find(path);
    return std::ranges::any_of(faults, [&](const Fault& fault) {
        // Faults have no path where a file as a whole is no map.
        if (fault.path.empty() || (list_of_names && fault.path == path)) return true;
        if (list_of_names) return hides_a_name(fault.path, path);
        return fault.file == spot.file &&
               (is_inside(spot.path, fault.path) || is_inside(fault.path, spot.path));
    });
}

std::vector<Fault> find_warnings(const Root& root, const Files& files) {
    std::vector<Fault> found;
    for (const model::Fault& warning : model::warnings(root.state)) {
        // A default that is not in force yet is no news to somebody who did not ask for it.
        if (!files.find(warning.path).place.exact) continue;
        found.push_back(at_its_place(warning, files));
    }
    return in_order(std::move(found), files);
}

}  // namespace

std::string Fault::to_string() const {
    std::string text = file;
    if (line > 0) text += fmt::format(":{}:{}", line, column);
    for (const std::string* part : {&path, &message}) {
        if (!part->empty()) text += fmt::format("{}{}", text.empty() ? "" : ": ", *part);
    }
    return text;
}

tl::expected<Loaded, std::vector<Fault>> load_sources(const Sources& sources) {
    std::vector<Fault> faults;
    std::size_t bytes = 0;
    for (const Source& source : sources) bytes += source.text.size();
    if (bytes > sources_most_bytes) {
        faults.push_back({sources.front().name,
                          0,
                          0,
                          {},
                          {},
                          {},
                          fmt::format("the file{} {} bytes; expected at most {}",
                                      sources.size() == 1 ? " has" : " and its fragments have", bytes,
                                      sources_most_bytes)});
        return tl::make_unexpected(std::move(faults));
    }
    Files files(sources, faults);
    if (!faults.empty()) return tl::make_unexpected(in_order(std::move(faults), files));

    Root root;
    Reader reader(files, faults);
    files.merge(reader);
    reader.read(files.root(), root);
    if (reader.count() > faults.size()) {
        const std::size_t unlisted = reader.count() - faults.size();
        return tl::make_unexpected(in_order(std::move(faults), files, unlisted));
    }
    // What could be read is checked as well; only conclusions from values that are at fault are left out.
    std::vector<Fault> conclusions;
    for (const model::Fault& fault : model::validate(root.state)) {
        if (is_doubtful(fault.path, files, faults) || is_doubtful(fault.other_path, files, faults)) continue;
        conclusions.push_back(at_its_place(fault, files));
    }
    if (root.api.listen) {
        for (const Exposure& exposure : exposures(root.api, *root.api.listen)) {
            if (is_doubtful(exposure.path, files, faults)) continue;
            conclusions.push_back(
                at_its_place({exposure.path, {}, {}, exposure.expected, exposure.message}, files));
        }
    }
    std::ranges::move(conclusions, std::back_inserter(faults));
    if (!faults.empty()) return tl::make_unexpected(in_order(std::move(faults), files));

    std::vector<Fault> warnings = find_warnings(root, files);
    return Loaded{std::move(root.state), std::move(root.api), std::move(warnings)};
}

tl::expected<Loaded, std::vector<Fault>> load_text(std::string_view text, const std::string& file_name) {
    return load_sources({{file_name, std::string(text)}});
}

tl::expected<Loaded, std::vector<Fault>> load_file(const std::string& path) {
    const auto sources = read_sources(path);
    if (!sources) {
        return tl::make_unexpected(std::vector<Fault>{{path, 0, 0, {}, {}, {}, sources.error().message}});
    }
    return load_sources(*sources);
}

std::string file_of(const Sources& sources, std::string_view path) {
    return merged(sources).find(path).file;
}

}  // namespace sallyport::config

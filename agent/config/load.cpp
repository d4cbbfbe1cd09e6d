// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/document.h"
#include "config/faults.h"
#include "config/reader.h"
#include "config/schema.h"
#include "core/file.h"
#include "model/validate.h"

namespace sallyport::config {
namespace {

constexpr std::size_t file_most = std::size_t{16} << 20;

// Whether `path` is that of an object in the list `list`, or that of its name: "vpcs[3]", "vpcs[3].name".
bool hides_a_name(std::string_view path, std::string_view list) {
    if (!path.starts_with(list)) return false;
    path.remove_prefix(list.size());
    const auto end = path.find(']');
    return path.starts_with('[') && (path.substr(end) == "]" || path.substr(end) == "].name");
}

// Whether one of the faults so far makes a statement about `path` doubtful: a fault of what holds it, of it
// or of what it holds. A list of objects as a whole is good for finding names, as long as none is missing.
bool is_doubtful(std::string_view path, const std::vector<Fault>& faults) {
    if (path.empty()) return false;
    const bool list_of_names = model::parse_kind(path).has_value();
    return std::ranges::any_of(faults, [&](const Fault& fault) {
        // Faults have no path where the file as a whole is no map.
        if (fault.path.empty() || is_inside(path, fault.path)) return true;
        return list_of_names ? hides_a_name(fault.path, path) : is_inside(fault.path, path);
    });
}

std::vector<Fault> find_warnings(const Root& root, const Node& document, const std::string& file_name) {
    std::vector<Fault> found;
    for (const model::Fault& warning : model::warnings(root.state)) {
        // A default that is not in force yet is no news to somebody who did not ask for it.
        if (!find_place(document, warning.path).exact) continue;
        found.push_back(at_its_place(warning, document, file_name));
    }
    return in_order(std::move(found), file_name);
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

tl::expected<Loaded, std::vector<Fault>> load_text(std::string_view text, const std::string& file_name) {
    std::vector<Fault> faults;
    if (text.size() > file_most) {
        faults.push_back({file_name,
                          0,
                          0,
                          {},
                          {},
                          {},
                          fmt::format("the file has {} bytes; expected at most {}", text.size(), file_most)});
        return tl::make_unexpected(std::move(faults));
    }
    const Node document = parse_document(text, file_name, faults);
    if (!faults.empty()) return tl::make_unexpected(in_order(std::move(faults), file_name));

    Root root;
    Reader reader(file_name, faults);
    reader.read(document, root);
    if (reader.count() > faults.size()) {
        const std::size_t unlisted = reader.count() - faults.size();
        return tl::make_unexpected(in_order(std::move(faults), file_name, unlisted));
    }
    // What could be read is checked as well; only conclusions from values that are at fault are left out.
    std::vector<Fault> conclusions;
    for (const model::Fault& fault : model::validate(root.state)) {
        if (is_doubtful(fault.path, faults) || is_doubtful(fault.other_path, faults)) continue;
        conclusions.push_back(at_its_place(fault, document, file_name));
    }
    if (root.api.listen) {
        for (const Exposure& exposure : exposures(root.api, *root.api.listen)) {
            if (is_doubtful(exposure.path, faults)) continue;
            conclusions.push_back(at_its_place({exposure.path, {}, {}, exposure.expected, exposure.message},
                                               document, file_name));
        }
    }
    std::ranges::move(conclusions, std::back_inserter(faults));
    if (!faults.empty()) return tl::make_unexpected(in_order(std::move(faults), file_name));

    std::vector<Fault> warnings = find_warnings(root, document, file_name);
    return Loaded{std::move(root.state), std::move(root.api), std::move(warnings)};
}

tl::expected<Loaded, std::vector<Fault>> load_file(const std::string& path) {
    const auto text = read_file(path, file_most);
    if (!text) {
        return tl::make_unexpected(std::vector<Fault>{{path, 0, 0, {}, {}, {}, text.error().message}});
    }
    return load_text(*text, path);
}

}  // namespace sallyport::config

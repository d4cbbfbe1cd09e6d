// SPDX-License-Identifier: Apache-2.0
#include "config/files.h"

#include <fmt/format.h>

#include <charconv>

#include "config/reader.h"
#include "model/kinds.h"

namespace sallyport::config {

Files::Files(const Sources& sources, std::vector<Fault>& faults) {
    for (std::size_t i = 0; i < sources.size(); ++i) {
        names_.push_back(sources[i].name);
        Node root = parse_document(sources[i].text, sources[i].name, faults, static_cast<unsigned>(i));
        if (i == 0) {
            root_ = std::move(root);
        } else {
            fragments_.push_back(std::move(root));
        }
    }
}

std::string Files::local_path(std::string_view path, Mark mark) const {
    const std::size_t bracket = path.find('[');
    const std::size_t end = path.find(']');
    if (bracket == std::string_view::npos || end == std::string_view::npos) return std::string(path);
    const auto offset = offsets_.find({mark.file, std::string(path.substr(0, bracket))});
    if (offset == offsets_.end()) return std::string(path);
    std::size_t index = 0;
    std::from_chars(path.data() + bracket + 1, path.data() + end, index);
    return fmt::format("{}[{}{}", path.substr(0, bracket), index - offset->second, path.substr(end));
}

Files::Spot Files::find(std::string_view path) const {
    const Place place = find_place(root_, path);
    return {place, name_of(place.mark), local_path(path, place.mark)};
}

void Files::merge(Reader& reader) {
    for (std::size_t i = 0; i < fragments_.size(); ++i) {
        Node& fragment = fragments_[i];
        if (!reader.check_fragment(fragment, main_name())) continue;
        for (std::size_t k = 0; k < fragment.keys.size(); ++k) {
            const Key& key = fragment.keys[k];
            const bool is_first = fragment.child(key.text) == &fragment.children[k];
            if (is_first && model::parse_kind(key.text) && fragment.children[k].type == Node::Type::list)
                merge_list(i + 1, key, std::move(fragment.children[k]));
        }
    }
    fragments_.clear();
}

Files merged(const Sources& sources) {
    std::vector<Fault> none;
    Files files(sources, none);
    Reader reader(files, none);
    files.merge(reader);
    return files;
}

void Files::merge_list(std::size_t file, const Key& key, Node list) {
    if (root_.type != Node::Type::map) return;
    for (std::size_t i = 0; i < root_.keys.size(); ++i) {
        if (root_.keys[i].text != key.text) continue;
        Node& whole = root_.children[i];
        if (whole.type != Node::Type::list) return;
        offsets_[{file, key.text}] = whole.children.size();
        std::move(list.children.begin(), list.children.end(), std::back_inserter(whole.children));
        return;
    }
    offsets_[{file, key.text}] = 0;
    root_.keys.push_back(key);
    root_.children.push_back(std::move(list));
}

}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
//
// The files of a configuration as one tree, which knows of each part where it comes from. To the model there
// is one list of each kind; in messages, paths are those of the file that they are about.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/document.h"
#include "config/sources.h"

namespace sallyport::config {

class Reader;

class Files {
  public:
    // Those whose trees are not wanted, for messages; at least one.
    explicit Files(std::vector<std::string> names) : names_(std::move(names)) {}
    // Adds every fault of their text; the tree is only good for more when there is none.
    Files(const Sources& sources, std::vector<Fault>& faults);

    [[nodiscard]] const Node& root() const { return root_; }
    [[nodiscard]] const std::string& name_of(Mark mark) const { return names_[mark.file]; }
    [[nodiscard]] const std::string& main_name() const { return names_.front(); }
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

    // "vpcs[0].name", as it is called in the file of the mark, for "vpcs[3].name" of the whole.
    [[nodiscard]] std::string local_path(std::string_view path, Mark mark) const;

    struct Spot {
        Place place;
        const std::string& file;
        std::string path;  // there
    };
    [[nodiscard]] Spot find(std::string_view path) const;

    // Puts the lists of the fragments behind those of the configuration file. The reader is told of what a
    // fragment may not have.
    void merge(Reader& reader);

  private:
    void merge_list(std::size_t file, const Key& key, Node list);

    std::vector<std::string> names_;
    Node root_;
    std::vector<Node> fragments_;
    std::map<std::pair<std::size_t, std::string>, std::size_t>
        offsets_;  // by file and kind: of its first object
};

// Of sources that have no faults.
Files merged(const Sources& sources);

}  // namespace sallyport::config

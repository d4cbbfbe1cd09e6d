// SPDX-License-Identifier: Apache-2.0
//
// A YAML document as a tree in which every value and every key knows its place. Only what a configuration
// needs of YAML: one document, no anchors, aliases or tags, no depth to speak of. It is parsed by libyaml,
// which document.cpp alone sees. A JSON text becomes such a tree too, without places.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"

namespace sallyport::config {

// More faults than these are counted, but not listed: nobody reads on, and a hostile file has millions.
inline constexpr std::size_t faults_most = 100;

inline constexpr std::size_t depth_most = 16;  // the format itself needs 7
inline constexpr std::size_t values_most = 2000000;

struct Mark {
    int line = 0;       // from 1
    int column = 0;     // from 1, in bytes
    unsigned file = 0;  // of several: files.h
    bool operator==(const Mark&) const = default;
};

struct Key {
    std::string text;
    Mark mark;
    bool operator==(const Key&) const = default;
};

struct Node {
    enum class Type { null, scalar, list, map };
    Type type = Type::null;
    bool quoted = false;  // a scalar in quotes, which can only be text
    bool typed = false;   // of JSON: a number, true or false, which cannot be text
    Mark mark = {};
    std::string scalar = {};
    std::vector<Key> keys = {};  // of a map, duplicates included, each with the child of the same position
    std::vector<Node> children = {};  // of a list or a map

    bool operator==(const Node&) const = default;

    [[nodiscard]] const Node* child(std::string_view key) const;  // the first of that name, or nullptr
};

// Adds every fault that it finds; the tree is only good for more checks when it has added none.
// `file` is what all marks say; all but the first are fragments.
Node parse_document(std::string_view text, const std::string& file_name, std::vector<Fault>& faults,
                    unsigned file = 0);

// The same of a JSON text. Names that are given twice are faults already here.
Node parse_json(std::string_view text, std::vector<Fault>& faults);

// The place of "nat_gateways[0].elastic_ips[1]": that of the value, or of what holds it where it is missing.
struct Place {
    Mark mark;
    bool exact = false;  // the value is there
};
Place find_place(const Node& root, std::string_view path);

}  // namespace sallyport::config

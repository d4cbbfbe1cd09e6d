// SPDX-License-Identifier: Apache-2.0
//
// Reads values of any type of the table of settings from a document, strictly. A value that is at fault
// stays as it was, and reading goes on, so that all faults are found at once.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/document.h"
#include "config/files.h"
#include "config/wanted.h"
#include "core/duration.h"

namespace sallyport::config {

// A name as part of a JSON Pointer.
std::string pointer_token(std::string_view name);

// The word of `words` that `typed` most likely was meant to be, or nothing.
std::optional<std::string_view> similar_word(std::string_view typed,
                                             const std::vector<std::string_view>& words);

class Reader {
  public:
    // `files` must outlive the reader.
    Reader(const Files& files, std::vector<Fault>& faults) : files_(&files), faults_(faults) {}
    // Of JSON that is no file: faults are told by pointer.
    explicit Reader(std::vector<Fault>& faults) : faults_(faults), with_pointers_(true) {}

    // What a fragment may not have, and must, apart from what its lists hold: those are read with the whole.
    // Returns whether there is anything to read.
    bool check_fragment(const Node& fragment, const std::string& main_name);

    template <model::Described T>
    void read(const Node& node, T& value) {
        read_value(node, value, model::FieldFacts{});
    }

    // All faults found, those included that were too many to be listed.
    [[nodiscard]] std::size_t count() const { return count_; }

  private:
    // One part of the path: a key, or a position where the key is empty.
    struct Step {
        std::string_view key;
        std::size_t index = 0;
    };
    class Inside {
      public:
        Inside(Reader& reader, Step step) : path_(reader.path_) { path_.push_back(step); }
        ~Inside() { path_.pop_back(); }
        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;

      private:
        std::vector<Step>& path_;
    };

    // "…; expected …", at `mark`, about what path_ stands for now.
    void wrong(Mark mark, std::string read, std::string expected, std::string_view what);
    void add(Mark mark, std::string read, std::string expected, std::string message);
    void wrong_type(const Node& node, std::string expected);
    void unknown_key(const Key& key, const std::vector<std::string_view>& known);

    // The text of a scalar, or nothing and a fault. Where `plain_only`, quotes are refused: "5" is no number.
    // What is wanted is put into words only for a fault: a large file has a hundred thousand scalars and
    // none.
    template <typename T>
    const std::string* scalar(const Node& node, const model::FieldFacts& facts, bool plain_only) {
        if (is_scalar(node, plain_only)) return &node.scalar;
        refuse_scalar(node, wanted<T>(facts));
        return nullptr;
    }
    [[nodiscard]] static bool is_scalar(const Node& node, bool plain_only);
    void refuse_scalar(const Node& node, std::string expected);

    template <typename T, typename Parse>
    void read_parsed(const Node& node, T& value, bool plain_only, Parse parse) {
        const std::string* text = scalar<T>(node, {}, plain_only);
        if (text == nullptr) return;
        if (auto parsed = parse(*text)) {
            value = *parsed;
        } else {
            wrong(node.mark, *text, wanted<T>({}), parsed.error().message);
        }
    }

    void read_value(const Node& node, std::string& value, const model::FieldFacts& facts);
    void read_value(const Node& node, bool& value, const model::FieldFacts& facts);
    void read_value(const Node& node, model::True& value, const model::FieldFacts& facts);
    void read_value(const Node& node, std::uint32_t& value, const model::FieldFacts& facts);
    void read_value(const Node& node, Ipv4Address& value, const model::FieldFacts& facts);
    void read_value(const Node& node, Ipv4Prefix& value, const model::FieldFacts& facts);
    void read_value(const Node& node, PortRange& value, const model::FieldFacts& facts);
    void read_value(const Node& node, IcmpType& value, const model::FieldFacts& facts);
    void read_value(const Node& node, Endpoint& value, const model::FieldFacts& facts);
    void read_value(const Node& node, std::chrono::seconds& value, const model::FieldFacts& facts);
    void read_value(const Node& node, HostName& value, const model::FieldFacts& facts);
    void read_value(const Node& node, WebOrigin& value, const model::FieldFacts& facts);

    template <model::Worded E>
    void read_value(const Node& node, E& value, const model::FieldFacts& facts) {
        const std::string* text = scalar<E>(node, facts, false);
        if (text == nullptr) return;
        if (const auto parsed = model::parse_enum<E>(*text)) {
            value = *parsed;
        } else {
            wrong(node.mark, *text, wanted<E>(facts), fmt::format("\"{}\" is not known", *text));
        }
    }

    // One value stands for all protocols; a map gives them one by one and leaves out what keeps its default.
    void read_value(const Node& node, model::PerProtocol& value, const model::FieldFacts& facts) {
        if (node.type == Node::Type::map) {
            read_map(node, value);
            return;
        }
        if (node.type != Node::Type::scalar) {
            wrong_type(node, wanted<model::PerProtocol>(facts));
            return;
        }
        model::EndpointRule rule = value.tcp;
        const std::size_t before = count_;
        read_value(node, rule, facts);
        if (count_ == before) value = {rule, rule, rule};
    }

    template <model::Described T>
    void read_value(const Node& node, T& value, const model::FieldFacts& facts) {
        if (node.type != Node::Type::map) {
            wrong_type(node, wanted<T>(facts));
            return;
        }
        read_map(node, value);
    }

    template <typename T>
    void read_value(const Node& node, std::optional<T>& value, const model::FieldFacts& facts) {
        T inner{};
        const std::size_t before = count_;
        read_value(node, inner, facts);
        // A faulty list is kept all the same, so that the objects in it can be checked further.
        if (count_ == before || model::Described<T>) value = std::move(inner);
    }

    // An element is kept even where it is at fault: positions in the model are positions in the file.
    template <typename T>
    void read_value(const Node& node, std::vector<T>& value, const model::FieldFacts& facts) {
        if (node.type != Node::Type::list) {
            wrong_type(node, wanted<std::vector<T>>(facts));
            return;
        }
        value.resize(node.children.size());
        for (std::size_t i = 0; i < node.children.size(); ++i) {
            const Inside inside(*this, {{}, i});
            read_value(node.children[i], value[i], facts);
        }
    }

    template <typename T>
    void read_map(const Node& node, T& value) {
        static const auto known = keys_of<T>();
        refuse_duplicates(node);
        for (const Key& key : node.keys) {
            if (std::ranges::find(known, key.text) == known.end()) unknown_key(key, known);
        }
        model::visit_fields<T>([&](const auto& field) {
            using Value = typename std::remove_cvref_t<decltype(field)>::Value;
            const Node* child = node.child(field.name);
            const Inside inside(*this, {field.name, 0});
            if (child != nullptr) {
                Value member = field.get(value);
                read_value(*child, member, field);
                field.set(value, std::move(member));
            } else if (field.need == model::Need::required) {
                wrong(node.mark, {}, wanted<Value>(field),
                      fmt::format("the key \"{}\" is missing", field.name));
            }
        });
        if constexpr (requires { model::Schema<T>::one_of; }) {
            check_one_of(node, {model::Schema<T>::one_of.begin(), model::Schema<T>::one_of.end()});
        }
    }

    void refuse_duplicates(const Node& map);
    void check_one_of(const Node& map, const std::vector<std::string_view>& keys);
    [[nodiscard]] std::string path() const;
    [[nodiscard]] std::string pointer() const;

    const Files* files_ = nullptr;
    std::vector<Fault>& faults_;
    bool with_pointers_ = false;
    std::size_t count_ = 0;
    std::vector<Step> path_;
};

}  // namespace sallyport::config

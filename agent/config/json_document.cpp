// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "config/document.h"
#include "config/reader.h"

namespace sallyport::config {
namespace {

// Builds the tree from the parser's events. Events and not nlohmann::json, because the latter drops names
// that are given twice and nests as deep as a hostile text likes.
class JsonTreeBuilder {
  public:
    using number_integer_t = nlohmann::json::number_integer_t;
    using number_unsigned_t = nlohmann::json::number_unsigned_t;
    using number_float_t = nlohmann::json::number_float_t;
    using string_t = nlohmann::json::string_t;
    using binary_t = nlohmann::json::binary_t;

    explicit JsonTreeBuilder(std::vector<Fault>& faults) : faults_(faults) {}
    [[nodiscard]] Node take_root() { return std::move(root_); }

    // What nlohmann::json::sax_parse() calls; false stops it.
    bool null() { return add(Node{}); }
    bool boolean(bool value) { return add_typed(value ? "true" : "false"); }
    bool number_integer(number_integer_t value) { return add_typed(std::to_string(value)); }
    bool number_unsigned(number_unsigned_t value) { return add_typed(std::to_string(value)); }
    bool number_float(number_float_t, const string_t& text) { return add_typed(text); }
    bool string(const string_t& text) {
        return add(Node{.type = Node::Type::scalar, .quoted = true, .scalar = text});
    }
    bool binary(const binary_t&) { return fault("a binary value was read"); }
    bool start_object(std::size_t) { return begin(Node::Type::map); }
    bool key(const string_t& text) {
        Open& open = open_.back();
        open.node.keys.push_back({text, {}});
        if (open.names.insert(text).second) return true;
        return fault(fmt::format("duplicate key \"{}\"; expected each key once", text));
    }
    bool end_object() { return end(); }
    bool start_array(std::size_t) { return begin(Node::Type::list); }
    bool end_array() { return end(); }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
        faults_.push_back(
            {{}, 0, 0, {}, {}, {}, fmt::format("this is no JSON from byte {} on", position), ""});
        return false;
    }

  private:
    struct Open {
        Node node;
        std::set<std::string> names;
    };

    bool fault(std::string message) {
        std::string pointer;
        for (const Open& open : open_) {
            pointer += open.node.type == Node::Type::list ? fmt::format("/{}", open.node.children.size())
                                                          : pointer_token(open.node.keys.back().text);
        }
        faults_.push_back({{}, 0, 0, {}, {}, {}, std::move(message), std::move(pointer)});
        return false;
    }
    bool add_typed(std::string text) {
        return add(Node{.type = Node::Type::scalar, .typed = true, .scalar = std::move(text)});
    }
    bool add(Node value) {
        if (++values_ > values_most)
            return fault(fmt::format("there are too many values; expected at most {}", values_most));
        if (open_.empty()) {
            root_ = std::move(value);
        } else {
            open_.back().node.children.push_back(std::move(value));
        }
        return true;
    }
    bool begin(Node::Type type) {
        if (open_.size() >= depth_most)
            return fault(fmt::format("the nesting is too deep; expected at most {} levels", depth_most));
        open_.push_back({Node{.type = type}, {}});
        return true;
    }
    bool end() {
        Node done = std::move(open_.back().node);
        open_.pop_back();
        return add(std::move(done));
    }

    std::vector<Fault>& faults_;
    std::vector<Open> open_;  // lists and maps that have not ended, the outermost first
    Node root_;
    std::size_t values_ = 0;
};

}  // namespace

Node parse_json(std::string_view text, std::vector<Fault>& faults) {
    JsonTreeBuilder builder(faults);
    const std::size_t before = faults.size();
    const bool whole = nlohmann::json::sax_parse(text, &builder);
    if (whole) return builder.take_root();
    if (faults.size() == before) faults.push_back({{}, 0, 0, {}, {}, {}, "this is no JSON", ""});
    return {};
}

}  // namespace sallyport::config

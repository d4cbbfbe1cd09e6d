// SPDX-License-Identifier: Apache-2.0
#include "config/document.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <charconv>
#include <sstream>

#include "config/simple_yaml.h"

namespace sallyport::config {
namespace {

Mark from_yaml(const YAML::Mark& mark, unsigned file = 0) {
    return {mark.line + 1, mark.column + 1, file};
}

// Thrown through yaml-cpp, to stop it where going on makes no sense.
struct Stopped {};

// Builds the tree from the parser's events. Events and not YAML::Node, because the latter drops duplicate
// keys, follows aliases and forgets which scalars were quoted.
class TreeBuilder final : public YAML::EventHandler {
  public:
    TreeBuilder(std::string_view file_name, std::vector<Fault>& faults, unsigned file)
        : file_name_(file_name), faults_(faults), file_(file) {}

    [[nodiscard]] Node take_root() { return std::move(root_); }
    [[nodiscard]] bool has_document() const { return documents_ > 0; }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (++documents_ > 1) stop(mark, "a second document begins here; expected one document");
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        refuse_anchor(mark, anchor);
        add_value(Node{.mark = from_yaml(mark, file_)});
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        fault(mark, "an alias was read; expected the value itself, as aliases are not accepted");
        add_value(Node{.mark = from_yaml(mark, file_)});
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        add_value(Node{.type = Node::Type::scalar,
                       .quoted = tag == "!",
                       .mark = from_yaml(mark, file_),
                       .scalar = value});
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        begin(Node::Type::list, mark, tag, anchor);
    }
    void OnSequenceEnd() override { end(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        begin(Node::Type::map, mark, tag, anchor);
    }
    void OnMapEnd() override { end(); }

  private:
    void fault(const YAML::Mark& mark, std::string message) {
        const Mark place = from_yaml(mark);
        faults_.push_back(
            {std::string(file_name_), place.line, place.column, {}, {}, {}, std::move(message)});
        if (faults_.size() >= faults_most) throw Stopped{};
    }

    [[noreturn]] void stop(const YAML::Mark& mark, std::string message) {
        fault(mark, std::move(message));
        throw Stopped{};
    }

    void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != YAML::NullAnchor) {
            fault(mark, "an anchor was read; expected a plain value, as anchors are not accepted");
        }
    }

    void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        // "?" stands for a plain scalar or collection without a tag, "!" for a scalar in quotes.
        if (tag.empty() || tag == "?" || tag == "!") return;
        fault(mark,
              fmt::format("the tag {} was read; expected a plain value, as tags are not accepted", tag));
    }

    void begin(Node::Type type, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        if (open_.size() >= depth_most) {
            stop(mark, fmt::format("the nesting is too deep; expected at most {} levels", depth_most));
        }
        refuse_as_key(mark);
        open_.push_back(Node{.type = type, .mark = from_yaml(mark, file_)});
    }

    void end() {
        Node done = std::move(open_.back());
        open_.pop_back();
        add_value(std::move(done));
    }

    void refuse_as_key(const YAML::Mark& mark) {
        if (key_comes()) stop(mark, "a list or a map was read where a key belongs; expected a plain word");
    }

    [[nodiscard]] bool key_comes() const {
        return !open_.empty() && open_.back().type == Node::Type::map &&
               open_.back().keys.size() == open_.back().children.size();
    }

    void add_value(Node value) {
        if (++values_ > values_most) {
            stop_at(value.mark, fmt::format("there are too many values; expected at most {}", values_most));
        }
        if (open_.empty()) {
            root_ = std::move(value);
        } else if (key_comes()) {
            open_.back().keys.push_back({std::move(value.scalar), value.mark});
        } else {
            open_.back().children.push_back(std::move(value));
        }
    }

    [[noreturn]] void stop_at(Mark place, std::string message) {
        faults_.push_back(
            {std::string(file_name_), place.line, place.column, {}, {}, {}, std::move(message)});
        throw Stopped{};
    }

    std::string_view file_name_;
    std::vector<Fault>& faults_;
    unsigned file_;
    std::vector<Node> open_;  // lists and maps that have not ended, the outermost first
    Node root_;
    std::size_t values_ = 0;
    int documents_ = 0;
};

// The length of the character at the front of `text` if it is well-formed UTF-8 (no overlong form, no
// surrogate, not beyond U+10FFFF), else 0.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [text](std::size_t i) -> unsigned {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto follows = [&](std::size_t i, unsigned least = 0x80, unsigned most = 0xbf) {
        return byte(i) >= least && byte(i) <= most;
    };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const unsigned least = first == 0xe0 ? 0xa0 : 0x80;
        const unsigned most = first == 0xed ? 0x9f : 0xbf;
        return follows(1, least, most) && follows(2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const unsigned least = first == 0xf0 ? 0x90 : 0x80;
        const unsigned most = first == 0xf4 ? 0x8f : 0xbf;
        return follows(1, least, most) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

bool is_control(char character) {
    const auto byte = static_cast<unsigned char>(character);
    return (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
}

// What yaml-cpp would guess about, or would report in words that help nobody. One fault of each sort is
// enough: a file in another encoding has one in every line.
void check_characters(std::string_view text, const std::string& file_name, std::vector<Fault>& faults) {
    bool encoding_seen = false;
    bool control_seen = false;
    int line = 1;
    std::size_t line_start = 0;
    bool in_indentation = true;
    const auto fault = [&](std::size_t position, std::string message) {
        const int column = static_cast<int>(position - line_start) + 1;
        faults.push_back({file_name, line, column, {}, {}, {}, std::move(message)});
    };
    for (std::size_t i = 0; i < text.size();) {
        const char character = text[i];
        const std::size_t length = utf8_length(text.substr(i));
        if (length == 0 && !encoding_seen) {
            encoding_seen = true;
            fault(i, fmt::format("the byte 0x{:02x} is no part of a UTF-8 character; expected text in UTF-8",
                                 static_cast<unsigned char>(character)));
        }
        if (is_control(character) && !control_seen) {
            control_seen = true;
            fault(i, fmt::format("the control character 0x{:02x} was read; expected printable text",
                                 static_cast<unsigned char>(character)));
        }
        if (character == '\t' && in_indentation) {
            fault(i, "a tab was read in the indentation; expected spaces");
            in_indentation = false;
        }
        if (character == '\n') {
            ++line;
            line_start = i + 1;
            in_indentation = true;
        } else if (character != ' ') {
            in_indentation = false;
        }
        i += length == 0 ? 1 : length;
    }
}

void set_file(Node& node, unsigned file) {
    node.mark.file = file;
    for (Key& key : node.keys) key.mark.file = file;
    for (Node& child : node.children) set_file(child, file);
}

}  // namespace

const Node* Node::child(std::string_view key) const {
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i].text == key) return &children[i];
    }
    return nullptr;
}

Node parse_document(std::string_view text, const std::string& file_name, std::vector<Fault>& faults,
                    unsigned file) {
    const std::size_t before = faults.size();
    check_characters(text, file_name, faults);
    if (faults.size() != before) return {};
    if (auto root = parse_simple_yaml(text)) {
        if (file != 0) set_file(*root, file);
        return *std::move(root);
    }
    return parse_any_yaml(text, file_name, faults, file);
}

Node parse_any_yaml(std::string_view text, const std::string& file_name, std::vector<Fault>& faults,
                    unsigned file) {
    const std::size_t before = faults.size();
    TreeBuilder builder(file_name, faults, file);
    const auto fault = [&](int line, int column, std::string message) {
        faults.push_back({file_name, line, column, {}, {}, {}, std::move(message)});
    };
    try {
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const Stopped&) {
        return {};
    } catch (const YAML::Exception& error) {
        const Mark place = error.mark.is_null() ? Mark{} : from_yaml(error.mark);
        fault(place.line, place.column, fmt::format("this is no valid YAML: {}", error.msg));
        return {};
    }
    Node root = builder.take_root();
    if (!builder.has_document() || root.type == Node::Type::null) {
        if (faults.size() == before)
            fault(1, 1,
                  file == 0 ? "the file is empty; expected api_version and gateway at least"
                            : "the file is empty; expected api_version at least");
        return {};
    }
    return root;
}

Place find_place(const Node& root, std::string_view path) {
    const Node* node = &root;
    while (!path.empty()) {
        const Node* next = nullptr;
        if (path.front() == '[') {
            const auto end = path.find(']');
            std::size_t index = 0;
            std::from_chars(path.data() + 1, path.data() + end, index);
            if (node->type == Node::Type::list && index < node->children.size())
                next = &node->children[index];
            path.remove_prefix(end + 1);
        } else {
            if (path.front() == '.') path.remove_prefix(1);
            const auto end = std::min(path.find_first_of(".["), path.size());
            if (node->type == Node::Type::map) next = node->child(path.substr(0, end));
            path.remove_prefix(end);
        }
        if (next == nullptr) return {node->mark, false};
        node = next;
    }
    return {node->mark, true};
}

}  // namespace sallyport::config

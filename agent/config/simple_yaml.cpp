// SPDX-License-Identifier: Apache-2.0
#include "config/simple_yaml.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

namespace sallyport::config {
namespace {

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_of_key(char c) {
    return is_letter_or_digit(c) || c == '_' || c == '-';
}

// What means nothing of its own wherever it stands in a plain scalar. Bytes from 0x80 on are parts of
// letters.
bool is_of_plain(char c) {
    return is_letter_or_digit(c) || static_cast<unsigned char>(c) >= 0x80 ||
           std::string_view("_-./+=@()<>;^$~").find(c) != std::string_view::npos;
}

bool begins_plain(char c) {
    return is_letter_or_digit(c) || c == '_' || c == '/' || static_cast<unsigned char>(c) >= 0x80;
}

// Plain scalars that are no text to YAML.
bool is_null(std::string_view text) {
    constexpr std::array nulls{std::string_view("null"), std::string_view("Null"), std::string_view("NULL")};
    return std::ranges::find(nulls, text) != nulls.end();
}

// Each function gives false where it meets what it does not know; then all that was read is void.
class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    bool parse(Node& root) {
        if (text_.starts_with("\xef\xbb\xbf") || text_.find_first_of("\t\r") != std::string_view::npos)
            return false;
        return to_content() && !at_end() && column() == 0 && at_key() && block_map(root) && at_end();
    }

  private:
    [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
    [[nodiscard]] char peek(std::size_t ahead = 0) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\n';
    }
    [[nodiscard]] std::size_t column() const { return at_ - line_start_; }
    [[nodiscard]] Mark mark() const { return {line_, static_cast<int>(column()) + 1}; }

    void skip_spaces() {
        while (!at_end() && text_[at_] == ' ') ++at_;
    }

    void next_line() {
        ++at_;
        ++line_;
        line_start_ = at_;
    }

    // Where a comment may begin: it stands apart from what is before it.
    bool skip_comment(std::size_t end_of_what_is_before) {
        if (at_ == end_of_what_is_before && at_ != line_start_) return false;
        at_ = std::min(text_.find('\n', at_), text_.size());
        return true;
    }

    // To the end of the line, which nothing but a comment may be before.
    bool skip_rest_of_line() {
        const std::size_t from = at_;
        skip_spaces();
        if (at_end() || peek() == '\n') return true;
        return peek() == '#' && skip_comment(from);
    }

    // To what comes next, on this line or a later one; at_end() if nothing does.
    bool to_content() {
        for (;;) {
            const std::size_t from = at_;
            skip_spaces();
            if (at_end()) return true;
            if (peek() == '#' && !skip_comment(from)) return false;
            if (at_end()) return true;
            if (peek() != '\n') return true;
            next_line();
        }
    }

    [[nodiscard]] bool at_key() const {
        if (!is_letter_or_digit(peek())) return false;
        std::size_t length = 1;
        while (is_of_key(peek(length))) ++length;
        return ends_key(length);
    }
    [[nodiscard]] bool ends_key(std::size_t ahead) const {
        return peek(ahead) == ':' && (peek(ahead + 1) == ' ' || peek(ahead + 1) == '\n');
    }
    [[nodiscard]] bool at_item() const { return peek() == '-' && peek(1) == ' '; }

    bool begin(Node& node, Node::Type type) {
        if (++depth_ > depth_most || !count()) return false;
        node.type = type;
        node.mark = mark();
        return true;
    }
    bool end() {
        --depth_;
        return true;
    }
    bool count() { return ++values_ <= values_most; }

    // Reads up to the colon and over it.
    bool key(Node& map) {
        const Mark place = mark();
        const std::size_t from = at_;
        if (!is_letter_or_digit(peek())) return false;
        while (is_of_key(peek())) ++at_;
        const std::string_view word = text_.substr(from, at_ - from);
        if (!ends_key(0) || is_null(word) || !count()) return false;
        ++at_;
        map.keys.push_back({std::string(word), place});
        map.children.emplace_back();
        return true;
    }

    // The first key stands here, and the others below it.
    bool block_map(Node& node) {
        const std::size_t here = column();
        if (!begin(node, Node::Type::map)) return false;
        while (!at_end() && column() == here) {
            if (!key(node) || !value_of_key(node.children.back(), here)) return false;
        }
        return (at_end() || column() < here) && end();
    }

    bool value_of_key(Node& value, std::size_t column_of_key) {
        const std::size_t behind_colon = at_;
        skip_spaces();
        if (peek() != '\n' && peek() != '#') return inline_value(value) && after_inline_value();
        at_ = behind_colon;
        if (!skip_rest_of_line() || !to_content() || at_end()) return false;
        if (at_item()) return column() >= column_of_key && block_list(value);
        return column() > column_of_key && at_key() && block_map(value);
    }

    bool block_list(Node& node) {
        const std::size_t here = column();
        if (!begin(node, Node::Type::list)) return false;
        while (!at_end() && column() == here && at_item()) {
            ++at_;
            skip_spaces();
            Node& item = node.children.emplace_back();
            if (at_key() ? !block_map(item) : !(inline_value(item) && after_inline_value())) return false;
        }
        // What stands right below is the next key of the map whose value the list is.
        return (at_end() || column() <= here) && end();
    }

    bool after_inline_value() { return skip_rest_of_line() && to_content(); }

    bool inline_value(Node& node) {
        switch (peek()) {
            case '{':
                return flow_map(node);
            case '[':
                return flow_list(node);
            case '"':
            case '\'':
                return quoted(node);
            default:
                return plain(node, false);
        }
    }

    bool flow_value(Node& node) {
        const bool is_plain = std::string_view("{[\"'").find(peek()) == std::string_view::npos;
        return is_plain ? plain(node, true) : inline_value(node);
    }

    // Within brackets, lines end anywhere; what begins a line there may mean something of its own.
    bool to_flow_content() {
        const int line = line_;
        return to_content() && !at_end() && (line_ == line || column() > 0);
    }

    bool flow_map(Node& node) {
        if (!begin(node, Node::Type::map)) return false;
        ++at_;
        if (!to_flow_content()) return false;
        while (peek() != '}') {
            const int line = line_;
            if (!key(node) || !to_flow_content() || line_ != line || !flow_value(node.children.back()) ||
                !to_separator('}'))
                return false;
        }
        ++at_;
        return end();
    }

    bool flow_list(Node& node) {
        if (!begin(node, Node::Type::list)) return false;
        ++at_;
        if (!to_flow_content()) return false;
        while (peek() != ']') {
            if (!flow_value(node.children.emplace_back()) || !to_separator(']')) return false;
        }
        ++at_;
        return end();
    }

    // To the next element, or to the closing bracket if there is none.
    bool to_separator(char closing) {
        if (!to_flow_content()) return false;
        if (peek() == closing) return true;
        if (peek() != ',') return false;
        ++at_;
        return to_flow_content() && peek() != closing && peek() != ',';
    }

    bool quoted(Node& node) {
        const char quote = peek();
        const std::size_t from = at_ + 1;
        const std::size_t to = text_.find_first_of("\"'\\\n", from);
        if (to == std::string_view::npos || text_[to] != quote || !count()) return false;
        node.type = Node::Type::scalar;
        node.quoted = true;
        node.mark = mark();
        node.scalar = text_.substr(from, to - from);
        at_ = to + 1;
        // It may be a key, or, in single quotes, go on.
        return std::string_view(" \n,]}").find(peek()) != std::string_view::npos && !is_key_of_flow();
    }

    [[nodiscard]] bool is_key_of_flow() const {
        const std::size_t next = text_.find_first_not_of(' ', at_);
        return next != std::string_view::npos && text_[next] == ':';
    }

    bool plain(Node& node, bool in_flow) {
        if (!begins_plain(peek()) || !count()) return false;
        node.type = Node::Type::scalar;
        node.mark = mark();
        const std::size_t from = at_;
        std::size_t end = at_;  // behind the last character that is no space
        for (; !at_end() && peek() != '\n'; ++at_) {
            const char c = peek();
            if (c == ' ') continue;
            const bool ends_flow = c == ',' || c == ']' || c == '}';
            if (ends_flow && in_flow) break;
            if (c == '#' && at_ > end) break;
            const bool colon_within = c == ':' && (is_of_plain(peek(1)) || peek(1) == ':') && peek(1) != '-';
            if (c != ',' && !colon_within && !is_of_plain(c)) return false;
            end = at_ + 1;
        }
        const std::string_view word = text_.substr(from, end - from);
        at_ = end;
        node.scalar = word;
        return !is_null(word);
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t line_start_ = 0;
    int line_ = 1;
    std::size_t depth_ = 0;
    std::size_t values_ = 0;
};

}  // namespace

std::optional<Node> parse_simple_yaml(std::string_view text) {
    std::optional<Node> root(std::in_place);
    if (!Parser(text).parse(*root)) root.reset();
    return root;
}

}  // namespace sallyport::config

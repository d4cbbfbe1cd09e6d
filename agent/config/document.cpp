// SPDX-License-Identifier: Apache-2.0
#include "config/document.h"

#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <new>
#include <utility>

#include "config/yaml_fault.h"

namespace sallyport::config {
namespace {

class YamlEvent {
  public:
    YamlEvent() = default;
    ~YamlEvent() { yaml_event_delete(&event_); }
    YamlEvent(const YamlEvent&) = delete;
    YamlEvent& operator=(const YamlEvent&) = delete;

    [[nodiscard]] yaml_event_t* get() { return &event_; }
    [[nodiscard]] const yaml_event_t& operator*() const { return event_; }

  private:
    yaml_event_t event_{};
};

// libyaml's parser of a text that outlives it. It copies from the text by itself, so that no function of
// ours is called from within it.
class YamlParser {
  public:
    explicit YamlParser(std::string_view text) {
        if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
        yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size());
    }
    ~YamlParser() { yaml_parser_delete(&parser_); }
    YamlParser(const YamlParser&) = delete;
    YamlParser& operator=(const YamlParser&) = delete;

    // False where the text is no YAML: problem() tells what is wrong with it.
    [[nodiscard]] bool next(YamlEvent& event) {
        if (yaml_parser_parse(&parser_, event.get()) != 0) return true;
        if (parser_.error == YAML_MEMORY_ERROR) throw std::bad_alloc();
        return false;
    }
    [[nodiscard]] const yaml_parser_t& problem() const { return parser_; }

  private:
    yaml_parser_t parser_{};
};

// Turns libyaml's places, which count characters and take a few more characters for the end of a line, to
// lines as editors show them and to columns in bytes.
class Places {
  public:
    explicit Places(std::string_view text)
        : text_(text), same_(std::ranges::none_of(text, [](char character) {
              return static_cast<unsigned char>(character) >= 0x80 || character == '\r';
          })) {}

    [[nodiscard]] Mark mark(const yaml_mark_t& mark) {
        if (same_) return {static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1};
        return mark_at(offset(mark));
    }

    // In bytes from the beginning of the text. Going on from the place before keeps a long line cheap.
    [[nodiscard]] std::size_t offset(const yaml_mark_t& mark) {
        if (lines_.empty()) find_lines();
        // libyaml ends the last line where the text does.
        if (mark.line >= lines_.size()) {
            line_ = lines_.size() - 1;
            column_ = 0;
            offset_ = lines_[line_].offset;
            return text_.size();
        }
        const std::size_t line = mark.line;
        if (line != line_ || mark.column < column_) {
            line_ = line;
            column_ = 0;
            offset_ = lines_[line].offset;
        }
        for (; column_ < mark.column && offset_ < text_.size(); ++column_) {
            ++offset_;
            while (offset_ < text_.size() && (static_cast<unsigned char>(text_[offset_]) & 0xc0) == 0x80)
                ++offset_;
        }
        return offset_;
    }

    // Of a place that was the last one that offset() has given, or of one on the same line.
    [[nodiscard]] Mark mark_at(std::size_t offset) const {
        const Line& line = lines_[line_];
        return {line.mark.line, line.mark.column + static_cast<int>(offset - line.offset)};
    }

  private:
    struct Line {
        std::size_t offset = 0;  // where a line begins for libyaml
        Mark mark;               // the same place, where only a line feed ends a line
    };

    void find_lines() {
        constexpr std::array<std::string_view, 6> ends{"\r\n",     "\n",           "\r",
                                                       "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
        lines_.push_back({0, {1, 1}});
        int line = 1;
        std::size_t line_start = 0;
        // The bytes with which an end begins come first: all of them are looked at.
        constexpr std::string_view beginnings = "\r\n\xc2\xe2";
        for (std::size_t i = 0; (i = text_.find_first_of(beginnings, i)) != std::string_view::npos;) {
            const auto* const end = std::ranges::find_if(
                ends, [&](std::string_view candidate) { return text_.substr(i).starts_with(candidate); });
            if (end == ends.end()) {
                ++i;
                continue;
            }
            i += end->size();
            if (end->back() == '\n') {
                ++line;
                line_start = i;
            }
            lines_.push_back({i, {line, static_cast<int>(i - line_start) + 1}});
        }
        offset_ = lines_.front().offset;
    }

    std::string_view text_;
    bool same_;
    std::vector<Line> lines_;
    std::size_t line_ = 0;  // the place that was looked for last
    std::size_t column_ = 0;
    std::size_t offset_ = 0;
};

std::string_view text_of(const yaml_char_t* text) {
    return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

// Plain scalars that are no text to YAML.
bool is_null(std::string_view text) {
    return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

// Builds the tree from the parser's events. Events and not libyaml's documents, because the latter follow
// aliases and are one more copy.
class TreeBuilder {
  public:
    TreeBuilder(std::string_view text, const std::string& file_name, std::vector<Fault>& faults,
                unsigned file)
        : text_(text), places_(text), file_name_(file_name), faults_(faults), file_(file) {}

    // Whether the text was read to its end.
    [[nodiscard]] bool build() {
        YamlParser parser(text_);
        for (bool more = true; more;) {
            YamlEvent event;
            if (!parser.next(event)) {
                tell(parser.problem());
                return false;
            }
            if (!take(*event)) return false;
            more = (*event).type != YAML_STREAM_END_EVENT;
        }
        return true;
    }
    [[nodiscard]] Node take_root() { return std::move(root_); }

  private:
    // False where going on makes no sense.
    [[nodiscard]] bool take(const yaml_event_t& event) {
        const auto& data = event.data;
        switch (event.type) {
            case YAML_DOCUMENT_START_EVENT:
                if (++documents_ == 1) return true;
                fault(event, "a second document begins here; expected one document");
                return false;
            case YAML_ALIAS_EVENT:
                return fault(event,
                             "an alias was read; expected the value itself, as aliases are not accepted") &&
                       add_value(Node{.mark = mark(event)});
            case YAML_SCALAR_EVENT:
                return refuse_properties(event, data.scalar.anchor, data.scalar.tag) && add_scalar(event);
            case YAML_SEQUENCE_START_EVENT:
                return begin(Node::Type::list, event, data.sequence_start.anchor, data.sequence_start.tag);
            case YAML_MAPPING_START_EVENT:
                return begin(Node::Type::map, event, data.mapping_start.anchor, data.mapping_start.tag);
            case YAML_SEQUENCE_END_EVENT:
            case YAML_MAPPING_END_EVENT:
                return end();
            case YAML_NO_EVENT:
            case YAML_STREAM_START_EVENT:
            case YAML_STREAM_END_EVENT:
            case YAML_DOCUMENT_END_EVENT:
                return true;
        }
        return true;
    }

    [[nodiscard]] Mark mark(const yaml_event_t& event) {
        Mark place = places_.mark(event.start_mark);
        place.file = file_;
        return place;
    }

    // The same as add_fault(), at the beginning of what was read.
    bool fault(const yaml_event_t& event, std::string message) {
        return add_fault(mark(event), std::move(message));
    }

    bool add_fault(Mark place, std::string message) {
        faults_.push_back({file_name_, place.line, place.column, {}, {}, {}, std::move(message)});
        return faults_.size() < faults_most;
    }

    [[nodiscard]] bool refuse_properties(const yaml_event_t& event, const yaml_char_t* anchor,
                                         const yaml_char_t* tag) {
        if (anchor != nullptr &&
            !fault(event, "an anchor was read; expected a plain value, as anchors are not accepted"))
            return false;
        if (tag == nullptr) return true;
        constexpr std::string_view standard = "tag:yaml.org,2002:";  // what "!!" stands for
        const std::string_view name = text_of(tag);
        return fault(
            event, fmt::format("the tag {} was read; expected a plain value, as tags are not accepted",
                               name.starts_with(standard) ? fmt::format("!!{}", name.substr(standard.size()))
                                                          : std::string(name)));
    }

    [[nodiscard]] bool add_scalar(const yaml_event_t& event) {
        const auto& scalar = event.data.scalar;
        const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
        const bool quoted = scalar.style != YAML_PLAIN_SCALAR_STYLE;
        // A key is a name, whatever its text would mean as a value.
        if (!quoted && !key_comes() && is_null(text)) return add_value(Node{.mark = mark(event)});
        return add_value(Node{
            .type = Node::Type::scalar, .quoted = quoted, .mark = mark(event), .scalar = std::string(text)});
    }

    [[nodiscard]] bool begin(Node::Type type, const yaml_event_t& event, const yaml_char_t* anchor,
                             const yaml_char_t* tag) {
        if (!refuse_properties(event, anchor, tag)) return false;
        if (open_.size() >= depth_most) {
            fault(event, fmt::format("the nesting is too deep; expected at most {} levels", depth_most));
            return false;
        }
        if (key_comes()) {
            fault(event, "a list or a map was read where a key belongs; expected a plain word");
            return false;
        }
        open_.push_back({Node{.type = type, .mark = mark(event)}, keys_.size(), children_.size()});
        return true;
    }

    [[nodiscard]] bool end() {
        auto [done, first_key, first_child] = std::move(open_.back());
        open_.pop_back();
        done.keys = take_from(keys_, first_key);
        done.children = take_from(children_, first_child);
        return add_value(std::move(done));
    }

    template <typename T>
    static std::vector<T> take_from(std::vector<T>& list, std::size_t first) {
        const auto begin = list.begin() + static_cast<std::ptrdiff_t>(first);
        std::vector<T> taken(std::make_move_iterator(begin), std::make_move_iterator(list.end()));
        list.erase(begin, list.end());
        return taken;
    }

    [[nodiscard]] bool key_comes() const {
        if (open_.empty() || open_.back().node.type != Node::Type::map) return false;
        return keys_.size() - open_.back().first_key == children_.size() - open_.back().first_child;
    }

    [[nodiscard]] bool add_value(Node value) {
        if (++values_ > values_most) {
            add_fault(value.mark, fmt::format("there are too many values; expected at most {}", values_most));
            return false;
        }
        if (open_.empty()) {
            root_ = std::move(value);
        } else if (key_comes()) {
            keys_.push_back({std::move(value.scalar), value.mark});
        } else {
            children_.push_back(std::move(value));
        }
        return true;
    }

    void tell(const yaml_parser_t& parser) {
        YamlProblem problem;
        if (parser.context != nullptr) problem.context = parser.context;
        if (parser.problem != nullptr) problem.problem = parser.problem;
        Mark begins;
        if (!problem.context.empty()) {
            problem.begins = places_.offset(parser.context_mark);
            begins = places_.mark_at(problem.begins);
            problem.begins_line = begins.line;
        }
        Mark noticed;
        // Of a character that it does not read, libyaml tells no line; check_characters() comes first.
        if (parser.error != YAML_READER_ERROR) {
            problem.at = places_.offset(parser.problem_mark);
            noticed = places_.mark_at(problem.at);
        }
        YamlFault found = explain(text_, problem);
        add_fault(found.look == Look::there ? noticed : begins, std::move(found.message));
    }

    std::string_view text_;
    Places places_;
    const std::string& file_name_;
    std::vector<Fault>& faults_;
    unsigned file_;
    struct Open {
        Node node;
        std::size_t first_key = 0;    // of its own in keys_
        std::size_t first_child = 0;  // the same in children_
    };
    std::vector<Open> open_;  // lists and maps that have not ended, the outermost first
    // Of all that are open, until each gets its own at once: most are small, and growing is dear.
    std::vector<Key> keys_;
    std::vector<Node> children_;
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

// Whether the character at the front of `text` is none that YAML prints: of those beyond ASCII, the control
// characters from U+0080 but for a line's end, byte order marks in the midst of a text, and two that are no
// characters at all.
bool is_control(std::string_view text, std::size_t length) {
    const auto byte = static_cast<unsigned char>(text.front());
    if (length <= 1) return (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
    const std::string_view character = text.substr(0, length);
    return (byte == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0 && character != "\xc2\x85") ||
           character == "\xef\xbb\xbf" || character == "\xef\xbf\xbe" || character == "\xef\xbf\xbf";
}

// What libyaml would report in words that help nobody, and without line and column. One fault of each sort is
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
        if (character >= ' ' && character <= '~') {  // nearly all are
            in_indentation = in_indentation && character == ' ';
            ++i;
            continue;
        }
        const std::size_t length = utf8_length(text.substr(i));
        if (length == 0 && !encoding_seen) {
            encoding_seen = true;
            fault(i, fmt::format("the byte 0x{:02x} is no part of a UTF-8 character; expected text in UTF-8",
                                 static_cast<unsigned char>(character)));
        }
        if (!control_seen && is_control(text.substr(i), length)) {
            control_seen = true;
            std::string bytes;
            for (const char byte : text.substr(i, std::max<std::size_t>(length, 1)))
                bytes += fmt::format("{:02x}", static_cast<unsigned char>(byte));
            fault(i, fmt::format("the control character 0x{} was read; expected printable text", bytes));
        }
        if (character == '\t' && in_indentation) {
            fault(i, "a tab was read in the indentation; expected spaces");
            in_indentation = false;
        }
        if (character == '\n') {
            ++line;
            line_start = i + 1;
            in_indentation = true;
        } else {
            in_indentation = false;
        }
        i += length == 0 ? 1 : length;
    }
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
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    const std::size_t before = faults.size();
    check_characters(text, file_name, faults);
    if (faults.size() != before) return {};
    TreeBuilder builder(text, file_name, faults, file);
    if (!builder.build()) return {};
    Node root = builder.take_root();
    if (root.type == Node::Type::null) {
        if (faults.size() == before)
            faults.push_back({file_name,
                              1,
                              1,
                              {},
                              {},
                              {},
                              file == 0 ? "the file is empty; expected api_version and gateway at least"
                                        : "the file is empty; expected api_version at least"});
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

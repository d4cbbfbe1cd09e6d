// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a configuration file: never a crash, and what comes out keeps what it promises.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"
#include "config/load.h"
#include "model/delta.h"
#include "model/json.h"
#include "model/validate.h"

namespace {

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
}

void check_fault(const sallyport::config::Fault& fault, std::ptrdiff_t lines) {
    require(!fault.message.empty(), "a fault has a message");
    require(fault.line >= 0 && fault.line <= lines + 1, "a fault is in the file");
    require((fault.line == 0) == (fault.column == 0), "a fault has a line and a column, or neither");
    const std::string text = fault.to_string();
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    require(std::ranges::none_of(text, is_control), "a message holds no control characters");
}

// Every scalar stands where its mark says, whatever characters and ends of lines come before it.
class Places {
  public:
    explicit Places(std::string_view text) : text_(text) {
        for (std::size_t end = 0; (end = text.find('\n', end)) != std::string_view::npos;)
            lines_.push_back(++end);
    }

    void check(const sallyport::config::Node& node) const {
        using Type = sallyport::config::Node::Type;
        require(node.type != Type::map || node.keys.size() == node.children.size(), "each key has a value");
        if (node.type == Type::scalar) {
            const char first = at(node.mark);
            if (node.quoted) {
                require(std::string_view("\"'|>").find(first) != std::string_view::npos,
                        "a quoted scalar has its place at its quotation mark");
            } else {
                require(first == node.scalar.front(), "a plain scalar has its place");
            }
        } else if (node.type != Type::null) {
            at(node.mark);
        }
        for (const auto& key : node.keys) at(key.mark);
        for (const auto& child : node.children) check(child);
    }

  private:
    char at(const sallyport::config::Mark& mark) const {
        require(mark.line >= 1 && static_cast<std::size_t>(mark.line) <= lines_.size() && mark.column >= 1,
                "a value is in the file");
        const std::size_t place =
            lines_[static_cast<std::size_t>(mark.line) - 1] + static_cast<std::size_t>(mark.column) - 1;
        require(place <= text_.size(), "a value is on its line");
        return place < text_.size() ? text_[place] : '\n';
    }

    std::string_view text_;
    std::vector<std::size_t> lines_{0};
};

void check_places(std::string_view text) {
    std::vector<sallyport::config::Fault> faults;
    const auto root = sallyport::config::parse_document(text, "f", faults);
    if (!faults.empty()) return;
    // A byte order mark takes no column.
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    Places(text).check(root);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    const auto lines = std::ranges::count(text, '\n') + 1;
    check_places(text);
    const auto loaded = sallyport::config::load_text(text, "f");
    if (!loaded) {
        require(!loaded.error().empty(), "what is refused has a fault");
        for (const auto& fault : loaded.error()) check_fault(fault, lines);
        return 0;
    }
    for (const auto& warning : loaded->warnings) check_fault(warning, lines);
    const sallyport::model::DesiredState& state = loaded->state;
    require(sallyport::model::validate(state).empty(), "what is accepted is sound");
    require(sallyport::model::delta(state, state).empty(), "a state does not differ from itself");
    require(!sallyport::model::to_json(state).dump().empty(), "a state can be written as JSON");
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "config/reader.h"

#include <charconv>
#include <numeric>

#include "config/schema.h"
#include "model/kinds.h"

namespace sallyport::config {
namespace {

constexpr std::size_t scalar_most = 1024;  // bytes; nothing that the format knows is as long

// The number of letters to insert, remove, replace or swap with a neighbour to make one word of the other.
std::size_t edit_distance(std::string_view one, std::string_view other) {
    std::vector<std::size_t> before_last(other.size() + 1);
    std::vector<std::size_t> last(other.size() + 1);
    std::vector<std::size_t> current(other.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= one.size(); ++i) {
        current[0] = i;
        for (std::size_t j = 1; j <= other.size(); ++j) {
            const std::size_t replaced = last[j - 1] + (one[i - 1] == other[j - 1] ? 0 : 1);
            current[j] = std::min({last[j] + 1, current[j - 1] + 1, replaced});
            if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1]) {
                current[j] = std::min(current[j], before_last[j - 2] + 1);
            }
        }
        std::swap(before_last, last);
        std::swap(last, current);
    }
    return last[other.size()];
}

std::string_view type_read(const Node& node) {
    switch (node.type) {
        case Node::Type::null:
            return "no value";
        case Node::Type::scalar:
            return "a single value";
        case Node::Type::list:
            return "a list";
        case Node::Type::map:
            return "a map";
    }
    return "";
}

// "10.0.1.0/24" for "10.0.1.7/24".
std::optional<std::string> prefix_meant(std::string_view text) {
    const auto slash = std::min(text.find('/'), text.size());
    const auto address = Ipv4Address::parse(text.substr(0, slash));
    const auto everything = Ipv4Prefix::parse(fmt::format("0.0.0.0{}", text.substr(slash)));
    if (!address || !everything) return std::nullopt;
    return Ipv4Prefix(*address, everything->length()).to_string();
}

// Whether that is known without much ado; false says nothing. Nearly all maps have a few keys.
bool are_different(const std::vector<Key>& keys) {
    constexpr std::size_t few = 16;
    if (keys.size() > few) return false;
    for (auto key = keys.begin(); key != keys.end(); ++key) {
        if (std::any_of(keys.begin(), key, [&](const Key& other) { return other.text == key->text; }))
            return false;
    }
    return true;
}

}  // namespace

std::optional<std::string_view> similar_word(std::string_view typed,
                                             const std::vector<std::string_view>& words) {
    constexpr std::size_t longest_word = 64;  // what is longer is no slip of the finger
    if (typed.size() > longest_word) return std::nullopt;
    std::optional<std::string_view> best;
    std::size_t best_distance = 0;
    for (const std::string_view word : words) {
        const std::size_t distance = edit_distance(typed, word);
        const bool close = distance <= std::max<std::size_t>(1, word.size() / 3);
        if (close && (!best || distance < best_distance)) {
            best = word;
            best_distance = distance;
        }
    }
    return best;
}

std::string pointer_token(std::string_view name) {
    std::string token = "/";
    for (const char character : name) {
        if (character == '~') {
            token += "~0";
        } else if (character == '/') {
            token += "~1";
        } else {
            token += character;
        }
    }
    return token;
}

void Reader::add(Mark mark, std::string read, std::string expected, std::string message) {
    ++count_;
    if (faults_.size() >= faults_most) return;
    faults_.push_back({files_ == nullptr ? std::string() : files_->name_of(mark), mark.line, mark.column,
                       files_ == nullptr ? path() : files_->local_path(path(), mark), std::move(read),
                       std::move(expected), std::move(message),
                       with_pointers_ ? std::optional(pointer()) : std::nullopt});
}

void Reader::wrong(Mark mark, std::string read, std::string expected, std::string_view what) {
    std::string message = fmt::format("{}; expected {}", what, expected);
    add(mark, std::move(read), std::move(expected), std::move(message));
}

void Reader::wrong_type(const Node& node, std::string expected) {
    std::string read(node.type == Node::Type::scalar ? node.scalar : type_read(node));
    std::string what = node.type == Node::Type::scalar ? fmt::format("\"{}\" was read", node.scalar)
                                                       : fmt::format("{} was read", type_read(node));
    wrong(node.mark, std::move(read), std::move(expected), what);
}

void Reader::unknown_key(const Key& key, const std::vector<std::string_view>& known) {
    const Inside inside(*this, {key.text, 0});
    std::string expected = fmt::format("one of {}", joined(known, "and"));
    if (const auto meant = similar_word(key.text, known)) {
        add(key.mark, key.text, std::move(expected),
            fmt::format("unknown key \"{}\"; did you mean \"{}\"?", key.text, *meant));
    } else {
        wrong(key.mark, key.text, std::move(expected), fmt::format("unknown key \"{}\"", key.text));
    }
}

void Reader::refuse_duplicates(const Node& map) {
    if (are_different(map.keys)) return;
    std::map<std::string_view, const Key*> seen;
    for (const Key& key : map.keys) {
        const auto [first, added] = seen.emplace(key.text, &key);
        if (added) continue;
        const Inside inside(*this, {key.text, 0});
        wrong(
            key.mark, key.text, "each key once",
            fmt::format("duplicate key \"{}\", first given on line {}", key.text, first->second->mark.line));
    }
}

void Reader::check_one_of(const Node& map, const std::vector<std::string_view>& keys) {
    std::vector<std::string_view> given;
    for (const std::string_view key : keys) {
        if (map.child(key) != nullptr) given.push_back(key);
    }
    if (given.size() == 1) return;
    std::string expected = fmt::format("one of {}", joined(keys, "and"));
    if (given.empty()) {
        wrong(map.mark, {}, std::move(expected), "a key is missing");
    } else {
        std::string names = joined(given, "and");
        const std::string what = fmt::format("{} exclude each other", names);
        wrong(map.mark, std::move(names), std::move(expected), what);
    }
}

bool Reader::check_fragment(const Node& fragment, const std::string& main_name) {
    if (fragment.type != Node::Type::map) {
        wrong_type(fragment, "a map");
        return false;
    }
    refuse_duplicates(fragment);
    std::vector<std::string_view> known{"api_version"};
    for (const model::Kind kind : model::all_kinds) known.push_back(model::to_string(kind));
    for (std::size_t i = 0; i < fragment.keys.size(); ++i) {
        const Key& key = fragment.keys[i];
        const Inside inside(*this, {key.text, 0});
        if (key.text == "gateway" || key.text == "api") {
            add(key.mark, key.text, fmt::format("one of {}", joined(known, "and")),
                fmt::format("\"{}\" belongs into {}, not into a fragment", key.text, main_name));
        } else if (key.text == "api_version") {
            ApiVersion version{};
            read_value(fragment.children[i], version, {});
        } else if (!model::parse_kind(key.text)) {
            path_.pop_back();  // unknown_key() names it itself
            unknown_key(key, known);
            path_.push_back({key.text, 0});
        } else if (fragment.children[i].type != Node::Type::list) {
            wrong_type(fragment.children[i], "a list");
        }
    }
    if (fragment.child("api_version") == nullptr) {
        const Inside inside(*this, {"api_version", 0});
        wrong(fragment.mark, {}, wanted<ApiVersion>({}), "the key \"api_version\" is missing");
    }
    return true;
}

std::string Reader::path() const {
    std::string text;
    for (const Step& step : path_) {
        if (step.key.empty()) {
            text += fmt::format("[{}]", step.index);
        } else {
            if (!text.empty()) text += '.';
            text += step.key;
        }
    }
    return text;
}

std::string Reader::pointer() const {
    std::string text;
    for (const Step& step : path_)
        text += step.key.empty() ? fmt::format("/{}", step.index) : pointer_token(step.key);
    return text;
}

bool Reader::is_scalar(const Node& node, bool plain_only) {
    return node.type == Node::Type::scalar && !(plain_only && node.quoted) &&
           node.scalar.size() <= scalar_most;
}

void Reader::refuse_scalar(const Node& node, std::string expected) {
    if (node.type != Node::Type::scalar) {
        wrong_type(node, std::move(expected));
    } else if (node.scalar.size() > scalar_most) {
        wrong(node.mark, node.scalar.substr(0, 32) + "…", std::move(expected),
              fmt::format("a text of {} bytes was read", node.scalar.size()));
    } else {
        wrong(node.mark, node.scalar, std::move(expected),
              fmt::format("the text \"{}\" was read", node.scalar));
    }
}

void Reader::read_value(const Node& node, std::string& value, const model::FieldFacts& facts) {
    if (node.typed) {
        wrong_type(node, wanted<std::string>(facts));
        return;
    }
    const std::string* text = scalar<std::string>(node, facts, false);
    if (text == nullptr) return;
    if (text->empty() && facts.text != model::Text::free) {
        wrong(node.mark, {}, wanted<std::string>(facts), "an empty text was read");
        return;
    }
    if (facts.text == model::Text::path && !text->starts_with('/')) {
        wrong(node.mark, *text, wanted<std::string>(facts), fmt::format("\"{}\" is no absolute path", *text));
        return;
    }
    value = *text;
}

void Reader::read_value(const Node& node, bool& value, const model::FieldFacts&) {
    read_parsed(node, value, true, [](const std::string& text) -> Result<bool> {
        if (text == "true") return true;
        if (text == "false") return false;
        return failure(fmt::format("\"{}\" was read", text));
    });
}

void Reader::read_value(const Node& node, model::True& value, const model::FieldFacts&) {
    read_parsed(node, value, true, [](const std::string& text) -> Result<model::True> {
        if (text == "true") return model::True{};
        return failure(fmt::format("\"{}\" was read", text));
    });
}

void Reader::read_value(const Node& node, std::uint32_t& value, const model::FieldFacts&) {
    read_parsed(node, value, true, [](const std::string& text) -> Result<std::uint32_t> {
        std::uint32_t number = 0;
        const char* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, number);
        if (error == std::errc::result_out_of_range) {
            return failure(fmt::format("{} is too large", text));
        }
        // Leading zeros are refused: they make a number octal for some readers of YAML.
        if (error != std::errc{} || stop != end || (text.size() > 1 && text.front() == '0')) {
            return failure(fmt::format("\"{}\" is no whole number", text));
        }
        return number;
    });
}

void Reader::read_value(const Node& node, Ipv4Address& value, const model::FieldFacts&) {
    read_parsed(node, value, false, Ipv4Address::parse);
}

void Reader::read_value(const Node& node, Ipv4Prefix& value, const model::FieldFacts&) {
    const std::string* text = scalar<Ipv4Prefix>(node, {}, false);
    if (text == nullptr) return;
    if (const auto parsed = Ipv4Prefix::parse(*text)) {
        value = *parsed;
    } else {
        wrong(node.mark, *text, prefix_meant(*text).value_or(wanted<Ipv4Prefix>({})), parsed.error().message);
    }
}

void Reader::read_value(const Node& node, PortRange& value, const model::FieldFacts&) {
    read_parsed(node, value, false, PortRange::parse);
}

void Reader::read_value(const Node& node, IcmpType& value, const model::FieldFacts&) {
    read_parsed(node, value, false, IcmpType::parse);
}

void Reader::read_value(const Node& node, Endpoint& value, const model::FieldFacts&) {
    read_parsed(node, value, false, Endpoint::parse);
}

void Reader::read_value(const Node& node, std::chrono::seconds& value, const model::FieldFacts&) {
    read_parsed(node, value, false, parse_duration);
}

void Reader::read_value(const Node& node, HostName& value, const model::FieldFacts&) {
    read_parsed(node, value, false, HostName::parse);
}

void Reader::read_value(const Node& node, WebOrigin& value, const model::FieldFacts&) {
    read_parsed(node, value, false, WebOrigin::parse);
}

}  // namespace sallyport::config

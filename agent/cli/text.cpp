// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <ostream>

namespace sallyport::cli {
namespace {

constexpr std::size_t narrowest_fold = 20;  // a narrower last column is harder to read than a long line

// Columns on the screen: UTF-8 continuation bytes take none.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
        return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
    }));
}

std::size_t widest_word(std::string_view text) {
    std::size_t widest = 0;
    for (const std::string& word : fold(text, 1)) widest = std::max(widest, width_of(word));
    return widest;
}

std::string_view escape_of(Tone tone) {
    switch (tone) {
        case Tone::plain:
            return "";
        case Tone::title:
            return "\033[1m";
        case Tone::good:
            return "\033[32m";
        case Tone::warning:
            return "\033[33m";
        case Tone::bad:
            return "\033[31m";
        case Tone::faint:
            return "\033[2m";
    }
    return "";
}

// Three digits that count: 1.23, 12.3, 123.
std::string three_digits(double value) {
    return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

}  // namespace

std::vector<std::string> fold(std::string_view text, std::size_t width) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        std::string_view rest = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), rest.size() + 1));
        std::string line;
        while (!rest.empty()) {
            std::string_view word = rest.substr(0, rest.find(' '));
            rest.remove_prefix(std::min(rest.size(), word.size() + 1));
            if (!line.empty() && width_of(line) + 1 + width_of(word) > width) {
                lines.push_back(std::move(line));
                line.clear();
            }
            if (!line.empty()) line += ' ';
            line += word;
        }
        lines.push_back(std::move(line));
    }
    if (lines.empty()) lines.emplace_back();
    return lines;
}

std::string human_count(std::uint64_t count) {
    if (count < 100'000) return std::to_string(count);
    static constexpr std::array units{'k', 'M', 'G', 'T', 'P', 'E'};
    double value = static_cast<double>(count) / 1000;
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1000;
        ++unit;
    }
    return fmt::format("{}{}", three_digits(value), units[unit]);
}

std::string human_bytes(std::uint64_t bytes) {
    if (bytes < 1024) return fmt::format("{} B", bytes);
    static constexpr std::array<std::string_view, 6> units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{} {}", three_digits(value), units[unit]);
}

std::string human_duration(std::uint64_t seconds) {
    struct Unit {
        std::uint64_t seconds;
        char letter;
    };
    static constexpr std::array<Unit, 4> units{{{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
    for (std::size_t i = 0; i + 1 < units.size(); ++i) {
        if (seconds < units[i].seconds) continue;
        std::uint64_t smaller = seconds % units[i].seconds / units[i + 1].seconds;
        std::string out = fmt::format("{}{}", seconds / units[i].seconds, units[i].letter);
        if (smaller != 0) out += fmt::format("{}{}", smaller, units[i + 1].letter);
        return out;
    }
    return fmt::format("{}s", seconds);
}

std::string plural(std::uint64_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

void Text::line(std::string_view text, Tone tone) {
    out_ << paint(text, tone) << '\n';
}

void Text::paragraph(std::string_view text, Tone tone) {
    constexpr std::size_t hanging = 2;
    std::size_t margin = 0;
    for (const std::string& folded : fold(text, room_behind(hanging))) {
        line(std::string(margin, ' ') + paint(folded, tone));
        margin = hanging;
    }
}

void Text::indented(std::string_view text, std::size_t indent) {
    for (const std::string& folded : fold(text, room_behind(indent))) line(std::string(indent, ' ') + folded);
}

std::size_t Text::room_behind(std::size_t indent) const {
    return std::max(screen_.width, indent + narrowest_fold) - indent;
}

std::string Text::paint(std::string_view text, Tone tone) const {
    if (!screen_.colour || tone == Tone::plain || text.empty()) return std::string(text);
    return fmt::format("{}{}\033[0m", escape_of(tone), text);
}

void Table::row(std::vector<Cell> cells) {
    cells.resize(columns_.size());
    rows_.push_back(std::move(cells));
}

void Table::print(Text& text) const {
    struct Width {
        std::size_t whole = 0;
        std::size_t folded = 0;  // the least it can have as the last column
    };
    std::vector<Width> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::size_t whole = width_of(columns_[i].title);
        std::size_t word = 0;
        for (const auto& row : rows_) {
            whole = std::max(whole, width_of(row[i].text));
            word = std::max(word, widest_word(row[i].text));
        }
        bool folds = columns_[i].align == Align::left;
        widths.push_back({whole, folds ? std::min(whole, std::max(word, narrowest_fold)) : whole});
    }

    std::vector<std::size_t> shown(columns_.size());
    std::iota(shown.begin(), shown.end(), std::size_t{0});
    std::size_t gap = 2;  // between two columns
    auto before_last = [&] {
        std::size_t sum = 0;
        for (std::size_t i : shown) sum += i == shown.back() ? 0 : widths[i].whole + gap;
        return sum;
    };
    while (before_last() + widths[shown.back()].folded > text.screen().width) {
        unsigned most = 0;
        for (std::size_t i : shown) most = std::max(most, columns_[i].spare);
        if (most == 0) {
            gap = 1;
            break;
        }
        std::erase_if(shown, [&](std::size_t i) { return columns_[i].spare == most; });
    }

    const std::size_t last = shown.back();
    const std::size_t margin = before_last();
    const std::size_t room =
        std::max(widths[last].folded, text.screen().width - std::min(text.screen().width, margin));

    auto print_row = [&](auto&& cell_of) {
        std::string left;
        for (std::size_t i : shown) {
            if (i == last) break;
            const Cell cell = cell_of(i);
            std::string padding(widths[i].whole - width_of(cell.text), ' ');
            std::string painted = text.paint(cell.text, cell.tone);
            left += columns_[i].align == Align::right ? padding + painted : painted + padding;
            left += std::string(gap, ' ');
        }
        const Cell cell = cell_of(last);
        if (columns_[last].align == Align::right)
            left += std::string(widths[last].whole - width_of(cell.text), ' ');
        for (const std::string& folded : fold(cell.text, room)) {
            std::string whole = left + text.paint(folded, cell.tone);
            whole.erase(whole.find_last_not_of(' ') + 1);
            text.line(whole);
            left = std::string(margin, ' ');
        }
    };

    bool titled =
        std::any_of(columns_.begin(), columns_.end(), [](const Column& c) { return !c.title.empty(); });
    if (titled) print_row([&](std::size_t i) { return Cell{columns_[i].title, Tone::title}; });
    for (const auto& row : rows_) print_row([&](std::size_t i) { return row[i]; });
}

}  // namespace sallyport::cli

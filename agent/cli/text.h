// SPDX-License-Identifier: Apache-2.0
//
// Text for people: aligned tables that fit the screen, human units, colour where it is wanted.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::cli {

struct Screen {
    std::size_t width = 80;  // columns
    bool colour = false;
};

// What a piece of text tells, not how it looks.
enum class Tone { plain, title, good, warning, bad, faint };

struct Cell {
    std::string text;
    Tone tone = Tone::plain;
};

enum class Align { left, right };

struct Column {
    std::string title;
    Align align = Align::left;
    // Where the lines would be longer than the screen, columns are left out: those with the highest of these
    // numbers first, and all with the same number together. Those with 0 always stay.
    unsigned spare = 0;
};

class Text {
  public:
    Text(std::ostream& out, Screen screen) : out_(out), screen_(screen) {}

    void line(std::string_view text = {}, Tone tone = Tone::plain);
    // Folded to the screen: the lines after the first stand a little to the right.
    void paragraph(std::string_view text, Tone tone = Tone::plain);
    // Folded to the screen, all lines behind `indent` spaces.
    void indented(std::string_view text, std::size_t indent);
    [[nodiscard]] std::string paint(std::string_view text, Tone tone) const;
    [[nodiscard]] const Screen& screen() const { return screen_; }

  private:
    [[nodiscard]] std::size_t room_behind(std::size_t indent) const;

    std::ostream& out_;
    Screen screen_;
};

// Columns are as wide as their widest cell; the last one is folded to what is left of the screen. Without
// titles no heading is printed.
class Table {
  public:
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    void row(std::vector<Cell> cells);  // as many as there are columns
    void print(Text& text) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

// Lines of at most `width` columns, broken at spaces and at line ends; at least one line. A word that is
// longer than a line gets one of its own.
std::vector<std::string> fold(std::string_view text, std::size_t width);

std::string human_count(std::uint64_t count);                    // 99999, 1.23M
std::string human_bytes(std::uint64_t bytes);                    // 17 B, 1.5 MiB
std::string human_duration(std::uint64_t seconds);               // 45s, 2h4m, 3d1h
std::string plural(std::uint64_t count, std::string_view noun);  // "1 flow", "2 flows"

}  // namespace sallyport::cli

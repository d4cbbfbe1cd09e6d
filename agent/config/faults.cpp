// SPDX-License-Identifier: Apache-2.0
#include "config/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace sallyport::config {
namespace {

// Escapes in double quotes can bring control characters back in, and messages end up on terminals.
std::string printable(std::string_view text) {
    std::string result;
    for (const char character : text) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte < 0x20 || byte == 0x7f) {
            result += fmt::format("\\x{:02x}", byte);
        } else {
            result += character;
        }
    }
    return result;
}

}  // namespace

bool is_inside(std::string_view path, std::string_view outer) {
    return path.starts_with(outer) &&
           (path.size() == outer.size() || path[outer.size()] == '.' || path[outer.size()] == '[');
}

Fault at_its_place(const model::Fault& fault, const Files& files) {
    const Files::Spot spot = files.find(fault.path);
    const Mark mark = spot.place.mark;
    std::string message = fault.message;
    if (!fault.other_path.empty()) {
        const Files::Spot other = files.find(fault.other_path);
        if (other.place.exact && other.place.mark.file != mark.file) {
            message +=
                fmt::format(" (see {}:{}:{})", other.file, other.place.mark.line, other.place.mark.column);
        } else if (other.place.exact && other.place.mark.line != mark.line) {
            message += fmt::format(" (see line {})", other.place.mark.line);
        }
    }
    return {spot.file, mark.line, mark.column, spot.path, fault.read, fault.expected, std::move(message)};
}

std::vector<Fault> in_order(std::vector<Fault> faults, const Files& files, std::size_t unlisted) {
    const std::vector<std::string>& names = files.names();
    std::ranges::stable_sort(faults, {}, [&](const Fault& fault) {
        const auto file = std::ranges::find(names, fault.file);
        return std::tuple{file == names.end() ? 0 : file - names.begin(), fault.line, fault.column};
    });
    if (faults.size() > faults_most) {
        unlisted += faults.size() - faults_most;
        faults.resize(faults_most);
    }
    if (unlisted > 0)
        faults.push_back({files.main_name(), 0, 0, {}, {}, {}, fmt::format("and {} more", unlisted)});
    for (Fault& fault : faults) {
        for (std::string* text : {&fault.path, &fault.read, &fault.expected, &fault.message}) {
            *text = printable(*text);
        }
    }
    return faults;
}

}  // namespace sallyport::config

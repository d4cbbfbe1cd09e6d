// SPDX-License-Identifier: Apache-2.0
#include "config/faults.h"

#include <fmt/format.h>

#include <algorithm>

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

Fault at_its_place(const model::Fault& fault, const Node& root, const std::string& file_name) {
    const Place place = find_place(root, fault.path);
    std::string message = fault.message;
    if (!fault.other_path.empty()) {
        const Place other = find_place(root, fault.other_path);
        if (other.exact && other.mark.line != place.mark.line) {
            message += fmt::format(" (see line {})", other.mark.line);
        }
    }
    return {file_name,  place.mark.line, place.mark.column, fault.path,
            fault.read, fault.expected,  std::move(message)};
}

std::vector<Fault> in_order(std::vector<Fault> faults, const std::string& file_name, std::size_t unlisted) {
    std::ranges::stable_sort(faults, {}, [](const Fault& fault) {
        return std::pair{fault.line, fault.column};
    });
    if (faults.size() > faults_most) {
        unlisted += faults.size() - faults_most;
        faults.resize(faults_most);
    }
    if (unlisted > 0) faults.push_back({file_name, 0, 0, {}, {}, {}, fmt::format("and {} more", unlisted)});
    for (Fault& fault : faults) {
        for (std::string* text : {&fault.path, &fault.read, &fault.expected, &fault.message}) {
            *text = printable(*text);
        }
    }
    return faults;
}

}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

const std::array special_prefixes{
    std::pair{Ipv4Prefix(Ipv4Address(0, 0, 0, 0), 8), "\"this network\" (0.0.0.0/8)"},
    std::pair{Ipv4Prefix(Ipv4Address(127, 0, 0, 0), 8), "loopback (127.0.0.0/8)"},
    std::pair{Ipv4Prefix(Ipv4Address(224, 0, 0, 0), 4), "multicast (224.0.0.0/4)"},
    std::pair{Ipv4Prefix(Ipv4Address(240, 0, 0, 0), 4), "reserved (240.0.0.0/4)"},
};

}  // namespace

Examination::Examination(const DesiredState& examined) : state(examined) {
    visit_kinds([this](Kind kind, auto objects_of_kind) {
        const auto& list = state.*objects_of_kind;
        Names& known = names_[static_cast<std::size_t>(kind)];
        known.reserve(list.size());
        for (std::size_t i = 0; i < list.size(); ++i) known.emplace(list[i].name, i);
    });
}

std::string at(std::string_view list, std::size_t index) {
    return fmt::format("{}[{}]", list, index);
}

std::string at(std::string_view list, std::size_t index, std::string_view field) {
    return fmt::format("{}[{}].{}", list, index, field);
}

std::string quoted(std::string_view text) {
    return fmt::format("\"{}\"", text);
}

const char* special_use(const Ipv4Prefix& prefix) {
    for (const auto& [special, text] : special_prefixes) {
        if (special.overlaps(prefix)) return text;
    }
    return nullptr;
}

void Rules::wrong(std::string path, std::string read, std::string expected, std::string_view what,
                  std::string other_path) {
    std::string message = fmt::format("{}; expected {}", what, expected);
    examination_.faults.push_back(
        {std::move(path), std::move(other_path), std::move(read), std::move(expected), std::move(message)});
}

void Rules::check_size(std::string_view path, std::size_t size, std::size_t most) {
    if (size <= most) return;
    wrong(std::string(path), fmt::format("{}", size), fmt::format("at most {}", most),
          fmt::format("{} are too many", size));
}

void Rules::check_special_use(std::string path, const Ipv4Prefix& prefix) {
    const char* use = special_use(prefix);
    if (use == nullptr) return;
    wrong(std::move(path), prefix.to_string(), "a prefix of unicast addresses",
          fmt::format("{} overlaps with {}", prefix.to_string(), use));
}

void Rules::check_host_address(std::string path, Ipv4Address address) {
    const char* use = special_use(Ipv4Prefix(address, 32));
    if (use == nullptr) return;
    wrong(std::move(path), address.to_string(), "a unicast address",
          fmt::format("{} is {}", address.to_string(), use));
}

std::optional<std::size_t> Rules::index_of(Kind kind, std::string_view name) const {
    const Examination::Names& known = names(kind);
    const auto found = known.find(name);
    if (found == known.end()) return std::nullopt;
    return found->second;
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
#include "model/in_force.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "model/enums.h"

namespace sallyport::model {
namespace {

// Takes the path of something that is declared in vain, and how it reads there.
using Found = std::function<void(std::string path, std::string read)>;

struct NotInForce {
    std::string_view what;  // the sentence "… not yet in force in this version" begins with it
    void (*find)(const DesiredState&, const Found&);
};

template <typename T, typename Declared>
void find_where(const std::vector<T>& objects_of_kind, std::string_view kind, std::string_view field,
                const Found& found, Declared declared) {
    for (std::size_t i = 0; i < objects_of_kind.size(); ++i) {
        const std::string read = declared(objects_of_kind[i]);
        if (!read.empty()) found(fmt::format("{}[{}].{}", kind, i, field), read);
    }
}

template <typename Declared>
void find_nat_gateways(const DesiredState& state, std::string_view field, const Found& found,
                       Declared declared) {
    find_where(state.nat_gateways, "nat_gateways", field, found, declared);
}

// The table. A line goes when what it names is carried out.
constexpr std::array table{
    NotInForce{"a flow log",
               [](const DesiredState& state, const Found& found) {
                   find_nat_gateways(state, "log_flows", found, [](const NatGateway& gateway) {
                       return std::string(gateway.log_flows ? "true" : "");
                   });
               }},
};

}  // namespace

std::vector<Fault> not_in_force(const DesiredState& state) {
    std::vector<Fault> faults;
    for (const NotInForce& entry : table) {
        entry.find(state, [&](std::string path, std::string read) {
            faults.push_back(
                {std::move(path),
                 {},
                 std::move(read),
                 {},
                 fmt::format("{} is accepted but not yet in force in this version", entry.what)});
        });
    }
    return faults;
}

std::vector<std::string_view> kinds_not_in_force() {
    std::vector<std::string_view> kinds;
    kinds.reserve(table.size());
    for (const NotInForce& entry : table) kinds.push_back(entry.what);
    return kinds;
}

}  // namespace sallyport::model

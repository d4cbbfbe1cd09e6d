// SPDX-License-Identifier: Apache-2.0
//
// What all rules share. Each file of this folder holds those about one subject, as a class that only it sees
// and a function that runs it; validate() calls the functions.
#pragma once

#include <fmt/format.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/address.h"
#include "model/kinds.h"
#include "model/resources.h"
#include "model/validate.h"

namespace sallyport::model {

// A state that is being checked: its objects by name, and the faults found so far. Refers to the state.
class Examination {
  public:
    explicit Examination(const DesiredState& state);

    const DesiredState& state;
    std::vector<Fault> faults;

    // Where the first object of a name stands in its list.
    using Names = std::unordered_map<std::string_view, std::size_t>;
    const Names& names(Kind kind) const { return names_[static_cast<std::size_t>(kind)]; }

  private:
    std::array<Names, all_kinds.size()> names_;
};

// In the order of a state's dependences, so that what a fault follows from is reported before it.
void check_sizes(Examination& examination);
void check_names(Examination& examination);
void check_references(Examination& examination);
void check_gateway(Examination& examination);
void check_networks(Examination& examination);     // VPCs, subnets, route tables, internet gateways
void check_translation(Examination& examination);  // Elastic IPs, NAT gateways
void check_hosts(Examination& examination);        // instances, security groups
void check_port_forwards(Examination& examination);

// Paths: "subnets[1]", "subnets[1].cidr".
std::string at(std::string_view list, std::size_t index);
std::string at(std::string_view list, std::size_t index, std::string_view field);
std::string quoted(std::string_view text);

// What a prefix overlaps with that holds no host's address on any network: "loopback (127.0.0.0/8)".
// Null: nothing.
const char* special_use(const Ipv4Prefix& prefix);

// Base of the rules.
class Rules {
  protected:
    explicit Rules(Examination& examination) : state_(examination.state), examination_(examination) {}

    // "…; expected …" is the form of all messages that say what would be right.
    void wrong(std::string path, std::string read, std::string expected, std::string_view what,
               std::string other_path = {});

    void check_size(std::string_view path, std::size_t size, std::size_t most);
    // The same where there are many: `path()` is called where it is too many.
    template <std::invocable Path>
    void check_size(Path path, std::size_t size, std::size_t most) {
        if (size > most) check_size(std::string_view(path()), size, most);
    }
    // That an address may be a host's.
    void check_host_address(std::string path, Ipv4Address address);
    // The same of a whole prefix.
    void check_special_use(std::string path, const Ipv4Prefix& prefix);
    // That `name`, if it is known, belongs to the VPC `vpc`. `path()` is called where it does not.
    template <typename T, typename Path>
    void check_same_vpc(Path path, Kind kind, const std::string& name, const std::string& vpc) {
        const T* target = object<T>(kind, name);
        if (target == nullptr || vpc.empty() || target->vpc == vpc) return;
        wrong(path(), name, fmt::format("one of VPC {}", quoted(vpc)),
              fmt::format("{} {} belongs to VPC {}", word_for(kind), quoted(name), quoted(target->vpc)),
              at(to_string(kind), *index_of(kind, name), "vpc"));
    }

    [[nodiscard]] const Examination::Names& names(Kind kind) const { return examination_.names(kind); }
    [[nodiscard]] std::optional<std::size_t> index_of(Kind kind, std::string_view name) const;
    template <typename T>
    [[nodiscard]] const T* object(Kind kind, std::string_view name) const {
        const auto index = index_of(kind, name);
        return index ? &objects<T>(state_)[*index] : nullptr;
    }

    const DesiredState& state_;

  private:
    Examination& examination_;
};

}  // namespace sallyport::model

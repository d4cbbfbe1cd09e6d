// SPDX-License-Identifier: Apache-2.0
#include "reconcile/identifiers.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "sallyport/abi/flow.h"
#include "sallyport/abi/limits.h"
#include "sallyport/abi/maps.h"

namespace sallyport::reconcile {
namespace {

using dataplane::Identifier;

struct Range {
    std::uint32_t first, last;
    std::string_view what;
};

Range range_of(std::uint32_t kind) {
    // The highest bit of a route table's number is taken: see implicit_route_table() in plan.cpp.
    constexpr std::uint32_t most = std::numeric_limits<std::int32_t>::max();
    switch (kind) {
        case IDENTIFIER_VPC:
            return {ZONE_OUTSIDE + 1, std::numeric_limits<std::uint16_t>::max(), "VPC"};
        case IDENTIFIER_NAT_GATEWAY:
            return {0, INTERNET_GATEWAY_FIRST - 1, "NAT gateway"};
        case IDENTIFIER_INTERNET_GATEWAY:
            return {INTERNET_GATEWAY_FIRST, NAT_GATEWAYS_MAX - 1, "internet gateway"};
        case IDENTIFIER_SECURITY_GROUP:
            return {1, SECURITY_GROUPS_MAX, "security group"};
        case IDENTIFIER_DEVICE:
            return {0, DEVICES_MAX - 1, "device"};
        case IDENTIFIER_SUBNET:
            return {1, most, "subnet"};
        case IDENTIFIER_ROUTE_TABLE:
            return {1, most, "route table"};
        default:
            return {1, most, "Elastic IP"};
    }
}

// Kinds whose numbers flows carry, themselves or through what they name.
bool carried_by_flows(std::uint32_t kind) {
    return kind == IDENTIFIER_VPC || kind == IDENTIFIER_NAT_GATEWAY || kind == IDENTIFIER_INTERNET_GATEWAY ||
           kind == IDENTIFIER_DEVICE;
}

}  // namespace

Identifiers::Identifiers(Numbers found) : numbers_(std::move(found)) {
    for (const auto& [identifier, number] : numbers_) {
        auto [highest, first] = highest_.try_emplace(identifier.kind, number);
        if (!first) highest->second = std::max(highest->second, number);
    }
}

Result<void> Identifiers::provide(const std::set<Identifier>& wanted, const IsCarried& is_carried) {
    ++calls_;
    for (const auto& [identifier, number] : numbers_) {
        if (!wanted.contains(identifier)) free_since_.try_emplace(identifier, calls_);
    }
    for (const Identifier& identifier : wanted) free_since_.erase(identifier);
    if (numbers_.size() + wanted.size() > IDENTIFIERS_MAX) forget_some();
    for (const Identifier& identifier : wanted) {
        if (numbers_.contains(identifier)) continue;
        const auto number = choose(identifier.kind, is_carried);
        if (!number) return failure_within(identifier.name, number.error());
        numbers_.emplace(identifier, *number);
    }
    return {};
}

Result<std::uint32_t> Identifiers::choose(std::uint32_t kind, const IsCarried& is_carried) {
    const Range range = range_of(kind);
    // Never used before is best; this is also what keeps ten thousand new names from taking long.
    auto [highest, first] = highest_.try_emplace(kind, range.first);
    if (first) return range.first;
    if (highest->second < range.last) return ++highest->second;

    std::vector<std::uint32_t> taken;
    for (auto at = numbers_.lower_bound(Identifier{kind, {}}); at != numbers_.end() && at->first.kind == kind;
         ++at) {
        taken.push_back(at->second);
    }
    std::sort(taken.begin(), taken.end());
    std::uint32_t gap = range.first;
    for (const std::uint32_t number : taken) {
        if (number > gap) return gap;
        gap = number + 1;
    }
    if (gap <= range.last) return gap;

    // Every number has a name: take one from those whose names are gone.
    std::vector<std::pair<std::uint64_t, Identifier>> free;
    for (const auto& [identifier, since] : free_since_) {
        if (identifier.kind == kind) free.emplace_back(since, identifier);
    }
    std::sort(free.begin(), free.end());
    for (const auto& [since, identifier] : free) {
        const std::uint32_t number = numbers_.at(identifier);
        if (carried_by_flows(kind) && is_carried(kind, number)) continue;
        numbers_.erase(identifier);
        free_since_.erase(identifier);
        return number;
    }
    return failure(
        fmt::format("all {} numbers for a {} are taken", range.last - range.first + 1, range.what));
}

void Identifiers::forget_some() {
    std::erase_if(numbers_, [&](const auto& element) {
        return free_since_.contains(element.first) && !carried_by_flows(element.first.kind);
    });
    std::erase_if(free_since_, [&](const auto& element) { return !numbers_.contains(element.first); });
}

std::uint32_t Identifiers::at(std::uint32_t kind, std::string_view name) const {
    return numbers_.at(Identifier{kind, std::string(name)});
}

std::string_view Identifiers::name_of(std::uint32_t kind, std::uint32_t number) const {
    for (auto at = numbers_.lower_bound(Identifier{kind, {}}); at != numbers_.end() && at->first.kind == kind;
         ++at) {
        if (at->second == number) return at->first.name;
    }
    return {};
}

}  // namespace sallyport::reconcile

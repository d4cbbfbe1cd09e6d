// SPDX-License-Identifier: Apache-2.0
#include "dataplane/next_hop_numbers.h"

#include <algorithm>

#include "sallyport/abi/limits.h"

namespace sallyport::dataplane {

void NextHopNumbers::found_in_use(const Neighbour& neighbour, std::uint32_t number) {
    in_use_[neighbour] = number;
    never_used_ = std::max(never_used_, number + 1);
}

void NextHopNumbers::found_set_aside(const Neighbour& neighbour, std::uint32_t number) {
    set_aside_[neighbour] = number;
    never_used_ = std::max(never_used_, number + 1);
}

std::optional<std::uint32_t> NextHopNumbers::number_of(const Neighbour& neighbour) const {
    const auto at = in_use_.find(neighbour);
    if (at == in_use_.end()) return std::nullopt;
    return at->second;
}

std::optional<std::uint32_t> NextHopNumbers::give(const Neighbour& neighbour) {
    if (const auto number = number_of(neighbour)) return number;
    std::uint32_t number = 0;
    if (const auto before = set_aside_.find(neighbour); before != set_aside_.end()) {
        number = before->second;
        set_aside_.erase(before);
    } else if (never_used_ < NEXT_HOPS_MAX) {
        number = never_used_++;
    } else if (!free_.empty()) {
        number = free_.back();
        free_.pop_back();
    } else {
        return std::nullopt;
    }
    in_use_.emplace(neighbour, number);
    return number;
}

void NextHopNumbers::set_aside(const Neighbour& neighbour) {
    const auto at = in_use_.find(neighbour);
    if (at == in_use_.end()) return;
    set_aside_[neighbour] = at->second;
    in_use_.erase(at);
}

void NextHopNumbers::reclaim(const std::vector<bool>& named) {
    for (auto at = set_aside_.begin(); at != set_aside_.end();) {
        if (named[at->second]) {
            ++at;
            continue;
        }
        free_.push_back(at->second);
        at = set_aside_.erase(at);
    }
}

}  // namespace sallyport::dataplane

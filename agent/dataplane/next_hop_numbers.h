// SPDX-License-Identifier: Apache-2.0
//
// Gives neighbours their numbers in the array of next hops. A flow keeps the number for as long as it
// lives, so a number that once belonged to a neighbour stays set aside for it when the neighbour goes. Only
// when all numbers have been given are those set aside looked at, and freed where no flow names them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "dataplane/tables.h"

namespace sallyport::dataplane {

class NextHopNumbers {
  public:
    // What was found in the kernel: a number in use, and one set aside.
    void found_in_use(const Neighbour& neighbour, std::uint32_t number);
    void found_set_aside(const Neighbour& neighbour, std::uint32_t number);

    // The number of a neighbour in use.
    [[nodiscard]] std::optional<std::uint32_t> number_of(const Neighbour& neighbour) const;

    // A number for a neighbour: the one it has or had, else one that was never used; none if there is none.
    std::optional<std::uint32_t> give(const Neighbour& neighbour);

    // Sets the number of a neighbour aside.
    void set_aside(const Neighbour& neighbour);

    // Frees numbers set aside that `named` (by number) says no flow names.
    void reclaim(const std::vector<bool>& named);

  private:
    std::map<Neighbour, std::uint32_t> in_use_;
    std::map<Neighbour, std::uint32_t> set_aside_;
    std::vector<std::uint32_t> free_;
    std::uint32_t never_used_ = 1;  // this and all above; 0 means "none" to the programs
};

}  // namespace sallyport::dataplane

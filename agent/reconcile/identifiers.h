// SPDX-License-Identifier: Apache-2.0
//
// Gives names their numbers. A name keeps its number for as long as it is known, over restarts too. The
// number of a name that went stays with it, because flows may still carry it: should the name come back, it
// is the same again. Only when all numbers of a kind have been given is one given to another name: one that
// no flow carries, and of those the one that was free for longest.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "core/result.h"
#include "dataplane/tables.h"

namespace sallyport::reconcile {

using Numbers = std::map<dataplane::Identifier, std::uint32_t>;

class Identifiers {
  public:
    // Tells whether any flow carries the number; asked only when numbers have run out.
    using IsCarried = std::function<bool(std::uint32_t kind, std::uint32_t number)>;

    Identifiers() = default;
    explicit Identifiers(Numbers found);

    // Makes every name in `wanted` have a number. What is not in `wanted` is free from now on.
    Result<void> provide(const std::set<dataplane::Identifier>& wanted, const IsCarried& is_carried);

    // The number of a name that was provided.
    [[nodiscard]] std::uint32_t at(std::uint32_t kind, std::string_view name) const;
    // The name that has or last had a number; empty: none.
    [[nodiscard]] std::string_view name_of(std::uint32_t kind, std::uint32_t number) const;
    [[nodiscard]] const Numbers& all() const { return numbers_; }

  private:
    Result<std::uint32_t> choose(std::uint32_t kind, const IsCarried& is_carried);
    void forget_some();

    Numbers numbers_;
    std::map<dataplane::Identifier, std::uint64_t> free_since_;  // a count of calls of provide()
    std::map<std::uint32_t, std::uint32_t> highest_;             // number ever given, by kind
    std::uint64_t calls_ = 0;
};

}  // namespace sallyport::reconcile

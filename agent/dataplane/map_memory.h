// SPDX-License-Identifier: Apache-2.0
//
// The memory of an array map, shared with the kernel for as long as this lives.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>
#include <utility>

#include "core/result.h"

namespace sallyport::dataplane {

// `Element` is const for memory that is only read. Its size is a multiple of eight, as elements lie.
template <typename Element>
class MapMemory {
  public:
    static_assert(sizeof(Element) % 8 == 0);

    static Result<MapMemory> open(int map, std::size_t count) {
        constexpr int protection = std::is_const_v<Element> ? PROT_READ : PROT_READ | PROT_WRITE;
        void* memory = mmap(nullptr, count * sizeof(Element), protection, MAP_SHARED, map, 0);
        if (memory == MAP_FAILED) return system_failure("map memory");
        return MapMemory(static_cast<Element*>(memory), count);
    }
    MapMemory(MapMemory&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), count_(std::exchange(other.count_, 0)) {}
    MapMemory& operator=(MapMemory&&) = delete;
    MapMemory(const MapMemory&) = delete;
    MapMemory& operator=(const MapMemory&) = delete;
    ~MapMemory() {
        if (memory_ != nullptr) munmap(const_cast<std::remove_const_t<Element>*>(memory_), bytes());
    }

    [[nodiscard]] std::span<Element> elements() const { return {memory_, count_}; }
    [[nodiscard]] std::size_t bytes() const { return count_ * sizeof(Element); }

  private:
    MapMemory(Element* memory, std::size_t count) : memory_(memory), count_(count) {}
    Element* memory_;
    std::size_t count_;
};

}  // namespace sallyport::dataplane

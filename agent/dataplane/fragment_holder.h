// SPDX-License-Identifier: Apache-2.0
//
// Fragments that wait for the first one of their datagram, with bounds: no kernel, no clock of its own. What
// has to go comes back to the caller, so that each fragment leaves exactly once.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <vector>

#include "sallyport/abi/maps.h"

namespace sallyport::dataplane {

// Of which datagram a fragment is: the fields of fragment_key, which has no order. Values as in the packet.
struct DatagramKey {
    std::uint32_t zone = 0, source = 0, destination = 0;
    std::uint16_t identification = 0;
    std::uint8_t protocol = 0;
    auto operator<=>(const DatagramKey&) const = default;

    static DatagramKey from(const fragment_key& key) {
        return {key.zone, key.source, key.destination, key.identification, key.protocol};
    }
    [[nodiscard]] fragment_key bytes() const {
        return {source, destination, identification, protocol, 0, zone};
    }
};

struct HeldFragment {
    DatagramKey datagram;
    std::chrono::nanoseconds came{};  // CLOCK_MONOTONIC
    std::uint8_t device = 0;          // slot that it came in by
    std::vector<std::uint8_t> frame;
};

class FragmentHolder {
  public:
    struct Bounds {
        std::size_t datagrams = AWAITED_DATAGRAMS_MAX;
        std::size_t fragments_of_datagram = 64;  // ping -s 65507 over Ethernet makes 45
        std::size_t bytes = std::size_t{4} << 20;
        std::chrono::nanoseconds wait = std::chrono::seconds(2);  // from the first that came
    };

    FragmentHolder() = default;
    explicit FragmentHolder(const Bounds& bounds) : bounds_(bounds) {}

    // Takes the fragment. Returns those for which there is no room now: the oldest datagram of the source
    // that has most, or the fragment itself.
    [[nodiscard]] std::vector<HeldFragment> take(HeldFragment fragment);

    // All fragments of the datagram, in the order of their offsets, which is that of time if they came in
    // order.
    [[nodiscard]] std::vector<HeldFragment> release(const DatagramKey& datagram);

    // Those that have waited for too long at the time `now`.
    [[nodiscard]] std::vector<HeldFragment> give_up(std::chrono::nanoseconds now);
    [[nodiscard]] std::vector<HeldFragment> give_up_all();

    [[nodiscard]] bool holds(const DatagramKey& datagram) const { return datagrams_.contains(datagram); }
    [[nodiscard]] bool empty() const { return datagrams_.empty(); }
    [[nodiscard]] std::vector<DatagramKey> datagrams() const;
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    struct Source {
        std::uint32_t zone = 0, address = 0;
        auto operator<=>(const Source&) const = default;
    };
    struct Datagram {
        std::vector<HeldFragment> fragments;
        std::list<DatagramKey>::iterator in_age;         // in by_age_
        std::list<DatagramKey>::iterator in_source_age;  // in by_source_
    };

    std::vector<HeldFragment> remove(std::map<DatagramKey, Datagram>::iterator at);
    // Removes the oldest datagram of the source that has most of them.
    std::vector<HeldFragment> make_room();

    Bounds bounds_;
    std::map<DatagramKey, Datagram> datagrams_;
    std::list<DatagramKey> by_age_;                       // oldest first
    std::map<Source, std::list<DatagramKey>> by_source_;  // oldest first
    std::size_t bytes_ = 0;
};

}  // namespace sallyport::dataplane

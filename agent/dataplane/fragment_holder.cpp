// SPDX-License-Identifier: Apache-2.0
#include "dataplane/fragment_holder.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sallyport::dataplane {
namespace {

// Where a fragment begins in its datagram, in units of eight bytes; 0 for a frame that makes no sense.
std::uint32_t offset_of(const HeldFragment& fragment) {
    const std::vector<std::uint8_t>& frame = fragment.frame;
    std::size_t at = 12;  // of the EtherType
    for (int tags = 0; tags < VLAN_TAGS_MAX && frame.size() > at + 1; ++tags) {
        const unsigned type = frame[at] << 8U | frame[at + 1];
        if (type != 0x8100 && type != 0x88a8) break;
        at += 4;
    }
    at += 2 + 6;
    return frame.size() > at + 1 ? (frame[at] << 8U | frame[at + 1]) & 0x1fffU : 0;
}

}  // namespace

std::vector<HeldFragment> FragmentHolder::take(HeldFragment fragment) {
    std::vector<HeldFragment> gone;
    if (fragment.frame.size() > bounds_.bytes) {
        gone.push_back(std::move(fragment));
        return gone;
    }
    auto at = datagrams_.find(fragment.datagram);
    if (at != datagrams_.end() && at->second.fragments.size() >= bounds_.fragments_of_datagram) {
        gone.push_back(std::move(fragment));
        return gone;
    }
    while (bytes_ + fragment.frame.size() > bounds_.bytes ||
           (at == datagrams_.end() && datagrams_.size() >= bounds_.datagrams)) {
        auto removed = make_room();
        std::move(removed.begin(), removed.end(), std::back_inserter(gone));
        at = datagrams_.find(fragment.datagram);  // its own datagram may have been the one that went
    }
    if (at == datagrams_.end()) {
        const DatagramKey& key = fragment.datagram;
        auto& of_source = by_source_[{key.zone, key.source}];
        at = datagrams_
                 .emplace(
                     key,
                     Datagram{{}, by_age_.insert(by_age_.end(), key), of_source.insert(of_source.end(), key)})
                 .first;
    }
    bytes_ += fragment.frame.size();
    at->second.fragments.push_back(std::move(fragment));
    return gone;
}

std::vector<HeldFragment> FragmentHolder::remove(std::map<DatagramKey, Datagram>::iterator at) {
    const DatagramKey key = at->first;
    std::vector<HeldFragment> fragments = std::move(at->second.fragments);
    for (const HeldFragment& fragment : fragments) bytes_ -= fragment.frame.size();
    by_age_.erase(at->second.in_age);
    const auto source = by_source_.find({key.zone, key.source});
    source->second.erase(at->second.in_source_age);
    if (source->second.empty()) by_source_.erase(source);
    datagrams_.erase(at);
    return fragments;
}

std::vector<HeldFragment> FragmentHolder::make_room() {
    const auto most =
        std::max_element(by_source_.begin(), by_source_.end(),
                         [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    // Where nobody has more than one, nobody floods, or the sources are forged: then age decides.
    const DatagramKey& oldest = most->second.size() > 1 ? most->second.front() : by_age_.front();
    return remove(datagrams_.find(oldest));
}

std::vector<HeldFragment> FragmentHolder::release(const DatagramKey& datagram) {
    const auto at = datagrams_.find(datagram);
    if (at == datagrams_.end()) return {};
    std::vector<HeldFragment> fragments = remove(at);
    std::stable_sort(fragments.begin(), fragments.end(), [](const HeldFragment& a, const HeldFragment& b) {
        return offset_of(a) < offset_of(b);
    });
    return fragments;
}

std::vector<HeldFragment> FragmentHolder::give_up(std::chrono::nanoseconds now) {
    std::vector<HeldFragment> gone;
    while (!by_age_.empty()) {
        const auto oldest = datagrams_.find(by_age_.front());
        if (now - oldest->second.fragments.front().came < bounds_.wait) break;
        auto removed = remove(oldest);
        std::move(removed.begin(), removed.end(), std::back_inserter(gone));
    }
    return gone;
}

std::vector<HeldFragment> FragmentHolder::give_up_all() {
    return give_up(std::chrono::nanoseconds::max());
}

std::vector<DatagramKey> FragmentHolder::datagrams() const {
    return {by_age_.begin(), by_age_.end()};
}

}  // namespace sallyport::dataplane

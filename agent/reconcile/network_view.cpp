// SPDX-License-Identifier: Apache-2.0
#include "reconcile/network_view.h"

namespace sallyport::reconcile {

using dataplane::Neighbour;

Result<NetworkView> NetworkView::read(netlink::Netlink& netlink) {
    NetworkView view;
    const auto links = netlink.links();
    if (!links) return failure_within("read links", links.error());
    for (const netlink::Link& link : *links) view.link_changed(link);
    const auto addresses = netlink.addresses();
    if (!addresses) return failure_within("read addresses", addresses.error());
    view.addresses_.insert(addresses->begin(), addresses->end());
    const auto neighbours = netlink.neighbours();
    if (!neighbours) return failure_within("read neighbours", neighbours.error());
    for (const netlink::NeighbourEntry& neighbour : *neighbours) view.neighbour_changed(neighbour);
    return view;
}

void NetworkView::link_removed(std::uint32_t ifindex) {
    links_.erase(ifindex);
    std::erase_if(addresses_, [&](const netlink::InterfaceAddress& a) { return a.ifindex == ifindex; });
    std::erase_if(neighbours_, [&](const auto& element) { return element.first.ifindex == ifindex; });
    for (std::set<Neighbour>* set : {&stale_, &failed_})
        std::erase_if(*set, [&](const Neighbour& key) { return key.ifindex == ifindex; });
}

void NetworkView::neighbour_changed(const netlink::NeighbourEntry& neighbour) {
    using netlink::NeighbourState;
    const Neighbour key{neighbour.ifindex, neighbour.address};
    // One that did not answer and is asked again has not answered yet.
    if (neighbour.state == NeighbourState::incomplete && failed_.contains(key)) return;
    neighbours_[key] = neighbour;
    const auto keep = [&](std::set<Neighbour>& set, NeighbourState state) {
        if (neighbour.state == state) {
            set.insert(key);
        } else {
            set.erase(key);
        }
    };
    keep(stale_, NeighbourState::stale);
    keep(failed_, NeighbourState::failed);
}

void NetworkView::neighbour_removed(const Neighbour& key) {
    neighbours_.erase(key);
    stale_.erase(key);
    failed_.erase(key);
}

const netlink::Link* NetworkView::link(std::string_view name) const {
    for (const auto& [ifindex, link] : links_) {
        if (link.name == name) return &link;
    }
    return nullptr;
}

const netlink::Link* NetworkView::link(std::uint32_t ifindex) const {
    const auto at = links_.find(ifindex);
    return at == links_.end() ? nullptr : &at->second;
}

const netlink::NeighbourEntry* NetworkView::neighbour(const Neighbour& key) const {
    const auto at = neighbours_.find(key);
    return at == neighbours_.end() ? nullptr : &at->second;
}

}  // namespace sallyport::reconcile

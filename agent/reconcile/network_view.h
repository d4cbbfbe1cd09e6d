// SPDX-License-Identifier: Apache-2.0
//
// What is known of the host's network: read once, then kept current by events.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string_view>

#include "core/result.h"
#include "dataplane/tables.h"
#include "netlink/netlink.h"

namespace sallyport::reconcile {

class NetworkView {
  public:
    static Result<NetworkView> read(netlink::Netlink& netlink);

    // What an event changes here. EventsLost changes nothing: read() again.
    void link_changed(const netlink::Link& link) { links_[link.ifindex] = link; }
    void link_removed(std::uint32_t ifindex);
    void address_changed(const netlink::InterfaceAddress& address) { addresses_.insert(address); }
    void address_removed(const netlink::InterfaceAddress& address) { addresses_.erase(address); }
    void neighbour_changed(const netlink::NeighbourEntry& neighbour);
    void neighbour_removed(const dataplane::Neighbour& key);

    [[nodiscard]] const netlink::Link* link(std::string_view name) const;
    [[nodiscard]] const netlink::Link* link(std::uint32_t ifindex) const;
    [[nodiscard]] const std::set<netlink::InterfaceAddress>& addresses() const { return addresses_; }
    [[nodiscard]] const netlink::NeighbourEntry* neighbour(const dataplane::Neighbour& key) const;
    [[nodiscard]] const std::map<dataplane::Neighbour, netlink::NeighbourEntry>& neighbours() const {
        return neighbours_;
    }

    // Neighbours that the kernel believes in but has not heard of lately.
    [[nodiscard]] const std::set<dataplane::Neighbour>& stale() const { return stale_; }
    // Neighbours that did not answer when the kernel asked.
    [[nodiscard]] const std::set<dataplane::Neighbour>& failed() const { return failed_; }

  private:
    std::map<std::uint32_t, netlink::Link> links_;
    std::set<netlink::InterfaceAddress> addresses_;
    std::map<dataplane::Neighbour, netlink::NeighbourEntry> neighbours_;
    std::set<dataplane::Neighbour> stale_, failed_;
};

}  // namespace sallyport::reconcile

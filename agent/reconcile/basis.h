// SPDX-License-Identifier: Apache-2.0
//
// What the reconciler went by when it last reconciled, for whoever asks in another thread what another
// desired state would come to. It stays as it was.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "core/result.h"
#include "dataplane/dataplane.h"
#include "dataplane/tables.h"
#include "model/resources.h"
#include "netlink/netlink.h"
#include "reconcile/network_view.h"

namespace sallyport::reconcile {

struct Basis {
    // What the data plane holds, or is to hold where that has failed; next hops as they were then.
    std::shared_ptr<const dataplane::ForwardingTables> tables;
    NetworkView network;
    std::set<std::string> draining;  // names of Elastic IPs

    // What the data plane would hold. `dataplane` tells which numbers flows carry, and `netlink` the ports of
    // the host, where they matter.
    [[nodiscard]] Result<dataplane::ForwardingTables> tables_for(const model::DesiredState& desired,
                                                                 dataplane::DataplaneReader& dataplane,
                                                                 netlink::Netlink& netlink) const;
};

// Whether any flow carries the number (Identifiers::IsCarried); also where that cannot be told.
bool is_carried(dataplane::DataplaneReader& dataplane, std::uint32_t kind, std::uint32_t number);

// Whether any Elastic IP is the host's as well.
bool shares_with_host(const model::DesiredState& desired);

// None where they do not matter.
Result<netlink::HostPorts> host_ports_for(const model::DesiredState& desired, netlink::Netlink& netlink);

}  // namespace sallyport::reconcile

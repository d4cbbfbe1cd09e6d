// SPDX-License-Identifier: Apache-2.0
//
// The one thing that is asked of the host's firewall.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace sallyport::netlink {

// nftables chains at the forward hook of IPv4 whose policy is to drop, as "family table chain". Empty also
// where the kernel has no nftables. Rules are not looked at. Needs CAP_NET_ADMIN.
Result<std::vector<std::string>> dropping_forward_chains();

}  // namespace sallyport::netlink

// SPDX-License-Identifier: Apache-2.0
//
// What holds for our routes in every implementation of Netlink, and how the faults read.
#pragma once

#include "core/result.h"
#include "netlink/netlink.h"

namespace sallyport::netlink {

// Fails with EINVAL for a route that KernelRoute's rules do not allow.
Result<void> check_route(const KernelRoute& route);

// The refusal to take the place of a route that is not ours.
[[nodiscard]] tl::unexpected<Error> foreign_route(const KernelRoute& route);

}  // namespace sallyport::netlink

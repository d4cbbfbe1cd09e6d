// SPDX-License-Identifier: Apache-2.0
#include "netlink/route_rules.h"

#include <cerrno>

namespace sallyport::netlink {

Result<void> check_route(const KernelRoute& route) {
    const std::string name = "route to " + route.destination.to_string();
    if (route.type == RouteType::unicast) {
        if (route.ifindex == 0) {
            return failure(name + ": a unicast route needs a device", EINVAL);
        }
    } else if (route.ifindex != 0 || route.gateway) {
        return failure(name + ": only a unicast route has a device or a gateway", EINVAL);
    }
    return {};
}

tl::unexpected<Error> foreign_route(const KernelRoute& route) {
    return failure("route to " + route.destination.to_string() + " metric " + std::to_string(route.metric) +
                       ": the host has one already that is not Sallyport's",
                   EEXIST);
}

}  // namespace sallyport::netlink

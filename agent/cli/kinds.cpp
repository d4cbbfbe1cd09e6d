// SPDX-License-Identifier: Apache-2.0
#include "cli/kinds.h"

namespace sallyport::cli {

std::span<const Kind> kinds() {
    static const std::vector<Kind> all{
        {"vpcs", {"name", "origin", "cidrs"}},
        {"subnets", {"name", "vpc", "cidr", "route_table", "origin", "security_groups"}},
        {"route_tables", {"name", "vpc", "main", "origin", "routes"}},
        {"internet_gateways", {"name", "vpc", "origin"}},
        {"elastic_ips", {"name", "address", "instance", "shared_with_host", "origin"}},
        {"nat_gateways", {"name", "vpc", "port_range", "origin", "elastic_ips"}},
        {"instances", {"name", "subnet", "address", "origin", "security_groups"}},
        {"security_groups", {"name", "vpc", "origin", "ingress"}},
        {"port_forwards", {"name", "elastic_ip", "protocol", "port", "to", "origin"}},
    };
    return all;
}

}  // namespace sallyport::cli

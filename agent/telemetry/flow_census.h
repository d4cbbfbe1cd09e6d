// SPDX-License-Identifier: Apache-2.0
//
// One walk over the live flows, counted in the ways that metrics and `status` need. It costs a few
// milliseconds for each hundred thousand flows and is made when somebody asks, never on a timer.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "core/address.h"
#include "core/result.h"
#include "dataplane/dataplane.h"

namespace sallyport::telemetry {

inline constexpr std::array all_protocols{Protocol::tcp, Protocol::udp, Protocol::icmp};

struct FlowCensus {
    std::map<std::pair<std::uint16_t, Protocol>, std::uint64_t> flows;       // by number of the NAT gateway
    std::map<std::pair<Ipv4Address, Protocol>, std::uint32_t> ports_in_use;  // by Elastic IP

    [[nodiscard]] std::uint64_t flows_of(std::uint16_t nat_gateway, Protocol protocol) const;
    [[nodiscard]] std::uint32_t ports_of(Ipv4Address elastic_ip, Protocol protocol) const;
};

Result<FlowCensus> take_census(dataplane::DataplaneReader& dataplane);

}  // namespace sallyport::telemetry

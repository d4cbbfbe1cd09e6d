// SPDX-License-Identifier: Apache-2.0
//
// ForwardingTables in the pinned maps: read back as a whole, written element by element.
#pragma once

#include <cstdint>
#include <variant>

#include "core/result.h"
#include "dataplane/next_hop_numbers.h"
#include "dataplane/pinned_state.h"
#include "dataplane/tables.h"

namespace sallyport::dataplane {

class BpfTables {
  public:
    // `state` must outlive this object.
    explicit BpfTables(const PinnedState& state) : state_(state) {}

    // Reads everything. Any thread may call it, also while another one writes.
    [[nodiscard]] Result<ForwardingTables> read() const;
    // The same, and learns the numbers of next hops by it: to be called before any write.
    Result<ForwardingTables> load();

    // Frees the numbers of next hops that `named` says no flow names; see NextHopNumbers.
    void reclaim_next_hops(const std::vector<bool>& named) { numbers_.reclaim(named); }

    // What write_difference() calls.
    Result<void> put(std::uint8_t slot, const DeviceEntry& entry);
    Result<void> remove(std::uint8_t slot, const DeviceEntry& entry);
    Result<void> put(const ZonePrefix& key, const SubnetEntry& entry);
    Result<void> remove(const ZonePrefix& key, const SubnetEntry& entry);
    Result<void> put(const RouteKey& key, const RouteEntry& entry);
    Result<void> remove(const RouteKey& key, const RouteEntry& entry);
    Result<void> put(const Ipv4Prefix& prefix, std::monostate);
    Result<void> remove(const Ipv4Prefix& prefix, std::monostate);
    Result<void> put(const GatewayEntry& entry);
    Result<void> put(std::uint16_t number, const HostLimits& limits);
    Result<void> remove(std::uint16_t number, const HostLimits& limits);
    Result<void> put(std::uint16_t number, const ReservedPorts& ports);
    Result<void> remove(std::uint16_t number, const ReservedPorts& ports);
    Result<void> put(const Ipv4Address& elastic_ip, const HostPorts& ports);
    Result<void> remove(const Ipv4Address& elastic_ip, const HostPorts& ports);
    Result<void> put(std::uint16_t number, const NatGatewayEntry& entry);
    Result<void> remove(std::uint16_t number, const NatGatewayEntry& entry);
    Result<void> put(std::uint16_t number, const SecurityGroupEntry& entry);
    Result<void> remove(std::uint16_t number, const SecurityGroupEntry& entry);
    Result<void> put(const PortForwardKey& key, const PortForwardEntry& entry);
    Result<void> remove(const PortForwardKey& key, const PortForwardEntry& entry);
    Result<void> put(const ForwardedEndpointKey& key, const ForwardedEndpointEntry& entry);
    Result<void> remove(const ForwardedEndpointKey& key, const ForwardedEndpointEntry& entry);
    Result<void> put(const ZoneAddress& key, const InstanceEntry& entry);
    Result<void> remove(const ZoneAddress& key, const InstanceEntry& entry);
    Result<void> put(const Ipv4Address& address, const ElasticIpEntry& entry);
    Result<void> remove(const Ipv4Address& address, const ElasticIpEntry& entry);
    Result<void> put(const Ipv4Address& address, std::monostate);
    Result<void> remove(const Ipv4Address& address, std::monostate);
    Result<void> put(const LinkBroadcast& broadcast, std::monostate);
    Result<void> remove(const LinkBroadcast& broadcast, std::monostate);
    Result<void> put(const Neighbour& key, const NextHopEntry& entry);
    Result<void> remove(const Neighbour& key, const NextHopEntry& entry);
    Result<void> put(const Identifier& key, std::uint32_t number);
    Result<void> remove(const Identifier& key, std::uint32_t number);

  private:
    Result<void> read_next_hops(ForwardingTables& tables, NextHopNumbers& numbers) const;
    [[nodiscard]] Result<ForwardingTables> read(NextHopNumbers& numbers) const;

    const PinnedState& state_;
    NextHopNumbers numbers_;
};

}  // namespace sallyport::dataplane

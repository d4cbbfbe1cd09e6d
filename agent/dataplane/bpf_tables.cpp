// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bpf_tables.h"

#include <bpf/bpf.h>

#include <string>
#include <string_view>
#include <type_traits>

#include "dataplane/codec.h"

namespace sallyport::dataplane {
namespace {

template <typename Key, typename Value>
Result<void> update(const PinnedState& state, std::string_view map, const Key& key, const Value& value) {
    static_assert(std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value>);
    if (bpf_map_update_elem(state.map(map), &key, &value, BPF_ANY) != 0) {
        return system_failure("update map " + std::string(map));
    }
    return {};
}

// Deleting what is not there is fine: it is what was wanted.
template <typename Key>
Result<void> erase(const PinnedState& state, std::string_view map, const Key& key) {
    if (bpf_map_delete_elem(state.map(map), &key) != 0 && errno != ENOENT) {
        return system_failure("delete from map " + std::string(map));
    }
    return {};
}

// Calls `handle(key, value)` for each element of a hash map or trie. Where elements are deleted meanwhile the
// kernel may begin anew, and some are handled twice.
template <typename Key, typename Value, typename Handle>
Result<void> for_each(const PinnedState& state, std::string_view map, Handle&& handle) {
    const int fd = state.map(map);
    Key key{}, next{};
    for (const Key* previous = nullptr; bpf_map_get_next_key(fd, previous, &next) == 0; previous = &key) {
        Value value{};
        const bool found = bpf_map_lookup_elem(fd, &next, &value) == 0;
        if (!found && errno != ENOENT) return system_failure("read map " + std::string(map));
        if (found) handle(next, value);
        key = next;
    }
    if (errno != ENOENT) return system_failure("read map " + std::string(map));
    return {};
}

// The same for each element of an array.
template <typename Value, typename Handle>
Result<void> for_each_element(const PinnedState& state, std::string_view map, std::uint32_t count,
                              Handle&& handle) {
    std::vector<std::uint32_t> keys(count);
    std::vector<Value> values(count);
    std::uint32_t out_batch = 0, read = count;
    // The kernel ends the last batch of an array with ENOENT.
    if (bpf_map_lookup_batch(state.map(map), nullptr, &out_batch, keys.data(), values.data(), &read,
                             nullptr) != 0 &&
        errno != ENOENT) {
        return system_failure("read map " + std::string(map));
    }
    for (std::uint32_t i = 0; i < read; ++i) handle(keys[i], values[i]);
    return {};
}

constexpr std::uint32_t present = 1;  // value of the elements of sets

}  // namespace

Result<ForwardingTables> BpfTables::read() const {
    NextHopNumbers unused;
    return read(unused);
}

Result<ForwardingTables> BpfTables::load() {
    numbers_ = NextHopNumbers();
    return read(numbers_);
}

Result<ForwardingTables> BpfTables::read(NextHopNumbers& numbers) const {
    ForwardingTables tables;
    const std::uint32_t first = 0;
    settings current{};
    if (bpf_map_lookup_elem(state_.map("settings"), &first, &current) != 0) {
        return system_failure("read map settings");
    }
    tables.gateway.unanswered_capacity = current.unanswered_capacity;
    std::map<std::uint32_t, std::string> device_names;
    auto done = for_each<identifier_key, std::uint32_t>(
        state_, "identifiers", [&](const identifier_key& key, std::uint32_t number) {
            Identifier identifier = decode(key);
            if (identifier.kind == IDENTIFIER_DEVICE) device_names[number] = identifier.name;
            tables.identifiers.emplace(std::move(identifier), number);
        });
    if (!done) return tl::make_unexpected(done.error());

    for (std::uint32_t slot = 0; slot < DEVICES_MAX; ++slot) {
        device value{};
        if (bpf_map_lookup_elem(state_.map("devices"), &slot, &value) != 0)
            return system_failure("read map devices");
        if (value.role == DEVICE_UNUSED) continue;
        DeviceEntry entry = decode(value, device_names[slot]);
        // The kernel takes an interface out of "transmit" when it goes. Then it must be written again, and
        // the device looks changed for that.
        std::uint32_t ifindex = 0;
        if (bpf_map_lookup_elem(state_.map("transmit"), &slot, &ifindex) != 0 || ifindex != entry.ifindex) {
            entry.ifindex = 0;
        }
        tables.devices.emplace(static_cast<std::uint8_t>(slot), std::move(entry));
    }

    done = for_each<subnet_key, subnet>(state_, "subnets", [&](const subnet_key& key, const subnet& value) {
        tables.subnets.emplace(decode(key), decode(value));
    });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<route_key, route>(state_, "routes", [&](const route_key& key, const route& value) {
        tables.routes.emplace(decode(key), decode(value));
    });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<prefix_key, std::uint32_t>(
        state_, "private_prefixes",
        [&](const prefix_key& key, std::uint32_t) { tables.private_prefixes.insert(decode(key)); });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each_element<nat_gateway>(
        state_, "nat_gateways", NAT_GATEWAYS_MAX, [&](std::uint32_t number, const nat_gateway& value) {
            if ((value.flags & NAT_GATEWAY_IN_USE) == 0) return;
            tables.nat_gateways.emplace(static_cast<std::uint16_t>(number), decode(value));
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each_element<port_mask>(
        state_, "reserved_ports", NAT_GATEWAYS_MAX, [&](std::uint32_t number, const port_mask& value) {
            ReservedPorts ports = decode(value);
            if (ports.ranges.empty()) return;
            tables.reserved_ports.emplace(static_cast<std::uint16_t>(number), std::move(ports));
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<std::uint32_t, host_ports>(
        state_, "host_ports", [&](std::uint32_t elastic_ip, const host_ports& value) {
            tables.host_ports.emplace(Ipv4Address::from_network(elastic_ip), decode(value));
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each_element<host_limits>(
        state_, "host_limits", NAT_GATEWAYS_MAX, [&](std::uint32_t number, const host_limits& value) {
            const HostLimits limits = decode(value);
            if (limits != HostLimits{})
                tables.host_limits.emplace(static_cast<std::uint16_t>(number), limits);
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<std::uint32_t, security_group>(
        state_, "security_groups", [&](std::uint32_t number, const security_group& value) {
            tables.security_groups.emplace(static_cast<std::uint16_t>(number), decode(value));
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<port_forward_key, port_forward>(
        state_, "port_forwards", [&](const port_forward_key& key, const port_forward& value) {
            tables.port_forwards.emplace(decode(key), decode(value));
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<forwarded_endpoint_key, forwarded_endpoint>(
        state_, "forwarded_endpoints",
        [&](const forwarded_endpoint_key& key, const forwarded_endpoint& value) {
            tables.forwarded_endpoints.emplace(decode(key), decode(value));
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<instance_key, instance>(state_, "instances",
                                            [&](const instance_key& key, const instance& value) {
                                                tables.instances.emplace(decode(key), decode(value));
                                            });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<std::uint32_t, elastic_ip>(
        state_, "elastic_ips", [&](std::uint32_t address, const elastic_ip& value) {
            tables.elastic_ips.emplace(Ipv4Address::from_network(address), decode(value));
        });
    if (!done) return tl::make_unexpected(done.error());
    done = for_each<std::uint32_t, std::uint32_t>(
        state_, "local_addresses", [&](std::uint32_t address, std::uint32_t locality) {
            if (locality == LOCAL_ADDRESS_BROADCAST) {
                tables.link_broadcasts.insert({Ipv4Address::from_network(address)});
            } else {
                tables.local_addresses.insert(Ipv4Address::from_network(address));
            }
        });
    if (!done) return tl::make_unexpected(done.error());
    if (done = read_next_hops(tables, numbers); !done) return tl::make_unexpected(done.error());
    return tables;
}

Result<void> BpfTables::read_next_hops(ForwardingTables& tables, NextHopNumbers& numbers) const {
    std::vector<next_hop> elements(NEXT_HOPS_MAX);
    auto done = for_each_element<next_hop>(
        state_, "next_hops", NEXT_HOPS_MAX,
        [&](std::uint32_t number, const next_hop& value) { elements[number] = value; });
    if (!done) return done;
    done = for_each<neighbour_key, std::uint32_t>(
        state_, "next_hop_numbers", [&](const neighbour_key& key, std::uint32_t number) {
            if (number >= NEXT_HOPS_MAX) return;
            const Neighbour neighbour = decode(key);
            numbers.found_in_use(neighbour, number);
            tables.next_hops.emplace(neighbour, decode(elements[number]));
        });
    if (!done) return done;
    for (std::uint32_t number = 1; number < NEXT_HOPS_MAX; ++number) {
        const next_hop& element = elements[number];
        if (element.state == NEXT_HOP_UNUSED) continue;
        const Neighbour neighbour{element.ifindex, Ipv4Address::from_network(element.address)};
        if (numbers.number_of(neighbour) != number) numbers.found_set_aside(neighbour, number);
    }
    return {};
}

Result<void> BpfTables::put(std::uint8_t slot, const DeviceEntry& entry) {
    const std::uint32_t key = slot;
    if (auto done = update(state_, "devices", key, encode(entry)); !done) return done;
    return update(state_, "transmit", key, entry.ifindex);
}

Result<void> BpfTables::remove(std::uint8_t slot, const DeviceEntry&) {
    const std::uint32_t key = slot;
    if (auto done = erase(state_, "transmit", key); !done) return done;
    return update(state_, "devices", key, device{});
}

Result<void> BpfTables::put(const ZonePrefix& key, const SubnetEntry& entry) {
    return update(state_, "subnets", encode(key), encode(entry));
}

Result<void> BpfTables::remove(const ZonePrefix& key, const SubnetEntry&) {
    return erase(state_, "subnets", encode(key));
}

Result<void> BpfTables::put(const RouteKey& key, const RouteEntry& entry) {
    return update(state_, "routes", encode(key), encode(entry));
}

Result<void> BpfTables::remove(const RouteKey& key, const RouteEntry&) {
    return erase(state_, "routes", encode(key));
}

Result<void> BpfTables::put(const Ipv4Prefix& prefix, std::monostate) {
    return update(state_, "private_prefixes", encode(prefix), present);
}

Result<void> BpfTables::remove(const Ipv4Prefix& prefix, std::monostate) {
    return erase(state_, "private_prefixes", encode(prefix));
}

Result<void> BpfTables::put(const GatewayEntry& entry) {
    const std::uint32_t first = 0;
    settings value{};
    if (bpf_map_lookup_elem(state_.map("settings"), &first, &value) != 0) {
        return system_failure("read map settings");
    }
    value.unanswered_capacity = entry.unanswered_capacity;
    return update(state_, "settings", first, value);
}

Result<void> BpfTables::put(std::uint16_t number, const HostLimits& limits) {
    return update(state_, "host_limits", std::uint32_t{number}, encode(limits));
}

Result<void> BpfTables::remove(std::uint16_t number, const HostLimits&) {
    return update(state_, "host_limits", std::uint32_t{number}, host_limits{});
}

Result<void> BpfTables::put(std::uint16_t number, const ReservedPorts& ports) {
    return update(state_, "reserved_ports", std::uint32_t{number}, encode(ports));
}

Result<void> BpfTables::remove(std::uint16_t number, const ReservedPorts&) {
    return update(state_, "reserved_ports", std::uint32_t{number}, port_mask{});
}

Result<void> BpfTables::put(const Ipv4Address& elastic_ip, const HostPorts& ports) {
    return update(state_, "host_ports", elastic_ip.to_network(), encode(ports));
}

Result<void> BpfTables::remove(const Ipv4Address& elastic_ip, const HostPorts&) {
    return erase(state_, "host_ports", elastic_ip.to_network());
}

Result<void> BpfTables::put(std::uint16_t number, const NatGatewayEntry& entry) {
    return update(state_, "nat_gateways", std::uint32_t{number}, encode(entry));
}

Result<void> BpfTables::remove(std::uint16_t number, const NatGatewayEntry&) {
    return update(state_, "nat_gateways", std::uint32_t{number}, nat_gateway{});
}

Result<void> BpfTables::put(std::uint16_t number, const SecurityGroupEntry& entry) {
    return update(state_, "security_groups", std::uint32_t{number}, encode(entry));
}

Result<void> BpfTables::remove(std::uint16_t number, const SecurityGroupEntry&) {
    return erase(state_, "security_groups", std::uint32_t{number});
}

Result<void> BpfTables::put(const PortForwardKey& key, const PortForwardEntry& entry) {
    return update(state_, "port_forwards", encode(key), encode(entry));
}

Result<void> BpfTables::remove(const PortForwardKey& key, const PortForwardEntry&) {
    return erase(state_, "port_forwards", encode(key));
}

Result<void> BpfTables::put(const ForwardedEndpointKey& key, const ForwardedEndpointEntry& entry) {
    return update(state_, "forwarded_endpoints", encode(key), encode(entry));
}

Result<void> BpfTables::remove(const ForwardedEndpointKey& key, const ForwardedEndpointEntry&) {
    return erase(state_, "forwarded_endpoints", encode(key));
}

Result<void> BpfTables::put(const ZoneAddress& key, const InstanceEntry& entry) {
    return update(state_, "instances", encode(key), encode(entry));
}

Result<void> BpfTables::remove(const ZoneAddress& key, const InstanceEntry&) {
    return erase(state_, "instances", encode(key));
}

Result<void> BpfTables::put(const Ipv4Address& address, const ElasticIpEntry& entry) {
    return update(state_, "elastic_ips", address.to_network(), encode(entry));
}

Result<void> BpfTables::remove(const Ipv4Address& address, const ElasticIpEntry&) {
    return erase(state_, "elastic_ips", address.to_network());
}

Result<void> BpfTables::put(const Ipv4Address& address, std::monostate) {
    return update(state_, "local_addresses", address.to_network(), std::uint32_t{LOCAL_ADDRESS_OF_HOST});
}

Result<void> BpfTables::remove(const Ipv4Address& address, std::monostate) {
    return erase(state_, "local_addresses", address.to_network());
}

Result<void> BpfTables::put(const LinkBroadcast& broadcast, std::monostate) {
    return update(state_, "local_addresses", broadcast.address.to_network(),
                  std::uint32_t{LOCAL_ADDRESS_BROADCAST});
}

Result<void> BpfTables::remove(const LinkBroadcast& broadcast, std::monostate) {
    return erase(state_, "local_addresses", broadcast.address.to_network());
}

Result<void> BpfTables::put(const Neighbour& key, const NextHopEntry& entry) {
    const auto number = numbers_.give(key);
    if (!number) return failure("update map next_hops: all numbers are named by flows", ENOSPC);
    // The element first: whoever finds the number must find what it stands for.
    if (auto done = update(state_, "next_hops", *number, encode(key, entry)); !done) return done;
    return update(state_, "next_hop_numbers", encode(key), *number);
}

Result<void> BpfTables::remove(const Neighbour& key, const NextHopEntry& entry) {
    const auto number = numbers_.number_of(key);
    if (!number) return {};
    if (auto done = erase(state_, "next_hop_numbers", encode(key)); !done) return done;
    // Flows may still name it: their packets go up the stack from now on.
    NextHopEntry unresolved = entry;
    unresolved.resolved = unresolved.unreachable = false;
    if (auto done = update(state_, "next_hops", *number, encode(key, unresolved)); !done) return done;
    numbers_.set_aside(key);
    return {};
}

Result<void> BpfTables::put(const Identifier& key, std::uint32_t number) {
    return update(state_, "identifiers", encode(key), number);
}

Result<void> BpfTables::remove(const Identifier& key, std::uint32_t) {
    return erase(state_, "identifiers", encode(key));
}

}  // namespace sallyport::dataplane

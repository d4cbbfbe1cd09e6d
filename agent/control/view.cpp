// SPDX-License-Identifier: Apache-2.0
#include "control/view.h"

#include <fmt/format.h>

#include <algorithm>

#include "sallyport/abi/maps.h"

namespace sallyport::control {

namespace {

template <typename Map, typename Key>
std::string_view name_in(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? std::string_view{} : std::string_view{found->second};
}

}  // namespace

Names Names::of(std::shared_ptr<const model::DesiredState> state, const dataplane::ForwardingTables& tables) {
    Names names;
    names.identifiers = tables.identifiers.size();
    for (const auto& [identifier, number] : tables.identifiers) {
        const auto short_number = static_cast<std::uint16_t>(number);
        if (identifier.kind == IDENTIFIER_NAT_GATEWAY) {
            names.nat_gateways[short_number] = identifier.name;
            names.nat_gateway_numbers[identifier.name] = short_number;
        } else if (identifier.kind == IDENTIFIER_INTERNET_GATEWAY) {
            names.internet_gateways[short_number] = identifier.name;
            names.internet_gateway_numbers[identifier.name] = short_number;
        } else if (identifier.kind == IDENTIFIER_VPC) {
            names.vpcs[short_number] = identifier.name;
        } else if (identifier.kind == IDENTIFIER_SUBNET) {
            names.subnets[number] = identifier.name;
        } else if (identifier.kind == IDENTIFIER_ROUTE_TABLE) {
            names.route_tables[number] = identifier.name;
        } else if (identifier.kind == IDENTIFIER_SECURITY_GROUP) {
            names.security_groups[short_number] = identifier.name;
        } else if (identifier.kind == IDENTIFIER_DEVICE) {
            names.devices[static_cast<std::uint8_t>(number)] = identifier.name;
            names.device_slots[identifier.name] = static_cast<std::uint8_t>(number);
        }
    }
    for (const model::ElasticIp& elastic_ip : state->elastic_ips) {
        names.elastic_ips[elastic_ip.address] = elastic_ip.name;
    }
    names.state = std::move(state);
    return names;
}

std::string_view Names::nat_gateway(std::uint16_t number) const {
    return name_in(nat_gateways, number);
}
std::string_view Names::internet_gateway(std::uint16_t number) const {
    return name_in(internet_gateways, number);
}
std::string_view Names::vpc(std::uint16_t zone) const {
    return name_in(vpcs, zone);
}
std::string_view Names::subnet(std::uint32_t number) const {
    return name_in(subnets, number);
}
std::string_view Names::route_table(std::uint32_t number) const {
    return name_in(route_tables, number);
}
std::string_view Names::security_group(std::uint16_t number) const {
    return name_in(security_groups, number);
}
std::string_view Names::device(std::uint8_t slot) const {
    return name_in(devices, slot);
}
std::string_view Names::elastic_ip(Ipv4Address address) const {
    return name_in(elastic_ips, address);
}

bool View::has_changed(std::uint64_t since, std::optional<model::Kind> kind) const {
    if (since > desired_revision) return true;
    return (kind ? changed_in[static_cast<std::size_t>(*kind)] : desired_revision) > since;
}

const reconcile::DeviceStatus* View::device(std::string_view name) const {
    const auto found =
        std::find_if(devices.begin(), devices.end(),
                     [name](const reconcile::DeviceStatus& device) { return device.device == name; });
    return found == devices.end() ? nullptr : &*found;
}

const DrainStatus* View::drain(std::string_view elastic_ip) const {
    const auto found = std::find_if(drains.begin(), drains.end(), [elastic_ip](const DrainStatus& one) {
        return one.drain.elastic_ip == elastic_ip;
    });
    return found == drains.end() ? nullptr : &*found;
}

std::string View::why_not_ready() const {
    if (detached) return "detached by command; reload or apply attaches again";
    if (error) return *error;
    if (desired_revision == 0 || applied_revision != desired_revision) {
        return fmt::format("revision {} is not in force yet", desired_revision);
    }
    for (const model::Device& wanted : state->gateway.devices) {
        const reconcile::DeviceStatus* status = device(wanted.device);
        if (status == nullptr || !status->attached) {
            return fmt::format("{} is not attached{}{}", wanted.device,
                               status == nullptr || status->error.empty() ? "" : ": ",
                               status == nullptr ? "" : status->error);
        }
    }
    return {};
}

}  // namespace sallyport::control

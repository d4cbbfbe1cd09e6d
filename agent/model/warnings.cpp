// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_map>

#include "core/duration.h"
#include "model/enums.h"
#include "model/in_force.h"
#include "model/rules/rules.h"
#include "model/rules/timeout_floors.h"
#include "model/validate.h"

namespace sallyport::model {

namespace {

using std::chrono::seconds;

void warn(std::vector<Fault>& faults, std::string path, std::string read, std::string message,
          std::string other_path = {}) {
    faults.push_back({std::move(path), std::move(other_path), std::move(read), {}, std::move(message)});
}

void warn_of_devices(const Gateway& gateway, std::vector<Fault>& faults) {
    const auto none_is = [&](DeviceRole role) {
        return std::ranges::none_of(gateway.devices, [role](const Device& device) {
            return device.role == role || device.role == DeviceRole::both;
        });
    };
    for (const DeviceRole role : {DeviceRole::inside, DeviceRole::outside}) {
        if (none_is(role)) {
            warn(faults, "gateway.devices", "",
                 fmt::format("no device has the role {} or both: nothing is forwarded", to_string(role)));
        }
    }
}

void warn_of_subnets(const DesiredState& state, std::vector<Fault>& faults) {
    std::set<std::string_view> with_main;
    for (const RouteTable& table : state.route_tables) {
        if (table.main) with_main.insert(table.vpc);
    }
    for (std::size_t i = 0; i < state.subnets.size(); ++i) {
        const Subnet& subnet = state.subnets[i];
        if (!subnet.route_table.empty() || with_main.contains(subnet.vpc)) continue;
        warn(faults, at("subnets", i), subnet.name,
             fmt::format("subnet {} has no route table and VPC {} no main one: nothing leaves it",
                         quoted(subnet.name), quoted(subnet.vpc)));
    }
}

void warn_of_elastic_ips(const DesiredState& state, std::vector<Fault>& faults) {
    for (std::size_t i = 0; i < state.elastic_ips.size(); ++i) {
        const ElasticIp& elastic_ip = state.elastic_ips[i];
        for (std::size_t j = 0; j < state.vpcs.size(); ++j) {
            const auto contains = [&](const Ipv4Prefix& cidr) { return cidr.contains(elastic_ip.address); };
            if (std::ranges::none_of(state.vpcs[j].cidrs, contains)) continue;
            warn(faults, at("elastic_ips", i, "address"), elastic_ip.address.to_string(),
                 fmt::format("{} is inside of VPC {}, whose instances take it for a local address",
                             elastic_ip.address.to_string(), quoted(state.vpcs[j].name)),
                 at("vpcs", j, "cidrs"));
        }
    }
}

template <typename T>
std::unordered_map<std::string_view, const T*> by_name(const std::vector<T>& list) {
    std::unordered_map<std::string_view, const T*> known;
    for (const T& object : list) known.emplace(object.name, &object);
    return known;
}

void warn_of_instances(const DesiredState& state, std::vector<Fault>& faults) {
    std::set<std::string_view> with_internet_gateway;
    for (const InternetGateway& gateway : state.internet_gateways) with_internet_gateway.insert(gateway.vpc);
    const auto instances = by_name(state.instances);
    const auto subnets = by_name(state.subnets);
    for (std::size_t i = 0; i < state.elastic_ips.size(); ++i) {
        const ElasticIp& elastic_ip = state.elastic_ips[i];
        if (elastic_ip.instance.empty()) continue;
        const auto instance = instances.find(elastic_ip.instance);
        if (instance == instances.end()) continue;
        const auto in = subnets.find(instance->second->subnet);
        if (in == subnets.end()) continue;
        const Subnet* subnet = in->second;
        if (with_internet_gateway.contains(subnet->vpc)) continue;
        warn(faults, at("elastic_ips", i, "instance"), elastic_ip.instance,
             fmt::format("VPC {} has no internet gateway: Elastic IP {} of instance {} is not used",
                         quoted(subnet->vpc), quoted(elastic_ip.name), quoted(elastic_ip.instance)));
    }
}

void warn_of_nat_gateways(const DesiredState& state, std::vector<Fault>& faults) {
    std::set<std::string_view> routed;
    for (const RouteTable& table : state.route_tables) {
        for (const Route& route : table.routes) {
            if (const auto* target = std::get_if<ToNatGateway>(&route.target)) routed.insert(target->name);
        }
    }
    for (std::size_t i = 0; i < state.nat_gateways.size(); ++i) {
        const NatGateway& gateway = state.nat_gateways[i];
        if (!routed.contains(gateway.name)) {
            warn(faults, at("nat_gateways", i), gateway.name,
                 fmt::format("no route leads to NAT gateway {}: nothing uses it", quoted(gateway.name)));
        }
        for (const TimeoutFloor& timeout : timeout_floors) {
            const seconds value = gateway.timeouts.*timeout.value;
            if (value >= timeout.floor) continue;
            warn(faults, fmt::format("nat_gateways[{}].timeouts.{}", i, timeout.field),
                 format_duration(value),
                 fmt::format("{} is below the floor of {} ({}): connections may break",
                             format_duration(value), format_duration(timeout.floor), timeout.source));
        }
    }
}

}  // namespace

std::vector<Fault> warnings(const DesiredState& state) {
    std::vector<Fault> faults;
    warn_of_devices(state.gateway, faults);
    warn_of_subnets(state, faults);
    warn_of_elastic_ips(state, faults);
    warn_of_instances(state, faults);
    warn_of_nat_gateways(state, faults);
    auto vain = not_in_force(state);
    std::ranges::move(vain, std::back_inserter(faults));
    return faults;
}

}  // namespace sallyport::model

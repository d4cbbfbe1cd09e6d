// SPDX-License-Identifier: Apache-2.0
//
// Port forwards: ports that exist and are free, towards an address of the VPC.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <vector>

#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

class PortForwardRules : Rules {
  public:
    explicit PortForwardRules(Examination& examination) : Rules(examination) {}

    void check() {
        for (const NatGateway& gateway : state_.nat_gateways) {
            for (const std::string& elastic_ip : gateway.elastic_ips) users_.emplace(elastic_ip, &gateway);
        }
        for (std::size_t i = 0; i < state_.port_forwards.size(); ++i) {
            const PortForward& forward = state_.port_forwards[i];
            if (forward.protocol == Protocol::icmp) {
                wrong(at("port_forwards", i, "protocol"), "icmp", "tcp or udp", "icmp has no ports");
            }
            if (forward.port.first == 0) {
                wrong(at("port_forwards", i, "port"), forward.port.to_string(), "ports of 1-65535",
                      "port 0 cannot be used");
            }
            if (forward.to_port == 0 || forward.to_port + forward.port.size() - 1 > 65535) {
                wrong(at("port_forwards", i, "to"), Endpoint{forward.to_address, forward.to_port}.to_string(),
                      fmt::format("a first port of 1 to {}", 65536 - forward.port.size()),
                      forward.to_port == 0 ? "port 0 cannot be used"
                                           : fmt::format("{} ports do not fit from {} on",
                                                         forward.port.size(), forward.to_port));
            }
            check_forward_target(forward, i);
        }
        check_forward_overlaps();
    }

  private:
    void check_forward_target(const PortForward& forward, std::size_t index) {
        if (!index_of(Kind::elastic_ips, forward.elastic_ip)) return;
        const auto user = users_.find(forward.elastic_ip);
        if (user == users_.end()) {
            wrong(at("port_forwards", index, "elastic_ip"), forward.elastic_ip,
                  "an Elastic IP of a NAT gateway",
                  fmt::format("Elastic IP {} belongs to no NAT gateway, so the VPC is not known",
                              quoted(forward.elastic_ip)));
            return;
        }
        const Vpc* vpc = object<Vpc>(Kind::vpcs, user->second->vpc);
        const auto contains = [&](const Ipv4Prefix& cidr) { return cidr.contains(forward.to_address); };
        if (vpc == nullptr || std::ranges::any_of(vpc->cidrs, contains)) return;
        wrong(at("port_forwards", index, "to"), Endpoint{forward.to_address, forward.to_port}.to_string(),
              fmt::format("an address of VPC {}", quoted(vpc->name)),
              fmt::format("{} is outside of VPC {}", forward.to_address.to_string(), quoted(vpc->name)));
    }

    // Sorted by first port, a forward overlaps with one before it if it begins before the last of those ends.
    void check_forward_overlaps() {
        std::map<std::pair<std::string_view, Protocol>, std::vector<std::size_t>> groups;
        for (std::size_t i = 0; i < state_.port_forwards.size(); ++i) {
            groups[{state_.port_forwards[i].elastic_ip, state_.port_forwards[i].protocol}].push_back(i);
        }
        const auto ports = [this](std::size_t index) { return state_.port_forwards[index].port; };
        for (auto& [key, group] : groups) {
            std::ranges::stable_sort(group, {}, ports);
            std::size_t furthest = group.front();
            for (const std::size_t index : std::span(group).subspan(1)) {
                if (ports(index).first <= ports(furthest).last) {
                    forward_overlap(std::max(index, furthest), std::min(index, furthest));
                }
                if (ports(index).last > ports(furthest).last) furthest = index;
            }
        }
    }

    void forward_overlap(std::size_t index, std::size_t other_index) {
        const PortForward& one = state_.port_forwards[index];
        const PortForward& other = state_.port_forwards[other_index];
        wrong(at("port_forwards", index, "port"), one.port.to_string(), "ports that no other forward has",
              fmt::format("{} port {} of Elastic IP {} is forwarded by {} already", to_string(one.protocol),
                          one.port.to_string(), quoted(one.elastic_ip), quoted(other.name)),
              at("port_forwards", other_index, "port"));
    }

    // The NAT gateway of each Elastic IP.
    std::map<std::string_view, const NatGateway*> users_;
};

}  // namespace

void check_port_forwards(Examination& examination) {
    PortForwardRules(examination).check();
}

}  // namespace sallyport::model

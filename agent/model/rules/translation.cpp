// SPDX-License-Identifier: Apache-2.0
//
// Elastic IPs and the NAT gateways that have them.
#include <fmt/format.h>
#include <sallyport/abi/limits.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <vector>

#include "core/duration.h"
#include "model/fields.h"
#include "model/rules/rules.h"
#include "model/rules/timeout_floors.h"

namespace sallyport::model {

namespace {

using std::chrono::seconds;

constexpr seconds timeout_most{65535};  // flow entries keep it in 16 bits
constexpr std::size_t no_translation_most = 64;

class TranslationRules : Rules {
  public:
    explicit TranslationRules(Examination& examination) : Rules(examination) {}

    void check() {
        for (const ElasticIp& elastic_ip : state_.elastic_ips) addresses_.insert(elastic_ip.address);
        check_elastic_ips();
        check_nat_gateways();
    }

  private:
    void check_elastic_ips() {
        std::map<Ipv4Address, std::size_t> addresses;
        std::map<std::string_view, std::size_t> instances;
        std::size_t shared = 0;
        for (std::size_t i = 0; i < state_.elastic_ips.size(); ++i) {
            const ElasticIp& elastic_ip = state_.elastic_ips[i];
            check_host_address(at("elastic_ips", i, "address"), elastic_ip.address);
            if (const auto [first, added] = addresses.emplace(elastic_ip.address, i); !added) {
                wrong(at("elastic_ips", i, "address"), elastic_ip.address.to_string(),
                      "an address of its own for each Elastic IP",
                      fmt::format("Elastic IP {} has the address {} already",
                                  quoted(state_.elastic_ips[first->second].name),
                                  elastic_ip.address.to_string()),
                      at("elastic_ips", first->second, "address"));
            }
            if (elastic_ip.shared_with_host && ++shared == SHARED_ELASTIC_IPS_MAX + 1) {
                wrong(at("elastic_ips", i, "shared_with_host"), "true",
                      fmt::format("at most {} that are shared", SHARED_ELASTIC_IPS_MAX),
                      "too many Elastic IPs are shared with the host");
            }
            if (elastic_ip.instance.empty()) continue;
            if (elastic_ip.shared_with_host) {
                wrong(at("elastic_ips", i, "shared_with_host"), "true", "false, or no instance",
                      fmt::format("instance {} has all of {} to itself, and would leave the host nothing",
                                  quoted(elastic_ip.instance), elastic_ip.address.to_string()),
                      at("elastic_ips", i, "instance"));
            }
            if (const auto [first, added] = instances.emplace(elastic_ip.instance, i); !added) {
                wrong(at("elastic_ips", i, "instance"), elastic_ip.instance,
                      "one Elastic IP for each instance",
                      fmt::format("instance {} has the Elastic IP {} already", quoted(elastic_ip.instance),
                                  quoted(state_.elastic_ips[first->second].name)),
                      at("elastic_ips", first->second, "instance"));
            }
        }
    }

    void check_nat_gateways() {
        // Which NAT gateway has an Elastic IP, and where in its list.
        std::map<std::string_view, std::pair<std::size_t, std::size_t>> users;
        for (std::size_t i = 0; i < state_.nat_gateways.size(); ++i) {
            const NatGateway& gateway = state_.nat_gateways[i];
            if (gateway.elastic_ips.empty()) {
                wrong(at("nat_gateways", i, "elastic_ips"), "", "at least one",
                      fmt::format("NAT gateway {} has no Elastic IP", quoted(gateway.name)));
            }
            check_size(at("nat_gateways", i, "elastic_ips"), gateway.elastic_ips.size(),
                       NAT_GATEWAY_ELASTIC_IPS_MAX);
            for (std::size_t j = 0; j < gateway.elastic_ips.size(); ++j) {
                const std::string& name = gateway.elastic_ips[j];
                check_association(name, i, j);
                const auto [first, added] = users.emplace(name, std::pair{i, j});
                const auto [first_gateway, first_position] = first->second;
                if (added || first_gateway == i) continue;
                wrong(fmt::format("nat_gateways[{}].elastic_ips[{}]", i, j), name,
                      "one NAT gateway for each Elastic IP",
                      fmt::format("Elastic IP {} is used by NAT gateway {} already", quoted(name),
                                  quoted(state_.nat_gateways[first_gateway].name)),
                      fmt::format("nat_gateways[{}].elastic_ips[{}]", first_gateway, first_position));
            }
            check_no_translation(gateway, i);
            check_ports_and_rules(gateway, i);
            check_timeouts(gateway, i);
            check_limits(gateway, i);
        }
    }

    void check_association(const std::string& name, std::size_t gateway, std::size_t position) {
        const ElasticIp* elastic_ip = object<ElasticIp>(Kind::elastic_ips, name);
        if (elastic_ip == nullptr || elastic_ip->instance.empty()) return;
        wrong(fmt::format("nat_gateways[{}].elastic_ips[{}]", gateway, position), name,
              "an Elastic IP without an instance",
              fmt::format("Elastic IP {} belongs to instance {}", quoted(name), quoted(elastic_ip->instance)),
              at("elastic_ips", *index_of(Kind::elastic_ips, name), "instance"));
    }

    void check_no_translation(const NatGateway& gateway, std::size_t index) {
        check_size(at("nat_gateways", index, "no_translation"), gateway.no_translation.size(),
                   no_translation_most);
        for (std::size_t i = 0; i < gateway.no_translation.size(); ++i) {
            const Ipv4Prefix& prefix = gateway.no_translation[i];
            const std::string path = fmt::format("nat_gateways[{}].no_translation[{}]", index, i);
            check_special_use(path, prefix);
            // Elastic IPs are reached by way of their own: an instance must not meet another as itself there.
            const auto elastic_ip = addresses_.lower_bound(prefix.address());
            if (elastic_ip != addresses_.end() && prefix.contains(*elastic_ip)) {
                wrong(path, prefix.to_string(), "prefixes without Elastic IPs",
                      fmt::format("{} holds the Elastic IP {}", prefix.to_string(), elastic_ip->to_string()));
            }
            const auto first = std::ranges::find(gateway.no_translation, prefix);
            const auto place = static_cast<std::size_t>(first - gateway.no_translation.begin());
            if (place == i) continue;
            wrong(path, prefix.to_string(), "each prefix once",
                  fmt::format("{} stands there twice", prefix.to_string()),
                  fmt::format("nat_gateways[{}].no_translation[{}]", index, place));
        }
    }

    void check_ports_and_rules(const NatGateway& gateway, std::size_t index) {
        if (gateway.port_range.first == 0 || gateway.port_range.first > gateway.port_range.last) {
            wrong(at("nat_gateways", index, "port_range"), gateway.port_range.to_string(),
                  "a range within 1-65535",
                  fmt::format("ports {} cannot be used", gateway.port_range.to_string()));
        }
        if (gateway.port_quarantine > timeout_most) {
            const std::string read = format_duration(gateway.port_quarantine);
            wrong(at("nat_gateways", index, "port_quarantine"), read,
                  fmt::format("0s to {}", format_duration(timeout_most)),
                  fmt::format("{} is longer than a port can rest", read));
        }
        check_reserved_ports(gateway, index);
        check_port_blocks(gateway, index);
        check_mapping(gateway.mapping, at("nat_gateways", index, "mapping"));
    }

    void check_reserved_ports(const NatGateway& gateway, std::size_t index) {
        bool all_right = true;
        for (std::size_t i = 0; i < gateway.reserved_ports.size(); ++i) {
            const PortRange& range = gateway.reserved_ports[i];
            if (range.first != 0 && range.first <= range.last) continue;
            all_right = false;
            wrong(fmt::format("nat_gateways[{}].reserved_ports[{}]", index, i), range.to_string(),
                  "a port or a range within 1-65535",
                  fmt::format("ports {} cannot be reserved", range.to_string()));
        }
        if (!all_right) return;
        std::vector<PortRange> ranges = gateway.reserved_ports;
        std::ranges::sort(ranges);
        std::uint32_t next = gateway.port_range.first;  // the first port that is left so far
        for (const PortRange& range : ranges) {
            if (range.first > next) break;
            next = std::max<std::uint32_t>(next, range.last + 1U);
        }
        if (gateway.reserved_ports.empty() || next <= gateway.port_range.last) return;
        wrong(at("nat_gateways", index, "reserved_ports"), "", "fewer, so that a port of port_range is left",
              fmt::format("all ports of {} are reserved", gateway.port_range.to_string()));
    }

    void check_port_blocks(const NatGateway& gateway, std::size_t index) {
        const PortBlocks& blocks = gateway.port_blocks;
        const auto path = [&](const char* field) {
            return fmt::format("nat_gateways[{}].port_blocks.{}", index, field);
        };
        if (blocks.size && (*blocks.size < PORT_BLOCK_SIZE_MIN || *blocks.size > PORT_BLOCK_SIZE_MAX ||
                            !std::has_single_bit(*blocks.size))) {
            wrong(path("size"), std::to_string(*blocks.size),
                  fmt::format("a power of two from {} to {}", PORT_BLOCK_SIZE_MIN, PORT_BLOCK_SIZE_MAX),
                  fmt::format("a block cannot have {} ports", *blocks.size));
        }
        if (blocks.blocks_per_host < 1 || blocks.blocks_per_host > PORT_BLOCKS_MAX) {
            wrong(path("blocks_per_host"), std::to_string(blocks.blocks_per_host),
                  fmt::format("1 to {}", PORT_BLOCKS_MAX),
                  fmt::format("a host cannot have {} blocks", blocks.blocks_per_host));
        }
        if (blocks.hold < seconds(1) || blocks.hold > timeout_most) {
            const std::string read = format_duration(blocks.hold);
            wrong(path("hold"), read, fmt::format("1s to {}", format_duration(timeout_most)),
                  fmt::format("a block cannot be kept for {}", read));
        }
        // Ports below 1024 would be given out of the range that blocks are made of.
        if (blocks.size && gateway.preserve_range) {
            wrong(at("nat_gateways", index, "preserve_range"), "true", "false, or no port_blocks.size",
                  "blocks have no ports below port_range");
        }
    }

    void check_mapping(const PerProtocol& mapping, const std::string& path) {
        constexpr EndpointRule refused = EndpointRule::address_dependent;
        const auto fault_at = [this](std::string place) {
            wrong(std::move(place), std::string(to_string(refused)),
                  "endpoint_independent or address_and_port_dependent",
                  "mapping cannot be address_dependent");
        };
        if (mapping == PerProtocol{refused, refused, refused}) {
            fault_at(path);
            return;
        }
        visit_fields<PerProtocol>([&](const auto& field) {
            if (field.get(mapping) == refused) fault_at(fmt::format("{}.{}", path, field.name));
        });
    }

    void check_timeouts(const NatGateway& gateway, std::size_t index) {
        for (const TimeoutFloor& timeout : timeout_floors) {
            const seconds value = gateway.timeouts.*timeout.value;
            const bool relaxed = gateway.allow_nonconformant_timeouts;
            const seconds least = relaxed ? timeout.absolute : timeout.floor;
            if (value >= least && value <= timeout_most) continue;
            const std::string read = format_duration(value);
            const std::string path = fmt::format("nat_gateways[{}].timeouts.{}", index, timeout.field);
            const std::string range =
                fmt::format("{} to {}", format_duration(least), format_duration(timeout_most));
            if (value > timeout_most) {
                wrong(path, read, range, fmt::format("{} is longer than a flow can be kept", read));
            } else if (relaxed || timeout.floor == timeout.absolute) {
                wrong(path, read, range, fmt::format("{} is too short", read));
            } else {
                wrong(path, read, fmt::format("{}, or allow_nonconformant_timeouts: true", range),
                      fmt::format("{} is below the floor of {} ({})", read, format_duration(timeout.floor),
                                  timeout.source));
            }
        }
    }

    void check_limits(const NatGateway& gateway, std::size_t index) {
        visit_fields<Limits>([&](const auto& field) {
            if (field.get(gateway.limits) != std::optional<std::uint32_t>(0)) return;
            wrong(fmt::format("nat_gateways[{}].limits.{}", index, field.name), "0",
                  "at least 1, or no such key", "a limit of 0 lets no host out");
        });
    }

    std::set<Ipv4Address> addresses_;  // of all Elastic IPs
};

}  // namespace

void check_translation(Examination& examination) {
    TranslationRules(examination).check();
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
//
// Instances and security groups.
#include <fmt/format.h>
#include <sallyport/abi/limits.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <variant>

#include "model/enums.h"
#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

class HostRules : Rules {
  public:
    explicit HostRules(Examination& examination) : Rules(examination) {}

    void check() {
        check_instances();
        check_security_groups();
    }

  private:
    void check_instances() {
        // By VPC: an address is one instance's there.
        std::map<std::string_view, std::unordered_map<std::uint32_t, std::size_t>> seen;
        for (std::size_t i = 0; i < state_.instances.size(); ++i) {
            const Instance& instance = state_.instances[i];
            const Subnet* subnet = object<Subnet>(Kind::subnets, instance.subnet);
            if (subnet == nullptr) continue;
            const auto path = [i] { return at("instances", i, "address"); };
            if (!subnet->cidr.contains(instance.address)) {
                wrong(path(), instance.address.to_string(),
                      fmt::format("an address of {}", subnet->cidr.to_string()),
                      fmt::format("{} is outside of subnet {}", instance.address.to_string(),
                                  quoted(subnet->name)),
                      at("subnets", *index_of(Kind::subnets, subnet->name), "cidr"));
            }
            const auto [first, added] = seen[subnet->vpc].emplace(instance.address.value(), i);
            if (!added) {
                wrong(path(), instance.address.to_string(),
                      "an address of its own for each instance of a VPC",
                      fmt::format("instance {} has the address {} already",
                                  quoted(state_.instances[first->second].name), instance.address.to_string()),
                      at("instances", first->second, "address"));
            }
            check_size([i] { return at("instances", i, "security_groups"); }, instance.security_groups.size(),
                       SECURITY_GROUPS_PER_INSTANCE_MAX);
            for (std::size_t j = 0; j < instance.security_groups.size(); ++j) {
                check_same_vpc<SecurityGroup>(
                    [&] { return fmt::format("instances[{}].security_groups[{}]", i, j); },
                    Kind::security_groups, instance.security_groups[j], subnet->vpc);
            }
        }
    }

    void check_security_groups() {
        for (std::size_t i = 0; i < state_.security_groups.size(); ++i) {
            const SecurityGroup& group = state_.security_groups[i];
            check_rules(group, group.ingress, at("security_groups", i, "ingress"));
            if (group.egress) check_rules(group, *group.egress, at("security_groups", i, "egress"));
        }
    }

    void check_icmp(const SecurityGroupRule& rule, const std::string& path, std::size_t i) {
        constexpr std::uint32_t most = 255;
        if (rule.icmp_type && rule.protocol != Protocol::icmp) {
            wrong(at(path, i, "icmp_type"), rule.icmp_type->to_string(), "protocol: icmp",
                  fmt::format("an ICMP type means nothing {}",
                              rule.protocol ? fmt::format("for {}", to_string(*rule.protocol))
                                            : "without a protocol"),
                  at(path, i, "protocol"));
        }
        if (!rule.icmp_code) return;
        const std::string read = fmt::format("{}", *rule.icmp_code);
        if (!rule.icmp_type) {
            wrong(at(path, i, "icmp_code"), read, "icmp_type as well",
                  "what a code means depends on the type");
        }
        if (*rule.icmp_code > most)
            wrong(at(path, i, "icmp_code"), read, "a number from 0 to 255",
                  fmt::format("{} is no code", read));
    }

    void check_rules(const SecurityGroup& group, const std::vector<SecurityGroupRule>& rules,
                     const std::string& path) {
        check_size(path, rules.size(), SECURITY_GROUP_RULES_MAX);
        for (std::size_t i = 0; i < rules.size(); ++i) {
            const SecurityGroupRule& rule = rules[i];
            if (rule.ports && (!rule.protocol || *rule.protocol == Protocol::icmp)) {
                wrong(at(path, i, "ports"), rule.ports->to_string(),
                      rule.protocol ? "icmp_type, or protocol: tcp or protocol: udp"
                                    : "protocol: tcp or protocol: udp",
                      fmt::format("ports mean nothing {}", rule.protocol ? "for icmp" : "without a protocol"),
                      at(path, i, "protocol"));
            }
            check_icmp(rule, path, i);
            if (const auto* peer = std::get_if<std::string>(&rule.peer)) {
                check_same_vpc<SecurityGroup>([&] { return at(path, i, "security_group"); },
                                              Kind::security_groups, *peer, group.vpc);
            }
        }
    }
};

}  // namespace

void check_hosts(Examination& examination) {
    HostRules(examination).check();
}

}  // namespace sallyport::model

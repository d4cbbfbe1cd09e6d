// SPDX-License-Identifier: Apache-2.0
//
// VPCs, subnets, route tables and internet gateways: prefixes that fit into each other, and routes.
#include <fmt/format.h>
#include <sallyport/abi/limits.h>

#include <algorithm>
#include <cstddef>
#include <map>

#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

constexpr std::size_t vpc_cidrs_most = 64;

// A prefix and where it is declared.
struct Placed {
    Ipv4Prefix prefix;
    std::string path;
    std::string name;       // of what it belongs to
    std::size_t order = 0;  // in the file
};

// Calls report(later, earlier), in the order of the file, for each prefix that lies in another, with the
// narrowest such. Sorted by address, what contains a prefix comes before it, so n log n steps are enough.
template <typename Report>
void find_overlaps(std::vector<Placed> placed, Report report) {
    std::ranges::stable_sort(placed, {}, &Placed::prefix);
    std::vector<const Placed*> around;  // those that contain the one looked at, the widest first
    for (const Placed& one : placed) {
        while (!around.empty() && !around.back()->prefix.contains(one.prefix)) around.pop_back();
        if (!around.empty()) {
            const Placed& other = *around.back();
            one.order > other.order ? report(one, other) : report(other, one);
        }
        around.push_back(&one);
    }
}

class NetworkRules : Rules {
  public:
    explicit NetworkRules(Examination& examination) : Rules(examination) {}

    void check() {
        check_vpcs();
        check_subnets();
        check_route_tables();
        check_internet_gateways();
    }

  private:
    void check_vpcs() {
        for (std::size_t i = 0; i < state_.vpcs.size(); ++i) {
            const Vpc& vpc = state_.vpcs[i];
            if (vpc.cidrs.empty()) {
                wrong(at("vpcs", i, "cidrs"), "", "at least one prefix",
                      fmt::format("VPC {} has no prefix", quoted(vpc.name)));
            }
            check_size(at("vpcs", i, "cidrs"), vpc.cidrs.size(), vpc_cidrs_most);
            std::vector<Placed> placed;
            for (std::size_t j = 0; j < vpc.cidrs.size(); ++j) {
                const std::string path = fmt::format("vpcs[{}].cidrs[{}]", i, j);
                placed.push_back({vpc.cidrs[j], path, vpc.name, j});
                check_special_use(path, vpc.cidrs[j]);
            }
            find_overlaps(std::move(placed), [this](const Placed& one, const Placed& other) {
                wrong(one.path, one.prefix.to_string(), "prefixes of a VPC that do not overlap",
                      fmt::format("{} overlaps with {} of the same VPC", one.prefix.to_string(),
                                  other.prefix.to_string()),
                      other.path);
            });
        }
    }

    void check_subnets() {
        std::map<std::string_view, std::vector<Placed>> by_vpc;
        for (std::size_t i = 0; i < state_.subnets.size(); ++i) {
            const Subnet& subnet = state_.subnets[i];
            const std::string path = at("subnets", i, "cidr");
            by_vpc[subnet.vpc].push_back({subnet.cidr, path, subnet.name, i});
            if (const Vpc* vpc = object<Vpc>(Kind::vpcs, subnet.vpc)) check_inside(*vpc, subnet, path);
            check_same_vpc<RouteTable>([i] { return at("subnets", i, "route_table"); }, Kind::route_tables,
                                       subnet.route_table, subnet.vpc);
            check_size(at("subnets", i, "security_groups"), subnet.security_groups.size(),
                       SECURITY_GROUPS_PER_INSTANCE_MAX);
            for (std::size_t j = 0; j < subnet.security_groups.size(); ++j) {
                check_same_vpc<SecurityGroup>(
                    [&] { return fmt::format("subnets[{}].security_groups[{}]", i, j); },
                    Kind::security_groups, subnet.security_groups[j], subnet.vpc);
            }
        }
        for (auto& [vpc, placed] : by_vpc) {
            find_overlaps(std::move(placed), [this](const Placed& one, const Placed& other) {
                wrong(one.path, one.prefix.to_string(), "subnets of a VPC that do not overlap",
                      fmt::format("{} overlaps with {} of subnet {}", one.prefix.to_string(),
                                  other.prefix.to_string(), quoted(other.name)),
                      other.path);
            });
        }
    }

    void check_inside(const Vpc& vpc, const Subnet& subnet, const std::string& path) {
        const auto contains = [&](const Ipv4Prefix& cidr) { return cidr.contains(subnet.cidr); };
        if (vpc.cidrs.empty() || std::ranges::any_of(vpc.cidrs, contains)) return;
        std::string cidrs;
        for (const Ipv4Prefix& cidr : vpc.cidrs) cidrs += (cidrs.empty() ? "" : " or ") + cidr.to_string();
        wrong(path, subnet.cidr.to_string(), fmt::format("a prefix inside {}", cidrs),
              fmt::format("{} is outside of VPC {}", subnet.cidr.to_string(), quoted(vpc.name)),
              at("vpcs", *index_of(Kind::vpcs, vpc.name), "cidrs"));
    }

    void check_route_tables() {
        std::map<std::string_view, std::size_t> main_of;
        for (std::size_t i = 0; i < state_.route_tables.size(); ++i) {
            const RouteTable& table = state_.route_tables[i];
            check_routes(table, i);
            if (!table.main || table.vpc.empty()) continue;
            const auto [first, added] = main_of.emplace(table.vpc, i);
            if (!added) {
                wrong(at("route_tables", i, "main"), "true", "one main route table for each VPC",
                      fmt::format("VPC {} has a main route table already, {}", quoted(table.vpc),
                                  quoted(state_.route_tables[first->second].name)),
                      at("route_tables", first->second, "main"));
            }
        }
    }

    void check_routes(const RouteTable& table, std::size_t table_index) {
        const Vpc* vpc = object<Vpc>(Kind::vpcs, table.vpc);
        std::map<Ipv4Prefix, std::size_t> seen;
        for (std::size_t i = 0; i < table.routes.size(); ++i) {
            const Route& route = table.routes[i];
            const auto path = [&](std::string_view field, std::size_t index) {
                return fmt::format("route_tables[{}].routes[{}].{}", table_index, index, field);
            };
            const auto [first, added] = seen.emplace(route.destination, i);
            if (!added) {
                wrong(path("destination", i), route.destination.to_string(), "one route for each destination",
                      fmt::format("route table {} has a route to {} already", quoted(table.name),
                                  route.destination.to_string()),
                      path("destination", first->second));
            }
            if (vpc != nullptr)
                check_not_local(*vpc, route.destination, [&] { return path("destination", i); });
            if (const auto* nat = std::get_if<ToNatGateway>(&route.target)) {
                check_same_vpc<NatGateway>([&] { return path("nat_gateway", i); }, Kind::nat_gateways,
                                           nat->name, table.vpc);
            } else if (const auto* internet = std::get_if<ToInternetGateway>(&route.target)) {
                check_same_vpc<InternetGateway>([&] { return path("internet_gateway", i); },
                                                Kind::internet_gateways, internet->name, table.vpc);
            } else if (const auto* via = std::get_if<Via>(&route.target)) {
                check_router(table.vpc, via->address, path("via", i));
            }
        }
    }

    // A router is inside: what is behind it is reached with private addresses.
    void check_router(std::string_view vpc, Ipv4Address router, std::string path) {
        const auto has_it = [&](const Subnet& subnet) {
            return subnet.vpc == vpc && subnet.cidr.contains(router);
        };
        if (vpc.empty() || std::ranges::any_of(state_.subnets, has_it)) return;
        wrong(std::move(path), router.to_string(),
              fmt::format("an address of a subnet of VPC {}", quoted(vpc)),
              fmt::format("{} is in no subnet of VPC {}", router.to_string(), quoted(vpc)));
    }

    template <typename Path>
    void check_not_local(const Vpc& vpc, const Ipv4Prefix& destination, Path path) {
        const auto cidr = std::ranges::find(vpc.cidrs, destination);
        if (cidr == vpc.cidrs.end()) return;
        wrong(path(), destination.to_string(), "a shorter or a longer prefix",
              fmt::format("{} is a prefix of VPC {} itself and always local", destination.to_string(),
                          quoted(vpc.name)),
              fmt::format("vpcs[{}].cidrs[{}]", *index_of(Kind::vpcs, vpc.name), cidr - vpc.cidrs.begin()));
    }

    void check_internet_gateways() {
        std::map<std::string_view, std::size_t> seen;
        for (std::size_t i = 0; i < state_.internet_gateways.size(); ++i) {
            const std::string& vpc = state_.internet_gateways[i].vpc;
            const auto [first, added] = seen.emplace(vpc, i);
            if (added || vpc.empty()) continue;
            wrong(at("internet_gateways", i, "vpc"), vpc, "one internet gateway for each VPC",
                  fmt::format("VPC {} has an internet gateway already", quoted(vpc)),
                  at("internet_gateways", first->second, "vpc"));
        }
    }
};

}  // namespace

void check_networks(Examination& examination) {
    NetworkRules(examination).check();
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
#include "model/validate.h"

#include <fmt/format.h>
#include <sallyport/abi/limits.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <span>

#include "core/duration.h"
#include "model/fields.h"
#include "model/in_force.h"

namespace sallyport::model {
namespace {

using std::chrono::seconds;

constexpr std::uint32_t flow_capacity_least = 1024;
constexpr std::uint32_t flow_capacity_most = 67108864;
constexpr std::size_t vpc_cidrs_most = 64;
constexpr std::size_t interface_name_most = 15;  // the kernel's IFNAMSIZ without the final zero
constexpr seconds timeout_most{65535};           // flow entries keep it in 16 bits

// conformance.md section 3.1. `absolute` holds even where the operator accepts non-conformant timeouts.
struct TimeoutFloor {
    std::string_view field;
    seconds Timeouts::*value;
    seconds floor;
    seconds absolute;
    std::string_view source;
};
constexpr std::array timeout_floors{
    TimeoutFloor{"udp", &Timeouts::udp, seconds(120), seconds(1), "RFC 4787 REQ-5"},
    TimeoutFloor{"tcp_established", &Timeouts::tcp_established, seconds(7440), seconds(1), "RFC 5382 REQ-5"},
    TimeoutFloor{"tcp_opening", &Timeouts::tcp_opening, seconds(1), seconds(1), "RFC 7857 section 2.1"},
    TimeoutFloor{"tcp_closing", &Timeouts::tcp_closing, seconds(240), seconds(1), "RFC 5382 REQ-5"},
    TimeoutFloor{"tcp_reset", &Timeouts::tcp_reset, seconds(240), seconds(10), "RFC 7857 section 2.2"},
    TimeoutFloor{"icmp", &Timeouts::icmp, seconds(60), seconds(1), "RFC 5508 REQ-2"},
};

// Addresses that are no host's address on any network.
const std::array special_prefixes{
    std::pair{Ipv4Prefix(Ipv4Address(0, 0, 0, 0), 8), "\"this network\" (0.0.0.0/8)"},
    std::pair{Ipv4Prefix(Ipv4Address(127, 0, 0, 0), 8), "loopback (127.0.0.0/8)"},
    std::pair{Ipv4Prefix(Ipv4Address(224, 0, 0, 0), 4), "multicast (224.0.0.0/4)"},
    std::pair{Ipv4Prefix(Ipv4Address(240, 0, 0, 0), 4), "reserved (240.0.0.0/4)"},
};

const char* special_use(const Ipv4Prefix& prefix) {
    for (const auto& [special, text] : special_prefixes) {
        if (special.overlaps(prefix)) return text;
    }
    return nullptr;
}

std::string quoted(std::string_view text) {
    return fmt::format("\"{}\"", text);
}

std::string at(std::string_view list, std::size_t index) {
    return fmt::format("{}[{}]", list, index);
}

std::string at(std::string_view list, std::size_t index, std::string_view field) {
    return fmt::format("{}[{}].{}", list, index, field);
}

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

class Validation {
  public:
    explicit Validation(const DesiredState& state) : state_(state) {}

    std::vector<Fault> run() {
        check_sizes();
        check_names();
        check_references();
        check_gateway();
        check_vpcs();
        check_subnets();
        check_route_tables();
        check_internet_gateways();
        check_elastic_ips();
        check_nat_gateways();
        check_instances();
        check_security_groups();
        check_port_forwards();
        return std::move(faults_);
    }

  private:
    void add(std::string path, std::string read, std::string expected, std::string message,
             std::string other_path = {}) {
        faults_.push_back({std::move(path), std::move(other_path), std::move(read), std::move(expected),
                           std::move(message)});
    }

    // "…; expected …" is the form of all messages that say what would be right.
    void wrong(std::string path, std::string read, std::string expected, std::string_view what,
               std::string other_path = {}) {
        std::string message = fmt::format("{}; expected {}", what, expected);
        add(std::move(path), std::move(read), std::move(expected), std::move(message), std::move(other_path));
    }

    void check_size(std::string_view path, std::size_t size, std::size_t most) {
        if (size <= most) return;
        wrong(std::string(path), fmt::format("{}", size), fmt::format("at most {}", most),
              fmt::format("{} are too many", size));
    }

    void check_sizes() {
        check_size("gateway.devices", state_.gateway.devices.size(), DEVICES_MAX);
        check_size("nat_gateways", state_.nat_gateways.size(), NAT_GATEWAYS_MAX);
        check_size("elastic_ips", state_.elastic_ips.size(), ELASTIC_IPS_MAX);
        check_size("subnets", state_.subnets.size(), SUBNETS_MAX);
        std::size_t routes = 0;
        for (const RouteTable& table : state_.route_tables) routes += table.routes.size() + 1;
        check_size("route_tables", routes, ROUTES_MAX);
        std::size_t prefixes = 0;
        for (const Vpc& vpc : state_.vpcs) prefixes += vpc.cidrs.size();
        check_size("vpcs", prefixes, PRIVATE_PREFIXES_MAX);
    }

    // Names: their form, and that each is given once in its kind.
    void check_names() {
        check_name_form("gateway.name", state_.gateway.name);
        visit_kinds([this](Kind kind, auto objects_of_kind) {
            const auto& list = state_.*objects_of_kind;
            std::map<std::string_view, std::size_t> seen;
            for (std::size_t i = 0; i < list.size(); ++i) {
                const std::string& name = list[i].name;
                check_name_form(at(to_string(kind), i, "name"), name);
                const auto [first, added] = seen.emplace(name, i);
                if (added) continue;
                wrong(at(to_string(kind), i, "name"), name, "another name",
                      fmt::format("there is {} {} already", with_article(kind), quoted(name)),
                      at(to_string(kind), first->second, "name"));
            }
            names_[static_cast<std::size_t>(kind)] = std::move(seen);
        });
    }

    void check_name_form(std::string path, const std::string& name) {
        if (is_name(name)) return;
        wrong(std::move(path), name, "1 to 63 of a-z, 0-9 and \"-\", with no \"-\" at the ends",
              fmt::format("{} is no name", quoted(name)));
    }

    [[nodiscard]] std::optional<std::size_t> index_of(Kind kind, std::string_view name) const {
        const auto& names = names_[static_cast<std::size_t>(kind)];
        const auto found = names.find(name);
        if (found == names.end()) return std::nullopt;
        return found->second;
    }

    template <typename T>
    [[nodiscard]] const T* object(Kind kind, std::string_view name) const {
        const auto index = index_of(kind, name);
        return index ? &objects<T>(state_)[*index] : nullptr;
    }

    // References, wherever fields.h declares one, however deep.
    void check_references() {
        check_references_of(state_.gateway, "gateway");
        visit_kinds([this](Kind kind, auto objects_of_kind) {
            const auto& list = state_.*objects_of_kind;
            for (std::size_t i = 0; i < list.size(); ++i)
                check_references_of(list[i], at(to_string(kind), i));
        });
    }

    template <Described T>
    void check_references_of(const T& owner, const std::string& path) {
        visit_fields<T>([&](const auto& field) {
            using Value = typename std::remove_cvref_t<decltype(field)>::Value;
            if constexpr (std::is_same_v<Value, std::string> ||
                          std::is_same_v<Value, std::vector<std::string>> ||
                          std::is_same_v<Value, std::optional<std::string>>) {
                if (field.refers_to) check_reference(field.get(owner), *field.refers_to, path, field.name);
            } else {
                check_references_in(field.get(owner), path, field.name);
            }
        });
    }

    template <typename T>
    void check_references_in(const T&, const std::string&, std::string_view) {}

    template <Described T>
    void check_references_in(const std::vector<T>& list, const std::string& path, std::string_view field) {
        for (std::size_t i = 0; i < list.size(); ++i) {
            check_references_of(list[i], fmt::format("{}.{}[{}]", path, field, i));
        }
    }

    template <Described T>
    void check_references_in(const std::optional<std::vector<T>>& list, const std::string& path,
                             std::string_view field) {
        if (list) check_references_in(*list, path, field);
    }

    void check_reference(const std::string& name, Kind kind, const std::string& path,
                         std::string_view field) {
        if (name.empty()) return;  // not given; whether it had to be is another rule
        if (!index_of(kind, name)) dangling(fmt::format("{}.{}", path, field), name, kind);
    }

    void check_reference(const std::optional<std::string>& name, Kind kind, const std::string& path,
                         std::string_view field) {
        if (name && !name->empty() && !index_of(kind, *name))
            dangling(fmt::format("{}.{}", path, field), *name, kind);
    }

    void check_reference(const std::vector<std::string>& names, Kind kind, const std::string& path,
                         std::string_view field) {
        std::map<std::string_view, std::size_t> seen;
        for (std::size_t i = 0; i < names.size(); ++i) {
            std::string here = fmt::format("{}.{}[{}]", path, field, i);
            const auto [first, added] = seen.emplace(names[i], i);
            if (!added) {
                wrong(std::move(here), names[i], "each name once",
                      fmt::format("{} {} is listed twice", word_for(kind), quoted(names[i])),
                      fmt::format("{}.{}[{}]", path, field, first->second));
            } else if (!index_of(kind, names[i])) {
                dangling(std::move(here), names[i], kind);
            }
        }
    }

    void dangling(std::string path, const std::string& name, Kind kind) {
        const auto& names = names_[static_cast<std::size_t>(kind)];
        constexpr std::size_t shown = 8;
        std::string expected;
        std::size_t listed = 0;
        for (const auto& [known, index] : names) {
            if (listed == shown) break;
            expected += fmt::format("{}{}", listed++ == 0 ? "" : ", ", known);
        }
        if (names.empty()) {
            expected = fmt::format("the name of {}, of which there are none", with_article(kind));
        } else if (names.size() > 1) {
            expected = fmt::format("one of {}{}", expected, names.size() > shown ? ", …" : "");
        }
        // The whole list is what it is at odds with: while that could not be read, nothing is said.
        wrong(std::move(path), name, std::move(expected),
              fmt::format("there is no {} {}", word_for(kind), quoted(name)), std::string(to_string(kind)));
    }

    // That `name`, if it is known, belongs to the VPC `vpc`.
    template <typename T>
    void check_same_vpc(std::string path, Kind kind, const std::string& name, const std::string& vpc) {
        const T* target = object<T>(kind, name);
        if (target == nullptr || vpc.empty() || target->vpc == vpc) return;
        wrong(std::move(path), name, fmt::format("one of VPC {}", quoted(vpc)),
              fmt::format("{} {} belongs to VPC {}", word_for(kind), quoted(name), quoted(target->vpc)),
              at(to_string(kind), *index_of(kind, name), "vpc"));
    }

    void check_gateway() {
        const Gateway& gateway = state_.gateway;
        if (gateway.flow_capacity < flow_capacity_least || gateway.flow_capacity > flow_capacity_most) {
            wrong("gateway.flow_capacity", fmt::format("{}", gateway.flow_capacity),
                  fmt::format("{} to {}", flow_capacity_least, flow_capacity_most),
                  fmt::format("{} is out of bounds", gateway.flow_capacity));
        }
        std::map<std::string_view, std::size_t> seen;
        for (std::size_t i = 0; i < gateway.devices.size(); ++i) {
            const Device& device = gateway.devices[i];
            check_device(device, i);
            const auto [first, added] = seen.emplace(device.device, i);
            if (!added) {
                wrong(at("gateway.devices", i, "device"), device.device,
                      "each device once (role: both makes a gateway with one arm)",
                      fmt::format("device {} is listed twice", quoted(device.device)),
                      at("gateway.devices", first->second, "device"));
            }
        }
    }

    void check_device(const Device& device, std::size_t index) {
        const auto allowed = [](char c) { return c > ' ' && c < 127 && c != '/' && c != ':'; };
        if (device.device.empty() || device.device.size() > interface_name_most || device.device == "." ||
            device.device == ".." || !std::ranges::all_of(device.device, allowed)) {
            wrong(at("gateway.devices", index, "device"), device.device,
                  "1 to 15 printable characters without spaces, \"/\" and \":\"",
                  fmt::format("{} is no name of a network interface", quoted(device.device)));
        }
        const std::string path = at("gateway.devices", index, "vpc");
        const std::string role_path = at("gateway.devices", index, "role");
        if (device.role == DeviceRole::outside && !device.vpc.empty()) {
            wrong(path, device.vpc, "no vpc, or another role",
                  fmt::format("device {} is outside and belongs to no VPC", quoted(device.device)),
                  role_path);
        }
        if (device.role != DeviceRole::outside && device.vpc.empty()) {
            wrong(path, "", "the VPC behind it",
                  fmt::format("device {} has the role {} and no vpc", quoted(device.device),
                              to_string(device.role)),
                  role_path);
        }
    }

    void check_special_use(std::string path, const Ipv4Prefix& prefix) {
        const char* use = special_use(prefix);
        if (use == nullptr) return;
        wrong(std::move(path), prefix.to_string(), "a prefix of unicast addresses",
              fmt::format("{} overlaps with {}", prefix.to_string(), use));
    }

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
            check_same_vpc<RouteTable>(at("subnets", i, "route_table"), Kind::route_tables,
                                       subnet.route_table, subnet.vpc);
            for (std::size_t j = 0; j < subnet.security_groups.size(); ++j) {
                check_same_vpc<SecurityGroup>(fmt::format("subnets[{}].security_groups[{}]", i, j),
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
            if (vpc != nullptr) check_not_local(*vpc, route.destination, path("destination", i));
            if (const auto* nat = std::get_if<ToNatGateway>(&route.target)) {
                check_same_vpc<NatGateway>(path("nat_gateway", i), Kind::nat_gateways, nat->name, table.vpc);
            } else if (const auto* internet = std::get_if<ToInternetGateway>(&route.target)) {
                check_same_vpc<InternetGateway>(path("internet_gateway", i), Kind::internet_gateways,
                                                internet->name, table.vpc);
            } else if (const auto* via = std::get_if<Via>(&route.target)) {
                check_host_address(path("via", i), via->address);
            }
        }
    }

    void check_not_local(const Vpc& vpc, const Ipv4Prefix& destination, std::string path) {
        const auto cidr = std::ranges::find(vpc.cidrs, destination);
        if (cidr == vpc.cidrs.end()) return;
        wrong(std::move(path), destination.to_string(), "a shorter or a longer prefix",
              fmt::format("{} is a prefix of VPC {} itself and always local", destination.to_string(),
                          quoted(vpc.name)),
              fmt::format("vpcs[{}].cidrs[{}]", *index_of(Kind::vpcs, vpc.name), cidr - vpc.cidrs.begin()));
    }

    void check_host_address(std::string path, Ipv4Address address) {
        const char* use = special_use(Ipv4Prefix(address, 32));
        if (use == nullptr) return;
        wrong(std::move(path), address.to_string(), "a unicast address",
              fmt::format("{} is {}", address.to_string(), use));
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

    void check_elastic_ips() {
        std::map<Ipv4Address, std::size_t> addresses;
        std::map<std::string_view, std::size_t> instances;
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
            if (elastic_ip.instance.empty()) continue;
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
                const auto [first, added] = users_.emplace(name, std::pair{i, j});
                const auto [first_gateway, first_position] = first->second;
                if (added || first_gateway == i) continue;
                wrong(fmt::format("nat_gateways[{}].elastic_ips[{}]", i, j), name,
                      "one NAT gateway for each Elastic IP",
                      fmt::format("Elastic IP {} is used by NAT gateway {} already", quoted(name),
                                  quoted(state_.nat_gateways[first_gateway].name)),
                      fmt::format("nat_gateways[{}].elastic_ips[{}]", first_gateway, first_position));
            }
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

    void check_ports_and_rules(const NatGateway& gateway, std::size_t index) {
        if (gateway.port_range.first == 0 || gateway.port_range.first > gateway.port_range.last) {
            wrong(at("nat_gateways", index, "port_range"), gateway.port_range.to_string(),
                  "a range within 1-65535",
                  fmt::format("ports {} cannot be used", gateway.port_range.to_string()));
        }
        check_mapping(gateway.mapping, at("nat_gateways", index, "mapping"));
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

    void check_instances() {
        std::map<std::pair<std::string_view, Ipv4Address>, std::size_t> seen;
        for (std::size_t i = 0; i < state_.instances.size(); ++i) {
            const Instance& instance = state_.instances[i];
            const Subnet* subnet = object<Subnet>(Kind::subnets, instance.subnet);
            if (subnet == nullptr) continue;
            const std::string path = at("instances", i, "address");
            if (!subnet->cidr.contains(instance.address)) {
                wrong(path, instance.address.to_string(),
                      fmt::format("an address of {}", subnet->cidr.to_string()),
                      fmt::format("{} is outside of subnet {}", instance.address.to_string(),
                                  quoted(subnet->name)),
                      at("subnets", *index_of(Kind::subnets, subnet->name), "cidr"));
            }
            const auto [first, added] =
                seen.emplace(std::pair{std::string_view(subnet->vpc), instance.address}, i);
            if (!added) {
                wrong(path, instance.address.to_string(), "an address of its own for each instance of a VPC",
                      fmt::format("instance {} has the address {} already",
                                  quoted(state_.instances[first->second].name), instance.address.to_string()),
                      at("instances", first->second, "address"));
            }
            for (std::size_t j = 0; j < instance.security_groups.size(); ++j) {
                check_same_vpc<SecurityGroup>(fmt::format("instances[{}].security_groups[{}]", i, j),
                                              Kind::security_groups, instance.security_groups[j],
                                              subnet->vpc);
            }
        }
    }

    void check_security_groups() {
        for (std::size_t i = 0; i < state_.security_groups.size(); ++i) {
            const SecurityGroup& group = state_.security_groups[i];
            check_rules(group, group.ingress, at("security_groups", i, "ingress"));
            if (!group.egress) continue;
            check_rules(group, *group.egress, at("security_groups", i, "egress"));
            // Refused, where other things that are not in force only warn: what these rules are to keep in
            // would be let out.
            wrong(at("security_groups", i, "egress"), "egress", "no egress key: everything may leave",
                  "egress rules are not yet in force in this version and would not hold anything back");
        }
    }

    void check_rules(const SecurityGroup& group, const std::vector<SecurityGroupRule>& rules,
                     const std::string& path) {
        for (std::size_t i = 0; i < rules.size(); ++i) {
            const SecurityGroupRule& rule = rules[i];
            if (rule.ports && (!rule.protocol || *rule.protocol == Protocol::icmp)) {
                wrong(at(path, i, "ports"), rule.ports->to_string(), "protocol: tcp or protocol: udp",
                      fmt::format("ports mean nothing {}", rule.protocol ? "for icmp" : "without a protocol"),
                      at(path, i, "protocol"));
            }
            if (const auto* peer = std::get_if<std::string>(&rule.peer)) {
                check_same_vpc<SecurityGroup>(at(path, i, "security_group"), Kind::security_groups, *peer,
                                              group.vpc);
            }
        }
    }

    void check_port_forwards() {
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
        const Vpc* vpc = object<Vpc>(Kind::vpcs, state_.nat_gateways[user->second.first].vpc);
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

    const DesiredState& state_;
    std::vector<Fault> faults_;
    std::array<std::map<std::string_view, std::size_t>, all_kinds.size()> names_;
    // Which NAT gateway has an Elastic IP, and where in its list.
    std::map<std::string_view, std::pair<std::size_t, std::size_t>> users_;
};

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

std::vector<Fault> validate(const DesiredState& state) {
    return Validation(state).run();
}

std::vector<Fault> warnings(const DesiredState& state) {
    std::vector<Fault> faults;
    warn_of_devices(state.gateway, faults);
    warn_of_subnets(state, faults);
    warn_of_elastic_ips(state, faults);
    warn_of_nat_gateways(state, faults);
    auto vain = not_in_force(state);
    std::ranges::move(vain, std::back_inserter(faults));
    return faults;
}

}  // namespace sallyport::model

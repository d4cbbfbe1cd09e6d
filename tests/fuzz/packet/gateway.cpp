// SPDX-License-Identifier: Apache-2.0
#include "packet/gateway.h"

#include <arpa/inet.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>

namespace sallyport::fuzz {
namespace {

constexpr std::uint64_t start_ns = 5'000'000'000'000;
constexpr std::uint16_t first_port_of_host = 32768;
constexpr std::uint16_t units = 60;  // of a timeout, for most

struct Device {
    std::uint32_t ifindex;
    Ipv4Address address;
    std::uint16_t mtu;
    std::uint16_t zone;
    device_role role;
    std::array<std::uint8_t, 6> mac;
};
constexpr std::array<Device, 3> all_devices{{
    {10, Ipv4Address(10, 0, 0, 1), 1500, 1, DEVICE_INSIDE, {2, 0, 0, 0, 0, 0x0a}},
    {11, Ipv4Address(198, 51, 100, 1), 1500, 0, DEVICE_OUTSIDE, {2, 0, 0, 0, 0, 0x0b}},
    {12, Ipv4Address(198, 51, 100, 2), 1400, 2, DEVICE_BOTH, {2, 0, 0, 0, 0, 0x0c}},
}};

struct Neighbour {
    Ipv4Address address;
    std::uint8_t slot;
    std::uint8_t number;  // of its next hop; 0: the agent has not noticed it
    bool resolved;
};
constexpr std::array<Neighbour, 8> neighbours{{
    {Ipv4Address(198, 51, 100, 254), outside_slot, 1, true},
    {Ipv4Address(10, 0, 0, 11), inside_slot, 2, true},
    {Ipv4Address(10, 0, 0, 12), inside_slot, 3, true},
    {Ipv4Address(10, 1, 0, 11), both_slot, 4, true},
    {Ipv4Address(198, 51, 100, 253), both_slot, 5, true},
    {Ipv4Address(10, 0, 0, 13), inside_slot, 6, false},
    {Ipv4Address(10, 0, 1, 11), inside_slot, 0, true},
    {Ipv4Address(10, 1, 0, 12), both_slot, 0, false},
}};

bool forwarding = true, neighbours_known = true, overlapping = false;

std::array<std::uint8_t, 6> mac_of_neighbour(Ipv4Address address) {
    const std::uint32_t value = address.value();
    return {2,
            1,
            static_cast<std::uint8_t>(value >> 24),
            static_cast<std::uint8_t>(value >> 16),
            static_cast<std::uint8_t>(value >> 8),
            static_cast<std::uint8_t>(value)};
}

// The host's routing table. Where VPCs overlap, it takes the one for the other unless it is told the device.
long route(struct bpf_fib_lookup* fib, std::uint32_t flags) {
    if (!forwarding) return BPF_FIB_LKUP_RET_FWD_DISABLED;
    Ipv4Address to(ntohl(fib->ipv4_dst));
    const std::uint32_t value = to.value();
    const bool told = (flags & BPF_FIB_LOOKUP_OUTPUT) != 0;
    std::uint8_t slot = outside_slot;
    if (value >> 24 == 10) {
        const bool second = value >> 16 == (10 << 8 | 1);
        slot = second != (overlapping && !told) ? both_slot : inside_slot;
        if (told && fib->ifindex != all_devices[slot].ifindex) return BPF_FIB_LKUP_RET_NOT_FWDED;
    } else if (to == Ipv4Address(203, 0, 113, 20)) {
        slot = both_slot;
        to = Ipv4Address(198, 51, 100, 253);
    } else if (value >> 8 == 0xc00002) {  // 192.0.2.0/24
        return BPF_FIB_LKUP_RET_UNREACHABLE;
    } else if (value >> 8 == 0xc61264) {  // 198.18.100.0/24, by a device that is none of ours
        fib->ifindex = 99;
        return BPF_FIB_LKUP_RET_SUCCESS;
    } else if (value >> 8 != 0xc63364) {  // 198.51.100.0/24 is on the link
        to = Ipv4Address(198, 51, 100, 254);
    }
    fib->ifindex = all_devices[slot].ifindex;
    fib->ipv4_dst = to.to_network();
    const auto known = std::ranges::find(neighbours, to, &Neighbour::address);
    if (known == neighbours.end() || !known->resolved || !neighbours_known) return BPF_FIB_LKUP_RET_NO_NEIGH;
    std::memcpy(fib->dmac, mac_of_neighbour(to).data(), 6);
    std::memcpy(fib->smac, all_devices[slot].mac.data(), 6);
    return BPF_FIB_LKUP_RET_SUCCESS;
}

std::uint32_t net(std::uint32_t value) {
    return htonl(value);
}

void put_device(std::uint8_t slot, std::uint16_t mtu) {
    const Device& device = all_devices[slot];
    struct device value {};
    value.ifindex = device.ifindex;
    value.address = device.address.to_network();
    value.mtu = mtu;
    value.replies_per_second = 1000;
    value.zone = device.zone;
    value.role = static_cast<std::uint8_t>(device.role);
    if (overlapping && device.zone != 0) value.flags = DEVICE_AMBIGUOUS;
    std::ranges::copy(device.mac, value.mac);
    *host_device(slot) = value;
    host_transmit(slot, device.ifindex);
}

void put_next_hop(const Neighbour& neighbour, std::uint16_t mtu, next_hop_state state) {
    if (neighbour.number == 0) return;
    struct next_hop value {};
    value.ifindex = all_devices[neighbour.slot].ifindex;
    value.address = neighbour.address.to_network();
    value.mtu = mtu;
    value.device = neighbour.slot;
    value.state = static_cast<std::uint8_t>(state);
    std::ranges::copy(mac_of_neighbour(neighbour.address), value.destination_mac);
    std::ranges::copy(all_devices[neighbour.slot].mac, value.source_mac);
    *host_next_hop(neighbour.number) = value;
}
void put_internet_gateway() {
    struct nat_gateway value {};
    value.flags = NAT_GATEWAY_IN_USE | NAT_GATEWAY_CLAMP_MSS | NAT_GATEWAY_HAIRPIN;
    std::ranges::fill(value.timeouts, units);
    value.timeouts[TIMEOUT_TCP_ESTABLISHED] = 4 * units;
    std::ranges::fill(value.mapping, static_cast<std::uint8_t>(ADDRESS_AND_PORT_DEPENDENT));
    std::ranges::fill(value.filtering, static_cast<std::uint8_t>(ADDRESS_AND_PORT_DEPENDENT));
    *host_nat_gateway(INTERNET_GATEWAY_FIRST) = value;
}

void put_next_hops(std::uint16_t outside_mtu, next_hop_state state) {
    for (const Neighbour& neighbour : neighbours)
        put_next_hop(neighbour,
                     neighbour.slot == outside_slot ? outside_mtu : all_devices[neighbour.slot].mtu,
                     neighbour.resolved ? state : NEXT_HOP_UNRESOLVED);
}

struct Subnet {
    std::uint16_t zone;
    Ipv4Prefix prefix;
    std::uint32_t route_table;
};
constexpr std::array<Subnet, 3> subnets{{
    {1, {Ipv4Address(10, 0, 0, 0), 24}, 1},
    {1, {Ipv4Address(10, 0, 1, 0), 24}, 2},
    {2, {Ipv4Address(10, 1, 0, 0), 24}, 3},
}};
const Subnet* subnet_with(Ipv4Address instance) {
    const auto found =
        std::ranges::find_if(subnets, [&](const Subnet& subnet) { return subnet.prefix.contains(instance); });
    return found == subnets.end() ? nullptr : &*found;
}

std::uint16_t zone_of(Ipv4Address instance) {
    const Subnet* subnet = subnet_with(instance);
    return subnet == nullptr ? std::uint16_t{0} : subnet->zone;
}

// Those that may have what instances have of their own.
constexpr std::array<Ipv4Address, 4> owners{Ipv4Address(10, 0, 0, 11), Ipv4Address(10, 0, 0, 12),
                                            Ipv4Address(10, 1, 0, 11), Ipv4Address(10, 0, 1, 11)};

struct Rule {
    std::uint8_t protocol;  // 0: any
    std::uint16_t first, last;
    Ipv4Prefix remote;
    std::uint16_t group = 0;  // of an instance that is the remote; nobody outside has one
};
constexpr Ipv4Prefix everything(Ipv4Address(0, 0, 0, 0), 0);
constexpr Ipv4Prefix servers(Ipv4Address(203, 0, 113, 0), 24);

const std::array<std::vector<Rule>, 8> sets_of_rules{{
    {},
    {{0, 0, 65535, everything}},
    {{6, 0, 65535, everything}, {17, 0, 65535, everything, 1}},
    {{17, 5000, 5000, servers}},
    {{6, 443, 443, everything}, {17, 53, 53, everything}},
    {{1, 0, 65535, servers}},
    {{0, 0, 65535, Ipv4Prefix(Ipv4Address(203, 0, 113, 10), 32)}},
    {{6, 5001, 65534, Ipv4Prefix(Ipv4Address(198, 51, 100, 0), 24)}, {0, 0, 1022, servers}},
}};
constexpr std::size_t all_allowed = 1;

std::uint16_t put_rules(security_rule* to, const std::vector<Rule>& rules) {
    for (const Rule& rule : rules) {
        const std::uint8_t length = rule.remote.length();
        *to++ = {rule.remote.address().to_network(),
                 length == 0 ? 0 : net(~0U << (32 - length)),
                 rule.first,
                 rule.last,
                 rule.protocol,
                 0,
                 rule.group};
    }
    return static_cast<std::uint16_t>(rules.size());
}

security_group_list list_of(unsigned groups) {
    security_group_list list{};
    for (std::uint16_t number = 0; number < 2; ++number)
        if (groups & 1u << number) list.number[list.count++] = number;
    return list;
}

// The length of a prefix of ports; all ranges are one.
std::uint32_t port_prefix(std::uint16_t first, std::uint16_t last) {
    std::uint32_t length = 16;
    for (unsigned ports = last - first + 1u; ports > 1; ports /= 2) --length;
    return length;
}

}  // namespace

Gateway::Gateway() {
    const std::uint32_t seed[4] = {0x1234567, 0x89abcdef, 42, 7};
    host_programs_load(seed, 1);
    host_fib_lookup = route;

    // What never changes.
    add_route(1, {Ipv4Address(10, 0, 0, 0), 16}, ROUTE_LOCAL, 0);
    add_route(1, {Ipv4Address(198, 18, 1, 0), 24}, ROUTE_NAT_GATEWAY, 2);
    add_route(1, {Ipv4Address(198, 18, 2, 0), 24}, ROUTE_NAT_GATEWAY, 3);
    add_route(1, {Ipv4Address(198, 18, 3, 0), 24}, ROUTE_BLACKHOLE, 0);
    for (const auto& prefix : {Ipv4Address(10, 0, 0, 0), Ipv4Address(10, 1, 0, 0)}) {
        const prefix_key key{16, prefix.to_network()};
        host_private_prefix(&key, 1);
    }
    for (const Device& device : all_devices) host_local_address(device.address.to_network(), 1);
    for (const Neighbour& neighbour : neighbours) {
        const neighbour_key key{all_devices[neighbour.slot].ifindex, neighbour.address.to_network()};
        const std::uint32_t number = neighbour.number;
        if (number != 0) host_neighbour(&key, &number);
    }
}

void Gateway::configure() {
    struct settings& settings = *host_settings();
    settings = {};
    settings.next_hops_valid_until = static_cast<std::uint32_t>((start_ns >> FLOW_TICK_SHIFT) + (1u << 20));
    settings.drop_events_until = settings.next_hops_valid_until;
    settings.generation = 1;
    overlapping = false;
    for (std::size_t slot = 0; slot < all_devices.size(); ++slot)
        put_device(static_cast<std::uint8_t>(slot), all_devices[slot].mtu);
    put_next_hops(1500, NEXT_HOP_RESOLVED);
    forwarding = neighbours_known = true;
    mapping_changed_ = false;
    settings.fragments_held_until = settings.next_hops_valid_until ^ 1u << 31;  // no agent takes them
    for (std::uint32_t number = 0; number < 4; ++number) {
        put_nat_gateway(number);
        *host_limits_of(number) = {};
    }
    put_internet_gateway();
    owner_.reset();
    draining_.fill(false);
    instance_groups_.clear();
    put_instances();
    for (std::size_t place = 0; place < elastic_ips.size(); ++place) {
        forward(place, {});
        if (shared_[place]) share(place, false);
        bind(place, true);
    }
    for (std::size_t place = 0; place < subnets.size(); ++place) {
        subnet_groups_[place] = 0;
        put_subnet(place);
    }
    put_group(0, all_allowed, all_allowed);
    put_group(1, 0, 0);
    add_route(1, everything, ROUTE_NAT_GATEWAY, 0);
    add_route(2, servers, ROUTE_NAT_GATEWAY, 1);
    add_route(3, everything, ROUTE_NAT_GATEWAY, 1);
    remove_route(1, servers);
}

void Gateway::add_route(std::uint32_t table, Ipv4Prefix to, route_target target, std::uint16_t index,
                        Ipv4Address via) {
    const route_key key{32u + to.length(), net(table), to.address().to_network()};
    const struct route value { static_cast<std::uint16_t>(target), index, via.to_network() };
    host_route(&key, &value);
    routes_[{table, to}] = value;
}

void Gateway::remove_route(std::uint32_t table, Ipv4Prefix to) {
    const route_key key{32u + to.length(), net(table), to.address().to_network()};
    host_route(&key, nullptr);
    routes_.erase({table, to});
}

void Gateway::put_nat_gateway(std::uint32_t number) {
    struct nat_gateway value {};
    value.flags = NAT_GATEWAY_CLAMP_MSS | NAT_GATEWAY_HAIRPIN;
    if (number != 3) value.flags |= NAT_GATEWAY_IN_USE;
    value.first_port = number == 1 ? 2000 : 1024;
    value.last_port = number == 1 ? 2003 : 65535;
    std::ranges::fill(value.timeouts, units);
    value.timeouts[TIMEOUT_TCP_ESTABLISHED] = 4 * units;
    value.mapping[NAT_TCP] = number == 0 ? ADDRESS_AND_PORT_DEPENDENT : ENDPOINT_INDEPENDENT;
    value.mapping[NAT_UDP] = ENDPOINT_INDEPENDENT;
    value.mapping[NAT_ICMP] = number == 0 ? ENDPOINT_INDEPENDENT : ADDRESS_AND_PORT_DEPENDENT;
    std::ranges::fill(value.filtering, static_cast<std::uint8_t>(ADDRESS_AND_PORT_DEPENDENT));
    *host_nat_gateway(number) = value;
}

// The first two Elastic IPs are NAT gateway 0's, unless an instance has the second; the third is 1's.
void Gateway::bind(std::size_t place, bool bound) {
    bound_[place] = bound;
    const Ipv4Address address = elastic_ips[place];
    elastic_ip value{};
    value.nat_gateway = nat_gateway_of(address);
    value.on_link_device = outside_slot;
    value.identifier = static_cast<std::uint32_t>(place);
    if (forwards_[place]) value.flags |= ELASTIC_IP_FORWARDS_PORTS;
    if (draining_[place]) value.flags |= ELASTIC_IP_DRAINING;
    if (shared_[place]) value.flags |= ELASTIC_IP_SHARED_WITH_HOST;
    if (value.nat_gateway == INTERNET_GATEWAY_FIRST) {
        value.instance = owner_->to_network();
        value.zone = zone_of(*owner_);
    }
    host_elastic_ip(address.to_network(), bound ? &value : nullptr);
    for (std::uint16_t number = 0; number < 2; ++number) {
        struct nat_gateway& gateway = *host_nat_gateway(number);
        gateway.elastic_ip_count = 0;
        gateway.flags &= ~static_cast<std::uint32_t>(NAT_GATEWAY_FORWARDS_PORTS);
        for (std::size_t i = 0; i < elastic_ips.size(); ++i) {
            if (nat_gateway_of(elastic_ips[i]) != number) continue;
            if (forwards_[i]) gateway.flags |= NAT_GATEWAY_FORWARDS_PORTS;
            if (bound_[i] && !draining_[i])
                gateway.elastic_ips[gateway.elastic_ip_count++] = elastic_ips[i].to_network();
        }
    }
}

// The host listens at two of the four ports that NAT gateway 1 gives, and takes half of all for itself.
void Gateway::share(std::size_t place, bool shared) {
    static const struct host_ports ports = [] {
        struct host_ports made {};
        made.word[2000 / 64] = std::uint64_t{1} << 2000 % 64 | std::uint64_t{1} << 2002 % 64;
        for (std::size_t word = first_port_of_host / 64; word < PORT_SET_WORDS; ++word) {
            made.word[word] = ~std::uint64_t{0};
            made.block[word / 64] |= std::uint64_t{1} << word % 64;
        }
        made.version = 1;
        return made;
    }();
    flow_entry any{};
    shared_[place] = shared;
    shared_from_start_[place] = shared && host_entries(&any, 1) == 0;
    host_ports_of_host(elastic_ips[place].to_network(), shared ? &ports : nullptr);
    host_local_address(elastic_ips[place].to_network(), shared);
    bind(place, bound_[place]);
}

bool Gateway::is_shared(Ipv4Address address) const {
    const auto found = std::ranges::find(elastic_ips, address);
    const auto place = static_cast<std::size_t>(found - elastic_ips.begin());
    return found != elastic_ips.end() && bound_[place] && shared_[place];
}

bool Gateway::is_kept_for_host(Ipv4Address address, std::uint16_t port) const {
    const auto found = std::ranges::find(elastic_ips, address);
    const auto place = static_cast<std::size_t>(found - elastic_ips.begin());
    return found != elastic_ips.end() && shared_from_start_[place] &&
           (port == 2000 || port == 2002 || port >= first_port_of_host);
}

std::uint16_t Gateway::nat_gateway_of(Ipv4Address elastic_ip) const {
    if (elastic_ip == elastic_ips[2]) return 1;
    return elastic_ip == elastic_ips[1] && owner_ ? INTERNET_GATEWAY_FIRST : 0;
}

// For TCP and UDP.
void Gateway::forward(std::size_t place, const std::optional<Forward>& forward) {
    const auto put = [&](const Forward& of, bool there) {
        for (const std::uint8_t protocol : {std::uint8_t{6}, std::uint8_t{17}}) {
            const std::uint32_t length = port_prefix(of.first, of.last);
            const std::uint16_t zone = zone_of(of.to.address);
            const port_forward_key key{48 + length, elastic_ips[place].to_network(), protocol, 0,
                                       htons(of.first)};
            const port_forward value{of.to.address.to_network(), zone, of.first, of.to.port, 0};
            host_port_forward(&key, there ? &value : nullptr);
            const forwarded_endpoint_key endpoint{
                64 + length, zone, protocol, 0, of.to.address.to_network(), htons(of.to.port), 0};
            const forwarded_endpoint leads{elastic_ips[place].to_network(), of.to.port, of.first};
            host_forwarded_endpoint(&endpoint, there ? &leads : nullptr);
        }
    };
    if (forwards_[place]) put(*forwards_[place], false);
    forwards_[place] = forward;
    if (forward) put(*forward, true);
}

void Gateway::put_instances() {
    for (const Ipv4Address address : owners) {
        const instance_key key{zone_of(address), address.to_network()};
        instance value{};
        if (owner_ == address) value.elastic_ip = elastic_ips[1].to_network();
        value.groups = list_of(groups_of(address));
        host_instance(&key, value.elastic_ip != 0 || instance_groups_.contains(address) ? &value : nullptr);
    }
}

void Gateway::put_subnet(std::size_t place) {
    const Subnet& subnet = subnets[place];
    const subnet_key key{32u + subnet.prefix.length(), net(subnet.zone),
                         subnet.prefix.address().to_network()};
    const struct subnet value {
        subnet.route_table, subnet.route_table, SUBNET_HAS_INSTANCES, list_of(subnet_groups_[place])
    };
    host_subnet(&key, &value);
}

void Gateway::put_group(std::size_t number, std::size_t ingress, std::size_t egress) {
    static security_group value;
    value = {};
    value.ingress_count = put_rules(value.ingress, sets_of_rules[ingress]);
    value.egress_count = put_rules(value.egress, sets_of_rules[egress]);
    host_security_group(static_cast<std::uint32_t>(number), &value);
    groups_[number] = {ingress, egress};
}

void Gateway::new_generation() {
    host_settings()->generation++;
}

void Gateway::reset() {
    host_now_ns = start_ns;
    if (changed_) configure();
    changed_ = false;
    for (int world = 0; world < HOST_WORLDS; ++world) {
        host_world_use(world);
        host_world_forget();
    }
}

const Run& Gateway::run(int world, std::uint8_t slot, bool express, const Bytes& frame,
                        std::uint64_t random) {
    host_world_use(world);
    host_processor.random = random | 1;
    const host_run ran = host_run_packet(all_devices[slot].role, slot, express, frame.data(), frame.size());
    Run& run = runs_[static_cast<std::size_t>(world)];
    run.action = ran.action;
    run.frame.assign(ran.frame, ran.frame + ran.bytes);
    run.egress = ran.egress;
    return run;
}

void Gateway::change(std::uint8_t what, std::uint8_t value) {
    changed_ = true;
    struct nat_gateway& gateway = *host_nat_gateway(value & 1u);
    const auto rule = static_cast<std::uint8_t>(value / 2 % 3);
    const auto protocol = value / 8 % NAT_PROTOCOLS;
    struct host_limits& limits = *host_limits_of(value & 1u);
    const auto limit = [&](std::uint32_t& of_host) {
        gateway.flags |= NAT_GATEWAY_LIMITS;
        of_host = value / 2 % 8;
        new_generation();
    };
    switch (what % 24) {
        case 0:
            new_generation();
            break;
        case 1:
        case 2: {
            const std::size_t place = value % elastic_ips.size();
            if (what % 24 == 2 && (value & 0xc0) == 0x40) {
                share(place == 1 ? 0 : place, !shared_[place == 1 ? 0 : place]);
                new_generation();
                break;
            }
            const bool drain = what % 24 == 2 && value & 0x80;
            if (drain) draining_[place] = !draining_[place];
            bind(place, drain == bound_[place]);
            new_generation();
            break;
        }
        case 3:
            if (value % 4 == 3)
                add_route(1, servers, ROUTE_VIA, 0, Ipv4Address(10, 0, 0, 12));
            else if (value & 1)
                add_route(1, servers, ROUTE_BLACKHOLE, 0);
            else
                remove_route(1, servers);
            new_generation();
            break;
        case 4:
            add_route(1, everything, ROUTE_NAT_GATEWAY, value & 1u);
            new_generation();
            break;
        case 5:
            gateway.mapping[protocol] = rule;
            mapping_changed_ = true;
            new_generation();
            break;
        case 6:
            gateway.filtering[protocol] = rule;
            mapping_changed_ = true;  // of a flow alone, where others than its remote may send to its port
            new_generation();
            break;
        case 7:
            // All but "in use", and but what the Elastic IPs say.
            gateway.flags ^=
                (1u << (1 + value / 2 % 15)) & ~static_cast<std::uint32_t>(NAT_GATEWAY_FORWARDS_PORTS);
            new_generation();
            break;
        case 8:
            gateway.port_quarantine = value;
            gateway.port_quarantine_max = value & 2 ? 2 : 0;
            gateway.icmp_on_exhaustion = value / 4 % 3;
            if (value & 0xc0) break;
            gateway.flags ^= NAT_GATEWAY_IN_USE;
            new_generation();
            break;
        case 9:  // from a port on, so many, and sometimes in blocks
            gateway.first_port = static_cast<std::uint16_t>(1024 + value);
            gateway.last_port = static_cast<std::uint16_t>(gateway.first_port + value / 4);
            gateway.port_block_size = value % 3 == 0 ? PORT_BLOCK_SIZE_MIN : 0;
            gateway.port_blocks_max = static_cast<std::uint16_t>(1 + value % 2);
            gateway.port_block_hold = static_cast<std::uint16_t>(1 + value % 5);
            new_generation();
            break;
        case 10:
            gateway.timeouts[value / 2 % TIMEOUT_CLASSES] = static_cast<std::uint16_t>(1 + value);
            new_generation();
            break;
        case 11: {
            const auto mtu = static_cast<std::uint16_t>(value & 1 ? 576 : 68 + value * 8);
            put_device(outside_slot, mtu);
            put_next_hops(mtu, NEXT_HOP_RESOLVED);
            new_generation();
            break;
        }
        case 12:
            host_settings()->next_hops_valid_until ^= 1u << 31;
            break;
        case 13:
            forwarding = value & 1;
            overlapping = (value & 3) == 3;
            for (std::uint8_t slot = 0; slot < all_devices.size(); ++slot)
                put_device(slot, all_devices[slot].mtu);
            new_generation();
            break;
        case 14:
            neighbours_known = value & 1;
            put_next_hops(1500, value & 2   ? NEXT_HOP_UNREACHABLE
                                : value & 1 ? NEXT_HOP_RESOLVED
                                            : NEXT_HOP_UNRESOLVED);
            break;
        case 15:
            host_settings()->drop_events_until ^= 1u << 31;
            break;
        case 16:
            limit(limits.flows);
            break;
        case 17:
            limit(limits.ports);
            break;
        case 18:
            limit(limits.new_flows_per_second);
            break;
        case 19:
            limit(limits.flows_per_mapping);
            break;
        case 20:
            host_settings()->unanswered_capacity = value % 8;
            break;
        case 21:
            host_settings()->fragments_held_until ^= 1u << 31;
            break;
        case 22:
            lead_inside(value);
            new_generation();
            break;
        default:
            secure(value);
            new_generation();
            break;
    }
}

// A port forward, an Elastic IP of an instance's own, or a route to the internet gateway comes or goes.
void Gateway::lead_inside(std::uint8_t value) {
    const auto bits = [value](unsigned from, unsigned count) { return value >> from & ((1u << count) - 1); };
    const Ipv4Address instance = owners[bits(4, 2)];
    switch (bits(0, 2)) {
        case 0:
        case 3: {
            constexpr std::array<std::pair<std::uint16_t, std::uint16_t>, 4> ranges{
                {{5000, 5001}, {443, 443}, {53, 53}, {2000, 2003}}};
            const auto [first, last] = ranges[bits(2, 2)];
            const std::size_t place = bits(0, 2) == 0 ? 0 : 2;
            const std::uint16_t to = bits(6, 1) ? 5000 : first;
            const auto last_to = static_cast<std::uint16_t>(to + (last - first));
            // No endpoint of an instance has two external ones.
            const bool taken = std::ranges::any_of(forwards_, [&](const auto& other) {
                return other && other->to.address == instance && other->to.port <= last_to &&
                       other->to.port + (other->last - other->first) >= to;
            });
            if (forwards_[place])
                forward(place, {});
            else if (!taken)
                forward(place, Forward{first, last, {instance, to}});
            bind(place, bound_[place]);
            break;
        }
        case 1:
            if (owner_)
                owner_.reset();
            else
                owner_ = instance;
            put_instances();
            bind(1, bound_[1]);
            break;
        default: {
            const bool internet = bits(4, 1);
            const std::uint32_t table = bits(2, 2) == 0 ? 1 : bits(2, 2);
            const Ipv4Prefix& to = bits(2, 2) % 2 ? (bits(2, 2) == 3 ? everything : servers)
                                                  : (table == 1 ? everything : servers);
            if (internet)
                add_route(table, to, ROUTE_INTERNET_GATEWAY, INTERNET_GATEWAY_FIRST);
            else if (table == 1 && to == servers)
                remove_route(table, to);
            else
                add_route(table, to, ROUTE_NAT_GATEWAY, table == 1 ? 0 : 1);
            break;
        }
    }
}

// Security groups of a subnet or of an instance, or the rules of one.
void Gateway::secure(std::uint8_t value) {
    switch (value % 4) {
        case 0:
            subnet_groups_[value / 16 % subnets.size()] = value / 4 % 4;
            for (std::size_t place = 0; place < subnets.size(); ++place) put_subnet(place);
            put_instances();
            break;
        case 1: {
            const Ipv4Address instance = owners[value / 4 % 4];
            if (value & 64)
                instance_groups_.erase(instance);
            else
                instance_groups_[instance] = value / 16 % 4;
            put_instances();
            break;
        }
        default:
            put_group(value % 4 - 2, value / 4 % 8, value / 32 % 8);
            break;
    }
}

bool Gateway::is_elastic_ip(Ipv4Address address) const {
    for (std::size_t i = 0; i < elastic_ips.size(); ++i)
        if (bound_[i] && elastic_ips[i] == address) return true;
    return false;
}

bool Gateway::is_ambiguous() {
    return overlapping;
}

bool Gateway::is_draining(Ipv4Address address) const {
    const auto found = std::ranges::find(elastic_ips, address);
    return found != elastic_ips.end() && draining_[static_cast<std::size_t>(found - elastic_ips.begin())];
}

endpoint_rule Gateway::filtering_of(Ipv4Address elastic_ip, std::uint8_t protocol) const {
    const nat_gateway& gateway = *host_nat_gateway(nat_gateway_of(elastic_ip));
    const auto index = protocol == 6 ? NAT_TCP : protocol == 17 ? NAT_UDP : NAT_ICMP;
    return static_cast<endpoint_rule>(gateway.filtering[index]);
}

bool Gateway::is_own(Ipv4Address elastic_ip) const {
    return owner_ && elastic_ip == elastic_ips[1];
}

std::optional<Endpoint> Gateway::led_inside(std::uint8_t protocol, Endpoint external) const {
    for (std::size_t place = 0; place < elastic_ips.size(); ++place) {
        if (!bound_[place] || elastic_ips[place] != external.address) continue;
        if (is_own(external.address)) return Endpoint{*owner_, external.port};
        const auto& forward = forwards_[place];
        if (!forward || (protocol != 6 && protocol != 17)) continue;
        if (external.port < forward->first || external.port > forward->last) continue;
        return Endpoint{forward->to.address,
                        static_cast<std::uint16_t>(forward->to.port + (external.port - forward->first))};
    }
    return {};
}

std::optional<Endpoint> Gateway::static_external(std::uint8_t protocol, Endpoint instance) const {
    if (owner_ == instance.address && bound_[1] && !draining_[1])
        return Endpoint{elastic_ips[1], instance.port};
    if (protocol != 6 && protocol != 17) return {};
    for (std::size_t place = 0; place < elastic_ips.size(); ++place) {
        const auto& forward = forwards_[place];
        if (!bound_[place] || draining_[place] || !forward || forward->to.address != instance.address)
            continue;
        const int further = instance.port - forward->to.port;
        if (further < 0 || further > forward->last - forward->first) continue;
        return Endpoint{elastic_ips[place], static_cast<std::uint16_t>(forward->first + further)};
    }
    return {};
}

const struct route* Gateway::route_to(Ipv4Address instance, Ipv4Address remote) const {
    const Subnet* subnet = subnet_with(instance);
    if (subnet == nullptr) return nullptr;
    const struct route* best = nullptr;
    std::uint8_t length = 0;
    for (const auto& [key, route] : routes_)
        if (key.first == subnet->route_table && key.second.contains(remote) &&
            (best == nullptr || key.second.length() >= length)) {
            best = &route;
            length = key.second.length();
        }
    return best;
}

bool Gateway::routes(Ipv4Address instance, Ipv4Address remote, Ipv4Address elastic_ip) const {
    const struct route* best = route_to(instance, remote);
    if (best == nullptr) return false;
    if (is_own(elastic_ip))
        return owner_ == instance &&
               (best->target == ROUTE_NAT_GATEWAY || best->target == ROUTE_INTERNET_GATEWAY);
    return best->target == ROUTE_NAT_GATEWAY && best->index == nat_gateway_of(elastic_ip);
}

bool Gateway::leads_via_router(Ipv4Address source, Ipv4Address destination) const {
    const struct route* route = route_to(source, destination);
    return route != nullptr && route->target == ROUTE_VIA;
}

bool Gateway::is_inside(std::uint8_t slot, Ipv4Address one, Ipv4Address other) {
    const std::uint16_t zone = all_devices[slot].zone;
    return zone != 0 && zone_of(one) == zone && zone_of(other) == zone && one != other;
}

bool Gateway::allows_inside(std::uint8_t protocol, Ipv4Address opener, Ipv4Address answerer,
                            std::uint16_t called) const {
    const Groups sending = groups_of(opener), receiving = groups_of(answerer);
    return (sending == 0 || rule_allows(sending, false, {protocol, called, answerer, receiving})) &&
           (receiving == 0 || rule_allows(receiving, true, {protocol, called, opener, sending}));
}

Gateway::Groups Gateway::groups_of(Ipv4Address instance) const {
    if (const auto own = instance_groups_.find(instance); own != instance_groups_.end()) return own->second;
    const Subnet* subnet = subnet_with(instance);
    return subnet == nullptr ? 0 : subnet_groups_[static_cast<std::size_t>(subnet - subnets.data())];
}

bool Gateway::rule_allows(Groups groups, bool inward, const Asked& asked) const {
    for (std::size_t number = 0; number < groups_.size(); ++number) {
        if (!(groups & 1u << number)) continue;
        const std::size_t rules = inward ? groups_[number].ingress : groups_[number].egress;
        for (const Rule& rule : sets_of_rules[rules])
            if ((rule.protocol == 0 || rule.protocol == asked.protocol) && rule.first <= asked.called &&
                asked.called <= rule.last && rule.remote.contains(asked.remote) &&
                (rule.group == 0 || asked.groups_of_remote & 1u << rule.group))
                return true;
    }
    return false;
}

// Whoever is outside has no groups.
bool Gateway::rule_allows(const Ends& ends, bool inward) const {
    constexpr std::uint16_t echo_request = 8 << 8;
    const std::uint16_t called = ends.protocol == 1 ? echo_request
                                 : inward           ? ends.instance.port
                                                    : ends.remote.port;
    return rule_allows(groups_of(ends.instance.address), inward,
                       {ends.protocol, called, ends.remote.address, 0});
}

bool Gateway::lets_out(const Ends& ends) const {
    return groups_of(ends.instance.address) == 0 || rule_allows(ends, false);
}

bool Gateway::lets_in(const Ends& ends, Ipv4Address elastic_ip) const {
    return groups_of(ends.instance.address) == 0 ? !is_own(elastic_ip) : rule_allows(ends, true);
}

Role Gateway::role_of(std::uint8_t slot) {
    return slot == inside_slot ? Role::inside : slot == outside_slot ? Role::outside : Role::both;
}

const std::array<std::uint8_t, 6>& Gateway::mac_of(std::uint8_t slot) {
    return all_devices[slot].mac;
}

}  // namespace sallyport::fuzz

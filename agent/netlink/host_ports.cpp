// SPDX-License-Identifier: Apache-2.0
#include "netlink/host_ports.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "core/file.h"

namespace sallyport::netlink {
namespace {

constexpr std::size_t digits_of_word = 8;
constexpr std::uint32_t mapped_prefix = 0xffff;  // of ::ffff:a.b.c.d
constexpr std::string_view blanks = " \t\n";

// Takes the next word off the text.
std::string_view next_word(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(blanks));
    text.remove_prefix(word.size());
    return word;
}

template <typename Number>
std::optional<Number> number_of(std::string_view text, int base) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// Words of 32 bits in the machine's order, each of four bytes in network order.
enum class Reach { ipv4, ipv6_alone, unreadable };
Reach address_of(std::string_view text, Ipv4Address& address) {
    if (text.size() != digits_of_word && text.size() != 4 * digits_of_word) return Reach::unreadable;
    std::array<std::uint32_t, 4> words{0, 0, htonl(mapped_prefix), 0};
    const std::size_t first = text.size() == digits_of_word ? 3 : 0;
    for (std::size_t i = first; i < words.size(); ++i) {
        const auto word =
            number_of<std::uint32_t>(text.substr((i - first) * digits_of_word, digits_of_word), 16);
        if (!word) return Reach::unreadable;
        words[i] = *word;
    }
    const bool is_any = words == std::array<std::uint32_t, 4>{};
    if (!is_any && (words[0] != 0 || words[1] != 0 || words[2] != htonl(mapped_prefix)))
        return Reach::ipv6_alone;
    address = Ipv4Address::from_network(words[3]);
    return Reach::ipv4;
}

Result<PortRange> parse_ephemeral(std::string_view text) {
    const auto first = number_of<std::uint16_t>(next_word(text), 10);
    const auto last = number_of<std::uint16_t>(next_word(text), 10);
    if (!first || !last || *first > *last) return failure("no range of ports");
    return PortRange{*first, *last};
}

Result<std::vector<PortRange>> parse_reserved(std::string_view text) {
    std::vector<PortRange> ranges;
    text = next_word(text);
    while (!text.empty()) {
        const std::string_view one = text.substr(0, text.find(','));
        text.remove_prefix(std::min(one.size() + 1, text.size()));
        const auto range = PortRange::parse(one);
        if (!range) return tl::make_unexpected(range.error());
        ranges.push_back(*range);
    }
    return ranges;
}

bool any_holds(const std::vector<PortRange>& ranges, std::uint16_t port) {
    return std::ranges::any_of(ranges, [port](const PortRange& range) { return range.contains(port); });
}

// Does what is sent to the address come to the socket?
bool takes(const BoundPort& socket, Ipv4Address address) {
    return socket.address == address || socket.address == Ipv4Address();
}

}  // namespace

void HostPorts::add(const HostSocket& socket) {
    const std::uint16_t port = socket.local.port;
    if (socket.listens || !ephemeral.contains(port) || any_holds(reserved, port)) bound.insert(socket.local);
}

std::vector<PortRange> HostPorts::on(Ipv4Address address) const {
    std::vector<PortRange> ranges = reserved;
    if (ephemeral.last != 0) ranges.push_back(ephemeral);
    for (const BoundPort& one : bound) {
        if (takes(one, address)) ranges.push_back({one.port, one.port});
    }
    return joined(std::move(ranges));
}

std::optional<std::uint16_t> HostPorts::first_bound(Ipv4Address address, const PortRange& ports) const {
    std::optional<std::uint16_t> first;
    for (const BoundPort& one : bound) {
        if (takes(one, address) && ports.contains(one.port) && (!first || one.port < *first))
            first = one.port;
    }
    return first;
}

Result<std::set<HostSocket>> parse_sockets(std::string_view text) {
    std::set<HostSocket> sockets;
    text.remove_prefix(std::min(text.find('\n'), text.size()));  // the headings
    while (!text.empty()) {
        text.remove_prefix(1);
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(line.size());
        if (next_word(line).empty()) continue;
        const std::string_view local = next_word(line);
        next_word(line);  // the other end
        const auto state = number_of<std::uint8_t>(next_word(line), 16);
        const std::size_t colon = local.find(':');
        HostSocket socket;
        const Reach reach = address_of(local.substr(0, colon), socket.local.address);
        const auto port = colon == std::string_view::npos
                              ? std::nullopt
                              : number_of<std::uint16_t>(local.substr(colon + 1), 16);
        if (reach == Reach::unreadable || !port || !state)
            return failure("\"" + std::string(local) + "\" is no socket");
        socket.local.port = *port;
        socket.listens = *state == TCP_LISTEN;
        if (reach == Reach::ipv4 && *port != 0) sockets.insert(socket);
    }
    return sockets;
}

Result<HostPorts> read_host_ports(const std::string& proc) {
    HostPorts ports;
    const auto read = [](const std::string& path, auto parse, auto& into) -> Result<void> {
        const auto text = read_file(path);
        if (!text) return tl::make_unexpected(text.error());
        auto parsed = parse(*text);
        if (!parsed) return failure_within(path, parsed.error());
        into = std::move(*parsed);
        return {};
    };
    const std::string settings = proc + "/sys/net/ipv4/ip_local_";
    if (auto done = read(settings + "port_range", parse_ephemeral, ports.ephemeral); !done)
        return tl::make_unexpected(done.error());
    if (auto done = read(settings + "reserved_ports", parse_reserved, ports.reserved); !done)
        return tl::make_unexpected(done.error());
    for (const char* table : {"tcp", "udp", "tcp6", "udp6"}) {
        std::set<HostSocket> sockets;
        const auto done = read(proc + "/thread-self/net/" + table, parse_sockets, sockets);
        if (!done && done.error().code == ENOENT && std::string_view(table).ends_with('6'))
            continue;  // this kernel does without IPv6
        if (!done) return tl::make_unexpected(done.error());
        for (const HostSocket& socket : sockets) ports.add(socket);
    }
    return ports;
}

}  // namespace sallyport::netlink

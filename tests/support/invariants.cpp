// SPDX-License-Identifier: Apache-2.0
#include "support/invariants.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

namespace sallyport::support {
namespace {

using View = std::span<const std::uint8_t>;

constexpr std::uint8_t tcp_protocol = 6, udp_protocol = 17, icmp_protocol = 1;
constexpr std::size_t icmp_header = 8;

bool is_multicast_or_broadcast(Ipv4Address address) {
    return address.value() >> 28 >= 14;
}

std::uint64_t sum_of_drops(const struct counters& counters) {
    std::uint64_t sum = 0;
    for (std::uint64_t drops : counters.drops) sum += drops;
    return sum;
}

std::uint64_t translated(const struct counters& counters) {
    std::uint64_t sum = 0;
    for (const nat_gateway_counters& gateway : counters.nat_gateways)
        sum += gateway.out_packets + gateway.in_packets;
    return sum;
}

// The sum of a transport header and all behind it, as far as it is there: 0xffff where it is right, and the
// same before and after a translation in any case. Zero where no checksum covers it.
std::uint16_t transport_sum(const Ipv4View& ip) {
    std::uint32_t pseudo = 0;
    if (ip.later_fragment()) return 0;
    if (ip.protocol() == tcp_protocol || ip.protocol() == udp_protocol) {
        if (ip.protocol() == udp_protocol && (ip.transport.size() < 8 || get16(ip.transport, 6) == 0))
            return 0;
        pseudo = pseudo_header_sum(ip.source(), ip.destination(), ip.protocol(),
                                   get16(ip.all, 2) - ip.header.size());
        // In a quote other things may stand where TCP's checksum would be (RFC 4884).
        if (ip.protocol() == tcp_protocol && (ip.transport.size() < 20 || ip.transport[12] >> 4 < 5))
            return 0;
    } else if (ip.protocol() != icmp_protocol) {
        return 0;
    }
    auto sum = static_cast<std::uint16_t>(~internet_checksum(ip.transport, pseudo));
    return sum == 0 ? 0xffff : sum;
}

// Addresses that a header's options record: record route, timestamps, source routes.
std::vector<Ipv4Address> recorded_addresses(const Ipv4View& ip) {
    std::vector<Ipv4Address> found;
    View options = ip.options();
    for (std::size_t at = 0; at < options.size();) {
        std::uint8_t type = options[at];
        if (type == 0) break;
        if (type == 1) {
            at++;
            continue;
        }
        if (at + 2 > options.size() || options[at + 1] < 2 || at + options[at + 1] > options.size()) break;
        std::size_t end = at + options[at + 1];
        // Timestamps have a flag that says whether addresses stand between them.
        bool stamps = type == 68 && at + 4 <= end && (options[at + 3] & 15) != 0;
        std::size_t first = at + (type == 68 ? 4u : 3u), step = type == 68 ? 8 : 4;
        if (type == 7 || type == 131 || type == 137 || stamps)
            for (std::size_t field = first; field + 4 <= end; field += step)
                found.emplace_back(get32(options, field));
        at = end;
    }
    return found;
}

struct Judge {
    const Surroundings& surroundings;
    const Passage& passage;
    Faults faults;

    void expect(bool fine, int invariant, const std::string& text) {
        if (!fine) faults.push_back(fmt::format("INV-{}: {}", invariant, text));
    }

    void expect_public(Ipv4Address address, const char* where) {
        expect(!surroundings.is_private(address), 1,
               fmt::format("{} leaves in {}", address.to_string(), where));
    }

    void nothing_private(const Ipv4View& ip, const std::string& prefix = "") {
        expect_public(ip.source(), (prefix + "a source").c_str());
        expect_public(ip.destination(), (prefix + "a destination").c_str());
        for (Ipv4Address address : recorded_addresses(ip))
            expect_public(address, (prefix + "an option").c_str());
        if (ip.is_icmp_error())
            if (auto quoted = Ipv4View::of(ip.transport.subspan(icmp_header), true))
                nothing_private(*quoted, prefix + "a quote's ");
    }

    // INV-2. `part`: of what; quotes are judged by the same rule.
    void checksums_as_before(const Ipv4View& in, const Ipv4View& out, const std::string& part) {
        expect((internet_checksum(in.header) == 0) == (internet_checksum(out.header) == 0), 2,
               part + "IPv4 header's checksum changed sides");
        expect(internet_checksum(out.header) != 0 || get16(out.header, 10) != 0xffff, 2,
               part + "IPv4 header's checksum is 0xffff");
        std::uint16_t before = transport_sum(in), after = transport_sum(out);
        if (in.all.size() == get16(in.all, 2)) {  // else the checksum covers more than is there
            expect(
                before == after, 2,
                fmt::format("{}transport checksum: sum {:#06x} before, {:#06x} after", part, before, after));
        }
    }

    // INV-5, of one packet or one quote. `fresh_id`: the identification may have been written anew.
    void unchanged_but_for_addresses(const Ipv4View& in, const Ipv4View& out, const std::string& part) {
        if (in.header.size() != out.header.size() || in.all.size() != out.all.size()) {
            expect(false, 5, part + "length changed");
            return;
        }
        bool atomic = in.dont_fragment() && !in.fragment();
        std::vector<std::uint8_t> may(in.all.size());  // bytes that may differ
        auto allow = [&may](std::size_t from, std::size_t count) {
            for (std::size_t at = from; at < from + count && at < may.size(); at++) may[at] = 1;
        };
        if (!atomic) allow(4, 2);  // decision C12
        allow(8, 1);               // TTL: INV-4
        allow(10, 10);             // header checksum, addresses
        std::size_t at = in.header.size();
        if (!in.later_fragment()) {
            if (in.protocol() == tcp_protocol) {
                allow(at, 4);
                allow(at + 16, 2);
                allow_lower_mss(in, out, allow);
            } else if (in.protocol() == udp_protocol) {
                allow(at, 4);
                allow(at + 6, 2);
            } else if (in.protocol() == icmp_protocol) {
                allow(at + 2, 2);
                if (in.is_icmp_error())
                    allow(at + icmp_header, in.all.size());  // judged as a quote
                else
                    allow(at + 4, 2);
            }
        }
        for (std::size_t i = 0; i < in.all.size(); i++)
            if (!may[i] && in.all[i] != out.all[i]) {
                expect(false, 5,
                       fmt::format("{}byte {} was {:#04x} and is {:#04x}", part, i, in.all[i], out.all[i]));
                return;
            }
    }

    template <typename Allow>
    static void allow_lower_mss(const Ipv4View& in, const Ipv4View& out, const Allow& allow) {
        View tcp = in.transport;
        if (tcp.size() < 20 || !(tcp[13] & syn)) return;
        std::size_t end = std::min<std::size_t>((tcp[12] >> 4) * std::size_t{4}, tcp.size());
        for (std::size_t at = 20; at + 1 < end;) {
            if (tcp[at] == 0) return;
            if (tcp[at] == 1) {
                at++;
                continue;
            }
            if (tcp[at + 1] < 2) return;
            if (tcp[at] == 2 && tcp[at + 1] == 4 && at + 4 <= end &&
                get16(out.transport, at + 2) <= get16(tcp, at + 2))
                allow(in.header.size() + at + 2, 2);
            at += tcp[at + 1];
        }
    }

    void translation(const Ipv4View& in, const Ipv4View& out, Fate fate,
                     const std::vector<flow_entry>* flows) {
        bool leaves_outside = !surroundings.is_private(out.destination());
        bool translated = std::ranges::none_of(surroundings.untranslated, [&out](const Ipv4Prefix& prefix) {
            return prefix.contains(out.destination());
        });
        if (leaves_outside && translated) nothing_private(out);
        if (fate == Fate::forwarded) {
            expect(in.ttl() == out.ttl() + 1 && out.ttl() >= 1, 4,
                   fmt::format("TTL was {} and is {}", in.ttl(), out.ttl()));
            leaves_by_the_right_device(leaves_outside);
        } else {
            expect(in.ttl() == out.ttl(), 4, "TTL changed before the host's stack lowers it");
        }
        checksums_as_before(in, out, "");
        unchanged_but_for_addresses(in, out, "");
        if (!out.is_icmp_error()) return;
        auto quoted_in = Ipv4View::of(in.transport.subspan(icmp_header), true);
        auto quoted_out = Ipv4View::of(out.transport.subspan(icmp_header), true);
        if (!quoted_in || !quoted_out) {
            expect(false, 3, "an error without a quote was translated");
            return;
        }
        checksums_as_before(*quoted_in, *quoted_out, "the quoted ");
        unchanged_but_for_addresses(*quoted_in, *quoted_out, "the quote's ");
        // Extensions (RFC 4884) and whatever else lies behind the quoted packet.
        View rest_in = in.transport.subspan(icmp_header + quoted_in->all.size());
        View rest_out = out.transport.subspan(icmp_header + quoted_out->all.size());
        expect(std::ranges::equal(rest_in, rest_out), 5, "what lies behind the quote changed");
        error(out);
        expect(internet_checksum(quoted_in->header) != 0 || internet_checksum(quoted_out->header) == 0, 3,
               "the quoted IPv4 header's checksum is wrong");
        if (flows) quotes_what_was_sent(*quoted_out, *flows);
    }

    void error(const Ipv4View& out) {
        auto quoted = Ipv4View::of(out.transport.subspan(icmp_header), true);
        if (!quoted) {
            expect(false, 3, "an error quotes nothing");
            return;
        }
        expect(out.destination() == quoted->source(), 3,
               fmt::format("an error about {}'s packet goes to {}", quoted->source().to_string(),
                           out.destination().to_string()));
    }

    // The receiver of the error has a flow of that tuple: a key of the table, as its own packets have it.
    void quotes_what_was_sent(const Ipv4View& quoted, const std::vector<flow_entry>& flows) {
        if (quoted.later_fragment() || quoted.transport.size() < icmp_header) return;
        std::uint16_t from = get16(quoted.transport, 0), to = get16(quoted.transport, 2);
        if (quoted.protocol() == icmp_protocol) {
            std::uint16_t id = get16(quoted.transport, 4);
            from = quoted.transport[0] == 8 ? id : 0;
            to = quoted.transport[0] == 8 ? 0 : id;
        }
        bool found = std::ranges::any_of(flows, [&](const flow_entry& entry) {
            const flow_key& key = entry.key;
            auto either = [&](std::uint32_t has, std::uint32_t wanted) {
                return has == wanted || has == 0 || key.kind == FLOW_KIND_MAPPING;
            };
            return key.protocol == quoted.protocol() && ntohl(key.source) == quoted.source().value() &&
                   ntohs(key.source_port) == from &&
                   either(ntohl(key.destination), quoted.destination().value()) &&
                   either(ntohs(key.destination_port), to);
        });
        // The other side of a flow knows the tuple by its reverse entry's key, which begins with the remote.
        found = found || std::ranges::any_of(flows, [&](const flow_entry& entry) {
                    return entry.key.protocol == quoted.protocol() && entry.key.source == 0 &&
                           ntohl(entry.key.destination) == quoted.destination().value() &&
                           ntohs(entry.key.destination_port) == to;
                });
        expect(found, 3,
               fmt::format("an error quotes {}:{} > {}:{}, which nobody sent", quoted.source().to_string(),
                           from, quoted.destination().to_string(), to));
    }

    void leaves_by_the_right_device(bool outside) {
        if (passage.role == Role::both || passage.out.size() < 12) return;
        for (std::size_t slot = 0; slot < surroundings.devices.size(); slot++) {
            const Surroundings::Device& device = surroundings.devices[slot];
            if (!std::equal(device.mac.begin(), device.mac.end(), passage.out.begin() + 6)) continue;
            expect(device.role == Role::both || device.role == (outside ? Role::outside : Role::inside), 6,
                   "a packet leaves by the wrong device");
            expect(slot != passage.slot() || passage.role == Role::inside, 6,
                   "a packet is reflected to where it came from");
            return;
        }
        expect(false, 6, "a packet leaves with a source MAC of no device");
    }

    // What the gateway itself said about a packet.
    void reply(const Ipv4View& in, const Ipv4View& out) {
        expect(!in.is_icmp_error(), 10, "an ICMP error was answered");
        expect(!in.later_fragment(), 10, "a later fragment was answered");
        expect(!is_multicast_or_broadcast(in.destination()) && !(passage.in[0] & 1), 10,
               "a broadcast or multicast was answered");
        expect(!is_multicast_or_broadcast(in.source()) && in.source().value() >> 24 != 0 &&
                   in.source().value() >> 24 != 127,
               10, "an answer went to " + in.source().to_string());
        expect(internet_checksum(in.header) == 0, 10, "a packet with a wrong header checksum was answered");
        expect(in.protocol() != tcp_protocol || out.protocol() != tcp_protocol || in.transport.size() < 20 ||
                   !(in.transport[13] & rst),
               10, "a RST was answered by a RST");
        expect(out.destination() == in.source(), 3, "a reply goes elsewhere");
        expect(out.ttl() >= 32, 4, fmt::format("a reply sets out with TTL {}", out.ttl()));
        expect(internet_checksum(out.header) == 0, 2, "a reply's IPv4 header checksum is wrong");
        expect(transport_sum(out) == 0xffff, 2, "a reply's checksum is wrong");
        // What it quotes is what came in, byte for byte: whatever stands in it, the remote has put there.
        if (passage.role == Role::outside) {
            expect_public(out.source(), "a source");
            expect_public(out.destination(), "a destination");
            expect(out.options().empty(), 1, "a reply has options");
        }
        if (!out.is_icmp_error()) return;
        View quote = out.transport.subspan(icmp_header);
        expect(quote.size() <= in.all.size() && std::ranges::equal(quote, in.all.first(quote.size())), 3,
               "an error does not quote the packet as it came");
        error(out);
    }

    // All that changes is the TTL, and what follows from it.
    void relay(const Ipv4View& in, const Ipv4View& out) {
        constexpr std::size_t ttl = 8, checksum = 10;
        expect(passage.role != Role::outside, 1, "a packet from outside was sent on as it is");
        Bytes expected(in.all.begin(), in.all.end());
        expect(expected[ttl] > 1, 5, "a packet outlived its time");
        --expected[ttl];
        expected[checksum] = out.all[checksum];
        expected[checksum + 1] = out.all[checksum + 1];
        expect(std::ranges::equal(expected, out.all), 5, "a packet that is sent on inside was changed");
        expect(Packet::checksum_faults(passage.out).empty() || !Packet::checksum_faults(passage.in).empty(),
               2, "a checksum of a packet that is sent on is wrong");
    }
};

}  // namespace

bool Surroundings::is_private(Ipv4Address address) const {
    return std::ranges::any_of(private_prefixes,
                               [&](const auto& prefix) { return prefix.contains(address); });
}

Fate Passage::fate() const {
    const device_counters &b = before.devices[slot()], &a = after.devices[slot()];
    if (a.forwarded != b.forwarded)
        return translated(after) != translated(before) ? Fate::forwarded : Fate::relayed;
    if (a.answered != b.answered) return Fate::answered;
    if (a.held != b.held) return Fate::held;
    if (a.dropped != b.dropped) return action == XDP_DROP ? Fate::dropped : Fate::refused;
    // One that has turned around and is the host's after all was counted by its sender's flow, and is as it
    // came.
    if (a.passed != b.passed)
        return translated(after) != translated(before) && out != in ? Fate::passed : Fate::untouched;
    return Fate::none;
}

Faults counter_faults(const struct counters& before, const struct counters& after) {
    Faults faults;
    std::uint64_t dropped = 0;
    for (std::size_t slot = 0; slot < DEVICES_MAX; slot++) {
        const device_counters &a = after.devices[slot], &b = before.devices[slot];
        std::uint64_t received = a.received_packets - b.received_packets;
        std::uint64_t ended = (a.forwarded - b.forwarded) + (a.passed - b.passed) + (a.dropped - b.dropped) +
                              (a.answered - b.answered) + (a.held - b.held);
        dropped += a.dropped - b.dropped;
        if (received != ended)
            faults.push_back(
                fmt::format("INV-9: device {} received {} packets and ended {}", slot, received, ended));
    }
    std::uint64_t reasons = sum_of_drops(after) - sum_of_drops(before);
    if (dropped != reasons)
        faults.push_back(fmt::format("INV-9: {} packets were dropped for {} reasons", dropped, reasons));
    return faults;
}

Faults packet_faults(const Surroundings& surroundings, const Passage& passage,
                     const std::vector<flow_entry>* flows) {
    Judge judge{surroundings, passage, counter_faults(passage.before, passage.after)};
    Fate fate = passage.fate();
    const device_counters &before = passage.before.devices[passage.slot()],
                          &after = passage.after.devices[passage.slot()];
    judge.expect(after.received_packets - before.received_packets == 1, 9,
                 "one frame was not counted as one");
    if (fate == Fate::dropped || fate == Fate::refused)
        judge.expect(passage.after.drops[DROP_REASON_NONE] == passage.before.drops[DROP_REASON_NONE], 9,
                     "a drop without a reason");
    if (fate == Fate::none || fate == Fate::dropped || fate == Fate::held) return judge.faults;
    if (fate == Fate::untouched) {
        judge.expect(passage.in == passage.out, 5, "a packet that is the host's was changed");
        return judge.faults;
    }
    auto in = Ipv4View::of_frame(passage.in), out = Ipv4View::of_frame(passage.out);
    if (!in || !out) {
        judge.expect(!in && fate == Fate::answered, 2, "what left is no whole IPv4 packet");  // ARP
        return judge.faults;
    }
    if (fate == Fate::relayed) {
        judge.relay(*in, *out);
        return judge.faults;
    }
    if (fate == Fate::forwarded || fate == Fate::passed)
        judge.translation(*in, *out, fate, flows);
    else
        judge.reply(*in, *out);
    return judge.faults;
}

namespace {

using Endpoint = std::pair<std::uint32_t, std::uint16_t>;  // network order, as keys have it
using KeyOfFlow = std::tuple<std::uint32_t, std::uint32_t, std::uint16_t, std::uint16_t, std::uint8_t,
                             std::uint8_t, std::uint16_t>;

KeyOfFlow comparable(const flow_key& key) {
    return {key.source,   key.destination, key.source_port, key.destination_port,
            key.protocol, key.kind,        key.zone};
}

std::string text(const flow_key& key) {
    return fmt::format("{}:{} > {}:{} protocol {} kind {} zone {}",
                       Ipv4Address(ntohl(key.source)).to_string(), ntohs(key.source_port),
                       Ipv4Address(ntohl(key.destination)).to_string(), ntohs(key.destination_port),
                       key.protocol, key.kind, key.zone);
}

// The endpoints of a packet as keys have them, and as the address alone where the ports are not there.
void add_endpoints(std::set<Endpoint>& to, const Ipv4View& ip) {
    std::uint16_t from = 0, destination = 0;
    if (!ip.later_fragment() && ip.transport.size() >= 8) {
        if (ip.protocol() == icmp_protocol) {
            std::memcpy(ip.transport[0] == 8 ? &from : &destination, ip.transport.data() + 4, 2);
        } else {
            std::memcpy(&from, ip.transport.data(), 2);
            std::memcpy(&destination, ip.transport.data() + 2, 2);
        }
    }
    to.insert({ip.source().to_network(), from});
    to.insert({ip.destination().to_network(), destination});
    to.insert({ip.source().to_network(), 0});
    to.insert({ip.destination().to_network(), 0});
}

}  // namespace

Faults timer_faults(const Passage& passage, const std::vector<flow_entry>& before,
                    const std::vector<flow_entry>& after) {
    Faults faults;
    std::set<Endpoint> own{{0, 0}};
    Fate fate = passage.fate();
    auto in = Ipv4View::of_frame(passage.in), out = Ipv4View::of_frame(passage.out);
    bool may_move = (fate == Fate::forwarded || fate == Fate::passed) && in && out && !in->is_icmp_error();
    // A hairpin that is refused on its way in was sent nevertheless: its sender has used its own flow.
    bool was_sent = (fate == Fate::dropped || fate == Fate::refused) && in && !in->is_icmp_error() &&
                    translated(passage.after) != translated(passage.before);
    if (may_move || was_sent) add_endpoints(own, *in);
    if (may_move) add_endpoints(own, *out);
    std::map<KeyOfFlow, const flow_entry*> earlier;
    for (const flow_entry& entry : before) earlier[comparable(entry.key)] = &entry;
    for (const flow_entry& entry : after) {
        auto found = earlier.find(comparable(entry.key));
        if (found == earlier.end() || found->second->flow_id != entry.flow_id) continue;
        const flow_entry& was = *found->second;
        if (entry.key.kind == FLOW_KIND_BLOCK) continue;  // lives by its references, not by packets
        if (was.last_seen == entry.last_seen && was.timeout == entry.timeout && was.state == entry.state &&
            was.packets == entry.packets)
            continue;
        if ((may_move || was_sent) && own.contains({entry.key.source, entry.key.source_port}) &&
            own.contains({entry.key.destination, entry.key.destination_port}))
            continue;
        faults.push_back(fmt::format(
            "INV-14: {} moved the timer of {}",
            may_move || was_sent ? "a packet of another flow" : "a packet that may not", text(entry.key)));
    }
    return faults;
}

Faults table_faults(const std::vector<flow_entry>& entries, std::optional<std::uint32_t> now) {
    Faults faults;
    auto past = [now](const flow_entry& entry) {
        return now && static_cast<std::int32_t>(*now - entry.last_seen) > entry.timeout
                                                                              << FLOW_TICKS_PER_TIMEOUT_SHIFT;
    };
    std::map<KeyOfFlow, const flow_entry*> by_key;
    for (const flow_entry& entry : entries)
        if (!by_key.emplace(comparable(entry.key), &entry).second)
            faults.push_back("INV-7: two entries have the key " + text(entry.key));

    // By key without the zone: the other direction's zone is not said.
    std::multimap<KeyOfFlow, const flow_entry*> by_tuple;
    auto tuple_of = [](flow_key key) {
        key.zone = 0;
        return comparable(key);
    };
    for (const flow_entry& entry : entries) by_tuple.emplace(tuple_of(entry.key), &entry);

    using External = std::tuple<std::uint32_t, std::uint16_t, std::uint8_t>;
    std::map<External, Endpoint> owner;  // of what an endpoint-independent mapping holds
    // By the mapping's flow_id, which a reverse entry has. It is random, and among many two may be equal.
    std::map<std::pair<std::uint32_t, External>, std::uint32_t> users;
    auto external_of = [](const flow_entry& forward) {
        return External{forward.new_address, forward.new_port, forward.key.protocol};
    };
    for (const flow_entry& entry : entries) {
        if (entry.key.kind != FLOW_KIND_FLOW && entry.key.kind != FLOW_KIND_MAPPING) continue;
        bool forward = entry.flags & FLOW_FORWARD;
        // The other direction's key: seen from the other side, everything is reversed and translated.
        flow_key peer = entry.key;
        std::swap(peer.source, peer.destination);
        std::swap(peer.source_port, peer.destination_port);
        (forward ? peer.destination : peer.source) = entry.new_address;
        (forward ? peer.destination_port : peer.source_port) = entry.new_port;
        auto other_way = [&](const flow_key& key) {
            auto [first, last] = by_tuple.equal_range(tuple_of(key));
            auto found = std::find_if(first, last, [&](const auto& other) {
                return other.second->flow_id == entry.flow_id &&
                       (other.second->flags & FLOW_FORWARD) != (entry.flags & FLOW_FORWARD);
            });
            return found == last ? nullptr : found->second;
        };
        if (entry.key.kind == FLOW_KIND_MAPPING && forward) peer.source = peer.source_port = 0;
        const flow_entry* other = other_way(peer);
        if (!other && entry.key.kind == FLOW_KIND_MAPPING && !forward) {  // of one flow alone
            peer.destination = entry.key.destination;
            peer.destination_port = entry.key.destination_port;
            other = other_way(peer);
        }
        if (!other) faults.push_back("INV-8: nothing goes the other way of " + text(entry.key));
        if (!forward && entry.key.kind == FLOW_KIND_FLOW && entry.flags & FLOW_MAPPED)
            users[{entry.references,
                   External{entry.key.destination, entry.key.destination_port, entry.key.protocol}}]++;
        if (!forward) continue;
        Endpoint internal{entry.key.source, entry.key.source_port};
        bool lives = !past(entry) || (other && !past(*other));
        if (lives && (entry.key.kind == FLOW_KIND_MAPPING || entry.flags & FLOW_MAPPED)) {
            auto held = owner.emplace(external_of(entry), internal).first;
            if (held->second != internal)
                faults.push_back("INV-7: two internal endpoints own the external one of " + text(entry.key));
        }
    }
    // Where ports are given out in blocks, a port is of one of the instance's, which counts it.
    std::map<KeyOfFlow, std::uint32_t> taken;
    for (const flow_entry& entry : entries) {
        if (!(entry.flags & FLOW_FORWARD) || !(entry.flags & FLOW_IN_BLOCK)) continue;
        const std::uint16_t port = ntohs(entry.new_port);
        const auto block = std::find_if(entries.begin(), entries.end(), [&](const flow_entry& other) {
            return other.key.kind == FLOW_KIND_BLOCK && other.flags & FLOW_FORWARD &&
                   other.key.source == entry.key.source && other.key.zone == entry.key.zone &&
                   other.nat_gateway == entry.nat_gateway && other.new_address == entry.new_address &&
                   ntohs(other.new_port) <= port && port <= other.last_port;
        });
        if (block == entries.end())
            faults.push_back("INV-7: no block of its instance has the port of " + text(entry.key));
        else
            ++taken[comparable(block->key)];
    }
    for (const flow_entry& entry : entries)
        if (entry.key.kind == FLOW_KIND_BLOCK && entry.flags & FLOW_FORWARD &&
            taken[comparable(entry.key)] != entry.references)
            faults.push_back(fmt::format("INV-11: {} counts {} ports in use of {}", text(entry.key),
                                         entry.references, taken[comparable(entry.key)]));
    // A permit stands for the flows between an external endpoint and an address.
    std::map<KeyOfFlow, std::uint32_t> permitted;
    for (const flow_entry& entry : entries)
        if (entry.key.kind == FLOW_KIND_FLOW && entry.flags & FLOW_FORWARD && entry.flags & FLOW_PERMITTED)
            permitted[{entry.key.destination, entry.new_address, 0, entry.new_port, entry.key.protocol,
                       FLOW_KIND_PERMIT, ZONE_OUTSIDE}]++;
    for (const flow_entry& entry : entries)
        if (entry.key.kind == FLOW_KIND_PERMIT && permitted[comparable(entry.key)] != entry.references)
            faults.push_back(fmt::format("INV-11: {} counts {} flows of {}", text(entry.key),
                                         entry.references, permitted[comparable(entry.key)]));
    for (const flow_entry& entry : entries)
        if (entry.key.kind == FLOW_KIND_MAPPING && entry.flags & FLOW_FORWARD) {
            std::uint32_t counted = users[{entry.flow_id, external_of(entry)}];
            if (entry.references != counted)
                faults.push_back(fmt::format("INV-11: {} counts {} flows of {}", text(entry.key),
                                             entry.references, counted));
        }
    return faults;
}

}  // namespace sallyport::support

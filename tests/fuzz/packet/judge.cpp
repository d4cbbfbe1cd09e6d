// SPDX-License-Identifier: Apache-2.0
#include "packet/judge.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sallyport::fuzz {
namespace {

using support::Fate;
using support::get16;
using support::ip_offset;
using support::Ipv4View;

constexpr std::size_t entries_room = 64;

// libFuzzer keeps an input that makes one of these larger than any other did: what happened counts, and not
// only what code was run.
__attribute__((section("__libfuzzer_extra_counters"))) std::array<std::uint8_t, 4096> noticed;

void notice(std::size_t what) {
    std::uint8_t& times = noticed[what % noticed.size()];
    if (times < 255) ++times;
}

std::string hex(const Bytes& bytes) {
    std::string text;
    for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
}

bool is_private(Ipv4Address address) {
    return address.value() >> 24 == 10;
}

// Of the gateway's own private prefixes: what else is in 10.0.0.0/8 is outside like any other.
bool is_of_a_vpc(Ipv4Address address) {
    return address.value() >> 17 == 10 << 7;
}

// A translated packet's ways, as they were counted: a hairpin goes both.
struct Ways {
    bool out = false, in = false;
};
Ways ways_of(const support::Passage& passage) {
    Ways ways;
    for (std::size_t i = 0; i < NAT_GATEWAYS_MAX; ++i) {
        const nat_gateway_counters &a = passage.after.nat_gateways[i], &b = passage.before.nat_gateways[i];
        ways.out |= a.out_packets != b.out_packets;
        ways.in |= a.in_packets != b.in_packets;
    }
    return ways;
}

// The ports of a packet that goes out, or came in. An echo's identifier is its instance's port, and the
// remote has none, whichever of the two asks.
struct Ports {
    std::uint16_t source_port = 0, destination_port = 0;
    bool known = false;
};
std::uint64_t attempts(const struct counters& counted) {
    std::uint64_t sum = 0;
    for (const nat_gateway_counters& each : counted.nat_gateways) sum += each.flow_attempts;
    return sum;
}

Ports ports_of(const Ipv4View& ip, bool outward) {
    if (ip.later_fragment() || ip.transport.size() < 8) return {};
    if (ip.protocol() == 6 || ip.protocol() == 17)
        return {get16(ip.transport, 0), get16(ip.transport, 2), true};
    if (ip.protocol() != 1 || (ip.transport[0] != 8 && ip.transport[0] != 0)) return {};
    const std::uint16_t id = get16(ip.transport, 4);
    return outward ? Ports{id, 0, true} : Ports{0, id, true};
}

}  // namespace

const std::vector<Reason>& reasons() {
    static const std::vector<Reason> all = [] {
        std::vector<Reason> made{
#define REASON(number, NAME, label, text) {number, #label, nullptr},
            FOREACH_DROP_REASON(REASON)
#undef REASON
        };
        return made;
    }();
    return all;
}

namespace {

const char* reason_label(std::size_t number) {
    const auto found = std::ranges::find(reasons(), number, &Reason::number);
    return found == reasons().end() ? nullptr : found->label;
}

}  // namespace

Judge::Judge() {
    surroundings_.private_prefixes = {Ipv4Prefix(Ipv4Address(10, 0, 0, 0), 8)};
    for (std::uint8_t slot = 0; slot < 3; ++slot)
        surroundings_.devices.push_back({Gateway::mac_of(slot), Gateway::role_of(slot)});
}

std::uint64_t Judge::play(std::span<const std::uint8_t> input) {
    input_ = input;
    digest_ = 0xcbf29ce484222325ULL;
    shown_.clear();
    unseen_.clear();
    callers_.clear();
    gateway_.reset();
    ++tally_.scripts;
    Script script(input);
    std::uint64_t random = 0x9e3779b97f4a7c15ULL;
    for (;;) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        switch (script.next()) {
            case Script::Next::end:
                judge_table();
                return digest_;
            case Script::Next::frame:
                play_frame(script, random);
                break;
            case Script::Next::nothing:
                break;
            case Script::Next::wait:
                if (tell_) tell(fmt::format("{} ms pass", script.milliseconds()));
                gateway_.advance(script.milliseconds());
                break;
            case Script::Next::reconfigure:
                if (tell_)
                    tell(fmt::format("configuration {} {}", script.step().with[0] % 24,
                                     script.step().with[1]));
                gateway_.change(script.step().with[0], script.step().with[1]);
                break;
            case Script::Next::reap: {
                const reap_mode mode = script.step().with[0] % 4 == 0 ? REAP_CUT : REAP_EXPIRED;
                host_world_use(0);
                const std::uint32_t ended = host_run_reaper(mode);
                host_world_use(1);
                require(host_run_reaper(mode) == ended, "the reaper ends the same on both lanes");
                if (tell_) tell(fmt::format("the reaper ends {} flows", ended));
                break;
            }
        }
    }
}

void Judge::play_frame(Script& script, std::uint64_t random) {
    const Script::Frame& frame = script.frame();
    ++tally_.frames;
    host_world_use(0);
    passage_.before = *host_counters();
    const std::uint64_t events = host_events;
    if (tell_) tell(fmt::format("slot {} gets {}", frame.slot, hex(frame.bytes)));
    const Run& express = gateway_.run(0, frame.slot, true, frame.bytes, random);
    passage_.after = *host_counters();
    const std::uint64_t reported = host_events - events;
    judge_frame(frame, express);
    if (reported) judge_event(reported);
    compare_worlds(express, gateway_.run(1, frame.slot, false, frame.bytes, random));
    const char* fault = host_table_fault();
    require(fault == nullptr, fault);
    const Fate fate = passage_.fate();
    if (fate == Fate::passed && Gateway::is_ambiguous()) {
        const auto came = Ipv4View::of_frame(frame.bytes), left = Ipv4View::of_frame(express.frame);
        require(
            came && left && (came->destination() == left->destination() || !is_private(left->destination())),
            "what goes to an instance is not left to a host that takes it for another's");
    }
    if (fate == Fate::forwarded || fate == Fate::passed) {
        judge_ownership(frame.bytes, express.frame);
        if (fate == Fate::forwarded)
            script.forwarded(static_cast<std::uint8_t>(express.egress), express.frame);
    }
    if (fate == Fate::relayed || fate == Fate::untouched)
        judge_inside(frame.bytes, frame.slot, fate == Fate::relayed);
    for (const std::uint8_t byte : express.frame) digest_ = (digest_ ^ byte) * std::uint64_t{0x100000001b3};
    digest_ = (digest_ ^ static_cast<unsigned>(express.action)) * std::uint64_t{0x100000001b3};
}

void Judge::compare_worlds(const Run& express, const Run& stages) {
    require(express.action == stages.action, "both lanes have one verdict");
    require(express.frame == stages.frame, "both lanes make one frame");
    require(express.egress == stages.egress, "both lanes send by one device");
    // The second world is in use.
    std::size_t bytes = 0;
    const void* table = host_table(&bytes);
    const struct counters* counted = host_counters();
    host_world_use(0);
    require(std::memcmp(counted, host_counters(), sizeof *counted) == 0, "both lanes count the same");
    require(std::memcmp(table, host_table(&bytes), bytes) == 0, "both lanes leave the same flows");
}

void Judge::judge_frame(const Script::Frame& frame, const Run& run) {
    passage_.role = Gateway::role_of(frame.slot);
    passage_.device = frame.slot;
    passage_.in = frame.bytes;
    passage_.out = run.frame;
    passage_.action = run.action;
    const Fate fate = passage_.fate();
    tally_.forwarded += fate == Fate::forwarded || fate == Fate::relayed;
    tally_.passed += fate == Fate::passed || fate == Fate::untouched;
    tally_.answered += fate == Fate::answered;
    tally_.refused += fate == Fate::refused;
    std::size_t reason = 0;
    for (std::size_t i = 0; i < std::size(passage_.after.drops); ++i)
        if (passage_.after.drops[i] != passage_.before.drops[i]) reason = i;
    if (fate == Fate::dropped || fate == Fate::refused) {
        ++tally_.drops[reason];
        require(reason_label(reason) != nullptr, "INV-9: the reason has a name");
        note_unseen(passage_.in);
    }
    notice((reason * 8 + static_cast<std::size_t>(fate)) * 3 + frame.slot);
    if (tell_)
        tell(fmt::format("  action {} fate {} {} egress {}: {}", run.action, static_cast<int>(fate),
                         reason ? reason_label(reason) : "", run.egress, hex(run.frame)));
    judge_host(frame, reason);
    require_none(support::packet_faults(surroundings_, passage_));
}

// Of an address that the host has as well it gets what nobody inside has, and nothing else.
void Judge::judge_host(const Script::Frame& frame, std::size_t reason) {
    const auto in = Ipv4View::of_frame(frame.bytes);
    if (!in || !gateway_.is_shared(in->destination())) return;
    const Fate fate = passage_.fate();
    const Ports ports = ports_of(*in, false);
    const bool has_ports = ports.known && in->protocol() != 1;
    const bool led =
        has_ports && gateway_.led_inside(in->protocol(), {in->destination(), ports.destination_port});
    if (fate == Fate::untouched && frame.slot == outside_slot)
        require(!led, "what is led inside is not left to the host");
    if (fate != Fate::dropped && fate != Fate::refused) return;
    // Reasons that say that nobody has it. Others are about the frame, or come after somebody was found.
    constexpr std::array of_nobodys{DROP_UNSOLICITED,          DROP_FRAGMENT_WITHOUT_FIRST,
                                    DROP_ICMP_ERROR_MALFORMED, DROP_UNSUPPORTED_ICMP,
                                    DROP_UNSUPPORTED_PROTOCOL, DROP_TCP_WITHOUT_FLOW};
    if (std::ranges::find(of_nobodys, static_cast<drop_reason>(reason)) == of_nobodys.end()) return;
    if (has_ports)
        require(led || has_entry(in->protocol(), {in->destination(), ports.destination_port}),
                "what nobody inside has is left to the host");
    else
        require(in->protocol() == 1 && ports.known, "what has no endpoint is left to the host");
}

// Has anybody inside the external endpoint?
bool Judge::has_entry(std::uint8_t protocol, Endpoint external) {
    host_world_use(0);
    entries_.resize(entries_room);
    entries_.resize(std::min(host_entries(entries_.data(), entries_.size()), entries_room));
    return std::ranges::any_of(entries_, [&](const flow_entry& entry) {
        return entry.key.protocol == protocol && ((entry.key.destination == external.address.to_network() &&
                                                   ntohs(entry.key.destination_port) == external.port) ||
                                                  (entry.new_address == external.address.to_network() &&
                                                   ntohs(entry.new_port) == external.port));
    });
}

// What stays inside and is sent on goes to a router, or comes from one, by a route, or is between instances
// whose VPC the host's routes do not tell from others; and security groups allow it, whoever began.
void Judge::judge_inside(const Bytes& frame, std::uint8_t slot, bool relayed) {
    const auto in = Ipv4View::of_frame(frame);
    // Behind more tags than VLANs of VLANs have, nobody looks for IPv4: neither the programs nor the host.
    if (!in || ip_offset(frame) > sizeof(ethhdr) + 4 * VLAN_TAGS_MAX) return;
    const Ipv4Address source = in->source(), destination = in->destination();
    // Of an error it is the quoted packet that says where it belongs.
    if (in->is_icmp_error() || in->later_fragment()) return;
    if (relayed)
        require(gateway_.leads_via_router(source, destination) ||
                    gateway_.leads_via_router(destination, source) ||
                    (Gateway::is_ambiguous() && Gateway::is_inside(slot, source, destination)),
                "what is sent on inside has a route to a router, comes from one, or is not left to the host");
    else if (!Gateway::is_inside(slot, source, destination) || destination == Ipv4Address(10, 0, 0, 1))
        return;
    std::uint16_t asked = 0, answered = 0;
    if (in->protocol() == 6 || in->protocol() == 17) {
        asked = get16(in->transport, 2);
        answered = get16(in->transport, 0);
    } else if (in->protocol() == 1) {
        // A question has the number before its answer's, but for echo.
        asked = get16(in->transport, 0);
        const unsigned type = asked >> 8;
        answered = static_cast<std::uint16_t>((type == 0 ? 8u : type - 1) << 8);
    }
    require(gateway_.allows_inside(in->protocol(), source, destination, asked) ||
                gateway_.allows_inside(in->protocol(), destination, source, answered),
            "security groups allow what stays inside");
}

// An instance's packet shows to whom an external endpoint belongs; what comes back goes there and nowhere
// else.
void Judge::judge_ownership(const Bytes& in_frame, const Bytes& out_frame) {
    const auto in = Ipv4View::of_frame(in_frame), out = Ipv4View::of_frame(out_frame);
    if (!in || !out) return;  // said already
    const Ways ways = ways_of(passage_);
    if (ways.out) {
        const Ports before = ports_of(*in, true), after = ports_of(*out, true);
        require(gateway_.is_elastic_ip(out->source()), "an instance is shown as an Elastic IP in use");
        if (after.known) {
            Shown shown{in->protocol(),    out->source(),           in->destination(), in->source(),
                        after.source_port, before.destination_port, before.source_port};
            judge_sender(shown, ways.in);
            shown_.push_back(shown);
            const Shown met{in->protocol(),        in->destination(),       out->source(),
                            out->destination(),    before.destination_port, after.source_port,
                            after.destination_port};
            if (ways.in)
                require(gateway_.lets_in(met.ends(), met.external) || gateway_.lets_out(met.ends()),
                        "a hairpin ends at an instance whose security groups allow it");
        }
        // Where a hairpin goes is its receiver's affair, who may have let it in by a packet that was refused
        // itself.
        if (ways.in) require(is_private(out->destination()), "a hairpin ends at an instance");
        return;
    }
    require(gateway_.is_elastic_ip(in->destination()), "what goes in was sent to an Elastic IP in use");
    // An error is about a packet that went out: it concerns whom that packet came from.
    const bool error = in->is_icmp_error();
    const auto about = error ? Ipv4View::of(in->transport.subspan(8), true) : in;
    const auto told = error ? Ipv4View::of(out->transport.subspan(8), true) : out;
    require(about && told, "an error that goes in quotes something");
    const Ports asked = ports_of(*about, error), got = ports_of(*told, error);
    const Ipv4Address external = error ? about->source() : about->destination();
    const Ipv4Address remote = error ? about->destination() : about->source();
    const std::uint16_t external_port = error ? asked.source_port : asked.destination_port;
    const std::uint16_t remote_port = error ? asked.destination_port : asked.source_port;
    const Ipv4Address instance = error ? told->source() : told->destination();
    const std::uint16_t instance_port = error ? got.source_port : got.destination_port;
    const auto owner = std::find_if(shown_.rbegin(), shown_.rend(), [&](const Shown& shown) {
        return shown.protocol == about->protocol() && shown.external == external && shown.remote == remote &&
               (asked.known ? shown.external_port == external_port && shown.remote_port == remote_port
                            : shown.instance == instance);
    });
    // The endpoint may have been given to another since that instance sent: then it is as if it never had.
    const bool own = owner != shown_.rend() && owner->instance == instance &&
                     (!asked.known || owner->instance_port == instance_port);
    if (asked.known) {
        Shown receiver{about->protocol(), external,    remote,       instance,
                       external_port,     remote_port, instance_port};
        return judge_receiver(*about, receiver, own ? &*owner : nullptr, error);
    }
    require(own, "INV-7: what goes in belongs to a flow that an instance has begun");
    require(out->destination() == instance, "INV-7: what goes in reaches the instance that is meant");
}

// What an instance sends leaves as the configuration has it.
void Judge::judge_sender(Shown& shown, bool hairpin) {
    const bool is_new = attempts(passage_.after) != attempts(passage_.before);
    const auto external = gateway_.static_external(shown.protocol, {shown.instance, shown.instance_port});
    require(gateway_.routes(shown.instance, shown.remote, shown.external),
            "an instance is shown as what its route leads to");
    const auto earlier = std::find_if(shown_.rbegin(), shown_.rend(), [&](const Shown& other) {
        return other.protocol == shown.protocol && other.ends() == shown.ends() &&
               other.external == shown.external && other.external_port == shown.external_port;
    });
    const bool is_known = earlier != shown_.rend() && !is_new && !hairpin;
    if (is_known) {
        shown.from_outside = earlier->from_outside;
        shown.is_static = earlier->is_static;
    } else if (is_new && !hairpin) {
        shown.is_static = external == Endpoint{shown.external, shown.external_port};
        require(shown.is_static || shown.protocol == 1 ||
                    !gateway_.is_kept_for_host(shown.external, shown.external_port),
                "no instance is given a port of the host");
    }
    // A hairpin's receiver may have been called by a packet whose sender nobody has seen.
    require(hairpin || gateway_.is_elastic_ip(shown.remote)
                ? gateway_.lets_out(shown.ends()) || gateway_.lets_in(shown.ends(), shown.external)
                : groups_admit(shown, is_known || is_new ? &shown : nullptr),
            "security groups let out what an instance sends");
    require(!has_ended(shown) || is_unseen(shown),
            "what the configuration no longer leads inside sends nothing");
    // Of an echo through a hairpin nobody sees the identifier that it had between its two ways.
    if (hairpin && shown.protocol == 1) return;
    if (gateway_.is_own(shown.external))
        require(shown.external_port == shown.instance_port,
                "an instance's own Elastic IP shows the instance's own ports");
    const auto led = gateway_.led_inside(shown.protocol, {shown.external, shown.external_port});
    if (led && *led != Endpoint{shown.instance, shown.instance_port})
        // It had the port when the forward came.
        require(had_endpoint(shown), "a port that leads to one instance is not given to another");
    if (is_new && !hairpin && gateway_.is_draining(shown.external))
        require(had_endpoint(shown),
                "what is drained gets new flows by mappings that were there, and no others");
    if (external && !hairpin && is_new && gateway_.routes(shown.instance, shown.remote, external->address))
        require(*external == Endpoint{shown.external, shown.external_port},
                "a new flow leaves from the external endpoint that leads to its instance");
}

// Was the external endpoint the sender's already?
bool Judge::had_endpoint(const Shown& sender) const {
    return is_unseen(sender) || std::ranges::any_of(shown_, [&](const Shown& other) {
               return other.protocol == sender.protocol && other.external == sender.external &&
                      other.external_port == sender.external_port && other.instance == sender.instance &&
                      other.instance_port == sender.instance_port;
           });
}

// Do the security groups allow the flow, of which nobody knows who began it if there is no `earlier` packet?
bool Judge::groups_admit(const Shown& shown, const Shown* earlier) const {
    const bool in = gateway_.lets_in(shown.ends(), shown.external), out = gateway_.lets_out(shown.ends());
    // Queries of both ends may have one identifier: they are two flows, and look like one here.
    const bool of_either = shown.protocol == 1;
    if (earlier == nullptr || of_either || is_unseen(shown) || has_called(shown)) return in || out;
    return earlier->from_outside ? in : out;
}

// Was it of a flow that the configuration led inside, and no longer does?
bool Judge::has_ended(const Shown& shown) const {
    return shown.is_static && gateway_.led_inside(shown.protocol, {shown.external, shown.external_port}) !=
                                  Endpoint{shown.instance, shown.instance_port};
}

// Whom something from outside, `about` a packet from there or itself one, may reach. `owner` is the last
// packet of the flow that was seen, if any.
void Judge::judge_receiver(const Ipv4View& about, Shown& receiver, const Shown* owner, bool error) {
    const bool unseen = is_unseen(receiver), called = has_called(receiver);
    const bool is_new = !error && attempts(passage_.after) != attempts(passage_.before);
    receiver.from_outside = is_new;
    require(gateway_.routes(receiver.instance, receiver.remote, receiver.external),
            "nothing comes from where the instance may not send");
    require(!is_new || !gateway_.is_draining(receiver.external),
            "nothing from outside opens a flow to what is drained");
    // An error may come by a mapping without the flow.
    require(is_new  ? gateway_.lets_in(receiver.ends(), receiver.external)
            : error ? groups_admit(receiver, nullptr)
                    : groups_admit(receiver, owner),
            "security groups let in what reaches an instance");
    if (gateway_.is_own(receiver.external))
        require(receiver.external_port == receiver.instance_port,
                "an instance is reached at its own ports by an Elastic IP of its own");
    const auto led = gateway_.led_inside(receiver.protocol, {receiver.external, receiver.external_port});
    const bool is_led = led && *led == Endpoint{receiver.instance, receiver.instance_port};
    receiver.is_static = is_led && is_new;
    // What the configuration has led inside ends with it. The endpoint may be a mapping's by now.
    if (owner != nullptr && !has_ended(*owner)) {
        if (is_new) shown_.push_back(receiver);
        return;
    }
    if (is_led && (called || unseen)) {
        if (!error) shown_.push_back(receiver);  // fragments may follow
        return;
    }
    // What goes by a mapping that was there before the configuration led its port elsewhere is an error.
    if (!led || error) return judge_guest(receiver, !error);
    if (!is_led) {
        require(called || unseen, "what opens a flow reaches the endpoint that the configuration leads to");
        return judge_guest(receiver, true);
    }
    require(!is_of_a_vpc(receiver.remote) && !gateway_.is_elastic_ip(receiver.remote),
            "nobody of the inside opens a flow from outside");
    require(receiver.protocol == 6   ? (about.transport[13] & 0x17) == support::syn
            : receiver.protocol == 1 ? about.transport[0] == 8
                                     : true,
            "a flow is opened by what opens one");
    shown_.push_back(receiver);
}

bool Judge::is_unseen(const Shown& sender) const {
    return std::ranges::any_of(unseen_, [&](const Unseen& unseen) {
        return unseen.protocol == sender.protocol && unseen.instance == sender.instance &&
               unseen.port == sender.instance_port;
    });
}

bool Judge::has_called(const Shown& shown) const {
    const Caller caller{
        shown.protocol, {shown.remote, shown.remote_port}, {shown.external, shown.external_port}};
    return std::ranges::find(callers_, caller) != callers_.end();
}

// A packet may have got an endpoint for its sender, and then be refused: by its receiver's filter where that
// is an instance as well, or because it cannot be sent on.
void Judge::note_unseen(const Bytes& frame) {
    const auto in = Ipv4View::of_frame(frame);
    if (!in || attempts(passage_.after) == attempts(passage_.before)) return;
    const bool outward = is_of_a_vpc(in->source());
    const Ports ports = ports_of(*in, outward);
    if (!ports.known) return;
    if (outward)
        unseen_.push_back({in->protocol(), in->source(), ports.source_port});
    else
        callers_.push_back(
            {in->protocol(), {in->source(), ports.source_port}, {in->destination(), ports.destination_port}});
}

// To or about a remote that the instance never sent to: the filter has to say that it may, and to the owner
// it goes.
void Judge::judge_guest(const Shown& guest, bool sends) {
    const endpoint_rule rule = gateway_.filtering_of(guest.external, guest.protocol);
    const auto admits = [&](const Shown& shown) {
        return shown.protocol == guest.protocol && shown.external == guest.external &&
               shown.external_port == guest.external_port &&
               (rule == ENDPOINT_INDEPENDENT || (rule == ADDRESS_DEPENDENT && shown.remote == guest.remote));
    };
    const auto is_receiver = [&](const Shown& shown) {
        return shown.instance == guest.instance && shown.instance_port == guest.instance_port;
    };
    const auto owner = std::find_if(shown_.rbegin(), shown_.rend(), admits);
    const bool unseen = is_unseen(guest);
    require(unseen || owner != shown_.rend(), "INV-7: what goes in belongs to a flow, or the filter lets it");
    // Before or after the mapping was another, flows may have had the port each towards its own remote (RFC
    // 7857 section 3), though it belongs to a mapping: which alone is asked about others, and was shown
    // earlier.
    const bool shared =
        gateway_.mapping_has_changed() && has_mapping(guest) &&
        std::ranges::any_of(shown_, [&](const Shown& shown) { return admits(shown) && is_receiver(shown); });
    require(unseen || is_receiver(*owner) || shared,
            "INV-7: what the filter lets in reaches the instance that was shown as this endpoint");
    if (sends) shown_.push_back(guest);
}

// Does the port that the instance is shown as belong to a mapping of its own? There is one of a port at most.
bool Judge::has_mapping(const Shown& owner) {
    entries_.resize(entries_room);
    entries_.resize(std::min(host_entries(entries_.data(), entries_.size()), entries_room));
    return std::ranges::any_of(entries_, [&](const flow_entry& entry) {
        return entry.key.kind == FLOW_KIND_MAPPING && entry.flags & FLOW_FORWARD &&
               entry.key.protocol == owner.protocol && entry.key.source == owner.instance.to_network() &&
               ntohs(entry.key.source_port) == owner.instance_port &&
               entry.new_address == owner.external.to_network() &&
               ntohs(entry.new_port) == owner.external_port;
    });
}

// Whoever watches drops is told of each, and the truth.
void Judge::judge_event(std::uint64_t reported) {
    const Fate fate = passage_.fate();
    require(reported == 1 && (fate == Fate::dropped || fate == Fate::refused),
            "INV-9: an event is of one drop");
    const auto* event = static_cast<const drop_event*>(host_event_last());
    require(event->reason < DROP_REASONS_MAX &&
                passage_.after.drops[event->reason] == passage_.before.drops[event->reason] + 1,
            "INV-9: an event and a counter name the same reason");
}

void Judge::judge_table() {
    host_world_use(0);
    entries_.resize(entries_room);
    const std::size_t count = host_entries(entries_.data(), entries_.size());
    require(count <= entries_room, "the table has room for so many entries");
    entries_.resize(count);
    if (count != 0) require_none(support::table_faults(entries_, host_ticks()));
}

void Judge::require_none(const support::Faults& faults) {
    if (!faults.empty()) require(false, faults.front().c_str());
}

void Judge::require(bool holds, const char* what) {
    if (holds) return;
    // Once more from the beginning, told.
    if (!tell_) {
        std::fprintf(stderr, "a script of %zu bytes:\n", input_.size());
        tell_ = true;
        play(input_);
    }
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
}

void Judge::tell(const std::string& what) {
    std::fprintf(stderr, "%s\n", what.c_str());
}

}  // namespace sallyport::fuzz

// SPDX-License-Identifier: Apache-2.0
//
// The invariants where they meet a lab: apart from them, because who judges other things needs no kernel.
#include <fmt/format.h>

#include <algorithm>

#include "support/invariants.h"

namespace sallyport::support {

Surroundings Surroundings::of_lab(ProgramLab& lab) {
    Surroundings surroundings;
    surroundings.private_prefixes = {Ipv4Prefix::parse("10.0.0.0/16").value()};
    for (Role role : {Role::inside, Role::outside}) {
        Surroundings::Device& device = surroundings.devices.emplace_back();
        device.role = role;
        std::ranges::copy(lab.device(role == Role::outside).mac, device.mac.begin());
    }
    return surroundings;
}

void Oracle::restart() {
    start_ = lab_.counters();
    unwatched_ = 0;
}

// To walk through a large table for each of many packets would take longer than the packets.
std::optional<std::vector<flow_entry>> Oracle::entries_if_few() {
    if (unwatched_ > 0) {
        unwatched_--;
        return std::nullopt;
    }
    std::vector<flow_entry> entries = lab_.entries();
    if (entries.size() <= watched_) return entries;
    unwatched_ = entries.size();
    return std::nullopt;
}

Outcome Oracle::run(Role role, const Bytes& frame, Lane lane, Faults& faults) {
    Passage passage;
    std::optional<std::vector<flow_entry>> before = entries_if_few(), after;
    passage.role = role;
    passage.in = frame;
    Outcome outcome = lab_.run(role, frame, lane, passage.before, passage.after);
    passage.out = outcome.frame;
    passage.action = outcome.action;

    if (before) after = lab_.entries();
    Faults found = packet_faults(surroundings_, passage, after ? &*after : nullptr);
    if (after) {
        Faults timers = timer_faults(passage, *before, *after);
        found.insert(found.end(), timers.begin(), timers.end());
    }
    faults.insert(faults.end(), found.begin(), found.end());
    return outcome;
}

void Oracle::look_at_table(Faults& faults) {
    std::vector<flow_entry> entries = lab_.entries();
    Faults found = table_faults(entries);
    faults.insert(faults.end(), found.begin(), found.end());
    std::uint64_t live = 0, made = 0;
    for (const flow_entry& entry : entries)
        live += entry.key.kind == FLOW_KIND_FLOW && entry.flags & FLOW_FORWARD;
    struct counters now = lab_.counters();
    for (std::size_t i = 0; i < NAT_GATEWAYS_MAX; i++)
        made += now.nat_gateways[i].flow_attempts - start_.nat_gateways[i].flow_attempts;
    if (live > made)
        faults.push_back(fmt::format("INV-11: {} sessions stand and {} were ever begun", live, made));
}

}  // namespace sallyport::support

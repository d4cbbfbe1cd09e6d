// SPDX-License-Identifier: Apache-2.0
#include "control/drains.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sallyport::control {
namespace {

using namespace std::chrono_literals;

// A look goes over the whole flow table, so one is not taken each second while nothing is due.
constexpr std::chrono::nanoseconds look_every = 5s;
// What is left goes with the next call: a million records at once would be a hundred megabytes.
constexpr std::size_t flows_cut_at_once = 65536;

}  // namespace

Result<void> Drains::load() {
    auto remembered = parts_.store.drains();
    if (!remembered) return tl::make_unexpected(remembered.error());
    for (store::Drain& drain : *remembered) note(std::move(drain));
    return {};
}

void Drains::note(store::Drain drain) {
    Active active;
    // The deadline is one of the wall clock, to outlive the machine; from here on nobody can set it.
    if (drain.deadline) active.due = parts_.clock.monotonic() + (*drain.deadline - parts_.clock.wall());
    const std::string name = drain.elastic_ip;
    active.status.drain = std::move(drain);
    drains_[name] = std::move(active);
    looked_at_.reset();
}

Result<void> Drains::begin(const std::string& elastic_ip, std::optional<std::chrono::seconds> timeout,
                           const std::string& actor, const Answer& answered) {
    store::Drain drain{elastic_ip, parts_.clock.wall(), {}, actor};
    const auto known = drains_.find(elastic_ip);
    if (timeout) drain.deadline = drain.started + *timeout;
    if (known != drains_.end()) drain.started = known->second.status.drain.started;
    if (Result<void> kept = parts_.store.set_drain(drain, answered({drain})); !kept) return kept;
    parts_.log.notice(fmt::format("Elastic IP {} is being drained{} by {}", elastic_ip,
                                  timeout ? fmt::format(" within {} s", timeout->count()) : "", actor));
    note(std::move(drain));
    return {};
}

Result<bool> Drains::end(const std::string& elastic_ip) {
    const auto known = drains_.find(elastic_ip);
    if (known == drains_.end()) return false;
    if (Result<void> cleared = parts_.store.clear_drain(elastic_ip); !cleared)
        return tl::make_unexpected(cleared.error());
    drains_.erase(known);
    return true;
}

void Drains::keep_those_of(const model::DesiredState& state) {
    if (drains_.empty()) return;
    std::set<std::string_view> there;
    for (const model::ElasticIp& elastic_ip : state.elastic_ips) there.insert(elastic_ip.name);
    for (auto drain = drains_.begin(); drain != drains_.end();) {
        if (there.contains(drain->first)) {
            ++drain;
            continue;
        }
        // The store may have it until the next start: then it is forgotten there.
        if (Result<void> cleared = parts_.store.clear_drain(drain->first); !cleared)
            parts_.log.error(cleared.error().message);
        drain = drains_.erase(drain);
    }
}

std::map<Ipv4Address, Drains::Left> Drains::undrained(const model::DesiredState& state) {
    std::map<Ipv4Address, Left> result;
    const auto now = parts_.clock.monotonic();
    for (const model::ElasticIp& elastic_ip : state.elastic_ips) {
        const auto drain = drains_.find(elastic_ip.name);
        if (drain == drains_.end() || drain->second.status.drained) continue;
        result[elastic_ip.address] = {&drain->second, drain->second.due && now >= *drain->second.due};
    }
    return result;
}

Result<bool> Drains::tick(const model::DesiredState& state) {
    std::map<Ipv4Address, Left> left = undrained(state);
    if (left.empty()) return false;
    const bool is_due = std::ranges::any_of(left, [](const auto& one) { return one.second.is_due; });
    const auto now = parts_.clock.monotonic();
    if (!is_due && looked_at_ && now - *looked_at_ < look_every) return false;
    looked_at_ = now;

    std::vector<dataplane::FlowRecord> to_cut;
    const Result<void> visited = parts_.dataplane.visit_flows([&](const dataplane::FlowRecord& flow) {
        const auto of = left.find(flow.external.address);
        if (of == left.end()) return true;
        ++of->second.flows;
        if (of->second.is_due && to_cut.size() < flows_cut_at_once) to_cut.push_back(flow);
        return true;
    });
    if (!visited) return tl::make_unexpected(visited.error());
    if (!to_cut.empty()) {
        const auto cut = parts_.dataplane.cut(to_cut);
        if (!cut) return tl::make_unexpected(cut.error());
        parts_.log.notice(fmt::format("the time to drain is over: {} flows were ended, {} resets sent",
                                      cut->removed, cut->resets_sent));
    }
    bool changed = false;
    for (auto& [address, one] : left) {
        if (one.flows != 0) continue;
        one.drain->status.drained = changed = true;
        parts_.log.notice(
            fmt::format("Elastic IP {} is drained: no flow is left", one.drain->status.drain.elastic_ip));
    }
    return changed;
}

std::vector<DrainStatus> Drains::all() const {
    std::vector<DrainStatus> result;
    result.reserve(drains_.size());
    for (const auto& [name, active] : drains_) result.push_back(active.status);
    return result;
}

std::set<std::string> Drains::names() const {
    std::set<std::string> result;
    for (const auto& [name, active] : drains_) result.insert(name);
    return result;
}

}  // namespace sallyport::control

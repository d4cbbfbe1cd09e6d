// SPDX-License-Identifier: Apache-2.0
#include "control/port_block_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "sallyport/abi/limits.h"

namespace sallyport::control {

namespace {

static_assert(store::largest_port_block == PORT_BLOCK_SIZE_MAX);

using std::chrono::system_clock;
using Happening = dataplane::PortBlockEvent::Happening;

// What tells one holding of a block from another. Names may have changed since.
using Holding = std::tuple<Ipv4Address, PortRange, Ipv4Address>;

Holding holding_of(const store::PortBlockRecord& record) {
    return {record.elastic_ip, record.ports, record.instance};
}

template <typename Find>
std::string name_in_either(const View* now, const View* before, const Find& find) {
    for (const View* view : {now, before}) {
        if (view == nullptr) continue;
        if (const std::string_view name = find(view->names); !name.empty()) return std::string(name);
    }
    return {};
}

}  // namespace

void PortBlockLog::poll() {
    note(take());
}

void PortBlockLog::tick() {
    poll();
    if (!idle_ && parts_.clock.monotonic() >= compare_at_) compare();
}

void PortBlockLog::compare() {
    compare_at_ = parts_.clock.monotonic() + compared_every;
    if (!note(take())) return;
    std::vector<store::PortBlockRecord> held;
    const auto now = parts_.clock.wall();
    const Result<void> visited = parts_.dataplane.visit_port_blocks(
        [&](const dataplane::PortBlock& block) { held.push_back(record_of(block, now)); });
    if (!visited) return;
    // What changed while the blocks were looked at is known by its event, and by nothing else.
    const Changes meanwhile = take();
    if (!note(meanwhile)) return;
    const auto allocated = parts_.store.allocated_port_blocks();
    if (!allocated) return;
    idle_ = held.empty() && allocated->empty() && meanwhile.empty();

    std::set<Holding> in_motion, in_table, in_log;
    for (const store::PortBlockRecord& record : meanwhile) in_motion.insert(holding_of(record));
    for (const store::PortBlockRecord& record : held) in_table.insert(holding_of(record));
    Changes changes;
    for (const store::PortBlockRecord& record : *allocated) {
        in_log.insert(holding_of(record));
        if (in_table.contains(holding_of(record)) || in_motion.contains(holding_of(record))) continue;
        changes.push_back(record);
        changes.back().until = now;
    }
    const std::size_t ended = changes.size();
    for (const store::PortBlockRecord& record : held) {
        if (!in_log.contains(holding_of(record)) && !in_motion.contains(holding_of(record)))
            changes.push_back(record);
    }
    if (changes.empty() || !note(changes)) return;
    parts_.log.notice(
        fmt::format("port blocks: {} recorded as released and {} as allocated now, of which no event told",
                    ended, changes.size() - ended));
}

PortBlockLog::Changes PortBlockLog::take() {
    const auto wall = parts_.clock.wall();
    const auto monotonic = parts_.clock.monotonic();
    Changes changes;
    // An error here means that events are lost; compare() finds out which blocks they were of.
    (void)parts_.dataplane.poll_port_block_events([&](const dataplane::PortBlockEvent& event) {
        const auto age = monotonic - std::chrono::nanoseconds(event.time_ns);
        const auto time = wall - std::chrono::duration_cast<system_clock::duration>(age);
        store::PortBlockRecord record = record_of(event.block, time);
        if (event.happening == Happening::released) record.until = time;
        tell(record);
        changes.push_back(std::move(record));
    });
    if (!changes.empty()) idle_ = false;
    previous_view_ = view_();
    return changes;
}

bool PortBlockLog::note(const Changes& changes) {
    waiting_.insert(waiting_.end(), changes.begin(), changes.end());
    if (waiting_.empty()) return true;
    const Result<void> noted = parts_.store.note_port_blocks(waiting_);
    if (noted) {
        waiting_.clear();
        if (std::exchange(failing_, false)) parts_.log.notice("port blocks can be noted again");
        return true;
    }
    if (!std::exchange(failing_, true)) {
        parts_.log.error(fmt::format("{}; trying again. The journal has them", noted.error().message));
    }
    if (waiting_.size() > most_waiting) {
        const std::size_t surplus = waiting_.size() - most_waiting;
        lost_ += surplus;
        waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(surplus));
    }
    return false;
}

store::PortBlockRecord PortBlockLog::record_of(const dataplane::PortBlock& block,
                                               system_clock::time_point from) const {
    const std::shared_ptr<const View> view = view_();
    store::PortBlockRecord record;
    record.elastic_ip = block.elastic_ip;
    record.ports = block.ports;
    record.instance = block.instance;
    record.vpc = name_in_either(view.get(), previous_view_.get(),
                                [&](const Names& names) { return names.vpc(block.zone); });
    record.nat_gateway = name_in_either(view.get(), previous_view_.get(), [&](const Names& names) {
        return names.nat_gateway(block.nat_gateway);
    });
    record.from = from;
    return record;
}

void PortBlockLog::tell(const store::PortBlockRecord& change) {
    const auto name = [](const std::string& text) {
        return text.empty() ? std::string_view("unknown") : std::string_view(text);
    };
    parts_.log.info(fmt::format("port block {}:{}-{} {} {} (vpc {}, nat_gateway {})",
                                change.elastic_ip.to_string(), change.ports.first, change.ports.last,
                                change.until ? "released by" : "allocated to", change.instance.to_string(),
                                name(change.vpc), name(change.nat_gateway)));
}

}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "dataplane/live_state.h"

#include <time.h>

#include <tuple>

#include "dataplane/codec.h"
#include "dataplane/programs.h"

namespace sallyport::dataplane {
namespace {

std::uint64_t coarse_clock_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);  // cannot fail with a clock that exists
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Result<std::shared_ptr<LiveState>> LiveState::open(const PinDirectory& directory, std::uint32_t flow_capacity,
                                                   const std::string& version) {
    auto state = PinnedState::open_or_make(directory, flow_capacity, version);
    if (!state) return tl::make_unexpected(state.error());
    auto buckets = MapMemory<const flow_bucket>::open(
        state->map("flow_buckets"), std::size_t{state->description().flow_regions} * FLOW_REGION_BUCKETS);
    if (!buckets) return failure_within("map flow_buckets", buckets.error());
    auto batch = MapMemory<reap_request>::open(state->map("reap_batch"), REAP_BATCH_MAX);
    if (!batch) return failure_within("map reap_batch", batch.error());
    auto reaper = load_reaper(state->description(), state->maps());
    if (!reaper) return failure_within("program reaper", reaper.error());

    std::shared_ptr<LiveState> live(
        new LiveState(std::move(*state), std::move(*buckets), std::move(*batch), std::move(*reaper)));
    if (auto loaded = live->load_tables(); !loaded) return tl::make_unexpected(loaded.error());
    if (auto opened = live->drop_events.open(live->state, "drop_events"); !opened)
        return tl::make_unexpected(opened.error());
    if (auto opened = live->port_block_events.open(live->state, "port_block_events"); !opened)
        return tl::make_unexpected(opened.error());
    auto early =
        EarlyFragments::open(live->state, live->attacher, [&live = *live] { return live.now_ticks(); });
    if (!early) return tl::make_unexpected(early.error());
    live->early_fragments = std::move(*early);
    return live;
}

void LiveState::end() {
    capture.reset();
    std::ignore = change_settings(
        [](settings& value, std::uint32_t now_in_ticks) { value.fragments_held_until = now_in_ticks - 1; });
    std::ignore = early_fragments->tend();
    early_fragments->give_up_all();
}

Result<ForwardingTables> LiveState::load_tables() {
    auto loaded = tables.load();
    if (loaded) now = *loaded;
    note_what_is_in_use();
    return loaded;
}

void LiveState::note_what_is_in_use() {
    auto noted = std::make_shared<InUse>();
    for (const auto& [slot, entry] : now.devices) noted->devices.push_back(slot);
    for (const auto& [number, entry] : now.nat_gateways) noted->nat_gateways.push_back(number);
    noted->links = attacher.links();
    const std::lock_guard lock(in_use_mutex_);
    in_use_ = std::move(noted);
}

std::shared_ptr<const InUse> LiveState::in_use() const {
    const std::lock_guard lock(in_use_mutex_);
    return in_use_;
}

Result<void> LiveState::prepare_resets() {
    if (resets) return {};
    auto opened = TcpResets::open();
    if (!opened) return tl::make_unexpected(opened.error());
    resets.emplace(std::move(*opened));
    return {};
}

bool LiveState::resets_are_wanted(std::uint16_t nat_gateway) const {
    const auto found = now.nat_gateways.find(nat_gateway);
    return found != now.nat_gateways.end() && found->second.reset_on_idle;
}

Result<settings> LiveState::read_settings() const {
    settings value{};
    const std::uint32_t first = 0;
    if (bpf_map_lookup_elem(state.map("settings"), &first, &value) != 0) {
        return system_failure("read map settings");
    }
    return value;
}

std::uint32_t LiveState::ticks_of(const settings& value) {
    return clock_ticks(coarse_clock_ns(), value.clock_offset_ns);
}

Result<FlowScan> LiveState::scan() const {
    const auto value = read_settings();
    if (!value) return tl::make_unexpected(value.error());
    return FlowScan(buckets.elements(), ticks_of(*value));
}

std::uint32_t LiveState::now_ticks() const {
    const auto value = read_settings();
    return ticks_of(value ? *value : settings{});
}

Result<NextHopAnswer> LiveState::ask_next_hop(const NextHopQuestion& asked) const {
    const auto program = next_hop_query();
    if (!program) return tl::make_unexpected(program.error());
    next_hop_question question{};
    question.source = asked.source.to_network();
    question.destination = asked.destination.to_network();
    question.role = asked.inward ? DEVICE_INSIDE : DEVICE_OUTSIDE;
    question.zone = asked.inward ? asked.zone : std::uint16_t{ZONE_OUTSIDE};
    question.inward = asked.inward ? 1 : 0;
    next_hop_question answer{};
    xdp_md where{};
    where.data_end = sizeof question;
    where.ingress_ifindex = asked.ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.ctx_in = &where;
    run.ctx_size_in = sizeof where;
    run.data_in = &question;
    run.data_size_in = sizeof question;
    run.data_out = &answer;
    run.data_size_out = sizeof answer;
    run.repeat = 1;
    if (const int error = bpf_prog_test_run_opts(*program, &run); error != 0)
        return system_failure("ask for the next hop", -error);
    NextHopAnswer result;
    result.reason = answer.reason;
    if (answer.refused != 0) result.icmp_code = static_cast<std::uint8_t>(answer.refused - 1);
    result.device = static_cast<std::uint8_t>(answer.device);
    result.towards = Ipv4Address::from_network(answer.towards);
    result.resolved = answer.resolved != 0;
    result.elsewhere = answer.elsewhere != 0;
    return result;
}

Result<int> LiveState::next_hop_query() const {
    const std::lock_guard lock(next_hop_query_mutex_);
    if (!next_hop_query_) {
        auto loaded = load_next_hop_query(state.description(), state.maps());
        if (!loaded) return failure_within("program next_hop_query", loaded.error());
        next_hop_query_ = std::move(*loaded);
    }
    return next_hop_query_.get();
}

Result<std::uint64_t> LiveState::reap(std::size_t count, reap_mode mode) {
    reap_command command{};
    command.count = static_cast<std::uint32_t>(count);
    command.mode = mode;
    reap_command answer{};
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = &command;
    run.data_size_in = sizeof command;
    run.data_out = &answer;
    run.data_size_out = sizeof answer;
    run.repeat = 1;
    if (const int error = bpf_prog_test_run_opts(reaper.get(), &run); error != 0) {
        return system_failure("run the reaper", -error);
    }
    return answer.removed;
}

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bpf_dataplane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file.h"
#include "dataplane/codec.h"
#include "dataplane/live_state.h"
#include "dataplane/table_difference.h"

namespace sallyport::dataplane {
namespace {

// Of one map. Kernels before 6.4 tell what it may grow to.
std::uint64_t kernel_memory_of(int map) {
    const auto info = read_file(fmt::format("/proc/self/fdinfo/{}", map));
    if (!info) return 0;
    constexpr std::string_view key = "memlock:";
    std::uint64_t bytes = 0;
    if (const auto at = info->find(key); at != std::string::npos) {
        const auto digit = info->find_first_of("0123456789", at + key.size());
        if (digit != std::string::npos)
            std::from_chars(info->data() + digit, info->data() + info->size(), bytes);
    }
    return bytes;
}

// Flows that one run of the reaper looks at. A run keeps the processor from receiving packets, so it is
// kept to a fraction of a millisecond.
constexpr std::size_t reap_run = 256;

std::uint32_t ticks(std::chrono::seconds duration) {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(duration.count()) * 1'000'000'000U >>
                                      FLOW_TICK_SHIFT);
}

Error no_state() {
    return Error{"the data plane is detached", ENODEV};
}

// Ends flows, many with one run of the reaper, and sends the resets that their connections are to get.
class Harvest {
  public:
    // All of them must outlive it.
    Harvest(LiveState& live, const FlowScan& scan, reap_mode mode, SweepReport& report)
        : live_(live), scan_(scan), mode_(mode), report_(report) {}

    void add(const reap_request& request, const std::optional<TcpConnection>& connection) {
        if (!done_) return;
        if (connection) ending_.push_back(*connection);
        live_.reap_batch.elements()[waiting_++] = request;
        if (waiting_ == reap_run) reap();
    }

    // To be called in the end: what was added since the last run is ended here.
    Result<void> finish() {
        reap();
        return done_;
    }

  private:
    void reap() {
        if (waiting_ == 0 || !done_) return;
        if (auto removed = live_.reap(std::exchange(waiting_, 0), mode_)) {
            report_.removed += *removed;
        } else {
            done_ = tl::make_unexpected(removed.error());
        }
        for (const TcpConnection& connection : std::exchange(ending_, {})) {
            // One that is still there was used at the last moment.
            if (scan_.is_gone(connection.slot, connection.flow_id))
                report_.resets_sent += live_.resets->send(connection, live_.now.devices);
        }
    }

    LiveState& live_;
    const FlowScan& scan_;
    reap_mode mode_;
    SweepReport& report_;
    std::size_t waiting_ = 0;
    std::vector<TcpConnection> ending_;
    Result<void> done_;
};

}  // namespace

class BpfDataplane::Impl {
  public:
    Impl(PinDirectory d, std::string v) : directory(std::move(d)), version(std::move(v)) {}
    ~Impl() { end_live(); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    PinDirectory directory;
    std::string version;
    // None after detach_all(). Only the thread of the writing calls changes it, and may look at it as it is.
    std::shared_ptr<LiveState> live;

    // For all others. Who holds one may go on reading what has been detached meanwhile.
    std::shared_ptr<const LiveState> held() const {
        const std::lock_guard lock(live_mutex_);
        return live;
    }
    void begin_live(std::shared_ptr<LiveState> made) {
        const std::lock_guard lock(live_mutex_);
        live = std::move(made);
    }
    void end_live() {
        if (!live) return;
        live->end();
        std::shared_ptr<LiveState> gone;
        const std::lock_guard lock(live_mutex_);
        gone.swap(live);
    }

  private:
    mutable std::mutex live_mutex_;  // held for the copy of a pointer
};

BpfDataplane::BpfDataplane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
}
BpfDataplane::~BpfDataplane() = default;

Result<std::unique_ptr<BpfDataplane>> BpfDataplane::open(const BpfDataplaneOptions& options) {
    auto directory = PinDirectory::open(options.pin_dir);
    if (!directory) return tl::make_unexpected(directory.error());
    std::unique_ptr<BpfDataplane> dataplane(
        new BpfDataplane(std::make_unique<Impl>(std::move(*directory), options.version)));
    if (auto prepared = dataplane->prepare(options.flow_capacity); !prepared) {
        return tl::make_unexpected(prepared.error());
    }
    return dataplane;
}

Result<void> BpfDataplane::prepare(std::uint32_t flow_capacity) {
    if (impl_->live) return {};
    auto live = LiveState::open(impl_->directory, flow_capacity, impl_->version);
    if (!live) return tl::make_unexpected(live.error());
    impl_->begin_live(std::move(*live));
    return {};
}

Result<ForwardingTables> BpfDataplane::read_tables() {
    const auto live = impl_->held();
    if (!live) return ForwardingTables{};
    return live->tables.read();
}

Result<ForwardingTables> BpfDataplane::load_tables() {
    if (!impl_->live) return ForwardingTables{};
    return impl_->live->load_tables();
}

Result<ApplyReport> BpfDataplane::apply(const ForwardingTables& wanted) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    LiveState& live = *impl_->live;
    auto report = write_difference(live.now, wanted, live.tables);
    if (!report && report.error().code == ENOSPC) {
        // Numbers of next hops may have run out; those that no flow names any more can be had again.
        const auto scan = live.scan();
        if (!scan) return tl::make_unexpected(scan.error());
        live.tables.reclaim_next_hops(scan->next_hops_in_use());
        report = write_difference(live.now, wanted, live.tables);
    }
    live.note_what_is_in_use();
    return report;
}

Result<void> BpfDataplane::bump_generation() {
    if (!impl_->live) return tl::make_unexpected(no_state());
    return impl_->live->change_settings([](settings& value, std::uint32_t) { ++value.generation; });
}

Result<std::uint16_t> BpfDataplane::generation() {
    const auto live = impl_->held();
    if (!live) return tl::make_unexpected(no_state());
    const auto value = live->read_settings();
    if (!value) return tl::make_unexpected(value.error());
    return static_cast<std::uint16_t>(value->generation);
}

Result<std::vector<Attachment>> BpfDataplane::attach(std::span<const AttachRequest> wanted, ModeWish mode) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    auto attached = impl_->live->attacher.attach(wanted, mode);
    impl_->live->note_what_is_in_use();
    return attached;
}

std::vector<Attachment> BpfDataplane::attachments() const {
    const auto live = impl_->held();
    if (!live) return {};
    return live->in_use()->links.still_attached();
}

Result<void> BpfDataplane::detach_all() {
    if (!impl_->live) return {};
    auto detached = impl_->live->attacher.detach_all();
    impl_->live->note_what_is_in_use();
    if (!detached) return detached;
    if (auto removed = impl_->live->state.remove(); !removed) return removed;
    impl_->end_live();
    return {};
}

Result<void> BpfDataplane::keep_next_hops_valid(std::chrono::seconds duration) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    return impl_->live->change_settings([&](settings& value, std::uint32_t now) {
        value.next_hops_valid_until = now + ticks(duration);
        value.jiffies_offset_ns = 0;  // asked for anew now and then, so that no error can add up
    });
}

Result<NextHopAnswer> BpfDataplane::next_hop(const NextHopQuestion& question) {
    const auto live = impl_->held();
    if (!live) return tl::make_unexpected(no_state());
    return live->ask_next_hop(question);
}

Result<Counters> BpfDataplane::counters() {
    Counters result;
    result.drops.resize(DROP_REASONS_MAX);
    const auto live = impl_->held();
    if (!live) return result;
    const auto in_use = live->in_use();
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 0) return system_failure("count processors", -cpus);
    std::vector<::counters> per_cpu(static_cast<std::size_t>(cpus));
    std::vector<early_fragment_account> accounts;
    const auto read = live->early_fragments->read_accounts([&](auto now) -> Result<void> {
        const std::uint32_t first = 0;
        if (bpf_map_lookup_elem(live->state.map("counters"), &first, per_cpu.data()) != 0)
            return system_failure("read map counters");
        accounts.assign(now.begin(), now.end());
        return {};
    });
    if (!read) return tl::make_unexpected(read.error());
    for (const ::counters& cpu : per_cpu) {
        for (const std::uint8_t slot : in_use->devices) {
            const device_counters& from = cpu.devices[slot];
            DeviceCounters& to = result.devices[slot];
            to.received_packets += from.received_packets;
            to.received_bytes += from.received_bytes;
            to.forwarded += from.forwarded;
            to.passed += from.passed;
            to.dropped += from.dropped;
            to.answered += from.answered;
            to.held += from.held;
        }
        for (const std::uint16_t number : in_use->nat_gateways) {
            const nat_gateway_counters& from = cpu.nat_gateways[number];
            NatGatewayCounters& to = result.nat_gateways[number];
            to.out_packets += from.out_packets;
            to.out_bytes += from.out_bytes;
            to.in_packets += from.in_packets;
            to.in_bytes += from.in_bytes;
            to.out_dropped_packets += from.out_dropped_packets;
            to.out_dropped_bytes += from.out_dropped_bytes;
            to.in_dropped_packets += from.in_dropped_packets;
            to.in_dropped_bytes += from.in_dropped_bytes;
            to.flow_attempts += from.flow_attempts;
            to.flows_established += from.flows_established;
            to.port_allocation_errors += from.port_allocation_errors;
            to.idle_timeouts += from.idle_timeouts;
        }
        for (std::size_t reason = 0; reason < DROP_REASONS_MAX; ++reason)
            result.drops[reason] += cpu.drops[reason];
        result.icmp_errors_sent += cpu.icmp_errors_sent;
        result.tcp_resets_sent += cpu.tcp_resets_sent;
        result.replies_suppressed += cpu.replies_suppressed;
    }
    for (auto& [number, counted] : result.nat_gateways) {
        const std::uint32_t key = number;
        nat_gateway_usage usage{};
        if (bpf_map_lookup_elem(live->state.map("nat_gateway_usage"), &key, &usage) != 0)
            return system_failure("read map nat_gateway_usage");
        counted.port_block_events_lost = usage.port_block_events_lost;
    }
    // The programs receive a fragment that was held once more when it is given back.
    for (auto& [slot, counted] : result.devices) {
        const early_fragment_account& account = accounts[slot];
        counted.received_packets -= account.returned;
        counted.received_bytes -= account.returned_bytes;
        counted.held -= account.returned + account.lost;
        counted.dropped += account.lost;
        result.drops[DROP_FRAGMENT_WITHOUT_FIRST] += account.lost;
    }
    return result;
}

Result<void> BpfDataplane::visit_flows(const std::function<bool(const FlowRecord&)>& visit) {
    const auto live = impl_->held();
    if (!live) return {};
    const auto scan = live->scan();
    if (!scan) return tl::make_unexpected(scan.error());
    scan->visit(visit);
    return {};
}

// What bpf/lib/inner.h would find.
Result<std::optional<InnerFlow>> BpfDataplane::inner_flow(const InnerFlowKey& key) {
    const auto live = impl_->held();
    if (!live) return std::nullopt;
    const flow_key sought = encode(key);
    ::inner_flow value{};
    if (bpf_map_lookup_elem(live->state.map("inner_flows"), &sought, &value) != 0) {
        if (errno == ENOENT) return std::nullopt;
        return system_failure("read map inner_flows");
    }
    return decode(value, key.protocol, live->now_ticks());
}

Result<void> BpfDataplane::visit_inner_flows(
    const std::function<bool(const InnerFlowKey&, const InnerFlow&)>& visit) {
    const auto live = impl_->held();
    if (!live) return {};
    const std::uint32_t now = live->now_ticks();
    // The kernel goes from bucket to bucket, so that what comes and goes meanwhile makes none be met twice.
    constexpr std::uint32_t at_a_time = 1024;
    std::vector<flow_key> keys(at_a_time);
    std::vector<::inner_flow> values(at_a_time);
    std::uint32_t position = 0;
    for (bool begun = false, ended = false; !ended; begun = true) {
        std::uint32_t count = at_a_time;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        if (bpf_map_lookup_batch(live->state.map("inner_flows"), begun ? &position : nullptr, &position,
                                 keys.data(), values.data(), &count, &options) != 0) {
            if (errno != ENOENT) return system_failure("read map inner_flows");
            ended = true;
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            const InnerFlowKey key = decode(keys[i]);
            const auto flow = decode(values[i], key.protocol, now);
            if (flow && !visit(key, *flow)) return {};
        }
    }
    return {};
}

Result<FlowTableStatus> BpfDataplane::flow_table_status() {
    const auto live = impl_->held();
    if (!live) return FlowTableStatus{};
    const auto scan = live->scan();
    if (!scan) return tl::make_unexpected(scan.error());
    FlowTableStatus status = scan->count();
    status.capacity = live->state.description().flow_capacity;
    status.bytes = live->buckets.bytes();
    for (const auto& [name, fd] : live->state.maps()) status.maps_bytes += kernel_memory_of(fd.get());
    return status;
}

Result<SweepReport> BpfDataplane::sweep(std::size_t buckets) {
    SweepReport report;
    if (!impl_->live) return report;
    LiveState& live = *impl_->live;
    const auto scan = live.scan();
    if (!scan) return tl::make_unexpected(scan.error());
    const std::size_t total = live.buckets.elements().size();
    const std::size_t first = live.sweep_position;
    const std::size_t count = std::min(buckets == 0 ? total : buckets, total - first);

    const bool with_resets = std::ranges::any_of(
        live.now.nat_gateways, [](const auto& numbered) { return numbered.second.reset_on_idle; });
    Harvest harvest(live, *scan, REAP_EXPIRED, report);
    if (with_resets) {
        if (auto ready = live.prepare_resets(); !ready) return tl::make_unexpected(ready.error());
    }
    scan->expired(first, count, [&](const reap_request& request) {
        std::optional<TcpConnection> connection;
        if (with_resets) connection = scan->connection_of(request);
        if (connection && !live.resets_are_wanted(connection->nat_gateway)) connection.reset();
        harvest.add(request, connection);
    });
    if (auto done = harvest.finish(); !done) return tl::make_unexpected(done.error());
    report.looked_at = count;
    live.sweep_position = first + count == total ? 0 : first + count;
    return report;
}

Result<SweepReport> BpfDataplane::cut(std::span<const FlowRecord> flows) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    LiveState& live = *impl_->live;
    const auto scan = live.scan();
    if (!scan) return tl::make_unexpected(scan.error());
    if (auto ready = live.prepare_resets(); !ready) return tl::make_unexpected(ready.error());
    SweepReport report;
    Harvest harvest(live, *scan, REAP_CUT, report);
    for (const FlowRecord& flow : flows) {
        ++report.looked_at;
        if (FLOW_SLOT_BUCKET(flow.slot) >= live.buckets.elements().size()) continue;
        const reap_request request{flow.slot, flow.flow_id};
        harvest.add(request, scan->connection_of(request));
    }
    if (auto done = harvest.finish(); !done) return tl::make_unexpected(done.error());
    return report;
}

Result<void> BpfDataplane::watch_drops(std::chrono::seconds duration) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    return impl_->live->change_settings(
        [&](settings& value, std::uint32_t now) { value.drop_events_until = now + ticks(duration); });
}

Result<void> BpfDataplane::poll_drop_events(const std::function<void(const DropEvent&)>& handle) {
    if (!impl_->live) return {};
    return impl_->live->drop_events.poll(handle);
}

Result<void> BpfDataplane::poll_port_block_events(const std::function<void(const PortBlockEvent&)>& handle) {
    if (!impl_->live) return {};
    return impl_->live->port_block_events.poll(handle);
}

Result<void> BpfDataplane::visit_port_blocks(const std::function<void(const PortBlock&)>& visit) {
    if (!impl_->live) return {};
    const auto scan = impl_->live->scan();
    if (!scan) return tl::make_unexpected(scan.error());
    scan->visit_port_blocks(visit);
    return {};
}

Result<void> BpfDataplane::hold_fragments(std::chrono::seconds duration) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    return impl_->live->change_settings(
        [&](settings& value, std::uint32_t now) { value.fragments_held_until = now + ticks(duration); });
}

Result<void> BpfDataplane::tend_fragments() {
    if (!impl_->live) return {};
    return impl_->live->early_fragments->tend();
}

int BpfDataplane::fragments_fd() const {
    return impl_->live ? impl_->live->early_fragments->fd() : -1;
}

int BpfDataplane::drop_events_fd() const {
    return impl_->live ? impl_->live->drop_events.fd() : -1;
}

int BpfDataplane::port_block_events_fd() const {
    return impl_->live ? impl_->live->port_block_events.fd() : -1;
}

Result<void> BpfDataplane::begin_capture(const CaptureRequest& request) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    if (impl_->live->capture) return capture_is_running();
    auto begun = PacketCapture::begin(impl_->live->state, impl_->live->attacher, request);
    if (!begun) return tl::make_unexpected(begun.error());
    impl_->live->capture = std::move(*begun);
    return {};
}

Result<std::uint64_t> BpfDataplane::poll_capture(std::size_t most,
                                                 const std::function<void(CapturedPacket)>& handle) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    if (!impl_->live->capture) return no_capture();
    auto lost = impl_->live->capture->poll(most, handle);
    if (!lost) impl_->live->capture.reset();
    return lost;
}

Result<std::uint64_t> BpfDataplane::end_capture(const std::function<void(CapturedPacket)>& handle) {
    if (!impl_->live) return tl::make_unexpected(no_state());
    if (!impl_->live->capture) return no_capture();
    const std::unique_ptr<PacketCapture> ending = std::move(impl_->live->capture);
    ending->stop();
    return ending->poll(SIZE_MAX, handle);
}

}  // namespace sallyport::dataplane

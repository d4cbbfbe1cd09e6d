// SPDX-License-Identifier: Apache-2.0
#include "dataplane/memory_dataplane.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "dataplane/packet_capture.h"
#include "dataplane/table_difference.h"

namespace sallyport::dataplane {
namespace {

constexpr std::uint64_t entry_bytes = sizeof(flow_entry);

// write_difference() keeps the tables; this only lets each write fail or pass.
class CountingWriter {
  public:
    explicit CountingWriter(MemoryKernel& kernel) : kernel_(kernel) {}
    Result<void> put(const GatewayEntry&) { return write(); }
    template <typename Key, typename Value>
    Result<void> put(const Key&, const Value&) {
        return write();
    }
    template <typename Key, typename Value>
    Result<void> remove(const Key&, const Value&) {
        return write();
    }

  private:
    Result<void> write() {
        if (kernel_.writes_left) {
            if (*kernel_.writes_left == 0) return failure("injected fault", EIO);
            --*kernel_.writes_left;
        }
        ++kernel_.writes;
        return {};
    }
    MemoryKernel& kernel_;
};

bool live(const FlowRecord& flow) {
    return flow.idle_seconds <= flow.timeout_seconds;
}

tl::unexpected<Error> no_state() {
    return failure("the data plane is detached", ENODEV);
}

}  // namespace

Result<void> MemoryDataplane::prepare(std::uint32_t flow_capacity) {
    const std::lock_guard lock(mutex_);
    if (kernel_->prepared) return {};
    kernel_->prepared = true;
    kernel_->flow_capacity = flow_capacity;
    return {};
}

Result<ForwardingTables> MemoryDataplane::read_tables() {
    const std::lock_guard lock(mutex_);
    return kernel_->tables;
}

Result<ForwardingTables> MemoryDataplane::load_tables() {
    return read_tables();
}

Result<ApplyReport> MemoryDataplane::apply(const ForwardingTables& wanted) {
    kernel_->before_apply();
    const std::lock_guard lock(mutex_);
    if (!kernel_->prepared) return no_state();
    CountingWriter writer(*kernel_);
    return write_difference(kernel_->tables, wanted, writer);
}

Result<void> MemoryDataplane::bump_generation() {
    const std::lock_guard lock(mutex_);
    if (!kernel_->prepared) return no_state();
    ++kernel_->generation;
    return {};
}

Result<std::uint16_t> MemoryDataplane::generation() {
    const std::lock_guard lock(mutex_);
    if (!kernel_->prepared) return no_state();
    return static_cast<std::uint16_t>(kernel_->generation);
}

Result<std::vector<Attachment>> MemoryDataplane::attach(std::span<const AttachRequest> wanted,
                                                        ModeWish mode) {
    const std::lock_guard lock(mutex_);
    if (!kernel_->prepared) return no_state();
    const auto unwanted = [&](const auto& element) {
        return std::none_of(wanted.begin(), wanted.end(),
                            [&](const AttachRequest& request) { return request.name == element.first; });
    };
    std::erase_if(kernel_->links, unwanted);
    std::erase_if(attached_, unwanted);
    std::vector<Attachment> result;
    for (const AttachRequest& request : wanted) result.push_back(attach_one(request, mode));
    const bool generic = std::ranges::any_of(result, [](const Attachment& attachment) {
        return attachment.error.empty() && attachment.mode == Mode::generic;
    });
    for (std::size_t i = 0; mode == ModeWish::automatic && generic && i < result.size(); ++i) {
        if (!result[i].error.empty() || result[i].mode == Mode::generic) continue;
        result[i] = attach_one(wanted[i], ModeWish::generic);
        result[i].fallback_reason = "another device is in generic mode";
        attached_.at(wanted[i].name).attachment.fallback_reason = result[i].fallback_reason;
    }
    return result;
}

Attachment MemoryDataplane::attach_one(const AttachRequest& request, ModeWish mode) {
    Attachment attachment;
    attachment.slot = request.slot;
    attachment.name = request.name;
    attachment.ifindex = request.ifindex;
    const auto link = kernel_->links.find(request.name);
    if (link != kernel_->links.end() && link->second.request.ifindex == request.ifindex &&
        (mode == ModeWish::automatic || (mode == ModeWish::native) == (link->second.mode == Mode::native))) {
        const auto known = attached_.find(request.name);
        if (known != attached_.end() && known->second.request == request) return known->second.attachment;
        attachment.mode = link->second.mode;
        attachment.adopted = true;
    } else {
        kernel_->links.erase(request.name);
        attached_.erase(request.name);
        const bool native_works = !kernel_->devices_without_native.contains(request.name);
        if (kernel_->broken_devices.contains(request.name) || (mode == ModeWish::native && !native_works)) {
            attachment.error = "injected fault";
            return attachment;
        }
        attachment.mode = mode != ModeWish::generic && native_works ? Mode::native : Mode::generic;
        if (mode == ModeWish::automatic && !native_works) attachment.fallback_reason = "injected fault";
    }
    kernel_->links[request.name] = MemoryKernel::Link{request, attachment.mode};
    attached_[request.name] = Attached{request, attachment};
    return attachment;
}

std::vector<Attachment> MemoryDataplane::attachments() const {
    const std::lock_guard lock(mutex_);
    std::vector<Attachment> result;
    for (const auto& [name, attached] : attached_) result.push_back(attached.attachment);
    return result;
}

Result<void> MemoryDataplane::detach_all() {
    const std::lock_guard lock(mutex_);
    kernel_->prepared = false;
    kernel_->tables = {};
    kernel_->generation = 0;
    kernel_->links.clear();
    kernel_->flows.clear();
    kernel_->counters = {};
    kernel_->port_block_events.clear();
    kernel_->port_blocks.clear();
    attached_.clear();
    capture_.reset();
    return {};
}

Result<void> MemoryDataplane::keep_next_hops_valid(std::chrono::seconds duration) {
    if (!kernel_->prepared) return no_state();
    kernel_->next_hops_valid_for = duration;
    return {};
}

Result<NextHopAnswer> MemoryDataplane::next_hop(const NextHopQuestion& question) {
    const std::lock_guard lock(mutex_);
    if (!kernel_->prepared) return no_state();
    const auto found = kernel_->ways.find(question.destination);
    if (found != kernel_->ways.end()) return found->second;
    NextHopAnswer nowhere;
    nowhere.reason = DROP_NO_KERNEL_ROUTE;
    nowhere.icmp_code = 0;
    return nowhere;
}

Result<Counters> MemoryDataplane::counters() {
    const std::lock_guard lock(mutex_);
    Counters result = kernel_->counters;
    result.drops.resize(DROP_REASONS_MAX);
    std::erase_if(result.devices, [&](const auto& e) { return !kernel_->tables.devices.contains(e.first); });
    std::erase_if(result.nat_gateways,
                  [&](const auto& e) { return !kernel_->tables.nat_gateways.contains(e.first); });
    for (const auto& [slot, entry] : kernel_->tables.devices) result.devices[slot];
    for (const auto& [number, entry] : kernel_->tables.nat_gateways) result.nat_gateways[number];
    return result;
}

Result<void> MemoryDataplane::visit_flows(const std::function<bool(const FlowRecord&)>& visit) {
    kernel_->before_visit();
    const auto flows = copy_of(kernel_->flows);
    for (const FlowRecord& flow : flows) {
        if (live(flow) && !visit(flow)) break;
    }
    return {};
}

Result<std::optional<InnerFlow>> MemoryDataplane::inner_flow(const InnerFlowKey& key) {
    const std::lock_guard lock(mutex_);
    const auto found = kernel_->inner_flows.find(key);
    if (found == kernel_->inner_flows.end()) return std::nullopt;
    return found->second;
}

Result<void> MemoryDataplane::visit_inner_flows(
    const std::function<bool(const InnerFlowKey&, const InnerFlow&)>& visit) {
    const auto flows = copy_of(kernel_->inner_flows);
    for (const auto& [key, flow] : flows) {
        if (!visit(key, flow)) break;
    }
    return {};
}

Result<FlowTableStatus> MemoryDataplane::flow_table_status() {
    const std::lock_guard lock(mutex_);
    FlowTableStatus status;
    if (!kernel_->prepared) return status;
    status.entries = 2 * kernel_->flows.size();
    status.flows =
        static_cast<std::uint64_t>(std::count_if(kernel_->flows.begin(), kernel_->flows.end(), live));
    status.port_blocks = kernel_->port_blocks.size();
    status.capacity = kernel_->flow_capacity;
    status.bytes = 2 * entry_bytes * kernel_->flow_capacity;
    status.maps_bytes = status.bytes;
    return status;
}

Result<SweepReport> MemoryDataplane::sweep(std::size_t) {
    const std::lock_guard lock(mutex_);
    SweepReport report;
    report.looked_at = kernel_->flows.size();
    report.removed = std::erase_if(kernel_->flows, [](const FlowRecord& flow) { return !live(flow); });
    return report;
}

Result<SweepReport> MemoryDataplane::cut(std::span<const FlowRecord> flows) {
    const std::lock_guard lock(mutex_);
    if (!kernel_->prepared) return no_state();
    SweepReport report;
    for (const FlowRecord& named : flows) {
        ++report.looked_at;
        report.removed += std::erase_if(kernel_->flows, [&](const FlowRecord& flow) {
            return flow.slot == named.slot && flow.flow_id == named.flow_id;
        });
    }
    return report;
}

Result<void> MemoryDataplane::watch_drops(std::chrono::seconds duration) {
    if (!kernel_->prepared) return no_state();
    kernel_->drops_watched_for = duration;
    return {};
}

Result<void> MemoryDataplane::hold_fragments(std::chrono::seconds duration) {
    if (!kernel_->prepared) return no_state();
    kernel_->fragments_held_for = duration;
    return {};
}

Result<void> MemoryDataplane::poll_drop_events(const std::function<void(const DropEvent&)>& handle) {
    for (const DropEvent& event : std::exchange(kernel_->drop_events, {})) handle(event);
    return {};
}

Result<void> MemoryDataplane::poll_port_block_events(
    const std::function<void(const PortBlockEvent&)>& handle) {
    for (const PortBlockEvent& event : std::exchange(kernel_->port_block_events, {})) handle(event);
    return {};
}

Result<void> MemoryDataplane::visit_port_blocks(const std::function<void(const PortBlock&)>& visit) {
    for (const PortBlock& block : kernel_->port_blocks) visit(block);
    return {};
}

MemoryDataplane::Programs MemoryDataplane::programs_for(const CaptureRequest& request) const {
    Programs programs;
    for (const auto& [name, attached] : attached_) {
        if (request.device && *request.device != attached.request.slot) continue;
        programs[name] = {attached.request, attached.attachment.mode};
    }
    return programs;
}

Result<void> MemoryDataplane::begin_capture(const CaptureRequest& request) {
    if (!kernel_->prepared) return no_state();
    if (capture_) return capture_is_running();
    Programs programs = programs_for(request);
    if (programs.empty()) return no_device_to_capture(request);
    capture_ = Capture{request, std::move(programs)};
    return {};
}

Result<std::uint64_t> MemoryDataplane::poll_capture(std::size_t most,
                                                    const std::function<void(CapturedPacket)>& handle) {
    if (!kernel_->prepared) return no_state();
    if (!capture_) return no_capture();
    if (programs_for(capture_->request) != capture_->programs) {
        capture_.reset();
        return captured_program_was_replaced();
    }
    std::vector<CapturedPacket> waiting = std::exchange(kernel_->captured, {});
    const std::size_t count = std::min(most, waiting.size());
    kernel_->captured.assign(waiting.begin() + static_cast<std::ptrdiff_t>(count), waiting.end());
    waiting.resize(count);
    for (CapturedPacket& packet : waiting) handle(std::move(packet));
    return kernel_->captured_lost;
}

Result<std::uint64_t> MemoryDataplane::end_capture(const std::function<void(CapturedPacket)>& handle) {
    auto lost = poll_capture(SIZE_MAX, handle);
    capture_.reset();
    return lost;
}

}  // namespace sallyport::dataplane

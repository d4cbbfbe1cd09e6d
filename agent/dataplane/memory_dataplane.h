// SPDX-License-Identifier: Apache-2.0
//
// A data plane in memory, for tests of everything above it. MemoryKernel is what outlives an agent: two
// MemoryDataplanes on one MemoryKernel, one after the other, are an agent that was restarted.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "dataplane/dataplane.h"

namespace sallyport::dataplane {

struct MemoryKernel {
    struct Link {
        AttachRequest request;
        Mode mode = Mode::native;
    };

    bool prepared = false;
    std::uint32_t flow_capacity = 0;
    ForwardingTables tables;
    std::uint32_t generation = 0;
    std::map<std::string, Link> links;  // by device
    std::vector<FlowRecord> flows;      // idle_seconds tells whether one is live
    std::map<InnerFlowKey, InnerFlow> inner_flows;
    Counters counters;
    std::vector<DropEvent> drop_events;
    std::vector<PortBlockEvent> port_block_events;
    std::vector<PortBlock> port_blocks;
    std::chrono::seconds next_hops_valid_for{0};
    std::map<Ipv4Address, NextHopAnswer> ways;  // by destination; to all others there is no route
    std::chrono::seconds drops_watched_for{0};
    std::chrono::seconds fragments_held_for{0};

    std::vector<CapturedPacket> captured;  // what waits for a capture; the fake filters nothing
    std::uint64_t captured_lost = 0;

    std::uint64_t writes = 0;  // element by element, of all applies

    // Faults to inject: after so many more writes every write fails; attaching to these devices fails, or
    // fails in native mode.
    std::optional<std::uint64_t> writes_left;
    std::set<std::string> broken_devices;
    std::set<std::string> devices_without_native;

    // For tests with threads: called by apply(), and by visit_flows(), before it begins.
    std::function<void()> before_apply = [] {};
    std::function<void()> before_visit = [] {};
};

class MemoryDataplane final : public Dataplane {
  public:
    explicit MemoryDataplane(std::shared_ptr<MemoryKernel> kernel) : kernel_(std::move(kernel)) {}

    Result<void> prepare(std::uint32_t flow_capacity) override;
    Result<ForwardingTables> read_tables() override;
    Result<ForwardingTables> load_tables() override;
    Result<ApplyReport> apply(const ForwardingTables& wanted) override;
    Result<void> bump_generation() override;
    Result<std::uint16_t> generation() override;
    Result<std::vector<Attachment>> attach(std::span<const AttachRequest> wanted, ModeWish mode) override;
    [[nodiscard]] std::vector<Attachment> attachments() const override;
    Result<void> detach_all() override;
    Result<void> keep_next_hops_valid(std::chrono::seconds duration) override;
    Result<NextHopAnswer> next_hop(const NextHopQuestion& question) override;
    [[nodiscard]] Result<Counters> counters() override;
    Result<void> visit_flows(const std::function<bool(const FlowRecord&)>& visit) override;
    Result<std::optional<InnerFlow>> inner_flow(const InnerFlowKey& key) override;
    Result<void> visit_inner_flows(
        const std::function<bool(const InnerFlowKey&, const InnerFlow&)>& visit) override;
    Result<FlowTableStatus> flow_table_status() override;
    Result<SweepReport> sweep(std::size_t buckets) override;
    Result<SweepReport> cut(std::span<const FlowRecord> flows) override;
    Result<void> watch_drops(std::chrono::seconds duration) override;
    Result<void> poll_drop_events(const std::function<void(const DropEvent&)>& handle) override;
    [[nodiscard]] int drop_events_fd() const override { return -1; }
    Result<void> poll_port_block_events(const std::function<void(const PortBlockEvent&)>& handle) override;
    [[nodiscard]] int port_block_events_fd() const override { return -1; }
    Result<void> visit_port_blocks(const std::function<void(const PortBlock&)>& visit) override;
    Result<void> hold_fragments(std::chrono::seconds duration) override;
    Result<void> tend_fragments() override { return {}; }
    [[nodiscard]] int fragments_fd() const override { return -1; }
    Result<void> begin_capture(const CaptureRequest& request) override;
    Result<std::uint64_t> poll_capture(std::size_t most,
                                       const std::function<void(CapturedPacket)>& handle) override;
    Result<std::uint64_t> end_capture(const std::function<void(CapturedPacket)>& handle) override;

    // For tests: what is being captured.
    [[nodiscard]] std::optional<CaptureRequest> capturing() const {
        return capture_ ? std::optional(capture_->request) : std::nullopt;
    }

  private:
    struct Attached {
        AttachRequest request;
        Attachment attachment;
    };
    template <typename List>
    List copy_of(const List& list) const {
        const std::lock_guard lock(mutex_);
        return list;
    }
    Attachment attach_one(const AttachRequest& request, ModeWish mode);

    // Makes up for what the kernel does: reading calls of other threads meet no element half written.
    mutable std::mutex mutex_;
    std::shared_ptr<MemoryKernel> kernel_;
    std::map<std::string, Attached> attached_;
    using Programs = std::map<std::string, std::pair<AttachRequest, Mode>>;  // by device
    [[nodiscard]] Programs programs_for(const CaptureRequest& request) const;
    struct Capture {
        CaptureRequest request;
        Programs programs;
    };
    std::optional<Capture> capture_;
};

}  // namespace sallyport::dataplane

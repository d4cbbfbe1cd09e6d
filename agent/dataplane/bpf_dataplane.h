// SPDX-License-Identifier: Apache-2.0
//
// The data plane in the kernel. Its state is pinned (pinned_state.h) and goes on without this object:
// destroying it leaves forwarding in place.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dataplane/dataplane.h"

namespace sallyport::dataplane {

struct BpfDataplaneOptions {
    std::string pin_dir;              // absolute; a bpffs is mounted where there is none
    std::uint32_t flow_capacity = 0;  // flows; used when the state is made
    std::string version;              // of the agent, noted in the state that it makes
};

class BpfDataplane final : public Dataplane {
  public:
    // Opens or makes the pinned state. Refuses, and touches nothing, where another agent is at work or the
    // state has another layout.
    static Result<std::unique_ptr<BpfDataplane>> open(const BpfDataplaneOptions& options);

    ~BpfDataplane() override;
    BpfDataplane(const BpfDataplane&) = delete;
    BpfDataplane& operator=(const BpfDataplane&) = delete;

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
    [[nodiscard]] int drop_events_fd() const override;
    Result<void> poll_port_block_events(const std::function<void(const PortBlockEvent&)>& handle) override;
    [[nodiscard]] int port_block_events_fd() const override;
    Result<void> visit_port_blocks(const std::function<void(const PortBlock&)>& visit) override;
    Result<void> hold_fragments(std::chrono::seconds duration) override;
    Result<void> tend_fragments() override;
    [[nodiscard]] int fragments_fd() const override;
    Result<void> begin_capture(const CaptureRequest& request) override;
    Result<std::uint64_t> poll_capture(std::size_t most,
                                       const std::function<void(CapturedPacket)>& handle) override;
    Result<std::uint64_t> end_capture(const std::function<void(CapturedPacket)>& handle) override;

  private:
    class Impl;
    explicit BpfDataplane(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
//
// Everything of BpfDataplane that stands on the pinned state and goes with it. Queries of other threads call
// what is const, and keep it alive for as long as they need it; all else is called by one thread.
#pragma once

#include <bpf/bpf.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"
#include "dataplane/attacher.h"
#include "dataplane/bpf_tables.h"
#include "dataplane/dataplane.h"
#include "dataplane/early_fragments.h"
#include "dataplane/event_ring.h"
#include "dataplane/flow_scan.h"
#include "dataplane/map_memory.h"
#include "dataplane/packet_capture.h"
#include "dataplane/pinned_state.h"
#include "dataplane/tcp_resets.h"

namespace sallyport::dataplane {

// What the counters and the list of attachments are asked for. It stays as it was.
struct InUse {
    std::vector<std::uint8_t> devices;        // slots
    std::vector<std::uint16_t> nat_gateways;  // numbers
    AttachedLinks links;
};

class LiveState {
  public:
    static Result<std::shared_ptr<LiveState>> open(const PinDirectory& directory, std::uint32_t flow_capacity,
                                                   const std::string& version);
    LiveState(const LiveState&) = delete;
    LiveState& operator=(const LiveState&) = delete;

    // To be called before it goes, which may be in another thread. Nobody is there to take fragments any
    // more: what has been handed over is dropped, and counted.
    void end();

    PinnedState state;
    MapMemory<const flow_bucket> buckets;
    MapMemory<reap_request> reap_batch;
    UniqueFd reaper;
    BpfTables tables{state};
    Attacher attacher{state};
    ForwardingTables now;  // what the maps hold; after a change, note_what_is_in_use()
    EventRing<drop_event, DropEvent> drop_events;
    EventRing<port_block_event, PortBlockEvent> port_block_events;
    std::size_t sweep_position = 0;
    std::optional<TcpResets> resets;  // once they are wanted
    std::unique_ptr<EarlyFragments> early_fragments;
    std::unique_ptr<PacketCapture> capture;  // while there is one

    Result<ForwardingTables> load_tables();
    void note_what_is_in_use();
    [[nodiscard]] std::shared_ptr<const InUse> in_use() const;

    Result<void> prepare_resets();
    [[nodiscard]] bool resets_are_wanted(std::uint16_t nat_gateway) const;

    // Only the agent writes the settings, and all of them at once. `change` gets them and the flows' clock.
    [[nodiscard]] Result<settings> read_settings() const;
    template <typename Change>
    Result<void> change_settings(const Change& change) {
        auto value = read_settings();
        if (!value) return tl::make_unexpected(value.error());
        change(*value, ticks_of(*value));
        const std::uint32_t first = 0;
        if (bpf_map_update_elem(state.map("settings"), &first, &*value, BPF_ANY) != 0)
            return system_failure("update map settings");
        return {};
    }

    [[nodiscard]] Result<FlowScan> scan() const;
    // The flows' clock; where the settings cannot be read, as if the agent had never shifted it.
    [[nodiscard]] std::uint32_t now_ticks() const;
    [[nodiscard]] Result<NextHopAnswer> ask_next_hop(const NextHopQuestion& asked) const;
    // Ends what stands in reap_batch; returns how many that were.
    Result<std::uint64_t> reap(std::size_t count, reap_mode mode);

  private:
    LiveState(PinnedState s, MapMemory<const flow_bucket> b, MapMemory<reap_request> r, UniqueFd p)
        : state(std::move(s)), buckets(std::move(b)), reap_batch(std::move(r)), reaper(std::move(p)) {}
    static std::uint32_t ticks_of(const settings& value);
    [[nodiscard]] Result<int> next_hop_query() const;

    mutable std::mutex next_hop_query_mutex_;  // held while it is loaded, by queries alone
    mutable UniqueFd next_hop_query_;          // once somebody has asked
    mutable std::mutex in_use_mutex_;          // held for the copy of a pointer
    std::shared_ptr<const InUse> in_use_;
};

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
//
// Loops over the flow table's memory, which the programs change meanwhile. Nothing here writes to it or
// makes a system call, so that the same code is tested on an array of buckets in a test.
//
// An entry counts as live as long as it or its peer is within its timeout, as the programs see it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/tcp_resets.h"
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"

namespace sallyport::dataplane {

class FlowScan {
  public:
    // `buckets` is not owned. `now` in ticks.
    FlowScan(std::span<const flow_bucket> buckets, std::uint32_t now) : buckets_(buckets), now_(now) {}

    // Calls `visit` for each live flow until it returns false.
    void visit(const std::function<bool(const FlowRecord&)>& visit) const;

    // Calls `visit` for each block that an instance has, also one that is past its rest: until it is removed,
    // it is nobody else's.
    void visit_port_blocks(const std::function<void(const PortBlock&)>& visit) const;

    // Fills entries, flows, mappings and port blocks.
    [[nodiscard]] FlowTableStatus count() const;

    // Looks at `count` buckets from `first` on (all of them must exist) and hands what may be removed to
    // `found`: forward entries of flows past their timeout, mappings that no flow uses, and reverse
    // entries whose forward entry is gone. The reaper checks each again.
    void expired(std::size_t first, std::size_t count,
                 const std::function<void(const reap_request&)>& found) const;

    // The TCP connection whose forward entry the request names; none if it never stood, or has been ended by
    // its ends.
    [[nodiscard]] std::optional<TcpConnection> connection_of(const reap_request& request) const;

    // Is the flow gone that a request named?
    [[nodiscard]] bool is_gone(std::uint32_t slot, std::uint32_t flow_id) const;

    // Which next hops are named by any entry, by number.
    [[nodiscard]] std::vector<bool> next_hops_in_use() const;

  private:
    // The flow whose forward entry stands there; none if there is none or it is past its timeout.
    [[nodiscard]] std::optional<FlowRecord> record_of(std::size_t bucket, std::uint32_t number) const;
    void prefetch_peer(const flow_entry& entry) const;
    [[nodiscard]] bool past(const flow_entry& entry) const;
    [[nodiscard]] std::uint32_t age(const flow_entry& entry) const;
    [[nodiscard]] const flow_entry* peer_of(const flow_entry& entry) const;

    std::span<const flow_bucket> buckets_;
    std::uint32_t now_;
};

}  // namespace sallyport::dataplane

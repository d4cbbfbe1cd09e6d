// SPDX-License-Identifier: Apache-2.0
//
// Resets for both ends of TCP connections whose flow was idle for too long (RFC 5382 section 5), so that they
// learn of it now and not when they next send. They leave by a raw socket: the kernel finds device and
// neighbour, and what the host sends passes no XDP program.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "core/address.h"
#include "core/result.h"
#include "core/unique_fd.h"
#include "dataplane/tables.h"

namespace sallyport::dataplane {

// A connection that stood, and the sequence number that each end waits for.
struct TcpConnection {
    std::uint32_t slot = 0;  // of the forward entry
    std::uint32_t flow_id = 0;
    std::uint16_t zone = 0;
    std::uint16_t nat_gateway = 0;  // number
    Endpoint inside;
    Endpoint external;
    Endpoint remote;
    std::uint32_t expected_inside = 0;
    std::optional<std::uint32_t> expected_by_remote;  // not kept for flows of an endpoint-independent mapping
};

class TcpResets {
  public:
    static Result<TcpResets> open();

    // What cannot be sent, because there is no route or no room in a queue, is left out: the end finds out by
    // itself. `devices` tell the way to the instance where private networks overlap. Returns how many were
    // sent.
    std::uint64_t send(const TcpConnection& connection,
                       const std::map<std::uint8_t, DeviceEntry>& devices) const;

  private:
    explicit TcpResets(UniqueFd socket) : socket_(std::move(socket)) {}
    UniqueFd socket_;
};

// The IPv4 packet, but for what the kernel fills in of its header: identification and checksum.
struct ResetPacket {
    std::uint8_t bytes[40];
};
ResetPacket make_reset(const Endpoint& source, const Endpoint& destination, std::uint32_t sequence);

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
//
// The data plane as the agent sees it. Implementations: BpfDataplane (libbpf; the only user of it) and
// MemoryDataplane (a fake). Both pass the contract tests in tests/unit/dataplane_contract.h. What queries
// need is a DataplaneReader, whose calls may be made by any thread at any time; all others are made by one
// thread. Neither waits for the other: who reads while tables are written sees some of them written and some
// not, as packets do.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "dataplane/tables.h"

namespace sallyport::dataplane {

struct AttachRequest {
    std::uint8_t slot = 0;
    std::string name;
    std::uint32_t ifindex = 0;
    Role role = Role::inside;
    bool operator==(const AttachRequest&) const = default;
};

enum class ModeWish { automatic, native, generic };

struct Attachment {
    std::uint8_t slot = 0;
    std::string name;
    std::uint32_t ifindex = 0;
    Mode mode = Mode::native;
    bool adopted = false;         // it was there before, and its program was replaced in place
    std::string fallback_reason;  // why native mode was not to be had, or empty
    std::string error;            // why it is not attached; empty: it is
};

// What one apply() wrote. All zero: nothing was different.
struct ApplyReport {
    std::uint64_t written = 0;
    std::uint64_t removed = 0;
    [[nodiscard]] bool changed() const { return written + removed != 0; }
};

struct FlowRecord {
    Protocol protocol = Protocol::tcp;
    std::uint16_t zone = 0;
    std::uint16_t nat_gateway = 0;  // number
    Endpoint inside;
    Endpoint external;
    Endpoint remote;
    // opening, opening_from_outside, established, fin_from_inside, fin_from_outside, closing, reset
    std::string_view state;
    std::uint32_t idle_seconds = 0;
    std::uint32_t timeout_seconds = 0;
    std::uint32_t generation = 0;  // of the configuration that the instance's direction was checked against
    std::uint32_t generation_in = 0;  // the same of the remote's
    std::uint32_t packets_out = 0;
    std::uint64_t bytes_out = 0;
    std::uint32_t packets_in = 0;
    std::uint64_t bytes_in = 0;
    std::uint32_t slot = 0;     // of the forward entry
    std::uint32_t flow_id = 0;  // with slot: names this flow for cut()
    bool from_outside = false;  // a packet from outside has opened it
    bool is_static = false;     // the configuration gives its external endpoint
    bool mapped = false;        // it is one of a mapping's, whose port is nobody else's
    bool permitted = false;     // its remote's address may send to the mapping
    bool hairpin = false;       // the remote is an Elastic IP of this gateway
};

struct FlowTableStatus {
    std::uint64_t entries = 0;      // occupied entries of the table
    std::uint64_t flows = 0;        // live flows, both directions as one
    std::uint64_t mappings = 0;     // live endpoint-independent mappings
    std::uint64_t port_blocks = 0;  // of instances, resting ones included
    std::uint64_t capacity = 0;     // flows
    std::uint64_t bytes = 0;        // memory of the table
    std::uint64_t maps_bytes = 0;   // memory of all maps, as the kernel tells it
};

struct SweepReport {
    std::uint64_t looked_at = 0;
    std::uint64_t removed = 0;
    std::uint64_t resets_sent = 0;  // to ends of connections that were removed
};

// received_packets = forwarded + passed + dropped + answered + held
struct DeviceCounters {
    std::uint64_t received_packets = 0, received_bytes = 0, forwarded = 0, passed = 0, dropped = 0,
                  answered = 0,
                  held = 0;  // fragments that wait now for the first one of their datagram
};
struct NatGatewayCounters {
    std::uint64_t out_packets = 0, out_bytes = 0, in_packets = 0, in_bytes = 0;
    std::uint64_t out_dropped_packets = 0, out_dropped_bytes = 0, in_dropped_packets = 0,
                  in_dropped_bytes = 0;
    std::uint64_t flow_attempts = 0, flows_established = 0, port_allocation_errors = 0, idle_timeouts = 0;
    std::uint64_t port_block_events_lost = 0;  // that found no room
};
struct Counters {
    std::map<std::uint8_t, DeviceCounters> devices;            // by slot, those in use
    std::map<std::uint16_t, NatGatewayCounters> nat_gateways;  // by number, those in use
    std::vector<std::uint64_t> drops;                          // by enum drop_reason
    std::uint64_t icmp_errors_sent = 0, tcp_resets_sent = 0, replies_suppressed = 0;
};

struct DropEvent {
    std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC
    std::string_view reason;    // label
    std::uint8_t device = 0;    // slot
    std::uint8_t protocol = 0;  // IANA number
    Endpoint source;
    Endpoint destination;
    std::uint16_t length = 0;
    std::uint8_t tcp_flags = 0;
};

// A range of external ports that is an instance's alone, of every protocol.
struct PortBlock {
    Ipv4Address elastic_ip;
    PortRange ports;
    Ipv4Address instance;
    std::uint16_t zone = 0;
    std::uint16_t nat_gateway = 0;  // number
    auto operator<=>(const PortBlock&) const = default;
};

struct PortBlockEvent {
    enum class Happening { allocated, released };
    std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC
    PortBlock block;
    Happening happening = Happening::allocated;
    bool operator==(const PortBlockEvent&) const = default;
};

// Where a packet was seen: coming in, or with what the data plane made of it. The order is that of enum
// capture_point.
enum class CapturePoint : std::uint8_t { received, sent, dropped, passed };
std::string_view to_string(CapturePoint point);
inline constexpr std::array all_capture_points{CapturePoint::received, CapturePoint::sent,
                                               CapturePoint::dropped, CapturePoint::passed};
inline constexpr std::uint16_t capture_snap_length_max = 1514;

// Which packets are captured. One that is asked for when it is received is captured at the other points as
// well, whatever translation has made of it.
struct CaptureRequest {
    std::optional<std::uint8_t> device;  // slot; none: all that are attached
    std::optional<Ipv4Address> host;     // source or destination
    std::optional<Protocol> protocol;
    std::optional<std::uint16_t> port;  // of TCP or UDP, source or destination
    std::vector<CapturePoint> points{all_capture_points.begin(), all_capture_points.end()};
    std::uint16_t snap_length = 256;  // bytes that are kept of each
    bool operator==(const CaptureRequest&) const = default;
};

struct CapturedPacket {
    std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC
    std::uint8_t device = 0;    // slot of the device that received it
    CapturePoint point = CapturePoint::received;
    std::uint32_t length = 0;
    std::string bytes;  // its first ones
};

// Where would a packet go that came in by a device, once it is translated?
struct NextHopQuestion {
    std::uint32_t ifindex = 0;  // of the device that it came in by
    Ipv4Address source;         // after translation, as the destination
    Ipv4Address destination;
    bool inward = false;     // to an instance
    std::uint16_t zone = 0;  // of that instance
    bool operator==(const NextHopQuestion&) const = default;
};

struct NextHopAnswer {
    std::uint32_t reason = 0;  // enum drop_reason, where it goes nowhere
    // Of an ICMP unreachable that its sender gets then, where it gets one.
    std::optional<std::uint8_t> icmp_code;
    std::uint8_t device = 0;  // slot
    Ipv4Address towards;      // the neighbour that gets it: the destination or a router
    bool resolved = false;    // the kernel knows how to reach that
    bool elsewhere = false;   // the kernel by itself would send it elsewhere
    bool operator==(const NextHopAnswer&) const = default;
};

class DataplaneReader {
  public:
    virtual ~DataplaneReader() = default;

    // What the pinned state holds now; empty tables when it was just made.
    virtual Result<ForwardingTables> read_tables() = 0;

    // What FlowRecord::generation says of a flow that has been checked since.
    virtual Result<std::uint16_t> generation() = 0;

    // Those that are attached.
    [[nodiscard]] virtual std::vector<Attachment> attachments() const = 0;

    // Asks the kernel's routes as the programs do. ENODEV where there is no such interface.
    virtual Result<NextHopAnswer> next_hop(const NextHopQuestion& question) = 0;

    [[nodiscard]] virtual Result<Counters> counters() = 0;

    // Calls `visit` for each live flow; it returns false to stop.
    virtual Result<void> visit_flows(const std::function<bool(const FlowRecord&)>& visit) = 0;
    // The flow, if it lives; of ICMP one that an echo request opened.
    virtual Result<std::optional<InnerFlow>> inner_flow(const InnerFlowKey& key) = 0;
    // Calls `visit` for each of those that live; it returns false to stop.
    virtual Result<void> visit_inner_flows(
        const std::function<bool(const InnerFlowKey&, const InnerFlow&)>& visit) = 0;
    virtual Result<FlowTableStatus> flow_table_status() = 0;
};

class Dataplane : public DataplaneReader {
  public:
    // Makes the pinned state, with room for so many flows, where there is none (a first start, or after
    // detach_all()). State that is there stays as it is, whatever its size: flow_table_status() tells it.
    // All other calls want state, and fail or give empty answers without.
    virtual Result<void> prepare(std::uint32_t flow_capacity) = 0;

    // read_tables(), and from here on apply() starts from what they are.
    virtual Result<ForwardingTables> load_tables() = 0;

    // Makes the tables equal to `wanted`, writing only what differs, additions before removals. Does not
    // bump the generation and does not attach anything.
    virtual Result<ApplyReport> apply(const ForwardingTables& wanted) = 0;

    // Every flow is checked again on its next packet.
    virtual Result<void> bump_generation() = 0;

    // Attaches to all of `wanted`, detaches from the rest. What is attached already gets the new program
    // in one atomic step; what this object attached itself is left alone. The answer has one element for
    // each of `wanted`: a device that fails has its error there and does not keep the others from working.
    virtual Result<std::vector<Attachment>> attach(std::span<const AttachRequest> wanted, ModeWish mode) = 0;

    // Takes the programs off every device and removes all pinned state: forwarding ends, flows are lost.
    virtual Result<void> detach_all() = 0;

    // Says that the agent keeps next hops current, for so long. To be called several times within it.
    virtual Result<void> keep_next_hops_valid(std::chrono::seconds duration) = 0;

    // Removes what is past its timeout, looking at a slice of the table of at most `buckets` buckets (0:
    // all). Both ends of a TCP connection that is removed get a reset where its NAT gateway says so.
    virtual Result<SweepReport> sweep(std::size_t buckets = 0) = 0;

    // Ends these flows whatever their age, as far as they are still there. Both ends of a TCP connection get
    // a reset.
    virtual Result<SweepReport> cut(std::span<const FlowRecord> flows) = 0;

    // Drop events are sent for `duration` from now; poll_drop_events() hands over what has come.
    virtual Result<void> watch_drops(std::chrono::seconds duration) = 0;
    virtual Result<void> poll_drop_events(const std::function<void(const DropEvent&)>& handle) = 0;
    [[nodiscard]] virtual int drop_events_fd() const = 0;  // readable when events wait; -1: none

    // What happened to port blocks since the last call, by whichever agent, in order. It waits in the pinned
    // state, also while no agent runs; events that find no room there are counted instead.
    virtual Result<void> poll_port_block_events(const std::function<void(const PortBlockEvent&)>& handle) = 0;
    [[nodiscard]] virtual int port_block_events_fd() const = 0;  // readable when events wait; -1: none
    // Calls `visit` for each block that an instance has now, resting ones included.
    virtual Result<void> visit_port_blocks(const std::function<void(const PortBlock&)>& visit) = 0;

    // Fragments that come before the first one of their datagram are held, not dropped, for `duration` from
    // now. To be called several times within it by whoever calls tend_fragments().
    virtual Result<void> hold_fragments(std::chrono::seconds duration) = 0;
    // Lets those go on whose first fragment has come, and drops those that have waited for too long. To be
    // called when fragments_fd() is readable, and several times a second.
    virtual Result<void> tend_fragments() = 0;
    [[nodiscard]] virtual int fragments_fd() const = 0;  // -1: none

    // Captures packets of devices that are attached, until end_capture() or until this object goes; one
    // capture at a time. Forwarding is not touched by it.
    virtual Result<void> begin_capture(const CaptureRequest& request) = 0;
    // Hands over at most so many packets of those that wait; returns how many were lost since the beginning.
    // Fails when there is no capture any more: where a device was attached anew, or all were detached.
    virtual Result<std::uint64_t> poll_capture(std::size_t most,
                                               const std::function<void(CapturedPacket)>& handle) = 0;
    // Hands over all that wait, of a capture that ends here; returns what poll_capture() would have.
    virtual Result<std::uint64_t> end_capture(const std::function<void(CapturedPacket)>& handle) = 0;
};

std::string_view drop_reason_label(std::uint32_t reason);  // "" for numbers that mean nothing
std::string_view drop_reason_text(std::uint32_t reason);

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
#include "dataplane/flow_scan.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <optional>

#include "dataplane/codec.h"

namespace sallyport::dataplane {
namespace {

constexpr std::size_t prefetch_distance = 4;  // buckets
constexpr int read_tries = 4;
// Peers lie anywhere in the table. They are fetched so many at a time: one cache miss after the other would
// cost more than all the rest.
constexpr std::size_t peers_at_once = 32;

template <typename Field>
Field read_once(const Field& field) {
    return __atomic_load_n(&field, __ATOMIC_RELAXED);
}

// Calls `visit(number)` for each entry of the bucket that has a tag.
template <typename Visit>
void for_each_entry(const flow_bucket& bucket, Visit&& visit) {
    std::array<std::uint16_t, std::size(flow_tags{}.tag)> tags;
    std::memcpy(tags.data(), bucket.tags.tag, sizeof tags);
    for (std::uint32_t number = 0; number < FLOW_BUCKET_ENTRIES; ++number) {
        if (tags[number] != 0) visit(number);
    }
}

void prefetch(const flow_bucket& bucket) {
    __builtin_prefetch(&bucket.tags);
}

// A copy that is no mixture of two entries, or none where there is no flow. The flow_id is the first thing
// that is taken from an old entry and the last that a new one gets.
std::optional<flow_entry> whole_copy(const flow_bucket& bucket, std::uint32_t number) {
    for (int i = 0; i < read_tries; ++i) {
        const flow_entry& seen = bucket.entry[number];
        const std::uint32_t before = __atomic_load_n(&seen.flow_id, __ATOMIC_ACQUIRE);
        if (before == 0) return std::nullopt;
        flow_entry entry;
        std::memcpy(&entry, &seen, sizeof entry);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (read_once(seen.flow_id) == before) return entry;
    }
    return std::nullopt;
}

std::string_view state_name(std::uint8_t state) {
    switch (state) {
        case FLOW_STATE_OPENING:
            return "opening";
        case FLOW_STATE_ESTABLISHED:
            return "established";
        case FLOW_STATE_FIN_FROM_INSIDE:
            return "fin_from_inside";
        case FLOW_STATE_FIN_FROM_OUTSIDE:
            return "fin_from_outside";
        case FLOW_STATE_CLOSING:
            return "closing";
        case FLOW_STATE_RESET:
            return "reset";
        case FLOW_STATE_OPENING_FROM_OUTSIDE:
            return "opening_from_outside";
        default:
            return "unknown";
    }
}

}  // namespace

std::uint32_t FlowScan::age(const flow_entry& entry) const {
    // A packet on another processor may have stored a tick after `now_` was read.
    const auto ticks = static_cast<std::int32_t>(now_ - read_once(entry.last_seen));
    return ticks < 0 ? 0 : static_cast<std::uint32_t>(ticks);
}

bool FlowScan::past(const flow_entry& entry) const {
    // As in flow_past() of bpf/lib/flow_table.h.
    const std::uint8_t kind = read_once(entry.key.kind);
    const bool counts_flows =
        kind == FLOW_KIND_PERMIT || (kind == FLOW_KIND_BLOCK && (read_once(entry.flags) & FLOW_FORWARD) != 0);
    if (counts_flows && read_once(entry.references) != 0) return false;
    return age(entry) > std::uint32_t{read_once(entry.timeout)} << FLOW_TICKS_PER_TIMEOUT_SHIFT;
}

const flow_entry* FlowScan::peer_of(const flow_entry& entry) const {
    const std::uint32_t slot = read_once(entry.peer_slot);
    const std::uint32_t bucket = FLOW_SLOT_BUCKET(slot), number = FLOW_SLOT_NUMBER(slot);
    if (bucket >= buckets_.size() || number >= FLOW_BUCKET_ENTRIES) return nullptr;
    const flow_entry& peer = buckets_[bucket].entry[number];
    return read_once(peer.flow_id) == entry.flow_id ? &peer : nullptr;
}

std::optional<FlowRecord> FlowScan::record_of(std::size_t bucket, std::uint32_t number) const {
    const auto entry = whole_copy(buckets_[bucket], number);
    if (!entry || (entry->flags & FLOW_FORWARD) == 0 || entry->key.kind != FLOW_KIND_FLOW)
        return std::nullopt;
    std::optional<flow_entry> reverse;
    if (peer_of(*entry) != nullptr) {
        reverse =
            whole_copy(buckets_[FLOW_SLOT_BUCKET(entry->peer_slot)], FLOW_SLOT_NUMBER(entry->peer_slot));
        if (reverse && reverse->flow_id != entry->flow_id) reverse.reset();
    }
    if (past(*entry) && (!reverse || past(*reverse))) return std::nullopt;

    FlowRecord record;
    record.protocol = static_cast<Protocol>(entry->key.protocol);
    record.zone = entry->key.zone;
    record.nat_gateway = entry->nat_gateway;
    record.inside = Endpoint{Ipv4Address::from_network(entry->key.source), ntohs(entry->key.source_port)};
    record.external = Endpoint{Ipv4Address::from_network(entry->new_address), ntohs(entry->new_port)};
    record.remote =
        Endpoint{Ipv4Address::from_network(entry->key.destination), ntohs(entry->key.destination_port)};
    record.state = state_name(entry->state);
    const std::uint32_t idle = reverse ? std::min(age(*entry), age(*reverse)) : age(*entry);
    record.idle_seconds =
        static_cast<std::uint32_t>((std::uint64_t{idle} << FLOW_TICK_SHIFT) / 1'000'000'000);
    record.timeout_seconds = static_cast<std::uint32_t>(decode_timeout(entry->timeout).count());
    record.generation = entry->generation;
    record.is_static = (entry->flags & FLOW_STATIC) != 0;
    record.mapped = (entry->flags & FLOW_MAPPED) != 0;
    record.permitted = (entry->flags & FLOW_PERMITTED) != 0;
    record.hairpin = (entry->flags & FLOW_HAIRPIN) != 0;
    record.packets_out = entry->packets;
    record.bytes_out = entry->bytes;
    if (reverse) {
        record.generation_in = reverse->generation;
        record.from_outside = (reverse->flags & FLOW_FROM_OUTSIDE) != 0;
        record.packets_in = reverse->packets;
        record.bytes_in = reverse->bytes;
    }
    record.slot = static_cast<std::uint32_t>(FLOW_SLOT(bucket, number));
    record.flow_id = entry->flow_id;
    return record;
}

void FlowScan::prefetch_peer(const flow_entry& entry) const {
    const std::uint32_t slot = read_once(entry.peer_slot);
    if (FLOW_SLOT_BUCKET(slot) >= buckets_.size()) return;
    const flow_bucket& bucket = buckets_[FLOW_SLOT_BUCKET(slot)];
    __builtin_prefetch(&bucket.entry[FLOW_SLOT_NUMBER(slot) % FLOW_BUCKET_ENTRIES]);
    __builtin_prefetch(&bucket.tags);
}

void FlowScan::visit(const std::function<bool(const FlowRecord&)>& visit) const {
    std::array<std::pair<std::size_t, std::uint32_t>, peers_at_once> waiting{};
    std::size_t waiting_count = 0;
    bool go_on = true;
    const auto look = [&] {
        for (std::size_t i = 0; i < waiting_count && go_on; ++i) {
            if (const auto record = record_of(waiting[i].first, waiting[i].second)) go_on = visit(*record);
        }
        waiting_count = 0;
    };
    for (std::size_t i = 0; i < buckets_.size() && go_on; ++i) {
        if (i + prefetch_distance < buckets_.size()) prefetch(buckets_[i + prefetch_distance]);
        for_each_entry(buckets_[i], [&](std::uint32_t number) {
            const flow_entry& entry = buckets_[i].entry[number];
            if ((read_once(entry.flags) & FLOW_FORWARD) == 0) return;
            prefetch_peer(entry);
            waiting[waiting_count++] = {i, number};
            if (waiting_count == waiting.size()) look();
        });
    }
    look();
}

void FlowScan::visit_port_blocks(const std::function<void(const PortBlock&)>& visit) const {
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
        if (i + prefetch_distance < buckets_.size()) prefetch(buckets_[i + prefetch_distance]);
        for_each_entry(buckets_[i], [&](std::uint32_t number) {
            if (read_once(buckets_[i].entry[number].key.kind) != FLOW_KIND_BLOCK) return;
            const auto entry = whole_copy(buckets_[i], number);
            if (!entry || entry->key.kind != FLOW_KIND_BLOCK || (entry->flags & FLOW_FORWARD) == 0) return;
            PortBlock block;
            block.elastic_ip = Ipv4Address::from_network(entry->new_address);
            block.ports = {ntohs(entry->new_port), entry->last_port};
            block.instance = Ipv4Address::from_network(entry->key.source);
            block.zone = entry->key.zone;
            block.nat_gateway = entry->nat_gateway;
            visit(block);
        });
    }
}

FlowTableStatus FlowScan::count() const {
    FlowTableStatus status;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
        if (i + prefetch_distance < buckets_.size()) prefetch(buckets_[i + prefetch_distance]);
        for_each_entry(buckets_[i], [&](std::uint32_t number) {
            ++status.entries;
            const flow_entry& entry = buckets_[i].entry[number];
            if ((read_once(entry.flags) & FLOW_FORWARD) == 0) return;
            const std::uint8_t kind = read_once(entry.key.kind);
            if (kind == FLOW_KIND_BLOCK) {
                ++status.port_blocks;
                return;
            }
            const bool mapping = kind == FLOW_KIND_MAPPING;
            if (mapping && read_once(entry.references) == 0) return;  // its port rests
            if (past(entry) && !mapping) {
                const flow_entry* peer = peer_of(entry);
                if (peer == nullptr || past(*peer)) return;
            }
            ++(mapping ? status.mappings : status.flows);
        });
    }
    return status;
}

void FlowScan::expired(std::size_t first, std::size_t count,
                       const std::function<void(const reap_request&)>& found) const {
    struct Candidate {
        const flow_entry* entry;
        std::uint32_t slot;
    };
    std::array<Candidate, peers_at_once> waiting{};
    std::size_t waiting_count = 0;

    const auto look = [&] {
        for (std::size_t i = 0; i < waiting_count; ++i) {
            const flow_entry& entry = *waiting[i].entry;
            const std::uint32_t flow_id = read_once(entry.flow_id);
            const flow_entry* peer = peer_of(entry);
            const bool forward = (read_once(entry.flags) & FLOW_FORWARD) != 0;
            // A reverse entry goes with its forward entry; alone it is a leftover.
            if (flow_id != 0 && (peer == nullptr || (forward && past(*peer)))) {
                found(reap_request{waiting[i].slot, flow_id});
            }
        }
        waiting_count = 0;
    };

    for (std::size_t i = first; i < first + count; ++i) {
        if (i + prefetch_distance < buckets_.size()) prefetch(buckets_[i + prefetch_distance]);
        for_each_entry(buckets_[i], [&](std::uint32_t number) {
            const flow_entry& entry = buckets_[i].entry[number];
            if (!past(entry)) return;
            if (read_once(entry.key.kind) == FLOW_KIND_MAPPING &&
                (read_once(entry.flags) & FLOW_FORWARD) != 0 && read_once(entry.references) != 0) {
                return;
            }
            prefetch_peer(entry);
            waiting[waiting_count++] = Candidate{&entry, static_cast<std::uint32_t>(FLOW_SLOT(i, number))};
            if (waiting_count == waiting.size()) look();
        });
    }
    look();
}

std::optional<TcpConnection> FlowScan::connection_of(const reap_request& request) const {
    const auto forward = whole_copy(buckets_[FLOW_SLOT_BUCKET(request.slot)], FLOW_SLOT_NUMBER(request.slot));
    if (!forward || forward->flow_id != request.flow_id || forward->key.kind != FLOW_KIND_FLOW ||
        forward->key.protocol != IPPROTO_TCP || (forward->flags & FLOW_FORWARD) == 0)
        return std::nullopt;
    if (forward->state != FLOW_STATE_ESTABLISHED && forward->state != FLOW_STATE_FIN_FROM_INSIDE &&
        forward->state != FLOW_STATE_FIN_FROM_OUTSIDE)
        return std::nullopt;
    TcpConnection connection;
    connection.slot = request.slot;
    connection.flow_id = request.flow_id;
    connection.zone = forward->key.zone;
    connection.nat_gateway = forward->nat_gateway;
    connection.inside =
        Endpoint{Ipv4Address::from_network(forward->key.source), ntohs(forward->key.source_port)};
    connection.external = Endpoint{Ipv4Address::from_network(forward->new_address), ntohs(forward->new_port)};
    connection.remote =
        Endpoint{Ipv4Address::from_network(forward->key.destination), ntohs(forward->key.destination_port)};
    connection.expected_inside = forward->tcp_acknowledged;
    if (const flow_entry* reverse = peer_of(*forward);
        reverse != nullptr && (forward->flags & FLOW_MAPPED) == 0)
        connection.expected_by_remote = read_once(reverse->tcp_acknowledged);
    return connection;
}

bool FlowScan::is_gone(std::uint32_t slot, std::uint32_t flow_id) const {
    return read_once(buckets_[FLOW_SLOT_BUCKET(slot)].entry[FLOW_SLOT_NUMBER(slot)].flow_id) != flow_id;
}

std::vector<bool> FlowScan::next_hops_in_use() const {
    std::vector<bool> in_use(NEXT_HOPS_MAX, false);
    for (const flow_bucket& bucket : buckets_) {
        for_each_entry(
            bucket, [&](std::uint32_t number) { in_use[read_once(bucket.entry[number].next_hop)] = true; });
    }
    return in_use;
}

}  // namespace sallyport::dataplane

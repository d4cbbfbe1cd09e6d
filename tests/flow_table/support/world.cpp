// SPDX-License-Identifier: Apache-2.0
#include "support/world.h"

#include <arpa/inet.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>

namespace sallyport::flow_table {

std::uint16_t network(std::uint16_t value) {
    return htons(value);
}
std::uint32_t network(std::uint32_t value) {
    return htonl(value);
}

std::uint32_t address(unsigned a, unsigned b, unsigned c, unsigned d) {
    return htonl(a << 24 | b << 16 | c << 8 | d);
}

flow_key forward_key(std::uint32_t instance, std::uint16_t port, std::uint32_t remote,
                     std::uint16_t remote_port, std::uint8_t protocol, std::uint16_t zone) {
    return {.source = instance,
            .destination = remote,
            .source_port = htons(port),
            .destination_port = htons(remote_port),
            .protocol = protocol,
            .kind = FLOW_KIND_FLOW,
            .zone = zone};
}

bool equal(const flow_key& a, const flow_key& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

std::string text(const flow_key& key) {
    const auto endpoint = [](std::uint32_t from, std::uint16_t port) {
        char name[INET_ADDRSTRLEN] = {};
        inet_ntop(AF_INET, &from, name, sizeof name);
        return std::string(name) + ":" + std::to_string(ntohs(port));
    };
    return endpoint(key.source, key.source_port) + " to " + endpoint(key.destination, key.destination_port) +
           " protocol " + std::to_string(key.protocol) +
           (key.kind == FLOW_KIND_MAPPING  ? " mapping"
            : key.kind == FLOW_KIND_PERMIT ? " permit"
            : key.kind == FLOW_KIND_BLOCK  ? " block"
                                           : "") +
           " zone " + std::to_string(key.zone);
}

bool KeyLess::operator()(const flow_key& a, const flow_key& b) const {
    return std::memcmp(&a, &b, sizeof a) < 0;
}

std::size_t KeyHash::operator()(const flow_key& key) const {
    return fingerprint(key);
}

std::uint64_t fingerprint(const flow_key& key) {
    std::uint64_t words[2];
    std::memcpy(words, &key, sizeof words);
    std::uint64_t mixed = 0;
    for (const std::uint64_t word : words) {
        mixed = (mixed ^ word) * 0xff51afd7ed558ccdULL;
        mixed ^= mixed >> 29;
    }
    return mixed ^ mixed >> 32;
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::strtoull(value, nullptr, 0) : otherwise;
}

std::uint16_t checksum_difference(const std::vector<std::uint16_t>& from,
                                  const std::vector<std::uint16_t>& to) {
    // In ones' complement, a - b is a + ~b, and arithmetic modulo 0xffff is the same thing.
    std::uint64_t sum = 0;
    for (const std::uint16_t word : from) sum += 0xffffU - word;
    for (const std::uint16_t word : to) sum += word;
    return static_cast<std::uint16_t>(sum % 0xffff);
}

bool deltas_fit(const flow_key& key, bool forward, std::uint32_t new_address, std::uint16_t new_port,
                std::uint16_t ip_delta, std::uint16_t transport_delta) {
    const std::uint32_t old_address = forward ? key.source : key.destination;
    const std::uint16_t old_port = forward ? key.source_port : key.destination_port;
    const auto low = [](std::uint32_t word) { return static_cast<std::uint16_t>(word); };
    const auto high = [](std::uint32_t word) { return static_cast<std::uint16_t>(word >> 16); };
    const std::vector<std::uint16_t> from{low(old_address), high(old_address)},
        to{low(new_address), high(new_address)};
    const std::uint16_t addresses = checksum_difference(from, to);
    const std::uint16_t ports = checksum_difference({old_port}, {new_port});
    const auto both = key.protocol == icmp ? std::uint32_t{ports} : std::uint32_t{addresses} + ports;
    return ip_delta % 0xffff == addresses && transport_delta % 0xffff == both % 0xffff;
}

namespace {

struct Standing {
    std::uint32_t slot;
    const flow_entry* entry;
};
using Entries = std::unordered_map<flow_key, Standing, KeyHash, KeyEqual>;

class Audit {
  public:
    explicit Audit(std::uint32_t regions) : buckets_{regions * FLOW_REGION_BUCKETS} {}

    std::vector<std::string> run(Pairs pairs) {
        for (std::uint32_t index = 0; index < buckets_; ++index) look_at(index);
        for (std::uint32_t index = 0; index < buckets_; ++index)
            if (!(table_buckets()[index].tags.spilled == spilled_[index]))
                fault("bucket " + std::to_string(index) + " counts " +
                      std::to_string(table_buckets()[index].tags.spilled) + " spilled entries and has " +
                      std::to_string(spilled_[index]));
        if (pairs == Pairs::no) return faults_;
        for (const auto& [key, standing] : entries_) look_at_pair(key, standing);
        for (const auto& [key, standing] : entries_)
            if (((key.kind == FLOW_KIND_MAPPING || key.kind == FLOW_KIND_BLOCK) &&
                 standing.entry->flags & FLOW_FORWARD) ||
                key.kind == FLOW_KIND_PERMIT)
                if (!(standing.entry->references == references_[key]))
                    fault(text(key) + " has " + std::to_string(standing.entry->references) +
                          " references of " + std::to_string(references_[key]) + " flows");
        look_at_counts();
        return faults_;
    }

  private:
    void fault(const std::string& what) {
        if (faults_.size() < 20) faults_.push_back(what);
    }

    void look_at(std::uint32_t index) {
        const flow_bucket& bucket = table_buckets()[index];
        const auto name = [index] { return "bucket " + std::to_string(index); };
        if (!(bucket.tags.tag[FLOW_BUCKET_ENTRIES] == 0))
            fault(name() + " has a tag for an entry that does not exist");
        for (std::uint32_t number = 0; number < FLOW_BUCKET_ENTRIES; ++number) {
            const flow_entry& entry = bucket.entry[number];
            if (bucket.tags.tag[number] == 0) {
                if (!(entry.flow_id == 0)) fault(name() + ": an unused entry has a flow_id");
                continue;
            }
            const table_home home = table_home_of(&entry.key);
            if (!(entry.flow_id != 0)) fault(text(entry.key) + ": no flow_id");
            if (!(bucket.tags.tag[number] == home.tag)) fault(text(entry.key) + ": the tag is not its own");
            if (!(index == home.first || index == home.second))
                fault(text(entry.key) + ": stands in a strange bucket");
            if (index == home.second) ++spilled_[home.first];
            if (!(entries_.emplace(entry.key, Standing{FLOW_SLOT(index, number), &entry}).second))
                fault(text(entry.key) + ": is there twice");
        }
    }

    void look_at_pair(const flow_key& key, const Standing& standing) {
        const flow_entry& entry = *standing.entry;
        if (key.kind == FLOW_KIND_PERMIT) return;  // stands alone
        const bool forward = entry.flags & FLOW_FORWARD;
        if (!(deltas_fit(key, forward, entry.new_address, entry.new_port, entry.ip_delta,
                         entry.transport_delta)))
            fault(text(key) + ": the checksum differences do not fit");
        const flow_entry* peer = table_at(entry.peer_slot);
        if (peer == nullptr || peer->flow_id != entry.flow_id) {
            fault(text(key) + ": has no peer");
            return;
        }
        const auto found = entries_.find(peer->key);
        if (!(found != entries_.end() && found->second.entry == peer))
            fault(text(key) + ": its peer is not in the table");
        if (!(peer->peer_slot == standing.slot)) fault(text(key) + ": is not its peer's peer");
        if (!(((peer->flags ^ entry.flags) & FLOW_FORWARD) != 0)) fault(text(key) + ": both go the same way");
        if (!forward) return;
        // The forward entry of a mapping or block alone says that it rests.
        if (!(peer->state == entry.state) && key.kind == FLOW_KIND_FLOW)
            fault(text(key) + ": its peer is in another state");
        flow_key reverse{};
        table_reverse_key(&entry, &reverse);
        if (!(equal(reverse, peer->key)))
            fault(text(key) + ": the reverse key does not follow from the forward entry");
        if (!(peer->new_address == key.source && peer->new_port == key.source_port))
            fault(text(key) + ": the reverse entry leads to another instance");
        if (entry.flags & FLOW_MAPPED) look_at_mapping(key, entry, *peer);
        if (entry.flags & FLOW_IN_BLOCK) look_at_block(key, entry);
        if (entry.flags & FLOW_PERMITTED) {
            flow_key permit = reverse;
            permit.source_port = 0;
            permit.kind = FLOW_KIND_PERMIT;
            if (entries_.find(permit) == entries_.end()) fault(text(key) + ": its permit is not there");
            ++references_[permit];
        }
    }

    // The port is of a block of the instance.
    void look_at_block(const flow_key& key, const flow_entry& entry) {
        const std::uint16_t port = ntohs(entry.new_port);
        for (std::uint16_t number = 0; number < PORT_BLOCKS_MAX; ++number) {
            const flow_key block{.source = key.source,
                                 .destination = entry.nat_gateway,
                                 .source_port = number,
                                 .destination_port = 0,
                                 .protocol = PORT_BLOCK_PROTOCOL,
                                 .kind = FLOW_KIND_BLOCK,
                                 .zone = key.zone};
            const auto found = entries_.find(block);
            if (found == entries_.end()) continue;
            const flow_entry& range = *found->second.entry;
            if (range.new_address != entry.new_address || ntohs(range.new_port) > port ||
                range.last_port < port)
                continue;
            ++references_[block];
            return;
        }
        fault(text(key) + ": its port is of no block of its instance");
    }

    // Flows without an answer, and what each instance holds, are counted as they stand.
    void look_at_counts() {
        std::uint32_t unanswered = 0;
        for (const auto& [key, standing] : entries_) {
            const flow_entry& entry = *standing.entry;
            if (!(entry.flags & FLOW_FORWARD)) continue;
            const bool is_flow = key.kind == FLOW_KIND_FLOW;
            unanswered += is_flow && (entry.state == FLOW_STATE_OPENING ||
                                      entry.state == FLOW_STATE_OPENING_FROM_OUTSIDE);
            if (!(entry.flags & FLOW_COUNTED)) continue;
            Held& held = held_[{key.source, key.zone, entry.nat_gateway}];
            held.flows += is_flow;
            held.ports += !is_flow || !(entry.flags & FLOW_MAPPED);
        }
        if (table_unanswered() != unanswered)
            fault(std::to_string(table_unanswered()) + " flows are counted as unanswered of " +
                  std::to_string(unanswered));
        table_hosts(
            [](const host* host, void* context) {
                auto& audit = *static_cast<Audit*>(context);
                const Held held = audit.held_[{host->address, host->zone, host->nat_gateway}];
                if (host->flows != held.flows || host->ports != held.ports)
                    audit.fault("an instance has " + std::to_string(held.flows) + " flows and " +
                                std::to_string(held.ports) + " ports and is counted with " +
                                std::to_string(host->flows) + " and " + std::to_string(host->ports));
                audit.held_.erase({host->address, host->zone, host->nat_gateway});
            },
            this);
        for (const auto& [host, held] : held_)
            if (held.flows != 0 || held.ports != 0) fault("an instance with flows is not counted");
    }

    void look_at_mapping(const flow_key& key, const flow_entry& entry, const flow_entry& reverse) {
        flow_key mapping{};
        table_mapping_key(&key, &mapping);
        auto found = entries_.find(mapping);
        if (found == entries_.end() || found->second.entry->flow_id != reverse.references) {
            mapping.destination = entry.new_address;  // that of one flow alone
            mapping.destination_port = entry.new_port;
            found = entries_.find(mapping);
        }
        // A mapping may be cut, or time out, while flows stay on the port that they have.
        if (found == entries_.end() || found->second.entry->flow_id != reverse.references) return;
        ++references_[mapping];
        if (!(found->second.entry->new_address == entry.new_address &&
              found->second.entry->new_port == entry.new_port))
            fault(text(key) + ": is not on its mapping's port");
    }

    struct Held {
        std::uint32_t flows = 0, ports = 0;
    };

    std::uint32_t buckets_;
    Entries entries_;
    std::map<std::tuple<std::uint32_t, std::uint16_t, std::uint16_t>, Held>
        held_;  // address, zone, NAT gateway
    std::unordered_map<std::uint32_t, std::uint32_t> spilled_;
    std::unordered_map<flow_key, std::uint32_t, KeyHash, KeyEqual> references_;
    std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> audit(std::uint32_t regions, Pairs pairs) {
    return Audit{regions}.run(pairs);
}

void TableTest::reset(const table_shape& shape) {
    regions_ = shape.regions;
    table_reset(&shape);
    table_processor(0, from_environment("SALLYPORT_TEST_SEED", 1), 0);
    host_now_ns = 100'000 * second;
    gateway(1, {elastic_ip_});
}

void TableTest::gateway(std::uint32_t number, const std::vector<std::uint32_t>& addresses,
                        std::uint16_t first_port, std::uint16_t last_port) {
    nat_gateway* made = table_nat_gateway(number);
    *made = {};
    made->flags = NAT_GATEWAY_IN_USE;
    made->first_port = first_port;
    made->last_port = last_port;
    for (const std::uint32_t one : addresses) {
        made->elastic_ips[made->elastic_ip_count++] = one;
        table_bind(one, static_cast<std::uint16_t>(number));
    }
    const auto units = [](std::uint64_t seconds) {
        return static_cast<std::uint16_t>((seconds * second + (1U << FLOW_TIMEOUT_SHIFT) - 1) >>
                                          FLOW_TIMEOUT_SHIFT);
    };
    made->timeouts[TIMEOUT_UDP] = units(300);
    made->timeouts[TIMEOUT_ICMP] = units(60);
    made->timeouts[TIMEOUT_TCP_OPENING] = units(240);
    made->timeouts[TIMEOUT_TCP_ESTABLISHED] = units(7440);
    made->timeouts[TIMEOUT_TCP_CLOSING] = units(240);
    made->timeouts[TIMEOUT_TCP_RESET] = units(120);  // of its own, to tell it from the others
    made->mapping[NAT_TCP] = ADDRESS_AND_PORT_DEPENDENT;
    made->mapping[NAT_UDP] = ENDPOINT_INDEPENDENT;
    made->mapping[NAT_ICMP] = ENDPOINT_INDEPENDENT;
    for (std::uint8_t& filtering : made->filtering) filtering = ADDRESS_AND_PORT_DEPENDENT;
}

void TableTest::expect_sound() const {
    if (table_is_hash()) return;
    for (const std::string& fault : audit(regions_)) ADD_FAILURE() << fault;
}

}  // namespace sallyport::flow_table

// SPDX-License-Identifier: Apache-2.0
//
// Several threads use one small table at once, and oracles of atomics watch them. The same test is built
// again with a part of the table taken out (see host/): there it passes only if the oracles speak up.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "support/world.h"

namespace sallyport::flow_table {
namespace {

// What the oracles found; any thread may report.
class Violations {
  public:
    void report(const char* kind, const std::string& what) {
        const std::lock_guard lock(mutex_);
        ++count_;
        if (first_.empty()) first_ = std::string(kind) + ": " + what;
    }
    std::uint64_t count() const { return count_; }
    std::string first() const {
        const std::lock_guard lock(mutex_);
        return first_;
    }

  private:
    mutable std::mutex mutex_;
    std::atomic<std::uint64_t> count_ = 0;
    std::string first_;
};

// Counts how often something stands in the table. It is counted up after it was put in and down before it is
// taken out, so a count above one is never a matter of timing.
class Oracle {
  public:
    explicit Oracle(std::size_t size) : counts_(size) {}
    bool appeared(std::size_t index) { return counts_[index].fetch_add(1) < 1; }
    void leaving(std::size_t index) { counts_[index].fetch_sub(1); }
    void stayed(std::size_t index) { counts_[index].fetch_add(1); }
    int count(std::size_t index) const { return counts_[index]; }

  private:
    std::vector<std::atomic<int>> counts_;
};

class StressTest : public TableTest {
  protected:
    static constexpr std::uint64_t default_seconds = 6;

    // Runs `step` in all threads until the time is over, or until a spoilt table was found out. A thread
    // pauses at one narrow place of so many as `pauses` says: some meet in each, others run through at full
    // speed.
    void run(const std::array<std::uint32_t, 4>& pauses,
             const std::function<void(std::uint32_t thread)>& step) {
        const auto seed = from_environment("SALLYPORT_TEST_SEED", 1);
        // A spoilt table has more time, and is done as soon as it is found out.
        const auto seconds = from_environment("SALLYPORT_STRESS_SECONDS", default_seconds) *
                             (table_sabotage() != nullptr ? 10 : 1);
        const auto threads = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
            from_environment("SALLYPORT_STRESS_THREADS", 8), 4, HOST_THREADS_MAX - 1));
        threads_ = threads;
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
        std::atomic<std::uint64_t> steps = 0;
        std::atomic<bool> stop = false;
        std::vector<std::thread> running;
        for (std::uint32_t thread = 0; thread < threads; ++thread)
            running.emplace_back([&, thread] {
                table_processor(thread + 1, seed, pauses[thread % 4]);
                while (!stop) {
                    for (int i = 0; i < 64; ++i) {
                        step(thread);
                        ++steps_of_[thread];
                    }
                    steps += 64;
                    if (std::chrono::steady_clock::now() > end) stop = true;
                    if (table_sabotage() != nullptr && violations_.count() > 0) stop = true;
                }
            });
        for (std::thread& thread : running) thread.join();
        std::printf("%u threads, seed %llu: %llu steps\n", threads, static_cast<unsigned long long>(seed),
                    static_cast<unsigned long long>(steps));
    }

    // Whether each thread has finished a step since the last time that this was so: no step then sees more
    // than two leaps of the clock, as no processor is away for a whole timeout in the middle of a packet. A
    // thread that has no processor for some milliseconds would be.
    bool may_leap() {
        for (std::size_t i = 0; i < threads_; ++i)
            if (steps_of_[i] == steps_at_leap_[i]) return false;
        for (std::size_t i = 0; i < threads_; ++i) steps_at_leap_[i] = steps_of_[i];
        return true;
    }

    void verdict() {
        if (table_sabotage() != nullptr) {
            EXPECT_GT(violations_.count(), 0U) << "a table " << table_sabotage() << " passes for a good one";
            std::printf("a table %s is found out: %s\n", table_sabotage(), violations_.first().c_str());
        } else {
            EXPECT_EQ(violations_.count(), 0U) << violations_.first();
        }
    }

    static std::uint32_t random(std::uint32_t below) { return table_random_below(below); }

    Violations violations_;

  private:
    std::size_t threads_ = 0;
    std::array<std::atomic<std::uint64_t>, HOST_THREADS_MAX> steps_of_{};
    std::array<std::uint64_t, HOST_THREADS_MAX> steps_at_leap_{};  // of thread 0
};

// The table alone: entries of 64 bytes that have nothing to do with flows, with keys that all want to stand
// in the same four buckets, and more of them than have room.
class RawStress : public StressTest {
  protected:
    static constexpr std::size_t shared_keys = 72, private_keys = 3, keys_in_all = 300;
    static RawStress* self;

    RawStress() {
        reset({.regions = 1, .port_sets = 1, .seed = {77, 0xabcdef, 3, 0x5555}});
        for (std::uint32_t i = 0; keys_.size() < keys_in_all; ++i) {
            flow_key key = forward_key(i, 80, 0x01020304, 443);
            const table_home home = table_home_of(&key);
            if (home.first < 4 && home.second < 4) keys_.push_back(key);
        }
        self = this;
        const table_observer observer{
            .inserted =
                [](const flow_entry* entry) {
                    if (!self->standing_.appeared(self->index(entry->key)))
                        self->violations_.report("duplicate", text(entry->key));
                },
            .removing = [](const flow_entry* known) { self->standing_.leaving(self->index(known->key)); },
            .kept = [](const flow_entry* known) { self->standing_.stayed(self->index(known->key)); }};
        table_observe(&observer);
    }

    std::size_t index(const flow_key& key) const {
        const auto found =
            std::lower_bound(keys_.begin(), keys_.end(), key.source,
                             [](const flow_key& a, std::uint32_t source) { return a.source < source; });
        return static_cast<std::size_t>(found - keys_.begin());
    }

    // All that a view shows follows from the key and a number of the entry's own, which it shows as well: no
    // two entries can be mixed unnoticed, not even two of the same key.
    static flow_entry entry_of(const flow_key& key, std::uint32_t own) {
        const std::uint64_t mixed = (fingerprint(key) ^ own) * 0xc4ceb9fe1a85ec53ULL;
        flow_entry entry{};
        entry.key = key;
        entry.new_address = own;
        entry.new_port = static_cast<std::uint16_t>(mixed);
        entry.transport_delta = static_cast<std::uint16_t>(mixed >> 8);
        entry.ip_delta = static_cast<std::uint16_t>(mixed >> 16);
        entry.next_hop = static_cast<std::uint16_t>(mixed >> 24);
        entry.last_seen = static_cast<std::uint32_t>(mixed >> 32);
        entry.generation = static_cast<std::uint16_t>(mixed >> 40);
        entry.timeout = static_cast<std::uint16_t>(mixed >> 44);
        entry.nat_gateway = static_cast<std::uint16_t>(mixed >> 48);
        entry.state = static_cast<std::uint8_t>(mixed >> 52);
        entry.flags = static_cast<std::uint8_t>(mixed >> 56);
        entry.flow_id = own;
        entry.bytes = mixed;
        return entry;
    }

    void check(const flow_key& key, const flow_view& view) {
        const flow_entry whole = entry_of(key, view.new_address);
        flow_view expected{};
        std::memcpy(&expected, &whole.new_address, 16);
        std::memcpy(&expected.generation, &whole.generation, 8);
        if (std::memcmp(&expected, &view, sizeof view) != 0)
            violations_.report("torn", text(key) + ": the view is not of one entry");
    }

    // A copy is of one entry, be it that of the key or whichever has its place by now.
    void copy(flow_entry* entry) {
        flow_entry whole{};
        if (!table_copy(entry, &whole)) return;
        const flow_entry expected = entry_of(whole.key, whole.flow_id);
        if (std::memcmp(&expected, &whole, sizeof whole) != 0)
            violations_.report("torn", text(whole.key) + ": the copy is not of one entry");
    }

    void insert(const flow_key& key, bool own) {
        const flow_entry entry = entry_of(key, random(0x7fffffff) + 1);
        std::uint32_t slot = 0;
        const int result = table_insert(&entry, &slot);
        if (own && result == TABLE_EXISTS)
            violations_.report("phantom", text(key) + " was taken out and is there");
        if (!own || result != TABLE_INSERTED) return;
        find(key, true);
        remove(key, entry.flow_id, true);
        find(key, false);
    }

    // `there`: what must be, where only this thread puts the key in and takes it out.
    void find(const flow_key& key, std::optional<bool> there) {
        flow_view view{};
        const bool found =
            random(8) == 0 ? table_find_further(&key, &view) != ~0U : table_find(&key, &view) != nullptr;
        if (found) check(key, view);
        if (there && *there != found) violations_.report(found ? "phantom" : "lost", text(key));
    }

    void remove(const flow_key& key, std::uint32_t flow_id, bool must) {
        flow_entry known{}, removed{};
        known.key = key;
        known.flow_id = flow_id;
        if (!table_remove(&known, TABLE_REMOVE_ANY, 0, &removed)) {
            if (must) violations_.report("lost", text(key));
            return;
        }
        const flow_entry whole = entry_of(key, flow_id);
        if (std::memcmp(&whole, &removed, sizeof whole) != 0)
            violations_.report("torn", text(key) + ": what was removed is not what was put in");
    }

    void step(std::uint32_t thread) {
        const flow_key& key = keys_[random(shared_keys)];
        switch (random(8)) {
            case 0:
            case 1:
                return insert(key, false);
            case 2: {
                flow_view view{};
                flow_entry* entry = table_find(&key, &view);
                if (entry == nullptr) return;
                copy(entry);
                return remove(key, view.new_address, false);
            }
            case 3:
                return insert(keys_[shared_keys + thread * private_keys + random(private_keys)], true);
            default:
                return find(key, {});
        }
    }

    std::vector<flow_key> keys_;
    Oracle standing_{keys_in_all + 1};
};
RawStress* RawStress::self = nullptr;

TEST_F(RawStress, NothingIsTornLostOrThereTwice) {
    run({3, 10, 40, 200}, [this](std::uint32_t thread) { step(thread); });
    for (std::size_t i = 0; i < keys_.size(); ++i) {
        flow_view view{};
        const bool there = table_find(&keys_[i], &view) != nullptr;
        if (there) check(keys_[i], view);
        if (standing_.count(i) != there)
            violations_.report("lost", text(keys_[i]) + ": put in and not taken out " +
                                           std::to_string(standing_.count(i)) + " times");
    }
    for (const std::string& fault : audit(regions_, Pairs::no)) violations_.report("audit", fault);
    verdict();
}

// Flows, through the functions that packets go through. Few ports and few instances, so that all are wanted
// by several threads at a time, and a clock that runs fast, so that much of it times out meanwhile.
class FlowStress : public StressTest {
  protected:
    static constexpr std::uint32_t addresses = 3, ports = 32, first_port = 2032, remotes = 3, instances = 8,
                                   sources = 12, instance_flows = 20, instance_ports = 14,
                                   leap_seconds = 110;  // two are less than any timeout of a new flow
    static FlowStress* self;

    FlowStress() {
        reset({.regions = 2, .port_sets = 3, .seed = {1, 0xfeedbeef, 3, 99}});
        gateway(1, {external(0), external(1)}, first_port, first_port + ports - 1);
        gateway(2, {external(2)}, first_port, first_port + ports - 1);
        nat_gateway& with_blocks = *table_nat_gateway(2);  // two, each half of its ports
        with_blocks.port_block_size = PORT_BLOCK_SIZE_MIN;
        with_blocks.port_blocks_max = 2;
        with_blocks.port_block_hold = 30;
        host_limits limits{};
        limits.flows = instance_flows;
        limits.ports = instance_ports;
        limits.flows_per_mapping = 2;
        table_limit(1, &limits);
        table_limit_unanswered(200);
        self = this;
        const table_observer observer{.inserted = [](const flow_entry* entry) { self->inserted(*entry); },
                                      .removing = [](const flow_entry* known) { self->removing(*known); },
                                      .kept = [](const flow_entry* known) { self->kept(*known); }};
        table_observe(&observer);
    }

    static std::uint32_t external(std::uint32_t number) { return address(198, 51, 100, number); }
    static std::uint32_t remote(std::uint32_t number) { return address(203, 0, 113, number); }
    static std::uint32_t gateway_of(std::uint32_t instance) { return instance % 3 == 0 ? 2 : 1; }
    static std::uint32_t last_byte(std::uint32_t any) { return network(any) & 0xff; }

    // Instances from 100 on belong to one thread.
    static flow_key key_of(std::uint32_t instance) {
        return forward_key(address(10, 0, 1, instance), static_cast<std::uint16_t>(4000 + random(sources)),
                           remote(random(remotes)), 443, random(3) == 0 ? udp : tcp);
    }
    // Goes into both entries of a flow, and tells from which it came.
    static std::uint16_t generation_of(const flow_key& forward) {
        return static_cast<std::uint16_t>(fingerprint(forward));
    }

    // Number of an external tuple: address, port, remote (one of its own for mappings), protocol.
    std::optional<std::size_t> tuple(std::uint32_t elastic_ip, std::uint16_t port, std::uint32_t from,
                                     std::uint8_t kind, std::uint8_t protocol) const {
        const std::uint32_t address_number = last_byte(elastic_ip), port_number = network(port) - first_port;
        const std::uint32_t remote_number = kind == FLOW_KIND_MAPPING ? remotes : last_byte(from);
        if (address_number >= addresses || port_number >= ports || remote_number > remotes) return {};
        return ((address_number * ports + port_number) * (remotes + 1) + remote_number) * 2 +
               (protocol == udp);
    }
    std::optional<std::size_t> tuple(const flow_entry& entry) const {
        if (entry.key.kind == FLOW_KIND_BLOCK) return {};
        if (entry.key.zone == ZONE_OUTSIDE)
            return tuple(entry.key.destination, entry.key.destination_port, entry.key.source, entry.key.kind,
                         entry.key.protocol);
        return tuple(entry.new_address, entry.new_port, entry.key.destination, entry.key.kind,
                     entry.key.protocol);
    }
    Oracle& oracle_of(const flow_entry& entry) {
        return entry.key.zone == ZONE_OUTSIDE ? claimed_ : translated_;
    }

    void inserted(const flow_entry& entry) {
        if (entry.key.kind == FLOW_KIND_BLOCK) return;
        const auto number = tuple(entry);
        if (!number) return violations_.report("stray", text(entry.key) + ": a port out of the range");
        if (!oracle_of(entry).appeared(*number))
            violations_.report("duplicate claim", text(entry.key) +
                                                      (entry.key.zone ? " translates to" : " has") +
                                                      " an external tuple that another flow has");
    }
    void removing(const flow_entry& known) {
        if (const auto number = tuple(known)) oracle_of(known).leaving(*number);
    }
    void kept(const flow_entry& known) {
        if (const auto number = tuple(known)) oracle_of(known).stayed(*number);
    }

    void check_forward(const flow_key& key, const flow_view& view) {
        const bool fits =
            view.flags & FLOW_FORWARD && view.generation == generation_of(key) &&
            view.nat_gateway == gateway_of(last_byte(key.source)) && view.state < FLOW_STATES &&
            tuple(view.new_address, view.new_port, key.destination, key.kind, key.protocol) &&
            deltas_fit(key, true, view.new_address, view.new_port, view.ip_delta, view.transport_delta);
        if (!fits) violations_.report("torn", text(key) + ": the view is not its flow's");
    }
    void check_reverse(const flow_key& key, const flow_view& view) {
        const flow_key forward = forward_key(view.new_address, network(view.new_port), key.source,
                                             network(key.source_port), key.protocol);
        const bool fits =
            !(view.flags & FLOW_FORWARD) && view.generation == generation_of(forward) &&
            view.nat_gateway == gateway_of(last_byte(view.new_address)) && view.state < FLOW_STATES &&
            deltas_fit(key, false, view.new_address, view.new_port, view.ip_delta, view.transport_delta);
        if (!fits) violations_.report("torn", text(key) + ": the view is not its flow's");
    }

    static bool is_limit(int reason) {
        reason &= 0xff;  // the rest tells whether the instance was told
        return (reason >= DROP_FLOW_LIMIT && reason <= DROP_UNANSWERED_LIMIT && reason != DROP_NEW_FLOW_RATE);
    }

    // No instance ever has more than it may, and the table no more flows without an answer.
    void check_limits() {
        table_hosts(
            [](const host* host, void* context) {
                if (host->flows > instance_flows || host->ports > instance_ports)
                    static_cast<FlowStress*>(context)->violations_.report("limit",
                                                                          "an instance has too much");
            },
            this);
    }

    // A packet from the instance, and perhaps the answer.
    void packet(const flow_key& key, bool own) {
        flow_view view{};
        const std::uint32_t began = table_now();
        if (table_lookup(&key, &view) == nullptr) {
            const int reason = table_open(&key, gateway_of(last_byte(key.source)), generation_of(key), 1000);
            if (reason != 0) {
                if (reason != DROP_PORT_EXHAUSTED && reason != DROP_FLOW_TABLE_FULL && !is_limit(reason))
                    violations_.report("stray", text(key) + ": dropped for reason " + std::to_string(reason));
                return;
            }
            if (table_find(&key, &view) == nullptr) {
                // The clock runs fast: it may have timed out by now.
                if (own && table_now() - began < 200 * 15) violations_.report("lost", text(key));
                return;
            }
        }
        check_forward(key, view);
        table_touch(&key);
        flow_key answer{};
        flow_entry forward{};
        forward.key = key;
        forward.new_address = view.new_address;
        forward.new_port = view.new_port;
        table_reverse_key(&forward, &answer);
        if (table_lookup(&answer, &view) != nullptr) {
            check_reverse(answer, view);
            const table_segment segment{.sequence = 5000,
                                        .acknowledges = 1000,
                                        .payload = static_cast<std::uint16_t>(random(2)),
                                        .flags = static_cast<std::uint8_t>(random(32)),
                                        .zero0 = 0};
            table_step(random(2) != 0 ? &answer : &key, &segment);
        } else if (own && table_now() - began < 100 * 15) {
            violations_.report("lost", text(answer));
        }
    }

    void end(const flow_key& key, int removal, bool own) {
        flow_view view{};
        flow_entry* entry = table_find(&key, &view);
        if (entry == nullptr) return;
        flow_entry known{};
        if (!table_copy(entry, &known) || !equal(known.key, key)) return;  // gone meanwhile
        const int ended = table_end(&known, removal);
        // Past its timeout it is anybody's: whoever wants its port or its place may have ended it.
        const std::uint32_t lives = std::uint32_t{known.timeout} << FLOW_TICKS_PER_TIMEOUT_SHIFT;
        if (own && !ended && removal == TABLE_REMOVE_ANY && table_now() - known.last_seen <= lives)
            violations_.report("lost", text(key) + ": cannot be ended");
    }

    // The agent's part, by one thread: it reads the table's memory and has what is past its timeout ended.
    void reap() {
        std::array<reap_request, 64> requests{};
        std::uint32_t count = 0;
        for (std::uint32_t tries = 0; tries < 256 && count < requests.size(); ++tries) {
            const std::uint32_t slot =
                FLOW_SLOT(random(regions_ * FLOW_REGION_BUCKETS), random(FLOW_BUCKET_ENTRIES));
            const flow_entry* entry = table_at(slot);
            const std::uint32_t flow_id = entry->flow_id;
            if (flow_id != 0 && table_expired(entry, table_now())) requests[count++] = {slot, flow_id};
        }
        table_reap(requests.data(), count, REAP_EXPIRED);
    }

    void step(std::uint32_t thread) {
        const bool own = random(4) == 0;
        const flow_key key = key_of(own ? 100 + thread : random(instances));
        const std::uint32_t choice = random(64);
        if (choice < 20)
            end(key, TABLE_REMOVE_ANY, own);
        else if (choice < 24)
            end(key, TABLE_REMOVE_EXPIRED, own);
        else if (choice == 24 && thread == 0)
            reap();
        else if (choice == 26 && thread == 0)
            check_limits();
        else if (choice == 25 && thread == 0 && may_leap())
            __atomic_fetch_add(&host_now_ns, random(leap_seconds) * second, __ATOMIC_RELAXED);
        else
            packet(key, own);
    }

    // All is quiet: every tuple that was claimed stands in the table, and no other one.
    void compare_with_oracles() {
        std::vector<int> claimed(tuples), translated(tuples);
        for (std::uint32_t bucket = 0; bucket < regions_ * FLOW_REGION_BUCKETS; ++bucket)
            for (std::uint32_t number = 0; number < FLOW_BUCKET_ENTRIES; ++number) {
                const flow_entry& entry = table_buckets()[bucket].entry[number];
                if (table_buckets()[bucket].tags.tag[number] == 0) continue;
                if (const auto at = tuple(entry))
                    ++(entry.key.zone == ZONE_OUTSIDE ? claimed : translated)[*at];
            }
        for (std::size_t i = 0; i < tuples; ++i)
            if (claimed_.count(i) != claimed[i] || translated_.count(i) != translated[i])
                violations_.report("lost", "external tuple " + std::to_string(i) +
                                               " was claimed and not released " +
                                               std::to_string(claimed_.count(i)) + " times and stands " +
                                               std::to_string(claimed[i]) + " times");
    }

    // What the agent does with all that has timed out.
    void reap_everything() {
        std::vector<reap_request> requests;
        for (std::uint32_t bucket = 0; bucket < regions_ * FLOW_REGION_BUCKETS; ++bucket)
            for (std::uint32_t number = 0; number < FLOW_BUCKET_ENTRIES; ++number) {
                const std::uint32_t slot = FLOW_SLOT(bucket, number);
                const flow_entry* entry = table_at(slot);
                if (entry->flow_id != 0 && table_expired(entry, table_now()))
                    requests.push_back({slot, entry->flow_id});
            }
        table_reap(requests.data(), static_cast<std::uint32_t>(requests.size()), REAP_EXPIRED);
    }

    // Once all has timed out, each port can be claimed again towards each remote.
    void claim_everything() {
        advance(10'000 * second);
        reap_everything();  // or flows that have timed out keep port blocks
        advance(10'000 * second);
        table_limit(1, nullptr);
        table_limit_unanswered(0);
        for (std::uint32_t to = 0; to < remotes; ++to)
            for (const std::uint32_t instance : {201U, 202U}) {  // of gateway 2 and of gateway 1
                const std::uint32_t expected = gateway_of(instance) == 1 ? 2 * ports : ports;
                std::uint32_t opened = 0;
                for (std::uint16_t port = 1; port <= expected + 1; ++port) {
                    const flow_key key = forward_key(address(10, 0, 1, instance), port, remote(to), 443);
                    opened += table_open(&key, gateway_of(instance), generation_of(key), 0) == 0;
                }
                if (opened != expected)
                    violations_.report("lost", std::to_string(opened) + " ports of " +
                                                   std::to_string(expected) + " can be claimed at the end");
            }
    }

    static constexpr std::size_t tuples = std::size_t{addresses} * ports * (remotes + 1) * 2;
    Oracle claimed_{tuples}, translated_{tuples};
};
FlowStress* FlowStress::self = nullptr;

TEST_F(FlowStress, NoTupleHasTwoOwnersAndNoFlowIsTornOrLost) {
    run({30, 100, 400, 2000}, [this](std::uint32_t thread) { step(thread); });
    table_processor(0, 1, 0);
    for (const std::string& fault : audit(regions_)) violations_.report("audit", fault);
    compare_with_oracles();
    if (violations_.count() == 0) claim_everything();
    for (const std::string& fault : audit(regions_)) violations_.report("audit", fault);
    verdict();
}

}  // namespace
}  // namespace sallyport::flow_table

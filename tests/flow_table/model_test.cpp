// SPDX-License-Identifier: Apache-2.0
//
// Random sequences of what can happen to flows, against a model that is a few maps and knows nothing of
// buckets, ports sets and locks. SALLYPORT_TEST_SEED chooses the sequence, SALLYPORT_MODEL_STEPS its length.
#include <cstdio>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "support/world.h"

namespace sallyport::flow_table {
namespace {

struct ModelFlow {
    std::uint32_t elastic_ip;
    std::uint16_t port;                        // network order
    std::uint32_t seen_forward, seen_reverse;  // ticks, as stored: at most once in FLOW_TOUCH_TICKS
    std::uint32_t timeout;                     // ticks
    std::uint32_t binding;                     // which addresses were the gateway's when it was made
};

class Model : public TableTest {
  protected:
    static constexpr std::uint32_t ports = 40, first_port = 3000, instances = 6, sources = 24, remotes = 3;

    Model() : random_(from_environment("SALLYPORT_TEST_SEED", 1)) {
        // Room for all: what the table refuses when it is full is another test's matter.
        reset({.regions = 2, .port_sets = 64, .seed = {any(), any(), any(), any()}});
        rebind();
    }

    std::uint32_t any() { return static_cast<std::uint32_t>(random_()); }
    std::uint32_t below(std::uint32_t bound) { return any() % bound; }

    flow_key some_key() {
        return forward_key(address(10, 0, 1, 1 + below(instances)),
                           static_cast<std::uint16_t>(5000 + below(sources)),
                           address(203, 0, 113, 1 + below(remotes)), 443, below(3) == 0 ? udp : tcp);
    }

    // One or two addresses of three; which are the gateway's may change at any time.
    void rebind() {
        for (const std::uint32_t old : bound_) table_unbind(old);
        bound_.clear();
        ++binding_;
        const std::uint32_t start = below(3);
        for (std::uint32_t i = 0; i <= below(2); ++i)
            bound_.push_back(address(198, 51, 100, 1 + (start + i) % 3));
        gateway(1, bound_, first_port, first_port + ports - 1);
    }

    static bool past(const ModelFlow& flow) {
        return table_now() - flow.seen_forward > flow.timeout &&
               table_now() - flow.seen_reverse > flow.timeout;
    }

    static flow_key reverse_of(const flow_key& key, const ModelFlow& flow) {
        flow_entry forward{};
        forward.key = key;
        forward.new_address = flow.elastic_ip;
        forward.new_port = flow.port;
        flow_key reverse{};
        table_reverse_key(&forward, &reverse);
        return reverse;
    }

    // How many ports the model knows to be free towards the remote of a TCP flow.
    std::uint32_t free_ports(const flow_key& key) const {
        std::set<std::pair<std::uint32_t, std::uint16_t>> used;
        for (const auto& [other, flow] : flows_)
            if (other.protocol == key.protocol && other.destination == key.destination && !past(flow))
                for (const std::uint32_t address_in_use : bound_)
                    if (address_in_use == flow.elastic_ip) used.emplace(flow.elastic_ip, flow.port);
        return static_cast<std::uint32_t>(bound_.size()) * ports - static_cast<std::uint32_t>(used.size());
    }

    // What a packet from the instance finds must be what the model knows; if that is nothing, it opens a
    // flow.
    void packet() {
        const flow_key key = some_key();
        const auto known = flows_.find(key);
        flow_view view{};
        if (table_lookup(&key, &view) != nullptr) {
            ASSERT_TRUE(known != flows_.end() && !past(known->second)) << text(key) << " is not in the model";
            ASSERT_EQ(view.new_address, known->second.elastic_ip);
            ASSERT_EQ(view.new_port, known->second.port);
            table_touch(&key);
            if (table_now() - known->second.seen_forward >= FLOW_TOUCH_TICKS)
                known->second.seen_forward = table_now();
            return;
        }
        ASSERT_TRUE(known == flows_.end() || past(known->second)) << text(key) << " is lost";
        if (known != flows_.end()) flows_.erase(known);
        open(key);
    }

    void open(const flow_key& key) {
        const std::uint32_t room = key.protocol == tcp ? free_ports(key) : 1;
        const int reason = table_open(&key, 1, 0, 0);
        if (reason != 0) {
            ASSERT_EQ(reason, DROP_PORT_EXHAUSTED) << text(key);
            if (key.protocol == tcp) {
                ASSERT_EQ(room, 0U) << text(key) << ": a port is free and not found";
            }
            return;
        }
        ASSERT_GT(room, 0U) << text(key) << ": more ports than there are";
        flow_view view{};
        ASSERT_NE(table_find(&key, &view), nullptr);
        ModelFlow made{.elastic_ip = view.new_address,
                       .port = view.new_port,
                       .seen_forward = table_now(),
                       .seen_reverse = table_now(),
                       .timeout = std::uint32_t{view.timeout} << FLOW_TICKS_PER_TIMEOUT_SHIFT,
                       .binding = binding_};
        ASSERT_TRUE(
            deltas_fit(key, true, view.new_address, view.new_port, view.ip_delta, view.transport_delta));
        const std::uint16_t port = network(made.port);
        ASSERT_TRUE(port >= first_port && port < first_port + ports);
        bool of_gateway = false;
        for (const std::uint32_t one : bound_) of_gateway |= one == made.elastic_ip;
        // A flow whose mapping lives on goes where that is, but never to an address that is not bound.
        ASSERT_TRUE(of_gateway);
        const flow_key reverse = reverse_of(key, made);
        for (auto other = flows_.begin(); other != flows_.end();) {
            const bool same = equal(reverse_of(other->first, other->second), reverse);
            ASSERT_TRUE(!same || past(other->second))
                << text(key) << " and " << text(other->first) << " share a tuple";
            // Its port was wanted, so what had timed out was ended.
            other = same ? flows_.erase(other) : std::next(other);
        }
        // Endpoint-independent: every flow of a source that lives has one port (RFC 4787 REQ-1).
        if (key.protocol == udp)
            for (const auto& [other, flow] : flows_)
                if (other.protocol == udp && other.source == key.source &&
                    other.source_port == key.source_port && !past(flow) && flow.binding == binding_) {
                    ASSERT_EQ(flow.port, made.port) << text(key);
                }
        flows_[key] = made;
    }

    void answer() {
        if (flows_.empty()) return;
        auto known = some_flow();
        const flow_key reverse = reverse_of(known->first, known->second);
        flow_view view{};
        const bool found = table_lookup(&reverse, &view) != nullptr;
        if (past(known->second)) {
            ASSERT_FALSE(found) << text(reverse) << " should have timed out";
            flows_.erase(known);
            return;
        }
        ASSERT_TRUE(found) << text(reverse) << " is lost";
        ASSERT_EQ(view.new_address, known->first.source);
        ASSERT_EQ(view.new_port, known->first.source_port);
        table_touch(&reverse);
        if (table_now() - known->second.seen_reverse >= FLOW_TOUCH_TICKS)
            known->second.seen_reverse = table_now();
    }

    void end(int removal) {
        if (flows_.empty()) return;
        const auto known = some_flow();
        const flow_key key = below(2) != 0 ? known->first : reverse_of(known->first, known->second);
        flow_view view{};
        const flow_entry* entry = table_find(&key, &view);
        if (entry == nullptr) {
            ASSERT_TRUE(past(known->second)) << text(key) << " is lost";
            flows_.erase(known);
            return;
        }
        const flow_entry copy = *entry;
        const bool must_end = removal == TABLE_REMOVE_ANY || past(known->second);
        ASSERT_EQ(table_end(&copy, removal) != 0, must_end) << text(key);
        ASSERT_EQ(table_find(&key, &view) == nullptr, must_end) << text(key);
        if (must_end) flows_.erase(known);
    }

    void step_of_state() {
        if (flows_.empty()) return;
        const auto known = some_flow();
        if (past(known->second)) return;
        const table_segment segment{.sequence = any(),
                                    .acknowledges = any(),
                                    .payload = static_cast<std::uint16_t>(below(2)),
                                    .flags = static_cast<std::uint8_t>(below(32)),
                                    .zero0 = 0};
        const flow_key reverse = reverse_of(known->first, known->second);
        const bool from_inside = below(2) != 0;
        const flow_key& of_packet = from_inside ? known->first : reverse;
        table_touch(&of_packet);  // as every packet that changes the state does
        std::uint32_t& seen = from_inside ? known->second.seen_forward : known->second.seen_reverse;
        if (table_now() - seen >= FLOW_TOUCH_TICKS) seen = table_now();
        table_step(&of_packet, &segment);
        flow_view one{}, other{};
        ASSERT_NE(table_find(&known->first, &one), nullptr);
        ASSERT_NE(table_find(&reverse, &other), nullptr);
        ASSERT_EQ(one.state, other.state);
        ASSERT_EQ(one.timeout, other.timeout);
        const nat_gateway& configured = *table_nat_gateway(1);
        ASSERT_EQ(one.timeout, configured.timeouts[table_timeout_class(known->first.protocol, one.state)]);
        known->second.timeout = std::uint32_t{one.timeout} << FLOW_TICKS_PER_TIMEOUT_SHIFT;
    }

    std::map<flow_key, ModelFlow, KeyLess>::iterator some_flow() {
        auto flow = flows_.lower_bound(some_key());
        return flow == flows_.end() ? flows_.begin() : flow;
    }

    void step() {
        const std::uint32_t choice = below(200);
        if (choice < 110)
            packet();
        else if (choice < 140)
            answer();
        else if (choice < 165)
            end(TABLE_REMOVE_ANY);
        else if (choice < 175)
            end(TABLE_REMOVE_EXPIRED);
        else if (choice < 190)
            step_of_state();
        else if (choice < 199)
            advance(below(30) * second);
        else if (below(10) == 0)
            rebind();
    }

    // The table has all that lives in the model, and beside it only what has timed out.
    void compare() {
        for (const auto& [key, flow] : flows_) {
            if (past(flow)) continue;
            flow_view view{};
            ASSERT_NE(table_find(&key, &view), nullptr) << text(key) << " is lost";
            ASSERT_EQ(view.new_port, flow.port);
        }
        if (table_is_hash()) return;
        const auto faults = audit(regions_);
        ASSERT_TRUE(faults.empty()) << faults.front();
        for (std::uint32_t bucket = 0; bucket < regions_ * FLOW_REGION_BUCKETS; ++bucket)
            for (std::uint32_t number = 0; number < FLOW_BUCKET_ENTRIES; ++number) {
                const flow_entry& entry = table_buckets()[bucket].entry[number];
                if (entry.flow_id == 0 || entry.key.kind == FLOW_KIND_MAPPING ||
                    entry.key.zone == ZONE_OUTSIDE || table_expired(&entry, table_now()))
                    continue;
                const auto known = flows_.find(entry.key);
                ASSERT_TRUE(known != flows_.end() && !past(known->second))
                    << text(entry.key) << " should be gone";
            }
    }

    std::mt19937_64 random_;
    std::vector<std::uint32_t> bound_;
    std::uint32_t binding_ = 0;
    std::map<flow_key, ModelFlow, KeyLess> flows_;
};

TEST_F(Model, TheTableDoesWhatAMapWould) {
    const auto steps = from_environment("SALLYPORT_MODEL_STEPS", 60'000);
    std::printf("seed %llu, %llu steps\n",
                static_cast<unsigned long long>(from_environment("SALLYPORT_TEST_SEED", 1)),
                static_cast<unsigned long long>(steps));
    for (std::uint64_t i = 0; i < steps; ++i) {
        step();
        if (HasFatalFailure()) FAIL() << "at step " << i;
        if (i % 97 == 0) compare();
        if (HasFatalFailure()) FAIL() << "after step " << i;
    }
    // Nothing is left behind once all is ended, and no port is lost.
    while (!flows_.empty()) {
        end(TABLE_REMOVE_ANY);
        if (HasFatalFailure()) return;
    }
    advance(10'000 * second);
    for (std::uint32_t to = 1; to <= remotes; ++to) {
        std::uint32_t opened = 0;
        for (std::uint32_t n = 0; n < bound_.size() * ports + 1; ++n) {
            const flow_key key = forward_key(address(10, 0, 7, 7), static_cast<std::uint16_t>(1000 + n),
                                             address(203, 0, 113, to), 443);
            opened += table_open(&key, 1, 0, 0) == 0;
        }
        EXPECT_EQ(opened, bound_.size() * ports);
    }
    expect_sound();
}

}  // namespace
}  // namespace sallyport::flow_table

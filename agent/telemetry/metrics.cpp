// SPDX-License-Identifier: Apache-2.0
#include "telemetry/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <cassert>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "telemetry/flow_census.h"
#include "telemetry/metric_definitions.h"

namespace sallyport::telemetry {

namespace {

// One family, filled with the labels that its definition names.
class FamilyBuilder {
  public:
    explicit FamilyBuilder(const MetricDefinition& definition) : definition_(definition) {
        family_.name = definition.name;
        family_.help = definition.help;
        family_.type = definition.kind == MetricKind::counter ? prometheus::MetricType::Counter
                                                              : prometheus::MetricType::Gauge;
    }

    void add(double value, std::initializer_list<std::string_view> label_values = {}) {
        prometheus::ClientMetric& metric = family_.metric.emplace_back();
        std::size_t position = 0;
        for (const std::string_view label_value : label_values) {
            assert(position < definition_.labels.size() && !definition_.labels[position].empty());
            metric.label.push_back({std::string(definition_.labels[position++]), std::string(label_value)});
        }
        if (definition_.kind == MetricKind::counter) {
            metric.counter.value = value;
        } else {
            metric.gauge.value = value;
        }
    }
    void add(std::uint64_t value, std::initializer_list<std::string_view> label_values = {}) {
        add(static_cast<double>(value), label_values);
    }

    prometheus::MetricFamily take() { return std::move(family_); }

  private:
    const MetricDefinition& definition_;
    prometheus::MetricFamily family_;
};

using Families = std::vector<prometheus::MetricFamily>;

// A family with nothing in it would be a name without a value.
void append(Families& families, FamilyBuilder& builder) {
    prometheus::MetricFamily family = builder.take();
    if (!family.metric.empty()) families.push_back(std::move(family));
}

template <typename Map, typename Key>
const typename Map::mapped_type& value_or_zero(const Map& map, const Key& key) {
    static const typename Map::mapped_type zero{};
    const auto found = map.find(key);
    return found == map.end() ? zero : found->second;
}

// At each leg of the way: from and to instances (source), to and from remotes (destination).
void add_legs(FamilyBuilder& packets, FamilyBuilder& bytes, const std::string& name,
              const dataplane::NatGatewayCounters& counter) {
    packets.add(counter.out_packets + counter.out_dropped_packets, {name, "in_from_source"});
    packets.add(counter.out_packets, {name, "out_to_destination"});
    packets.add(counter.in_packets + counter.in_dropped_packets, {name, "in_from_destination"});
    packets.add(counter.in_packets, {name, "out_to_source"});
    bytes.add(counter.out_bytes + counter.out_dropped_bytes, {name, "in_from_source"});
    bytes.add(counter.out_bytes, {name, "out_to_destination"});
    bytes.add(counter.in_bytes + counter.in_dropped_bytes, {name, "in_from_destination"});
    bytes.add(counter.in_bytes, {name, "out_to_source"});
}

void add_internet_gateways(Families& families, const Subject& subject, const dataplane::Counters& counters) {
    FamilyBuilder packets(metrics::internet_gateway_packets);
    FamilyBuilder bytes(metrics::internet_gateway_bytes);
    for (const Subject::NatGateway& gateway : subject.internet_gateways)
        add_legs(packets, bytes, gateway.name, value_or_zero(counters.nat_gateways, gateway.number));
    append(families, packets);
    append(families, bytes);
}

void add_nat_gateways(Families& families, const Subject& subject, const dataplane::Counters& counters) {
    FamilyBuilder attempts(metrics::flow_attempts);
    FamilyBuilder established(metrics::flows_established);
    FamilyBuilder port_errors(metrics::port_allocation_errors);
    FamilyBuilder timeouts(metrics::idle_timeouts);
    FamilyBuilder events_lost(metrics::port_block_events_lost);
    FamilyBuilder packets(metrics::nat_packets);
    FamilyBuilder bytes(metrics::nat_bytes);
    for (const Subject::NatGateway& gateway : subject.nat_gateways) {
        const dataplane::NatGatewayCounters& counter = value_or_zero(counters.nat_gateways, gateway.number);
        attempts.add(counter.flow_attempts, {gateway.name});
        established.add(counter.flows_established, {gateway.name});
        port_errors.add(counter.port_allocation_errors, {gateway.name});
        timeouts.add(counter.idle_timeouts, {gateway.name});
        events_lost.add(counter.port_block_events_lost, {gateway.name});
        add_legs(packets, bytes, gateway.name, counter);
    }
    for (FamilyBuilder* builder :
         {&attempts, &established, &port_errors, &timeouts, &events_lost, &packets, &bytes}) {
        append(families, *builder);
    }
}

void add_packets(Families& families, const Subject& subject, const dataplane::Counters& counters) {
    FamilyBuilder drops(metrics::drops);
    for (std::size_t reason = 0; reason < counters.drops.size(); ++reason) {
        const std::string_view label = dataplane::drop_reason_label(static_cast<std::uint32_t>(reason));
        if (!label.empty()) drops.add(counters.drops[reason], {label});
    }
    FamilyBuilder packets(metrics::packets);
    FamilyBuilder received(metrics::received_packets);
    FamilyBuilder held(metrics::fragments_held);
    for (const Subject::Device& device : subject.devices) {
        const dataplane::DeviceCounters& counter = value_or_zero(counters.devices, device.slot);
        packets.add(counter.forwarded, {device.name, "forwarded"});
        packets.add(counter.passed, {device.name, "passed"});
        packets.add(counter.dropped, {device.name, "dropped"});
        packets.add(counter.answered, {device.name, "answered"});
        received.add(counter.received_packets, {device.name});
        held.add(counter.held, {device.name});
    }
    for (FamilyBuilder* builder : {&drops, &packets, &received, &held}) append(families, *builder);
}

void add_flows(Families& families, const Subject& subject, const FlowCensus& census) {
    FamilyBuilder active(metrics::active_flows);
    for (const Subject::NatGateway& gateway : subject.nat_gateways) {
        for (const Protocol protocol : all_protocols) {
            active.add(census.flows_of(gateway.number, protocol), {gateway.name, to_string(protocol)});
        }
    }
    FamilyBuilder ports(metrics::eip_ports_in_use);
    FamilyBuilder utilization(metrics::eip_port_utilization);
    FamilyBuilder draining(metrics::eip_draining);
    for (const Subject::ElasticIp& elastic_ip : subject.elastic_ips) {
        draining.add(std::uint64_t{elastic_ip.draining}, {elastic_ip.name});
        for (const Protocol protocol : all_protocols) {
            const std::uint32_t used = census.ports_of(elastic_ip.address, protocol);
            ports.add(std::uint64_t{used}, {elastic_ip.name, to_string(protocol)});
            const std::uint32_t capacity =
                protocol == Protocol::icmp ? elastic_ip.identifiers : elastic_ip.ports;
            if (capacity == 0) continue;
            utilization.add(static_cast<double>(used) / capacity, {elastic_ip.name, to_string(protocol)});
        }
    }
    for (FamilyBuilder* builder : {&active, &ports, &draining, &utilization}) append(families, *builder);
}

void add_table(Families& families, const dataplane::FlowTableStatus& table) {
    FamilyBuilder entries(metrics::table_entries);
    entries.add(table.entries);
    append(families, entries);
    FamilyBuilder blocks(metrics::port_blocks);
    blocks.add(table.port_blocks);
    append(families, blocks);
    FamilyBuilder capacity(metrics::table_capacity);
    capacity.add(table.capacity);
    append(families, capacity);
    FamilyBuilder maps(metrics::maps_bytes);
    maps.add(table.maps_bytes);
    append(families, maps);
}

// Of this process; the second number of the file counts pages.
std::optional<std::uint64_t> resident_bytes() {
    std::uint64_t all = 0, resident = 0;
    if (!(std::ifstream("/proc/self/statm") >> all >> resident)) return std::nullopt;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void add_state(Families& families, const Subject& subject,
               const std::vector<dataplane::Attachment>& attachments) {
    FamilyBuilder desired(metrics::desired_revision);
    desired.add(subject.desired_revision);
    append(families, desired);
    FamilyBuilder applied(metrics::applied_revision);
    applied.add(subject.applied_revision);
    append(families, applied);
    FamilyBuilder records_lost(metrics::port_block_records_lost);
    records_lost.add(subject.port_block_records_lost);
    append(families, records_lost);
    FamilyBuilder waiting(metrics::api_requests_waiting);
    waiting.add(subject.api_requests_waiting);
    append(families, waiting);
    FamilyBuilder waits_refused(metrics::api_waits_refused);
    waits_refused.add(subject.api_waits_refused);
    append(families, waits_refused);

    FamilyBuilder kernel_writes(metrics::kernel_writes);
    kernel_writes.add(subject.kernel_writes);
    append(families, kernel_writes);
    if (const auto bytes = resident_bytes()) {
        FamilyBuilder resident(metrics::agent_bytes);
        resident.add(*bytes);
        append(families, resident);
    }

    FamilyBuilder attached(metrics::datapath_attached);
    for (const Subject::Device& device : subject.devices) {
        const auto in_mode = [&](dataplane::Mode mode) {
            for (const dataplane::Attachment& attachment : attachments) {
                if (attachment.name == device.name && attachment.mode == mode) return std::uint64_t{1};
            }
            return std::uint64_t{0};
        };
        attached.add(in_mode(dataplane::Mode::native), {device.name, "native"});
        attached.add(in_mode(dataplane::Mode::generic), {device.name, "generic"});
    }
    append(families, attached);
}

}  // namespace

class Metrics::Collector final : public prometheus::Collectable {
  public:
    Collector(dataplane::DataplaneReader& dataplane, std::function<Subject()> subject)
        : dataplane_(dataplane), subject_(std::move(subject)) {}

    [[nodiscard]] Families Collect() const override {
        Families families;
        const Subject subject = subject_();
        if (const auto counters = dataplane_.counters()) {
            add_nat_gateways(families, subject, *counters);
            add_internet_gateways(families, subject, *counters);
            add_packets(families, subject, *counters);
        }
        if (const auto census = take_census(dataplane_)) add_flows(families, subject, *census);
        if (const auto table = dataplane_.flow_table_status()) add_table(families, *table);
        add_state(families, subject, dataplane_.attachments());
        return families;
    }

  private:
    dataplane::DataplaneReader& dataplane_;
    std::function<Subject()> subject_;
};

// What does not change while the agent runs.
struct Metrics::Registry {
    prometheus::Registry registry;
};

Metrics::Metrics(dataplane::DataplaneReader& dataplane, std::function<Subject()> subject, std::string version)
    : collector_(std::make_unique<Collector>(dataplane, std::move(subject))),
      registry_(std::make_unique<Registry>()) {
    prometheus::BuildGauge()
        .Name(std::string(metrics::build_info.name))
        .Help(std::string(metrics::build_info.help))
        .Register(registry_->registry)
        .Add({{std::string(metrics::build_info.labels[0]), std::move(version)}})
        .Set(1);
}

Metrics::~Metrics() = default;

std::string Metrics::scrape() const {
    Families families = registry_->registry.Collect();
    Families live = collector_->Collect();
    families.insert(families.end(), std::make_move_iterator(live.begin()),
                    std::make_move_iterator(live.end()));
    return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sallyport::telemetry

// SPDX-License-Identifier: Apache-2.0
//
// Every metric, declared once: the scrape, its help texts and the table in docs/metrics.md are made from
// this list. Names and labels are a contract with dashboards and alert rules.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace sallyport::telemetry {

enum class MetricKind { counter, gauge };

struct MetricDefinition {
    std::string_view name;
    MetricKind kind = MetricKind::gauge;
    std::string_view help;
    std::array<std::string_view, 2> labels{};  // empty ones are none
};

// X(identifier, name, kind, help, labels…)
#define SALLYPORT_METRICS(X)                                                                                 \
    X(build_info, "sallyport_build_info", gauge, "The version of the agent; the value is always 1.",         \
      "version")                                                                                             \
    X(active_flows, "sallyport_nat_active_flows", gauge, "Flows that are alive now.", "nat_gateway",         \
      "protocol")                                                                                            \
    X(flow_attempts, "sallyport_nat_flow_attempts_total", counter,                                           \
      "Packets of instances that asked for a new flow.", "nat_gateway")                                      \
    X(flows_established, "sallyport_nat_flows_established_total", counter, "Flows that were made.",          \
      "nat_gateway")                                                                                         \
    X(port_allocation_errors, "sallyport_nat_port_allocation_errors_total", counter,                         \
      "New flows that were refused because no Elastic IP had a free port for the remote.", "nat_gateway")    \
    X(idle_timeouts, "sallyport_nat_idle_timeouts_total", counter,                                           \
      "Flows that ended because nothing was sent for as long as their timer allows.", "nat_gateway")         \
    X(nat_packets, "sallyport_nat_packets_total", counter,                                                   \
      "Packets at each leg of the way: from and to instances (source), to and from remotes (destination).",  \
      "nat_gateway", "leg")                                                                                  \
    X(nat_bytes, "sallyport_nat_bytes_total", counter, "Bytes at each leg of the way, whole frames.",        \
      "nat_gateway", "leg")                                                                                  \
    X(internet_gateway_packets, "sallyport_internet_gateway_packets_total", counter,                         \
      "Packets of instances with Elastic IPs of their own, at each leg of the way as for a NAT gateway.",    \
      "internet_gateway", "leg")                                                                             \
    X(internet_gateway_bytes, "sallyport_internet_gateway_bytes_total", counter,                             \
      "Bytes of instances with Elastic IPs of their own, whole frames.", "internet_gateway", "leg")          \
    X(drops, "sallyport_drops_total", counter, "Packets that were dropped, by reason.", "reason")            \
    X(packets, "sallyport_packets_total", counter,                                                           \
      "Packets that came in by the device, by what became of them: forwarded, passed to the host, dropped, " \
      "or answered (ARP).",                                                                                  \
      "device", "verdict")                                                                                   \
    X(received_packets, "sallyport_received_packets_total", counter,                                         \
      "Packets that came in by the device: the sum of its verdicts and of the fragments that are held.",     \
      "device")                                                                                              \
    X(fragments_held, "sallyport_fragments_held", gauge,                                                     \
      "Fragments that came in by the device before the first one of their datagram, and wait for it.",       \
      "device")                                                                                              \
    X(eip_ports_in_use, "sallyport_eip_ports_in_use", gauge,                                                 \
      "Different external ports (for ICMP: query identifiers) that flows use.", "elastic_ip", "protocol")    \
    X(eip_draining, "sallyport_eip_draining", gauge,                                                         \
      "1 while the Elastic IP takes no new flows, because it is being drained or is drained; else 0.",       \
      "elastic_ip")                                                                                          \
    X(eip_port_utilization, "sallyport_eip_port_utilization_ratio", gauge,                                   \
      "Ports in use of those that the NAT gateway may give, without the host's where it shares the address," \
      " from 0 to 1. TCP ports are shared between remotes: 1 does not mean that none can be had.",           \
      "elastic_ip", "protocol")                                                                              \
    X(port_blocks, "sallyport_port_blocks", gauge,                                                           \
      "Port blocks that instances have, resting ones included.")                                             \
    X(port_block_events_lost, "sallyport_port_block_events_lost_total", counter,                             \
      "Allocations and releases of port blocks that found no room on their way to the agent. Those that "    \
      "stand are found in the flow table later, and are logged from then on.",                               \
      "nat_gateway")                                                                                         \
    X(port_block_records_lost, "sallyport_port_block_records_lost_total", counter,                           \
      "Allocations and releases of port blocks that are in the journal only, because the store failed for "  \
      "too long.")                                                                                           \
    X(table_entries, "sallyport_flow_table_entries", gauge,                                                  \
      "Entries in use in the flow table: two for each flow, each mapping and each port block.")              \
    X(table_capacity, "sallyport_flow_table_capacity", gauge,                                                \
      "Flows that the flow table was made for, at two entries each.")                                        \
    X(maps_bytes, "sallyport_maps_bytes", gauge,                                                             \
      "Kernel memory of all maps, the flow table included. Kernels before 6.4 tell what maps may grow to.")  \
    X(agent_bytes, "sallyport_agent_resident_bytes", gauge, "Memory of the agent that is resident.")         \
    X(kernel_writes, "sallyport_kernel_writes_total", counter,                                               \
      "Elements of tables, and routes of the kernel, that this agent has written or removed. A "             \
      "configuration that is there already adds nothing.")                                                   \
    X(desired_revision, "sallyport_desired_revision", gauge, "The newest revision of the configuration.")    \
    X(applied_revision, "sallyport_applied_revision", gauge,                                                 \
      "The revision that forwarding follows. Lower than the desired one: applying it failed and is being "   \
      "tried again.")                                                                                        \
    X(api_requests_waiting, "sallyport_api_requests_waiting", gauge,                                         \
      "Requests to the API that wait for the configuration to change.")                                      \
    X(api_waits_refused, "sallyport_api_waits_refused_total", counter,                                       \
      "Requests to the API that were not let wait, because so many did already.")                            \
    X(datapath_attached, "sallyport_datapath_attached", gauge,                                               \
      "Whether the programs are attached to the device in this mode (1) or not (0).", "device", "mode")

namespace metrics {
#define X(identifier, name, kind, help, ...) \
    inline constexpr MetricDefinition identifier{name, MetricKind::kind, help, {__VA_ARGS__}};
SALLYPORT_METRICS(X)
#undef X
}  // namespace metrics

inline constexpr std::array all_metrics{
#define X(identifier, name, kind, help, ...) metrics::identifier,
    SALLYPORT_METRICS(X)
#undef X
};

// The list as a table in Markdown.
std::string metrics_table();

}  // namespace sallyport::telemetry

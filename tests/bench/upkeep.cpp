// SPDX-License-Identifier: Apache-2.0
//
// What tracking flows costs beside the packets: memory, and the agent's sweep for those that have timed out.
// Prints JSON.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>

#include "bench/gateways.h"
#include "bench/rounds.h"

namespace sallyport::bench {
namespace {

constexpr std::size_t frame = 60;

void open_flows(Gateway& gateway, std::uint32_t flows) {
    support::Packet opening = support::tcp().from(instance_address, 1).to(remote_address, 1).seq(1000);
    opening.source_mac = instance_mac;
    opening.destination_mac = lan_mac;
    FlowDriver driver(flows);
    gateway.attend();
    driver.aim(opening, scattered_tuples(flows), gateway.network().sender(Direction::out));
    (void)gateway.network().send(driver, Direction::out, flows, frame);
    if (gateway.flows() != flows)
        throw std::runtime_error(
            fmt::format("{} flows were opened and {} are tracked", flows, gateway.flows()));
}

// Bytes of all objects that the kernel's slab allocator has given out.
double slab_bytes() {
    std::ifstream file("/proc/slabinfo");
    if (!file) throw std::runtime_error("/proc/slabinfo cannot be read");
    double bytes = 0;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string name;
        double active = 0, objects = 0, size = 0;
        if (words >> name >> active >> objects >> size) bytes += active * size;  // else a headline
    }
    return bytes;
}

nlohmann::json measure_sallyport(std::uint32_t flows) {
    SallyportGateway gateway(flows);
    nlohmann::json result;
    const auto memory = static_cast<double>(gateway.flow_memory());
    result["memory"] = {{"flow_capacity", flows},
                        {"flow_maps_bytes", gateway.flow_memory()},
                        {"all_maps_bytes", gateway.all_memory()},
                        {"bytes_per_flow_at_capacity", memory / flows},
                        {"bytes_per_flow_at_half_capacity", memory / (flows / 2.0)},
                        {"bytes_per_flow_half_full", memory / (static_cast<double>(gateway.places()) / 2)}};
    open_flows(gateway, flows);
    (void)gateway.sweep();  // the first pass maps the table's pages
    const auto nothing = gateway.sweep();
    gateway.age();
    const auto all = gateway.sweep();
    if (nothing.removed != 0 || all.removed != flows)
        throw std::runtime_error(fmt::format("sweeps removed {} and {} flows", nothing.removed, all.removed));
    result["sweep"] = {
        {"flows", flows}, {"nothing_expired_ms", nothing.milliseconds}, {"all_expired_ms", all.milliseconds}};
    return result;
}

nlohmann::json measure_nftables(std::uint32_t flows) {
    NftablesGateway gateway;
    double buckets = 0;
    std::ifstream("/proc/sys/net/netfilter/nf_conntrack_buckets") >> buckets;
    const double before = slab_bytes();
    open_flows(gateway, flows);
    const double slab = slab_bytes() - before;
    return {{"flows", flows},
            {"slab_bytes", slab},
            {"buckets_bytes", buckets * 8},
            {"bytes_per_flow", slab / flows},
            {"bytes_per_flow_with_buckets", (slab + buckets * 8) / flows}};
}

}  // namespace
}  // namespace sallyport::bench

// upkeep FLOWS [PROCESSOR]
int main(int argc, char** argv) {
    using namespace sallyport::bench;
    try {
        const auto flows = static_cast<std::uint32_t>(std::stoul(argc > 1 ? argv[1] : "1000000"));
        bind_to_processor(argc > 2 ? std::stoi(argv[2]) : 0);
        isolate_mounts();
        const nlohmann::json result = {{"sallyport", measure_sallyport(flows)},
                                       {"nftables", measure_nftables(flows)}};
        std::printf("%s\n", result.dump(2).c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "upkeep: %s\n", error.what());
        return 1;
    }
    return 0;
}

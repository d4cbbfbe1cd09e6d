// SPDX-License-Identifier: Apache-2.0
//
// A whole gateway without a kernel: real store (in memory), reconciler and commands on a network and a data
// plane in memory. For tests of the commands and of the API in front of them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "control/captures.h"
#include "control/drop_feed.h"
#include "control/gateway.h"
#include "control/gateway_reader.h"
#include "control/log.h"
#include "control/port_block_log.h"
#include "core/clock.h"
#include "core/file.h"
#include "dataplane/memory_dataplane.h"
#include "netlink/memory_netlink.h"
#include "reconcile/reconciler.h"
#include "store/sqlite_store.h"

namespace sallyport {

// Two Elastic IPs, of which `in_use` ("eip-1", "eip-1, eip-2") belong to the NAT gateway.
inline std::string configuration(const std::string& in_use = "eip-1", const std::string& comment = "") {
    return "api_version: sallyport/v1\n" + comment +
           "gateway:\n"
           "  name: gw1\n"
           "  devices:\n"
           "    - { device: lan0, role: inside, vpc: main }\n"
           "    - { device: wan0, role: outside }\n"
           "  flow_capacity: 65536\n"
           "vpcs:         [ { name: main, cidrs: [10.0.0.0/16] } ]\n"
           "subnets:      [ { name: app, vpc: main, cidr: 10.0.1.0/24, route_table: private } ]\n"
           "elastic_ips:  [ { name: eip-1, address: 198.51.100.10 }, { name: eip-2, address: 198.51.100.11 } "
           "]\n"
           "nat_gateways: [ { name: egress, vpc: main, elastic_ips: [" +
           in_use +
           "] } ]\n"
           "route_tables:\n"
           "  - { name: private, vpc: main, routes: [ { destination: 0.0.0.0/0, nat_gateway: egress } ] }\n";
}

class GatewayInMemory {
  public:
    GatewayInMemory() {
        std::string pattern = testing::TempDir() + "/gateway-XXXXXX";
        if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
        folder = pattern;
        config_path = folder / "gateway.yaml";
        store = std::move(*store::SqliteStore::open(":memory:"));
        netlink::Link lan{2, "lan0", "veth", MacAddress({2, 0, 0, 0, 0, 1}), 1500, true, true, {}};
        netlink::Link wan{3, "wan0", "veth", MacAddress({2, 0, 0, 0, 0, 2}), 1500, true, true, {}};
        netlink.put_link(lan);
        netlink.put_link(wan);
        netlink.put_address({2, Ipv4Address(10, 0, 1, 1), 24});
        netlink.put_address({3, Ipv4Address(198, 51, 100, 1), 24});
    }
    ~GatewayInMemory() { std::filesystem::remove_all(folder); }
    GatewayInMemory(const GatewayInMemory&) = delete;
    GatewayInMemory& operator=(const GatewayInMemory&) = delete;

    void write_config(const std::string& text) const { ASSERT_TRUE(write_file(config_path, text)); }

    // A new agent on the same store, network and kernel; the previous one is gone, as after a kill.
    control::Outcome<void> start() {
        reader.reset();
        gateway.reset();
        auto opening = control::find_opening(*store, config_path);
        if (!opening) return tl::unexpected(opening.error());
        dataplane = std::make_unique<dataplane::MemoryDataplane>(kernel);
        reconciler = std::make_unique<reconcile::Reconciler>(*dataplane, netlink, clock);
        gateway = std::make_unique<control::Gateway>(
            control::Gateway::Parts{*store, *dataplane, netlink, *reconciler, clock, log}, config_path,
            *std::move(opening));
        reader = std::make_unique<control::GatewayReader>(
            control::GatewayReader::Parts{gateway->published(), *dataplane, *store, netlink, clock},
            config_path);
        drops = std::make_unique<control::DropFeed>(*dataplane, clock);
        captures = std::make_unique<control::Captures>(*dataplane, clock);
        port_blocks = std::make_unique<control::PortBlockLog>(
            control::PortBlockLog::Parts{*dataplane, *store, clock, log}, [this] { return gateway->view(); });
        if (auto started = gateway->start(); !started) {
            return tl::unexpected(
                control::Refusal{control::Refusal::Kind::failed, started.error().message, {}});
        }
        return {};
    }

    std::filesystem::path folder;
    std::string config_path;
    ManualClock clock;
    control::MemoryLog log;
    std::unique_ptr<store::SqliteStore> store;
    netlink::MemoryNetlink netlink;
    std::shared_ptr<dataplane::MemoryKernel> kernel = std::make_shared<dataplane::MemoryKernel>();
    std::unique_ptr<dataplane::MemoryDataplane> dataplane;
    std::unique_ptr<reconcile::Reconciler> reconciler;
    std::unique_ptr<control::Gateway> gateway;
    std::unique_ptr<control::GatewayReader> reader;
    std::unique_ptr<control::DropFeed> drops;
    std::unique_ptr<control::Captures> captures;
    std::unique_ptr<control::PortBlockLog> port_blocks;
};

}  // namespace sallyport

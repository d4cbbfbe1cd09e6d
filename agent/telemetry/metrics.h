// SPDX-License-Identifier: Apache-2.0
//
// The scrape: what the data plane has counted, read at the moment it is asked for, under the names of the
// configuration. Nothing is mirrored on a timer, so a scrape is as true as the kernel's own counters.
// Labels are names of configured objects only; hosts and remotes never become labels.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/address.h"
#include "dataplane/dataplane.h"

namespace sallyport::telemetry {

// What the data plane does not know by itself.
struct Subject {
    struct NatGateway {  // or internet gateway
        std::uint16_t number = 0;
        std::string name;
    };
    struct ElasticIp {
        std::string name;
        Ipv4Address address;
        std::uint32_t ports = 0;        // that its NAT gateway may give; 0: none
        std::uint32_t identifiers = 0;  // the same of ICMP
        bool draining = false;          // or drained
    };
    struct Device {
        std::string name;
        std::uint8_t slot = 0;
    };
    std::vector<NatGateway> nat_gateways;
    std::vector<NatGateway> internet_gateways;
    std::vector<ElasticIp> elastic_ips;
    std::vector<Device> devices;
    std::uint64_t desired_revision = 0;
    std::uint64_t applied_revision = 0;
    std::uint64_t port_block_records_lost = 0;
    std::uint64_t kernel_writes = 0;
    std::uint64_t api_requests_waiting = 0;
    std::uint64_t api_waits_refused = 0;
};

class Metrics {
  public:
    // `dataplane` must outlive this; `subject` is asked at each scrape.
    Metrics(dataplane::DataplaneReader& dataplane, std::function<Subject()> subject, std::string version);
    ~Metrics();

    static constexpr const char* content_type = "text/plain; version=0.0.4; charset=utf-8";

    // The text exposition format. What the data plane cannot tell just now is left out.
    [[nodiscard]] std::string scrape() const;

  private:
    class Collector;
    struct Registry;
    std::unique_ptr<Collector> collector_;
    std::unique_ptr<Registry> registry_;
};

}  // namespace sallyport::telemetry

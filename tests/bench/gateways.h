// SPDX-License-Identifier: Apache-2.0
//
// What is measured and what it is measured against, each in a network of its own that is new.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/topology.h"

namespace sallyport::bench {

class Gateway {
  public:
    virtual ~Gateway() = default;
    Topology& network() { return network_; }

    // The address that the outside sees.
    [[nodiscard]] virtual const char* external_address() const = 0;
    // Flows that are tracked now.
    virtual std::uint64_t flows() = 0;
    // The ports of all flows as the outside sends them. `forward` is what the inside sends.
    virtual std::vector<tuple> reverse_of(const std::vector<tuple>& forward);
    // What has to be done once in a while for the gateway to go on as it does in service.
    virtual void attend() {}

  protected:
    Topology network_;
};

// Sends every frame to the other side, and knows nothing: the cost of the wires.
class RedirectGateway final : public Gateway {
  public:
    RedirectGateway() { network_.attach_to_gateway("forward"); }
    [[nodiscard]] const char* external_address() const override { return instance_address; }
    std::uint64_t flows() override { return 0; }
};

// The kernel's own: connection tracking and masquerading by nftables.
class NftablesGateway final : public Gateway {
  public:
    NftablesGateway();
    [[nodiscard]] const char* external_address() const override { return gateway_address; }
    std::uint64_t flows() override;
};

// Sallyport, by the agent's own libraries and from a configuration file's text. The process needs a mount
// namespace of its own (see isolate_mounts()), because the data plane pins its state.
class SallyportGateway final : public Gateway {
  public:
    struct Sweep {
        double milliseconds = 0;  // processor time
        std::uint64_t removed = 0;
    };

    explicit SallyportGateway(std::uint32_t flow_capacity);
    ~SallyportGateway() override;

    [[nodiscard]] const char* external_address() const override { return elastic_ip_address; }
    std::uint64_t flows() override;
    std::vector<tuple> reverse_of(const std::vector<tuple>& forward) override;
    void attend() override;

    // A pass over the whole table.
    Sweep sweep();
    // Lets all flows time out.
    void age();
    // Kernel memory in bytes of the maps that grow with the number of flows, and of all maps.
    [[nodiscard]] std::uint64_t flow_memory() const;
    [[nodiscard]] std::uint64_t all_memory() const;
    // Flows that would fill the last place of the table, which is sized so that none has to.
    [[nodiscard]] std::uint64_t places() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Gives the process mounts of its own, and a folder for pinned state that ends with it.
void isolate_mounts();

}  // namespace sallyport::bench

// SPDX-License-Identifier: Apache-2.0
//
// What queries read: one moment of the gateway as an immutable value. Commands publish a new one; whoever
// holds one keeps it, and nobody waits for anybody.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/drains.h"
#include "core/address.h"
#include "dataplane/tables.h"
#include "model/kinds.h"
#include "model/resources.h"
#include "reconcile/reconciler.h"
#include "store/store.h"

namespace sallyport::control {

// The names behind the numbers of the data plane. The reconciler numbers them when a state is applied.
struct Names {
    std::shared_ptr<const model::DesiredState> state;  // that they were made for
    std::size_t identifiers = 0;                       // that they were made from

    std::map<std::uint16_t, std::string> nat_gateways;
    std::map<std::string, std::uint16_t, std::less<>> nat_gateway_numbers;
    std::map<std::uint16_t, std::string> internet_gateways;  // their numbers are other ones
    std::map<std::string, std::uint16_t, std::less<>> internet_gateway_numbers;
    std::map<std::uint16_t, std::string> vpcs;  // by zone
    std::map<std::uint32_t, std::string> subnets;
    std::map<std::uint32_t, std::string> route_tables;  // that the configuration names
    std::map<std::uint16_t, std::string> security_groups;
    std::map<std::uint8_t, std::string> devices;  // by slot
    std::map<std::string, std::uint8_t, std::less<>> device_slots;
    std::map<Ipv4Address, std::string> elastic_ips;

    static Names of(std::shared_ptr<const model::DesiredState> state,
                    const dataplane::ForwardingTables& tables);
    // Whether of() would give the same again.
    [[nodiscard]] bool hold_for(const std::shared_ptr<const model::DesiredState>& wanted,
                                const dataplane::ForwardingTables& tables) const {
        return state == wanted && identifiers == tables.identifiers.size();
    }

    // Empty where there is none.
    [[nodiscard]] std::string_view nat_gateway(std::uint16_t number) const;
    [[nodiscard]] std::string_view internet_gateway(std::uint16_t number) const;
    [[nodiscard]] std::string_view vpc(std::uint16_t zone) const;
    [[nodiscard]] std::string_view subnet(std::uint32_t number) const;
    [[nodiscard]] std::string_view route_table(std::uint32_t number) const;
    [[nodiscard]] std::string_view security_group(std::uint16_t number) const;
    [[nodiscard]] std::string_view device(std::uint8_t slot) const;
    [[nodiscard]] std::string_view elastic_ip(Ipv4Address address) const;
};

struct View {
    std::shared_ptr<const model::DesiredState> state;
    std::vector<std::string> files;  // of the desired revision; the configuration file comes first
    std::uint64_t desired_revision = 0;
    std::uint64_t applied_revision = 0;
    std::optional<std::string> error;                 // why the desired revision is not in force
    std::optional<store::Confirmation> confirmation;  // that the desired revision awaits
    std::vector<DrainStatus> drains;                  // in the order of Elastic IPs' names
    bool detached = false;                            // by command, until the next apply or reload
    std::vector<reconcile::DeviceStatus> devices;     // as of the last reconciliation
    std::vector<std::string> warnings;
    std::map<Ipv4Address, dataplane::HostPorts> host_ports;  // by Elastic IP that is shared with the host
    std::shared_ptr<const reconcile::Basis> basis;           // null: nothing is known of the data plane yet
    Names names;
    std::uint64_t kernel_writes = 0;  // of the reconciler, ever
    // The revision that brought the last change of each kind, as far as this agent knows: what came before
    // its start counts as a change of the newest revision that it found.
    std::array<std::uint64_t, model::all_kinds.size()> changed_in{};

    // Whether the desired state is another one than it was at a revision: what it says of a kind, or
    // anything. A revision that is not there yet is of another history, of which nothing is known.
    [[nodiscard]] bool has_changed(std::uint64_t since, std::optional<model::Kind> kind) const;

    // Traffic is handled as the desired revision says, on every device.
    [[nodiscard]] bool ready() const { return why_not_ready().empty(); }
    [[nodiscard]] std::string why_not_ready() const;
    [[nodiscard]] const reconcile::DeviceStatus* device(std::string_view name) const;  // nullptr: none
    [[nodiscard]] const DrainStatus* drain(std::string_view elastic_ip) const;         // the same
};

}  // namespace sallyport::control

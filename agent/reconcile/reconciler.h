// SPDX-License-Identifier: Apache-2.0
//
// The only writer of kernel state. Brings the data plane and the host's network in line with what is
// desired, and keeps them so as the network changes. Doing it again writes nothing.
//
// All calls from one thread. What a call could not do is done by the next retry(), apply() or settle() that
// has something to do; the caller decides when, by needs_retry().
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "dataplane/dataplane.h"
#include "model/resources.h"
#include "netlink/netlink.h"
#include "reconcile/basis.h"
#include "reconcile/identifiers.h"
#include "reconcile/network_view.h"
#include "reconcile/plan.h"

namespace sallyport::reconcile {

struct DeviceStatus {
    std::string device;
    model::DeviceRole role = model::DeviceRole::inside;
    std::string vpc;
    std::uint8_t slot = 0;
    bool attached = false;
    bool adopted = false;  // it was attached before this agent started
    dataplane::Mode mode = dataplane::Mode::native;
    std::string fallback_reason;  // why it is not in native mode
    std::string error;            // why it is not attached
};

// What one call changed.
struct Report {
    dataplane::ApplyReport tables;
    std::uint64_t routes_added = 0;
    std::uint64_t routes_removed = 0;
    std::uint64_t announced = 0;   // Elastic IPs, by gratuitous ARP
    bool flows_rechecked = false;  // the generation was raised

    // Whether tables or routes were written. Having flows checked again is no such change.
    [[nodiscard]] bool changed() const {
        return tables.changed() || routes_added + routes_removed + announced != 0;
    }
};

class Reconciler {
  public:
    // None of them is owned. Subscribe `netlink` to events before the first apply().
    Reconciler(dataplane::Dataplane& dataplane, netlink::Netlink& netlink, const Clock& clock);

    // Makes `desired` what is, and keeps it for later calls also when this one fails.
    Result<Report> apply(std::shared_ptr<const model::DesiredState> desired);

    // The Elastic IPs, by name, that take no new flows from the next apply(), retry() or settle() on.
    void set_draining(std::set<std::string> elastic_ips);

    // Notes what happened; settle() then does what follows from it. To be called for a batch of events.
    void handle(const netlink::Event& event);
    Result<Report> settle();

    // What is due by time: says that next hops are current, asks after stale neighbours, repeats
    // announcements, looks at the ports that the host uses. To be called about once a second, and settle()
    // after it where needs_settling().
    Result<void> tick();
    [[nodiscard]] bool needs_settling() const { return desired_ && plan_is_old_; }

    // Takes programs off and removes all state and routes. apply() starts afresh.
    Result<void> detach();

    // Whether the last attempt left something undone that another may do, and what went wrong then. A
    // device that is not there is no such thing: its appearance is told by an event.
    [[nodiscard]] bool needs_retry() const { return !error_.empty(); }
    [[nodiscard]] const std::string& last_error() const { return error_; }
    Result<Report> retry();

    [[nodiscard]] const std::vector<DeviceStatus>& devices() const { return devices_; }
    // Elements of tables and routes that were ever written or removed.
    [[nodiscard]] std::uint64_t writes() const { return writes_; }
    // All devices are attached and the tables were written at least once.
    [[nodiscard]] bool ready() const;
    // What is accepted but not as the operator may expect it, as sentences.
    [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
    // The name behind a number of the data plane (enum identifier_kind); empty: none.
    [[nodiscard]] std::string_view name_of(std::uint32_t kind, std::uint32_t number) const {
        return identifiers_.name_of(kind, number);
    }
    // What the data plane holds, or is to hold if needs_retry().
    [[nodiscard]] const dataplane::ForwardingTables& tables() const { return *tables_; }
    // For plans; null before the first reconciliation that came as far as the tables.
    [[nodiscard]] std::shared_ptr<const Basis> basis() const { return basis_; }

  private:
    struct Announcement {
        std::chrono::nanoseconds due;
        std::uint32_t ifindex = 0;
        Ipv4Address address;
    };

    Result<Report> reconcile();
    Result<void> prepare();
    Result<void> write_tables(Plan& plan, Report& report);
    Result<void> attach(const Plan& plan);
    Result<void> write_routes(const Plan& plan, Report& report);
    Result<void> recheck_flows(Report& report);
    void announce(const dataplane::ForwardingTables& before, Report& report);
    bool announce_one(std::uint32_t ifindex, Ipv4Address address);
    Result<void> settle_neighbours(Report& report);
    dataplane::ForwardingTables& own_tables();
    Result<void> keep_next_hops_valid();
    void probe_neighbours();
    void probe_in_turns(const std::set<dataplane::Neighbour>& neighbours, dataplane::Neighbour& last);
    void repeat_announcements();
    Result<void> read_host_ports();
    Result<void> look_at_host_ports();
    bool is_ours(const netlink::Link& link) const;

    void on(const netlink::LinkChanged& event);
    void on(const netlink::LinkRemoved& event);
    void on(const netlink::AddressChanged& event);
    void on(const netlink::AddressRemoved& event);
    void on(const netlink::NeighbourChanged& event);
    void on(const netlink::NeighbourRemoved& event);
    void on(const netlink::RoutesChanged& event);
    void on(const netlink::EventsLost& event);

    dataplane::Dataplane& dataplane_;
    netlink::Netlink& netlink_;
    const Clock& clock_;

    std::shared_ptr<const model::DesiredState> desired_;
    std::set<std::string> draining_;
    std::optional<NetworkView> view_;  // none: to be read
    netlink::HostPorts host_ports_;    // where an Elastic IP is shared with the host
    bool prepared_ = false;            // the three below were read
    std::uint64_t made_capacity_ = 0;  // flows that the pinned table was made for
    Identifiers identifiers_;
    // Never null. The basis has them too, until next hops change: own_tables().
    std::shared_ptr<dataplane::ForwardingTables> tables_ = std::make_shared<dataplane::ForwardingTables>();
    std::shared_ptr<const Basis> basis_;
    std::set<dataplane::Neighbour> wanted_neighbours_;  // of the plan
    bool tables_written_ = false;                       // all of tables_ is in the data plane
    std::vector<DeviceStatus> devices_;
    std::vector<std::string> warnings_;
    std::string error_;
    std::uint64_t writes_ = 0;

    bool plan_is_old_ = false;     // something a plan is made of has changed
    bool recheck_pending_ = true;  // see write_tables()
    std::set<dataplane::Neighbour> changed_neighbours_;
    std::set<std::uint32_t> announce_all_on_;  // interfaces that came up or changed their address
    std::vector<Announcement> announcements_;  // to be repeated

    std::optional<std::chrono::nanoseconds> rechecked_at_, kept_valid_at_, probed_at_, host_ports_read_at_;
    dataplane::Neighbour last_probed_, last_failed_probed_;
    std::uint32_t probes_ = 0;
};

}  // namespace sallyport::reconcile

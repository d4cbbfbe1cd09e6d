// SPDX-License-Identifier: Apache-2.0
#include "reconcile/reconciler.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "sallyport/abi/maps.h"

namespace sallyport::reconcile {
namespace {

using std::chrono::seconds;

// Without an agent the programs trust next hops for so long, and then ask the kernel for each packet.
constexpr seconds next_hops_valid_for{30};
constexpr seconds keep_valid_every{5};
// A routing daemon may change thousands of routes in a row; each recheck costs every flow a slow packet.
constexpr seconds recheck_at_most_every{1};
// An announcement may get lost (RFC 5227 section 2.3 sends two, two seconds apart).
constexpr seconds announce_again_after{2};
constexpr seconds probe_every{1};
// Nobody tells when a server of the host starts or ends.
constexpr seconds read_host_ports_every{5};
constexpr std::size_t probes_at_once = 64;
constexpr std::uint32_t probes_between_failed = 10;  // for one round of those that did not answer

dataplane::ModeWish wish_of(model::XdpMode mode) {
    switch (mode) {
        case model::XdpMode::native:
            return dataplane::ModeWish::native;
        case model::XdpMode::generic:
            return dataplane::ModeWish::generic;
        case model::XdpMode::automatic:
            break;
    }
    return dataplane::ModeWish::automatic;
}

// What of a link a plan is made of. How XDP sits on it is our own doing.
bool same_to_plan(const netlink::Link& a, const netlink::Link& b) {
    return a.name == b.name && a.mac == b.mac && a.mtu == b.mtu && a.master == b.master && a.kind == b.kind;
}

}  // namespace

Reconciler::Reconciler(dataplane::Dataplane& dataplane, netlink::Netlink& netlink, const Clock& clock)
    : dataplane_(dataplane), netlink_(netlink), clock_(clock) {
}

Result<Report> Reconciler::apply(std::shared_ptr<const model::DesiredState> desired) {
    desired_ = std::move(desired);
    return reconcile();
}

void Reconciler::set_draining(std::set<std::string> elastic_ips) {
    if (elastic_ips == draining_) return;
    draining_ = std::move(elastic_ips);
    plan_is_old_ = true;
}

Result<Report> Reconciler::retry() {
    if (!desired_) return Report{};
    return reconcile();
}

Result<Report> Reconciler::settle() {
    if (!desired_) return Report{};
    if (plan_is_old_ || !view_) return reconcile();
    Report report;
    const auto fail = [&](const Error& error) {
        error_ = error.message;
        return tl::make_unexpected(error);
    };
    if (auto settled = settle_neighbours(report); !settled) return fail(settled.error());
    if (auto rechecked = recheck_flows(report); !rechecked) return fail(rechecked.error());
    return report;
}

Result<Report> Reconciler::reconcile() {
    Report report;
    // What follows goes on after a fault where it can: routes may be written though a device is not to be
    // had. The first error is the one that is told.
    std::optional<Error> first;
    const auto note = [&](std::string_view doing, const Result<void>& done) {
        if (!done && !first) first = done.error().within(doing);
        return done.has_value();
    };

    plan_is_old_ = false;
    changed_neighbours_.clear();  // the plan knows them all
    bool usable = note("data plane", prepare());
    if (usable && !view_) {
        auto view = NetworkView::read(netlink_);
        usable = note("network", view ? Result<void>() : Result<void>(tl::make_unexpected(view.error())));
        if (view) view_ = std::move(*view);
    }
    if (usable) usable = note("network", read_host_ports());
    if (usable) {
        usable = note("numbers", identifiers_.provide(names_of(*desired_), [this](auto kind, auto number) {
            return is_carried(dataplane_, kind, number);
        }));
    }
    if (usable) {
        Plan plan = make_plan(*desired_, *view_, identifiers_, draining_, host_ports_);
        const std::shared_ptr<const dataplane::ForwardingTables> before = tables_;
        warnings_ = std::move(plan.warnings);
        wanted_neighbours_ = std::move(plan.wanted_neighbours);
        usable = note("data plane", write_tables(plan, report));
        basis_ = std::make_shared<const Basis>(Basis{tables_, *view_, draining_});
        if (usable) usable = note("attach", attach(plan));
        note("routes", write_routes(plan, report));
        if (usable) {
            note("data plane", recheck_flows(report));
            announce(*before, report);
            note("data plane", keep_next_hops_valid());
        }
    }
    error_ = first ? first->message : std::string();
    if (first) return tl::make_unexpected(*first);
    // A device that is there but refuses: other devices work, and it may be another's doing that passes.
    for (const DeviceStatus& device : devices_) {
        const bool there = view_->link(device.device) != nullptr;
        if (!device.attached && there) error_ = fmt::format("device {}: {}", device.device, device.error);
    }
    return report;
}

Result<void> Reconciler::read_host_ports() {
    auto ports = host_ports_for(*desired_, netlink_);
    if (!ports) return tl::make_unexpected(ports.error());
    host_ports_ = std::move(*ports);
    host_ports_read_at_.reset();
    if (shares_with_host(*desired_)) host_ports_read_at_ = clock_.monotonic();
    return {};
}

// What was read last stays where they cannot be read.
Result<void> Reconciler::look_at_host_ports() {
    const auto now = clock_.monotonic();
    if (!host_ports_read_at_ || now - *host_ports_read_at_ < read_host_ports_every) return {};
    const netlink::HostPorts before = host_ports_;
    host_ports_read_at_ = now;
    auto read = read_host_ports();
    if (host_ports_ != before) plan_is_old_ = true;
    return read;
}

Result<void> Reconciler::prepare() {
    if (auto made = dataplane_.prepare(desired_->gateway.flow_capacity); !made) return made;
    if (prepared_) return {};
    auto tables = dataplane_.load_tables();
    if (!tables) return tl::make_unexpected(tables.error());
    const auto flow_table = dataplane_.flow_table_status();
    if (!flow_table) return tl::make_unexpected(flow_table.error());
    made_capacity_ = flow_table->capacity;
    identifiers_ = Identifiers(tables->identifiers);
    tables_ = std::make_shared<dataplane::ForwardingTables>(*std::move(tables));
    prepared_ = true;
    return {};
}

// A flow is checked again when what it depends on has changed, after all is written. Should the agent die
// between the two, the next one does not know; therefore the first reconciliation of an agent always has
// flows checked. It also covers routes of the host that changed while no agent was there to see it.
Result<void> Reconciler::write_tables(Plan& plan, Report& report) {
    // A program must not run on without its entry in the tables.
    const auto attached = dataplane_.attachments();
    const auto is_wanted = [&](const dataplane::Attachment& attachment) {
        return std::ranges::any_of(plan.attach,
                                   [&](const auto& request) { return request.name == attachment.name; });
    };
    if (!std::ranges::all_of(attached, is_wanted)) {
        std::vector<dataplane::AttachRequest> kept;
        for (const auto& request : plan.attach) {
            if (std::ranges::any_of(attached, [&](const auto& a) { return a.name == request.name; })) {
                kept.push_back(request);
            }
        }
        if (auto detached = dataplane_.attach(kept, wish_of(desired_->gateway.xdp)); !detached) {
            return tl::make_unexpected(detached.error());
        }
    }
    if (!same_to_flows(*tables_, plan.tables)) recheck_pending_ = true;
    tables_ = std::make_shared<dataplane::ForwardingTables>(std::move(plan.tables));
    // A table that was made smaller than what is asked for now has its own half.
    if (!desired_->gateway.unanswered_flow_capacity) {
        tables_->gateway.unanswered_capacity = static_cast<std::uint32_t>(made_capacity_ / 2);
    }
    const auto written = dataplane_.apply(*tables_);
    tables_written_ = written.has_value();
    if (!written) {
        recheck_pending_ = true;
        return tl::make_unexpected(written.error());
    }
    report.tables = *written;
    writes_ += written->written + written->removed;
    return {};
}

Result<void> Reconciler::attach(const Plan& plan) {
    const auto attached = dataplane_.attach(plan.attach, wish_of(desired_->gateway.xdp));
    if (!attached) return tl::make_unexpected(attached.error());
    devices_.clear();
    for (const model::Device& device : desired_->gateway.devices) {
        DeviceStatus status;
        status.device = device.device;
        status.role = device.role;
        status.vpc = device.vpc;
        status.slot = static_cast<std::uint8_t>(identifiers_.at(IDENTIFIER_DEVICE, device.device));
        const auto is_this = [&](const dataplane::Attachment& a) { return a.name == device.device; };
        if (const auto at = std::ranges::find_if(*attached, is_this); at != attached->end()) {
            status.attached = at->error.empty();
            status.adopted = at->adopted;
            status.mode = at->mode;
            status.fallback_reason = at->fallback_reason;
            status.error = at->error;
        } else if (const auto refused = plan.refused_devices.find(device.device);
                   refused != plan.refused_devices.end()) {
            status.error = refused->second;
        } else {
            status.error =
                fmt::format("there is no device {}; it is used as soon as it appears", device.device);
        }
        devices_.push_back(std::move(status));
    }
    if (made_capacity_ != desired_->gateway.flow_capacity) {
        warnings_.push_back(
            fmt::format("the flow table was made for {} flows and keeps this size; `sallyport detach`, which "
                        "ends all flows, "
                        "and then `sallyport reload` make it anew for {}",
                        made_capacity_, desired_->gateway.flow_capacity));
    }
    return {};
}

Result<void> Reconciler::write_routes(const Plan& plan, Report& report) {
    const auto own = netlink_.own_routes();
    if (!own) return tl::make_unexpected(own.error());
    const std::set<netlink::KernelRoute> there(own->begin(), own->end());
    for (const netlink::KernelRoute& route : plan.routes) {
        if (there.contains(route)) continue;
        if (auto added = netlink_.add_route(route); added) {
            ++report.routes_added;
            ++writes_;
        } else if (added.error().code == EEXIST) {
            warnings_.push_back(added.error().message);  // somebody else's stands there, and stays
        } else {
            return added;
        }
    }
    for (const netlink::KernelRoute& route : there) {
        if (plan.routes.contains(route)) continue;
        if (auto removed = netlink_.remove_route(route); !removed) return removed;
        ++report.routes_removed;
        ++writes_;
    }
    return {};
}

Result<void> Reconciler::recheck_flows(Report& report) {
    const auto now = clock_.monotonic();
    if (!recheck_pending_) return {};
    if (!report.tables.changed() && rechecked_at_ && now - *rechecked_at_ < recheck_at_most_every) return {};
    if (auto bumped = dataplane_.bump_generation(); !bumped) return bumped;
    recheck_pending_ = false;
    rechecked_at_ = now;
    report.flows_rechecked = true;
    return {};
}

void Reconciler::announce(const dataplane::ForwardingTables& before, Report& report) {
    for (const auto& [address, entry] : tables_->elastic_ips) {
        const auto device = tables_->devices.find(entry.on_link_device);
        if (device == tables_->devices.end()) continue;
        const auto old = before.elastic_ips.find(address);
        const auto old_device = before.devices.find(entry.on_link_device);
        const bool known = old != before.elastic_ips.end() &&
                           old->second.on_link_device == entry.on_link_device &&
                           old_device != before.devices.end() && old_device->second.mac == device->second.mac;
        if (known && !announce_all_on_.contains(device->second.ifindex)) continue;
        if (!announce_one(device->second.ifindex, address)) continue;
        ++report.announced;
        announcements_.push_back(
            {clock_.monotonic() + announce_again_after, device->second.ifindex, address});
    }
    announce_all_on_.clear();
}

// Fails where the device is down; then it is done when that comes up.
bool Reconciler::announce_one(std::uint32_t ifindex, Ipv4Address address) {
    const netlink::Link* link = view_->link(ifindex);
    return link != nullptr && link->up && netlink_.announce_address(ifindex, link->mac, address).has_value();
}

void Reconciler::repeat_announcements() {
    const auto now = clock_.monotonic();
    std::erase_if(announcements_, [&](const Announcement& announcement) {
        if (announcement.due > now) return false;
        const auto bound = tables_->elastic_ips.find(announcement.address);
        if (view_ && bound != tables_->elastic_ips.end())
            announce_one(announcement.ifindex, announcement.address);
        return true;
    });
}

// Neighbours come and go by the thousand, so they do not have a plan made anew.
// Others read what the basis has.
dataplane::ForwardingTables& Reconciler::own_tables() {
    if (basis_ && basis_->tables == tables_)
        tables_ = std::make_shared<dataplane::ForwardingTables>(*tables_);
    return *tables_;
}

Result<void> Reconciler::settle_neighbours(Report& report) {
    bool differs = false;
    for (const dataplane::Neighbour& key : std::exchange(changed_neighbours_, {})) {
        const netlink::NeighbourEntry* neighbour = view_->neighbour(key);
        const auto hop = neighbour == nullptr ? std::nullopt : next_hop_of(*neighbour, tables_->devices);
        const auto at = tables_->next_hops.find(key);
        const bool is_known = at != tables_->next_hops.end();
        if (hop ? is_known && at->second == *hop : !is_known) continue;
        if (hop) {
            own_tables().next_hops.insert_or_assign(key, *hop);
        } else {
            own_tables().next_hops.erase(key);
        }
        differs = true;
    }
    if (!differs) return {};
    const auto written = dataplane_.apply(*tables_);
    tables_written_ = written.has_value();
    if (!written) return failure_within("next hops", written.error());
    report.tables = *written;
    writes_ += written->written + written->removed;
    return {};
}

void Reconciler::handle(const netlink::Event& event) {
    if (!view_) return;  // it will be read, and what happened with it
    std::visit([this](const auto& which) { on(which); }, event);
}

bool Reconciler::is_ours(const netlink::Link& link) const {
    return desired_ && std::ranges::any_of(desired_->gateway.devices, [&](const model::Device& device) {
               return device.device == link.name;
           });
}

void Reconciler::on(const netlink::LinkChanged& event) {
    const netlink::Link* known = view_->link(event.link.ifindex);
    const bool ours = is_ours(event.link) || (known != nullptr && is_ours(*known));
    if (ours && (known == nullptr || !same_to_plan(*known, event.link))) plan_is_old_ = true;
    const bool was_up = known != nullptr && known->up && known->running;
    if (ours && event.link.up && event.link.running && !was_up) {
        // Switches may have forgotten us, and what it lost when it went down comes back.
        announce_all_on_.insert(event.link.ifindex);
        plan_is_old_ = true;
    }
    view_->link_changed(event.link);
}

void Reconciler::on(const netlink::LinkRemoved& event) {
    const netlink::Link* known = view_->link(event.ifindex);
    if (known == nullptr) return;
    // Its addresses go too, whoever's it was.
    plan_is_old_ = true;
    view_->link_removed(event.ifindex);
}

void Reconciler::on(const netlink::AddressChanged& event) {
    if (!view_->addresses().contains(event.address)) plan_is_old_ = true;
    view_->address_changed(event.address);
}

void Reconciler::on(const netlink::AddressRemoved& event) {
    if (view_->addresses().contains(event.address)) plan_is_old_ = true;
    view_->address_removed(event.address);
}

void Reconciler::on(const netlink::NeighbourChanged& event) {
    view_->neighbour_changed(event.neighbour);
    changed_neighbours_.insert({event.neighbour.ifindex, event.neighbour.address});
}

void Reconciler::on(const netlink::NeighbourRemoved& event) {
    const dataplane::Neighbour key{event.ifindex, event.address};
    view_->neighbour_removed(key);
    changed_neighbours_.insert(key);
}

void Reconciler::on(const netlink::RoutesChanged&) {
    recheck_pending_ = true;
}

void Reconciler::on(const netlink::EventsLost&) {
    view_.reset();
    recheck_pending_ = true;
}

Result<void> Reconciler::tick() {
    if (!desired_) return {};
    repeat_announcements();
    if (!view_ || !tables_written_) return {};  // next hops are not current
    probe_neighbours();
    const auto looked = look_at_host_ports();
    const auto now = clock_.monotonic();
    if (recheck_pending_) {
        Report report;
        if (auto rechecked = recheck_flows(report); !rechecked) return rechecked;
    }
    if (!kept_valid_at_ || now - *kept_valid_at_ >= keep_valid_every) {
        if (auto kept = keep_next_hops_valid(); !kept) return kept;
    }
    return looked;
}

Result<void> Reconciler::keep_next_hops_valid() {
    if (auto kept = dataplane_.keep_next_hops_valid(next_hops_valid_for); !kept) return kept;
    kept_valid_at_ = clock_.monotonic();
    return {};
}

// The kernel does not see the packets that XDP sends to a neighbour, so to the kernel it grows stale and is
// forgotten in the end. Asking after it in turns keeps it, at a rate that a network with ten thousand bears.
void Reconciler::probe_neighbours() {
    const auto now = clock_.monotonic();
    if (probed_at_ && now - *probed_at_ < probe_every) return;
    probed_at_ = now;
    // One that did not answer is asked again below: so that senders are told in between.
    for (const dataplane::Neighbour& wanted : wanted_neighbours_) {
        const netlink::NeighbourEntry* known = view_->neighbour(wanted);
        if (known == nullptr || known->state == netlink::NeighbourState::none)
            std::ignore = netlink_.probe_neighbour(wanted.ifindex, wanted.address);
    }
    probe_in_turns(view_->stale(), last_probed_);
    // Nothing is sent to those that did not answer, so that nothing else would find out that they are back.
    if (++probes_ % probes_between_failed == 0) probe_in_turns(view_->failed(), last_failed_probed_);
}

void Reconciler::probe_in_turns(const std::set<dataplane::Neighbour>& neighbours,
                                dataplane::Neighbour& last) {
    std::vector<dataplane::Neighbour> chosen;
    const auto choose = [&](auto from, auto to) {
        for (; from != to && chosen.size() < probes_at_once; ++from) {
            if (tables_->next_hops.contains(*from)) chosen.push_back(*from);
        }
    };
    const auto turn = neighbours.upper_bound(last);
    choose(turn, neighbours.end());
    choose(neighbours.begin(), turn);
    for (const dataplane::Neighbour& key : chosen) {
        // A neighbour may have gone this moment; its event is on its way.
        std::ignore = netlink_.probe_neighbour(key.ifindex, key.address);
        last = key;
    }
}

Result<void> Reconciler::detach() {
    const auto own = netlink_.own_routes();
    if (!own) return failure_within("routes", own.error());
    for (const netlink::KernelRoute& route : *own) {
        if (auto removed = netlink_.remove_route(route); !removed)
            return failure_within("routes", removed.error());
    }
    if (auto detached = dataplane_.detach_all(); !detached)
        return failure_within("data plane", detached.error());
    desired_.reset();
    prepared_ = false;
    tables_written_ = false;
    identifiers_ = Identifiers();
    tables_ = std::make_shared<dataplane::ForwardingTables>();
    basis_.reset();
    wanted_neighbours_.clear();
    devices_.clear();
    warnings_.clear();
    announcements_.clear();
    error_.clear();
    recheck_pending_ = true;
    return {};
}

bool Reconciler::ready() const {
    return desired_ && tables_written_ && !devices_.empty() &&
           std::ranges::all_of(devices_, [](const DeviceStatus& device) { return device.attached; });
}

}  // namespace sallyport::reconcile

// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include <fmt/format.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "api/api_access_in_thread.h"
#include "api/doctor_query.h"
#include "api/event_loop.h"
#include "api/http_server.h"
#include "api/listener.h"
#include "api/loop_thread.h"
#include "api/network_api.h"
#include "api/revision_watch.h"
#include "api/router.h"
#include "api/routes.h"
#include "control/captures.h"
#include "control/drop_feed.h"
#include "control/gateway.h"
#include "control/gateway_reader.h"
#include "control/log.h"
#include "control/port_block_log.h"
#include "core/clock.h"
#include "dataplane/bpf_dataplane.h"
#include "directory_lock.h"
#include "doctor/doctor.h"
#include "doctor/linux_host.h"
#include "netlink/mnl_netlink.h"
#include "reconcile/reconciler.h"
#include "store/sqlite_store.h"
#include "telemetry/metrics.h"

namespace sallyport {

namespace {

using namespace std::chrono_literals;

// Longer than the loop is ever busy with one thing. Fragments that come early when the agent has ended are
// dropped.
constexpr std::chrono::seconds fragments_held_for{5};

// No query takes as long, whatever the size of the flow table.
constexpr std::chrono::seconds thread_patience{30};

constexpr int exit_failed = 1;
// The Linux Standard Base's "program is not configured": the service manager does not try again.
constexpr int exit_not_configured = 6;

telemetry::Subject subject_of(const control::View& view, const control::PortBlockLog& port_blocks) {
    telemetry::Subject subject;
    std::map<std::string_view, PortRange> ports;  // by Elastic IP of a NAT gateway
    for (const model::NatGateway& gateway : view.state->nat_gateways) {
        const auto number = view.names.nat_gateway_numbers.find(gateway.name);
        if (number != view.names.nat_gateway_numbers.end()) {
            subject.nat_gateways.push_back({number->second, gateway.name});
        }
        for (const std::string& name : gateway.elastic_ips) ports[name] = gateway.port_range;
    }
    for (const model::InternetGateway& gateway : view.state->internet_gateways) {
        const auto number = view.names.internet_gateway_numbers.find(gateway.name);
        if (number != view.names.internet_gateway_numbers.end())
            subject.internet_gateways.push_back({number->second, gateway.name});
    }
    for (const model::ElasticIp& elastic_ip : view.state->elastic_ips) {
        const auto range = ports.find(elastic_ip.name);
        const std::uint32_t identifiers = range == ports.end() ? 0 : range->second.size();
        const auto of_host = view.host_ports.find(elastic_ip.address);
        const bool shares = range != ports.end() && of_host != view.host_ports.end();
        subject.elastic_ips.push_back(
            {elastic_ip.name, elastic_ip.address,
             shares ? identifiers - count_within(of_host->second.ranges, range->second) : identifiers,
             identifiers, view.drain(elastic_ip.name) != nullptr});
    }
    for (const reconcile::DeviceStatus& device : view.devices)
        subject.devices.push_back({device.device, device.slot});
    subject.desired_revision = view.desired_revision;
    subject.applied_revision = view.applied_revision;
    subject.port_block_records_lost = port_blocks.lost();
    subject.kernel_writes = view.kernel_writes;
    return subject;
}

// One line in words, for systemctl status and the log.
std::string status_text(const control::View& view) {
    if (!view.ready()) return "not ready: " + view.why_not_ready();
    const auto generic = std::count_if(view.devices.begin(), view.devices.end(), [](const auto& device) {
        return device.mode == dataplane::Mode::generic;
    });
    return fmt::format("gateway {}, revision {}, {} device{} attached{}", view.state->gateway.name,
                       view.applied_revision, view.devices.size(), view.devices.size() == 1 ? "" : "s",
                       generic == 0 ? "" : fmt::format(" ({} in generic mode)", generic));
}

class Agent {
  public:
    Agent(const Options& options, control::Log& log) : options_(options), log_(log) {}
    ~Agent() = default;
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    // The error has been told in the log.
    bool start();
    int run();

  private:
    bool fail(const Error& error) {
        log_.error("sallyportd: " + error.message);
        return false;
    }
    bool open_parts();
    bool open_network_api();
    bool watch();
    void tell_what_host_lacks();
    void reload_by_signal();
    void stop_by_signal(const char* name);
    void tell_status();
    void look_after_threads();
    [[nodiscard]] telemetry::Subject subject() const;

    const Options& options_;
    control::Log& log_;
    const SystemClock clock_;

    // In the order of dependence: what stands below uses what stands above, and goes first.
    std::optional<DirectoryLock> run_dir_;
    std::optional<DirectoryLock> state_dir_;
    std::unique_ptr<api::EventLoop> loop_;          // of commands and upkeep
    std::unique_ptr<api::LoopThread> queries_;      // of what reads
    std::unique_ptr<api::LoopThread> connections_;  // of those who ask
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<store::StoreReader> store_reader_;
    std::unique_ptr<netlink::Netlink> netlink_;
    std::unique_ptr<dataplane::Dataplane> dataplane_;
    std::unique_ptr<reconcile::Reconciler> reconciler_;
    std::optional<config::ApiSettings> api_settings_;  // as the file had them at the start
    std::unique_ptr<control::Gateway> gateway_;
    std::unique_ptr<control::GatewayReader> reader_;
    std::unique_ptr<control::DropFeed> drops_;
    std::unique_ptr<control::Captures> captures_;
    std::unique_ptr<control::PortBlockLog> port_blocks_;
    std::unique_ptr<netlink::Netlink> host_netlink_;
    std::unique_ptr<doctor::Host> host_;
    std::unique_ptr<telemetry::Metrics> metrics_;
    std::unique_ptr<api::RevisionWatch> watch_;
    std::unique_ptr<api::RevisionWatch> network_watch_;
    api::RunningKeys running_keys_;
    std::unique_ptr<api::Router> api_router_;
    std::unique_ptr<api::Router> network_router_;
    std::unique_ptr<api::Router> metrics_router_;
    std::unique_ptr<api::HttpServer> api_server_;
    std::unique_ptr<api::NetworkApi> network_api_;
    std::unique_ptr<api::ApiAccessInThread> api_access_;
    std::unique_ptr<api::HttpServer> metrics_server_;
    api::EventLoop::Watch drop_events_;
    int drop_events_fd_ = -1;
    api::EventLoop::Watch port_block_events_;
    int port_block_events_fd_ = -1;
    api::EventLoop::Watch fragments_;
    int fragments_fd_ = -1;
    std::vector<api::EventLoop::Watch> watches_;
    std::string told_status_;
    bool stuck_ = false;  // a thread does not answer any more
};

bool Agent::open_parts() {
    auto run_dir = DirectoryLock::take(options_.run_dir);
    if (!run_dir) return fail(run_dir.error());
    run_dir_.emplace(*std::move(run_dir));
    if (options_.state_dir != options_.run_dir) {
        auto state_dir = DirectoryLock::take(options_.state_dir);
        if (!state_dir) return fail(state_dir.error());
        state_dir_.emplace(*std::move(state_dir));
    }
    auto loop = api::EventLoop::make();
    if (!loop) return fail(loop.error());
    loop_ = *std::move(loop);
    auto queries = api::LoopThread::make("queries");
    if (!queries) return fail(queries.error());
    queries_ = *std::move(queries);
    auto connections = api::LoopThread::make("connections");
    if (!connections) return fail(connections.error());
    connections_ = *std::move(connections);

    const std::string database = options_.state_dir + "/sallyport.db";
    auto store = store::SqliteStore::open(database);
    if (!store) return fail(store.error());
    store_ = *std::move(store);
    auto store_reader = store::SqliteStore::open_reader(database);
    if (!store_reader) return fail(store_reader.error());
    store_reader_ = *std::move(store_reader);

    auto opening = control::find_opening(*store_, options_.config);
    if (!opening) {
        for (const config::Fault& fault : opening.error().faults) log_.error(fault.to_string());
        return fail({opening.error().message + "; nothing was changed, and what forwards goes on", 0});
    }

    auto netlink = netlink::MnlNetlink::open();
    if (!netlink) return fail(netlink.error());
    netlink_ = *std::move(netlink);
    auto dataplane = dataplane::BpfDataplane::open(
        {options_.pin_dir, opening->loaded.state.gateway.flow_capacity, SALLYPORT_VERSION});
    if (!dataplane) return fail(dataplane.error());
    dataplane_ = *std::move(dataplane);

    api_settings_ = opening->api;
    reconciler_ = std::make_unique<reconcile::Reconciler>(*dataplane_, *netlink_, clock_);
    gateway_ = std::make_unique<control::Gateway>(
        control::Gateway::Parts{*store_, *dataplane_, *netlink_, *reconciler_, clock_, log_}, options_.config,
        *std::move(opening));
    drops_ = std::make_unique<control::DropFeed>(*dataplane_, clock_);
    captures_ = std::make_unique<control::Captures>(*dataplane_, clock_);
    port_blocks_ = std::make_unique<control::PortBlockLog>(
        control::PortBlockLog::Parts{*dataplane_, *store_, clock_, log_},
        [this] { return gateway_->view(); });
    auto host_netlink = netlink::MnlNetlink::open(netlink::MnlNetlink::Following::nothing);
    if (!host_netlink) return fail(host_netlink.error());
    host_netlink_ = *std::move(host_netlink);
    host_ = std::make_unique<doctor::LinuxHost>(*host_netlink_);
    reader_ = std::make_unique<control::GatewayReader>(
        control::GatewayReader::Parts{gateway_->published(), *dataplane_, *store_reader_, *host_netlink_,
                                      clock_},
        options_.config);
    metrics_ = std::make_unique<telemetry::Metrics>(
        *dataplane_, [this] { return subject(); }, SALLYPORT_VERSION);
    return true;
}

bool Agent::start() {
    if (!open_parts()) return false;

    // Listening comes before the first change of the kernel: a port that is taken must not leave a gateway
    // half started. Requests are answered once the loop runs.
    const std::optional<gid_t> group = api::group_named("sallyport");
    const auto revision = [this] { return std::to_string(reader_->view()->desired_revision); };
    const auto admit_all = [](const std::optional<api::Peer>&) { return true; };
    // Whoever waits leaves half of the connections to others, and nobody on the network those of the socket.
    watch_ = std::make_unique<api::RevisionWatch>(queries_->loop(), api::ServerLimits{}.connections / 2);
    network_watch_ = std::make_unique<api::RevisionWatch>(queries_->loop(), api::NetworkApi::connections / 2);
    gateway_->follow_revisions([this] {
        queries_->loop().post([this] {
            watch_->look();
            network_watch_->look();
        });
    });
    const auto routes = [this](api::RevisionWatch& watch) {
        return api::api_routes({.reader = *reader_,
                                .host = *host_,
                                .watch = watch,
                                .pin_dir = options_.pin_dir,
                                .gateway = *gateway_,
                                .drops = *drops_,
                                .captures = *captures_,
                                .loop = *loop_});
    };
    const api::Lanes lanes{queries_->loop(), *loop_, connections_->loop(), running_keys_};
    api_router_ = std::make_unique<api::Router>(routes(*watch_), api::admit_peers(group), revision, lanes);
    network_router_ = std::make_unique<api::Router>(routes(*network_watch_), admit_all, revision, lanes);
    metrics_router_ =
        std::make_unique<api::Router>(api::metrics_routes(*metrics_), admit_all, revision, lanes);

    auto metrics_listener = api::listen_tcp(options_.metrics_listen);
    if (!metrics_listener) return fail(metrics_listener.error().within("serve metrics (--metrics-listen)"));
    auto metrics_server =
        api::HttpServer::start(connections_->loop(), *std::move(metrics_listener), *metrics_router_);
    if (!metrics_server) return fail(metrics_server.error());
    metrics_server_ = *std::move(metrics_server);

    auto listener = api::listen_unix(options_.run_dir + "/api.sock", group);
    if (!listener) return fail(listener.error());
    auto server = api::HttpServer::start(connections_->loop(), *std::move(listener), *api_router_);
    if (!server) return fail(server.error());
    api_server_ = *std::move(server);

    if (!open_network_api()) return false;
    if (Result<void> started = gateway_->start(); !started) return fail(started.error());
    tell_what_host_lacks();
    return watch();
}

bool Agent::open_network_api() {
    network_api_ = std::make_unique<api::NetworkApi>(
        api::NetworkApi::Parts{connections_->loop(), *network_router_, log_}, options_.api_listen);
    if (api_settings_) {
        const auto prepared = network_api_->prepare(*api_settings_);
        if (!prepared) return fail(prepared.error());
        (*prepared)();
    } else {
        // An older version has accepted it. Forwarding is worth more than the API over TCP.
        log_.error(fmt::format("{} has faults, see `sallyport check`: the API is not served over TCP",
                               options_.config));
    }
    api_access_ = std::make_unique<api::ApiAccessInThread>(*network_api_, *connections_);
    gateway_->follow_api_settings(*api_access_, api_settings_.value_or(config::ApiSettings{}));
    return true;
}

// What `sallyport doctor` would complain of: said once at the start, because nobody asks before traffic is
// lost.
void Agent::tell_what_host_lacks() {
    const auto subjects = api::queries::doctor_subjects(*gateway_->view(), options_.pin_dir);
    for (const doctor::Check& check : doctor::examine(subjects, *host_)) {
        if (check.severity == doctor::Severity::ok) continue;
        log_.warning(fmt::format("doctor: {} ({}): {}: {}{}{}", check.check, check.subject, check.found,
                                 check.text, check.mend.empty() ? "" : "; mend: ", check.mend));
    }
}

bool Agent::watch() {
    const auto add = [this](Result<api::EventLoop::Watch> watch) {
        if (!watch) return fail(watch.error());
        watches_.push_back(*std::move(watch));
        return true;
    };
    if (!add(loop_->on_signal(SIGTERM, [this] { stop_by_signal("SIGTERM"); })) ||
        !add(loop_->on_signal(SIGINT, [this] { stop_by_signal("SIGINT"); })) ||
        !add(loop_->on_signal(SIGHUP, [this] { reload_by_signal(); })) ||
        !add(loop_->on_readable(netlink_->events_fd(), [this] { gateway_->on_network_events(); }))) {
        return false;
    }
    watches_.push_back(loop_->every(250ms, [this] { gateway_->sweep_slice(); }));
    watches_.push_back(loop_->every(1s, [this] {
        gateway_->tick();
        port_blocks_->tick();
        captures_->tick();
        tell_status();
        look_after_threads();
    }));
    // An error means that the data plane is detached, or that fragments wait for the next call.
    const auto tend_fragments = [this] { std::ignore = dataplane_->tend_fragments(); };
    watches_.push_back(loop_->every(100ms, tend_fragments));
    // The descriptors of events and fragments come and go with the pinned state.
    const auto follow = [this](int fd, int& known, api::EventLoop::Watch& watch, const auto& handler) {
        if (fd == known) return;
        watch = {};
        known = fd;
        if (fd < 0) return;
        if (auto made = loop_->on_readable(fd, handler)) watch = *std::move(made);
    };
    const auto follow_dataplane = [this, follow, tend_fragments] {
        follow(dataplane_->drop_events_fd(), drop_events_fd_, drop_events_, [this] { drops_->poll(); });
        follow(dataplane_->fragments_fd(), fragments_fd_, fragments_, tend_fragments);
        const int known = port_block_events_fd_;
        follow(dataplane_->port_block_events_fd(), port_block_events_fd_, port_block_events_,
               [this] { port_blocks_->poll(); });
        if (port_block_events_fd_ != known) port_blocks_->compare();
        std::ignore = dataplane_->hold_fragments(fragments_held_for);
    };
    follow_dataplane();
    watches_.push_back(loop_->every(1s, follow_dataplane));
    loop_->serve_watchdog();
    return true;
}

int Agent::run() {
    const std::string status = status_text(*gateway_->view());
    log_.notice(fmt::format("sallyportd {} {}: {}", SALLYPORT_VERSION,
                            gateway_->view()->ready() ? "ready" : "running", status));
    told_status_ = status;
    sd_notifyf(0, "READY=1\nSTATUS=%s", status.c_str());
    // Only now, so that nobody is answered before all is there. Who is left without an answer in the end is
    // told by the servers, when they go.
    connections_->start();
    queries_->start();
    const Result<void> ended = loop_->run();
    queries_->stop();
    connections_->stop();
    if (!ended) {
        fail(ended.error());
        return exit_failed;
    }
    return 0;
}

telemetry::Subject Agent::subject() const {
    telemetry::Subject subject = subject_of(*gateway_->view(), *port_blocks_);
    for (const auto* watch : {watch_.get(), network_watch_.get()}) {
        subject.api_requests_waiting += watch->waiting();
        subject.api_waits_refused += watch->refused();
    }
    return subject;
}

// systemd's watchdog is served by this thread, and stands for all of them.
void Agent::look_after_threads() {
    for (const auto* thread : {queries_.get(), connections_.get()}) {
        if (thread->silent_for() < thread_patience || stuck_) continue;
        stuck_ = true;
        log_.error(fmt::format("the thread \"{}\" has stood still for {} seconds", thread->name(),
                               std::chrono::duration_cast<std::chrono::seconds>(thread_patience).count()));
        loop_->fail_watchdog();
    }
    queries_->ask_for_sign();
    connections_->ask_for_sign();
}

void Agent::tell_status() {
    std::string status = status_text(*gateway_->view());
    if (status == told_status_) return;
    told_status_ = std::move(status);
    log_.notice(told_status_);
    sd_notifyf(0, "STATUS=%s", told_status_.c_str());
}

void Agent::reload_by_signal() {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(clock_.monotonic()).count();
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", static_cast<long long>(now));
    const auto reloaded = gateway_->reload("SIGHUP");
    if (!reloaded) {
        for (const config::Fault& fault : reloaded.error().faults) log_.error(fault.to_string());
        log_.error("reload: " + reloaded.error().message);
    } else if (reloaded->changes.empty()) {
        log_.notice("reload: nothing to change");
    }
    const std::string status = status_text(*gateway_->view());
    sd_notifyf(0, "READY=1\nSTATUS=%s", status.c_str());
    told_status_ = status;
}

void Agent::stop_by_signal(const char* name) {
    const std::string_view traffic = gateway_->view()->detached ? "detached" : "forwarding goes on";
    log_.notice(fmt::format("{}: stopping; {}", name, traffic));
    sd_notifyf(0, "STOPPING=1\nSTATUS=stopped; %s", std::string(traffic).c_str());
    loop_->stop();
}

}  // namespace

int run_agent(const Options& options) {
    control::StderrLog log;
    std::error_code error;
    if (!std::filesystem::exists(options.config, error) && !error) {
        log.error(fmt::format(
            "sallyportd: there is no configuration {}: write it, as sallyport.yaml(5) tells, and start again",
            options.config));
        return exit_not_configured;
    }
    Agent agent(options, log);
    if (!agent.start()) return exit_failed;
    return agent.run();
}

}  // namespace sallyport

// SPDX-License-Identifier: Apache-2.0
//
// Where the time goes when a configuration file is applied to an empty gateway: the agent's own libraries,
// step by step, in processor time. Prints JSON; the best of some rounds counts.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>

#include "bench/gateways.h"
#include "bench/topology.h"
#include "config/document.h"
#include "config/load.h"
#include "core/file.h"
#include "dataplane/bpf_dataplane.h"
#include "model/delta.h"
#include "model/validate.h"
#include "netlink/mnl_netlink.h"
#include "reconcile/identifiers.h"
#include "reconcile/network_view.h"
#include "reconcile/plan.h"
#include "store/sqlite_store.h"

namespace sallyport::bench {
namespace {

double milliseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

template <typename T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return *std::move(result);
}

class Steps {
  public:
    template <typename Step>
    auto measure(const char* name, Step step) {
        const double before = milliseconds();
        auto result = step();
        const double spent = milliseconds() - before;
        const auto [known, first] = best_.try_emplace(name, spent);
        if (!first) known->second = std::min(known->second, spent);
        return result;
    }
    [[nodiscard]] const std::map<std::string, double>& best() const { return best_; }

  private:
    std::map<std::string, double> best_;
};

void apply(const std::string& text, int round, Steps& steps) {
    {
        std::vector<config::Fault> faults;
        steps.measure("parse", [&] { return config::parse_document(text, "f", faults); });
    }
    auto loaded = steps.measure("parse, read and check", [&] { return config::load_text(text, "f"); });
    if (!loaded) throw std::runtime_error(loaded.error().front().to_string());
    const model::DesiredState& state = loaded->state;
    steps.measure("check", [&] { return model::validate(state); });
    const auto changes = steps.measure("delta from nothing", [&] { return model::delta({}, state); });
    steps.measure("delta from the same", [&] { return model::delta(state, state); });

    const auto folder = std::filesystem::temp_directory_path() / ("bench-apply-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder);
    {
        auto store = must(store::SqliteStore::open(folder / "store.db"));
        store::NewRevision revision;
        revision.document = store::Document{"f", text};
        for (const model::Change& change : changes) revision.changes.push_back(change.name);
        must(steps.measure("store", [&] { return store->commit(revision); }));
    }
    std::filesystem::remove_all(folder);

    Topology network;
    network.within(Place::gateway, [&] {
        auto netlink = must(netlink::MnlNetlink::open());
        const std::string pins = "/run/apply" + std::to_string(round);
        auto dataplane = must(dataplane::BpfDataplane::open({pins, 65536, "bench"}));
        must(dataplane->prepare(65536));
        const auto view =
            must(steps.measure("network", [&] { return reconcile::NetworkView::read(*netlink); }));
        reconcile::Identifiers identifiers;
        must(steps.measure("numbers", [&] {
            return identifiers.provide(reconcile::names_of(state), [](auto, auto) { return false; });
        }));
        const auto plan =
            steps.measure("plan", [&] { return reconcile::make_plan(state, view, identifiers); });
        const auto written = must(steps.measure("maps", [&] { return dataplane->apply(plan.tables); }));
        const auto again = must(steps.measure("maps, again", [&] { return dataplane->apply(plan.tables); }));
        if (written.written < 1000 || again.changed()) throw std::runtime_error("not written once");
        must(steps.measure("read maps", [&] { return dataplane->read_tables(); }));
        must(dataplane->detach_all());
    });
}

}  // namespace
}  // namespace sallyport::bench

// apply FILE [ROUNDS]
int main(int argc, char** argv) {
    using namespace sallyport::bench;
    try {
        if (argc < 2) throw std::runtime_error("which file?");
        const auto text = sallyport::read_file(argv[1], std::size_t{64} << 20);
        if (!text) throw std::runtime_error(text.error().message);
        isolate_mounts();
        Steps steps;
        for (int round = 0; round < (argc > 2 ? std::stoi(argv[2]) : 5); ++round) apply(*text, round, steps);
        std::printf("%s\n", nlohmann::json(steps.best()).dump(2).c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "apply: %s\n", error.what());
        return 1;
    }
    return 0;
}

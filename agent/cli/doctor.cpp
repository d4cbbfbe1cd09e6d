// SPDX-License-Identifier: Apache-2.0
//
// `doctor` asks the agent, which knows most. Where there is none, as before the first start, this process
// examines the host itself for the devices of the configuration file.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/faults.h"
#include "cli/run.h"
#include "cli/session.h"
#include "cli/views.h"
#include "config/load.h"
#include "core/pin_name.h"
#include "doctor/doctor.h"
#include "doctor/linux_host.h"
#include "netlink/mnl_netlink.h"

namespace sallyport::cli {
namespace {

namespace fs = std::filesystem;

ExitCode exit_of(const Json& answer) {
    const Json& checks = list(answer, "checks");
    bool found = std::any_of(checks.begin(), checks.end(),
                             [](const Json& check) { return field(check, "severity") == "error"; });
    return found ? ExitCode::failed : ExitCode::ok;
}

// Whether a link is pinned for the device, of whatever version: then what is attached is Sallyport's, and
// goes on without its agent.
std::optional<bool> is_pinned(const std::string& pin_dir, const std::string& device) {
    std::error_code error;
    for (auto at = fs::directory_iterator(pin_dir, error); !error && at != fs::directory_iterator();
         at.increment(error)) {
        if (fs::exists(at->path() / "links" / pin_name(device), error)) return true;
    }
    if (error && error != std::errc::no_such_file_or_directory) return std::nullopt;
    return false;
}

// In the form in which the agent answers.
Outcome examine_here(const config::Loaded& configuration, const std::string& why_no_agent) {
    auto netlink = netlink::MnlNetlink::open();
    if (!netlink) return problem(ExitCode::failed, "host not readable", netlink.error().message);
    doctor::LinuxHost host(**netlink);
    doctor::Subjects subjects;
    subjects.xdp = configuration.state.gateway.xdp;
    subjects.elastic_ips = configuration.state.elastic_ips;
    for (const model::Device& device : configuration.state.gateway.devices)
        subjects.devices.push_back({device, is_pinned(subjects.pin_dir, device.device)});
    subjects.agent_runs = false;

    Json checks = Json::array();
    auto add = [&checks](const doctor::Check& check) {
        nlohmann::json entry;
        to_json(entry, check);
        checks.push_back(Json(entry));
    };
    add({"agent", "host", doctor::Severity::warning, "not reachable", why_no_agent,
         "systemctl start sallyport"});
    for (const doctor::Check& check : doctor::examine(subjects, host)) add(check);
    return Json{{"checks", std::move(checks)}};
}

}  // namespace

ExitCode run_doctor(Session& session) {
    Outcome answer = session.api().get(path_of({"doctor"}));
    const bool is_of_this_host = !session.api().server().is_remote();
    if (!answer && is_of_this_host && answer.error().exit == ExitCode::unreachable) {
        const std::string path = session.invocation().value("config", default_config);
        auto configuration = config::load_file(path);
        if (configuration) {
            answer = examine_here(*configuration, field(answer.error().body, "detail"));
        } else if (session.invocation().has("config")) {
            // Who names a file wants to know what is wrong with it.
            Problem fault =
                problem(ExitCode::failed, "invalid configuration", path + " cannot be used").value();
            fault.body["faults"] = faults_json(configuration.error(), "error");
            return session.show(fault);
        } else {
            answer.error().body["detail"] =
                fmt::format("{}. Without it this host is examined for the devices of a configuration, but {}",
                            field(answer.error().body, "detail"), configuration.error().front().to_string());
        }
    }
    const ExitCode exit = session.show(answer, doctor_view);
    return answer ? exit_of(*answer) : exit;
}

}  // namespace sallyport::cli

// SPDX-License-Identifier: Apache-2.0
#include "api/doctor_query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "api/document.h"

namespace sallyport::api::queries {

namespace {

// Is what runs what the files say by now?
doctor::Check check_of_files(const control::Snapshot& now) {
    const control::View& view = *now.view;
    doctor::Check check{"configuration",
                        "agent",
                        doctor::Severity::ok,
                        fmt::format("revision {} of {}", view.desired_revision, fmt::join(view.files, ", ")),
                        "the files are as they were last read",
                        ""};
    const Result<bool> changed = control::files_have_changed(now);
    if (!changed) {
        check.severity = doctor::Severity::warning;
        check.text =
            fmt::format("the files cannot be read, and a reload would fail: {}", changed.error().message);
    } else if (*changed) {
        check.severity = doctor::Severity::warning;
        check.text =
            fmt::format("{} or its fragments have changed since they were last read", now.config_path);
        check.mend = "sallyport reload";
    }
    return check;
}

}  // namespace

doctor::Subjects doctor_subjects(const control::View& view, const std::string& pin_dir) {
    doctor::Subjects subjects;
    for (const model::Device& device : view.state->gateway.devices) {
        const reconcile::DeviceStatus* status = view.device(device.device);
        const bool attached = status != nullptr && status->attached;
        subjects.devices.push_back({device, attached});
    }
    subjects.xdp = view.state->gateway.xdp;
    subjects.elastic_ips = view.state->elastic_ips;
    subjects.pin_dir = pin_dir;
    return subjects;
}

Response doctor(const control::Snapshot& now, doctor::Host& host, const std::string& pin_dir) {
    nlohmann::json checks = nlohmann::json::array();
    const auto add = [&checks](const doctor::Check& check) {
        nlohmann::json entry;
        to_json(entry, check);
        checks.push_back(std::move(entry));
    };
    add(check_of_files(now));
    for (const doctor::Check& check : doctor::examine(doctor_subjects(*now.view, pin_dir), host)) add(check);
    return json_response({{"checks", std::move(checks)}});
}

}  // namespace sallyport::api::queries

// SPDX-License-Identifier: Apache-2.0
#include "doctor/doctor.h"

#include <nlohmann/json.hpp>

#include "doctor/report.h"

namespace sallyport::doctor {

std::string_view to_string(Severity severity) {
    switch (severity) {
        case Severity::ok:
            return "ok";
        case Severity::warning:
            return "warning";
        case Severity::error:
            return "error";
    }
    return "";
}

void to_json(nlohmann::json& json, const Check& check) {
    json = {{"check", check.check}, {"subject", check.subject}, {"severity", to_string(check.severity)},
            {"found", check.found}, {"text", check.text},       {"mend", check.mend}};
}

std::vector<Check> examine(const Subjects& subjects, Host& host) {
    Report report;
    check_host(subjects, host, report);
    for (const auto& device : subjects.devices) {
        check_device(device, subjects, host, report);
    }
    check_elastic_ips(subjects, host, report);
    return report.take();
}

}  // namespace sallyport::doctor

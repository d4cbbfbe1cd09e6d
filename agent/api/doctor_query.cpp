// SPDX-License-Identifier: Apache-2.0
#include "api/doctor_query.h"

#include <nlohmann/json.hpp>

#include "api/document.h"

namespace sallyport::api::queries {

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

Response doctor(const control::Gateway& gateway, doctor::Host& host, const std::string& pin_dir) {
    nlohmann::json checks = nlohmann::json::array();
    for (const doctor::Check& check : doctor::examine(doctor_subjects(*gateway.view(), pin_dir), host)) {
        nlohmann::json entry;
        to_json(entry, check);
        checks.push_back(std::move(entry));
    }
    return json_response({{"checks", std::move(checks)}});
}

}  // namespace sallyport::api::queries

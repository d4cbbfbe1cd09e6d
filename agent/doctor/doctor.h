// SPDX-License-Identifier: Apache-2.0
//
// Looks at a host and says what keeps it from being a good gateway, each time with the command that mends
// it. Changes nothing, ever. What is looked at comes through Host, so that each check has a test that shows
// it pass and fail.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "doctor/host.h"
#include "model/resources.h"

namespace sallyport::doctor {

enum class Severity {
    ok,
    warning,  // works, but slower, or not in every case
    error,    // packets are lost, or nothing works at all
};
std::string_view to_string(Severity severity);

struct Check {
    std::string check;    // its name, such as "ip_forward": stable, for scripts
    std::string subject;  // "host", a device or an Elastic IP
    Severity severity = Severity::ok;
    std::string found;  // the value as the host has it
    std::string text;   // what it means
    std::string mend;   // a command, or empty where all is well or no command on this host can mend it
    bool operator==(const Check&) const = default;
};
void to_json(nlohmann::json& json, const Check& check);

struct DeviceToCheck {
    model::Device device;
    // Sallyport has its program on the device. Not known to somebody who may not look: then what is there is
    // taken for Sallyport's, so that nobody is told to take a working gateway apart.
    std::optional<bool> attached = false;
};

struct Subjects {
    std::vector<DeviceToCheck> devices;
    model::XdpMode xdp = model::XdpMode::automatic;
    std::vector<model::ElasticIp> elastic_ips;
    std::string pin_dir = "/sys/fs/bpf/sallyport";
    bool agent_runs = true;
};

// All checks in a fixed order: those of the host, then device by device, then the Elastic IPs. What could
// not be read is a warning of its own and not left out.
std::vector<Check> examine(const Subjects& subjects, Host& host);

}  // namespace sallyport::doctor

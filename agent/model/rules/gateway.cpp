// SPDX-License-Identifier: Apache-2.0
//
// The gateway itself and its devices.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

#include "model/enums.h"
#include "model/rules/rules.h"

namespace sallyport::model {

namespace {

constexpr std::uint32_t flow_capacity_least = 1024;
constexpr std::uint32_t flow_capacity_most = 67108864;
constexpr std::uint32_t reply_rate_limit_most = 1000000;
constexpr std::size_t interface_name_most = 15;  // the kernel's IFNAMSIZ without the final zero

class GatewayRules : Rules {
  public:
    explicit GatewayRules(Examination& examination) : Rules(examination) {}

    void check() {
        const Gateway& gateway = state_.gateway;
        if (gateway.flow_capacity < flow_capacity_least || gateway.flow_capacity > flow_capacity_most) {
            wrong("gateway.flow_capacity", fmt::format("{}", gateway.flow_capacity),
                  fmt::format("{} to {}", flow_capacity_least, flow_capacity_most),
                  fmt::format("{} is out of bounds", gateway.flow_capacity));
        }
        if (const auto unanswered = gateway.unanswered_flow_capacity;
            unanswered && (*unanswered == 0 || *unanswered > gateway.flow_capacity)) {
            wrong("gateway.unanswered_flow_capacity", fmt::format("{}", *unanswered),
                  fmt::format("1 to {}", gateway.flow_capacity),
                  fmt::format("{} is out of bounds", *unanswered));
        }
        if (gateway.reply_rate_limit < 1 || gateway.reply_rate_limit > reply_rate_limit_most) {
            wrong("gateway.reply_rate_limit", fmt::format("{}", gateway.reply_rate_limit),
                  fmt::format("1 to {}", reply_rate_limit_most),
                  fmt::format("{} is out of bounds", gateway.reply_rate_limit));
        }
        std::map<std::string_view, std::size_t> seen;
        for (std::size_t i = 0; i < gateway.devices.size(); ++i) {
            const Device& device = gateway.devices[i];
            check_device(device, i);
            const auto [first, added] = seen.emplace(device.device, i);
            if (!added) {
                wrong(at("gateway.devices", i, "device"), device.device,
                      "each device once (role: both makes a gateway with one arm)",
                      fmt::format("device {} is listed twice", quoted(device.device)),
                      at("gateway.devices", first->second, "device"));
            }
        }
    }

  private:
    void check_device(const Device& device, std::size_t index) {
        const auto allowed = [](char c) { return c > ' ' && c < 127 && c != '/' && c != ':'; };
        if (device.device.empty() || device.device.size() > interface_name_most || device.device == "." ||
            device.device == ".." || !std::ranges::all_of(device.device, allowed)) {
            wrong(at("gateway.devices", index, "device"), device.device,
                  "1 to 15 printable characters without spaces, \"/\" and \":\"",
                  fmt::format("{} is no name of a network interface", quoted(device.device)));
        }
        const std::string path = at("gateway.devices", index, "vpc");
        const std::string role_path = at("gateway.devices", index, "role");
        if (device.role == DeviceRole::outside && !device.vpc.empty()) {
            wrong(path, device.vpc, "no vpc, or another role",
                  fmt::format("device {} is outside and belongs to no VPC", quoted(device.device)),
                  role_path);
        }
        if (device.role != DeviceRole::outside && device.vpc.empty()) {
            wrong(path, "", "the VPC behind it",
                  fmt::format("device {} has the role {} and no vpc", quoted(device.device),
                              to_string(device.role)),
                  role_path);
        }
    }
};

}  // namespace

void check_gateway(Examination& examination) {
    GatewayRules(examination).check();
}

}  // namespace sallyport::model

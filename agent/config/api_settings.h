// SPDX-License-Identifier: Apache-2.0
//
// The section `api`: how the API is reached over the network. It is about this host and not about the network
// that the gateway makes, so it is no part of the desired state and of no revision: the agent takes it from
// its configuration file, at its start and with each reload.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/host_name.h"
#include "core/web_origin.h"

namespace sallyport::config {

struct Cors {
    std::vector<WebOrigin> allowed_origins = {};
    bool operator==(const Cors&) const = default;
};

struct Tls {
    std::string certificate = {};  // paths
    std::string key = {};
    bool operator==(const Tls&) const = default;
};

struct ApiSettings {
    std::optional<Endpoint> listen = {};  // none: no TCP listener
    std::string tokens_file = {};         // empty: there are no tokens
    bool insecure_loopback = false;
    std::optional<Tls> tls = {};
    bool tls_terminated_elsewhere = false;
    std::vector<HostName> allowed_hosts = {};
    Cors cors = {};
    bool operator==(const ApiSettings&) const = default;
};

bool is_loopback(Ipv4Address address);

// Whether clients of this listener must show a token.
bool needs_token(const ApiSettings& settings, const Endpoint& listener);

// What keeps a listener from being opened with these settings.
struct Exposure {
    std::string path;      // of the setting, "api.tls"
    std::string expected;  // what would be right
    std::string message;   // one sentence that holds all of it
};
std::vector<Exposure> exposures(const ApiSettings& settings, const Endpoint& listener);

}  // namespace sallyport::config

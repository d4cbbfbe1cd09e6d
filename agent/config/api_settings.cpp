// SPDX-License-Identifier: Apache-2.0
#include "config/api_settings.h"

#include <fmt/format.h>

namespace sallyport::config {

bool is_loopback(Ipv4Address address) {
    return Ipv4Prefix(Ipv4Address(127, 0, 0, 0), 8).contains(address);
}

bool needs_token(const ApiSettings& settings, const Endpoint& listener) {
    return !settings.insecure_loopback || !is_loopback(listener.address);
}

std::vector<Exposure> exposures(const ApiSettings& settings, const Endpoint& listener) {
    std::vector<Exposure> found;
    const auto add = [&found](std::string path, std::string expected, const std::string& what) {
        std::string message = fmt::format("{}; expected {}", what, expected);
        found.push_back({std::move(path), std::move(expected), std::move(message)});
    };
    const bool local = is_loopback(listener.address);
    if (needs_token(settings, listener) && settings.tokens_file.empty()) {
        add("api.tokens_file", "the path of a file of tokens",
            fmt::format("clients of {} need a token, and there is no file of tokens{}", listener.to_string(),
                        settings.insecure_loopback
                            ? ", because insecure_loopback is for listeners on loopback only"
                            : ""));
    }
    // Whoever is on the path of a plain connection reads the token, and has it.
    if (!local && !settings.tls && !settings.tls_terminated_elsewhere) {
        add("api.tls",
            "a certificate and a key, or tls_terminated_elsewhere: true where a proxy in front does TLS",
            fmt::format("{} can be reached from other hosts, and tokens would cross the network in the clear",
                        listener.to_string()));
    }
    return found;
}

}  // namespace sallyport::config

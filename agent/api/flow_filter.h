// SPDX-License-Identifier: Apache-2.0
//
// Which flows a client wants to see: the parameters of /v1/flows.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "api/http.h"
#include "core/address.h"
#include "dataplane/dataplane.h"

namespace sallyport::api {

// "10.0.1.5", "10.0.0.0/16" or "10.0.1.5:1234".
struct EndpointFilter {
    Ipv4Prefix prefix;
    std::optional<std::uint16_t> port;

    [[nodiscard]] bool matches(const Endpoint& endpoint) const {
        return prefix.contains(endpoint.address) && (!port || *port == endpoint.port);
    }
};

struct FlowFilter {
    std::optional<EndpointFilter> inside;
    std::optional<EndpointFilter> external;
    std::optional<EndpointFilter> remote;
    std::optional<Protocol> protocol;
    std::size_t limit = 100;
    bool count = false;
    bool top = false;
    bool inner = false;  // those that stay inside a VPC, in place of all others

    // What the client got wrong is the error.
    static tl::expected<FlowFilter, std::string> parse(const Request& request);

    [[nodiscard]] bool matches(const dataplane::FlowRecord& flow) const {
        return (!protocol || *protocol == flow.protocol) && (!inside || inside->matches(flow.inside)) &&
               (!external || external->matches(flow.external)) && (!remote || remote->matches(flow.remote));
    }
    // Both ends of a flow that stays inside are.
    [[nodiscard]] bool matches(const dataplane::InnerFlowKey& flow) const {
        return (!protocol || *protocol == flow.protocol) &&
               (!inside || inside->matches(flow.opener) || inside->matches(flow.answerer));
    }
};

// A whole number of at most `most`.
std::optional<std::uint64_t> parse_number(const std::string& text, std::uint64_t most);

}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
//
// What a client asks of an external endpoint: the parameters of /v1/who.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "api/http.h"
#include "core/address.h"
#include "core/moment.h"
#include "dataplane/dataplane.h"

namespace sallyport::api {

struct WhoFilter {
    Endpoint external;
    std::optional<Protocol> protocol;
    Moment at;
    bool now = true;  // `at` is not in the past

    // What the client got wrong is the error.
    static tl::expected<WhoFilter, std::string> parse(const Request& request,
                                                      std::chrono::system_clock::time_point now);

    [[nodiscard]] bool matches(const dataplane::FlowRecord& flow) const {
        return flow.external == external && (!protocol || *protocol == flow.protocol);
    }
};

}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
//
// The routing table: the whole API at a glance.
#pragma once

#include <functional>
#include <vector>

#include "api/event_loop.h"
#include "api/revision_watch.h"
#include "api/router.h"
#include "control/captures.h"
#include "control/drop_feed.h"
#include "control/gateway.h"
#include "control/gateway_reader.h"
#include "doctor/host.h"
#include "telemetry/metrics.h"

namespace sallyport::api {

// What handlers work on. All of it must outlive the routes.
struct Services {
    // Of the queries' lane.
    control::GatewayReader& reader;
    doctor::Host& host;
    RevisionWatch& watch;
    std::string pin_dir;
    // Of the commands'.
    control::Gateway& gateway;
    control::DropFeed& drops;
    control::Captures& captures;
    EventLoop& loop;
};

std::vector<Route> api_routes(const Services& services);
std::vector<Route> metrics_routes(const telemetry::Metrics& metrics);

}  // namespace sallyport::api

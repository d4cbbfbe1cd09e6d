// SPDX-License-Identifier: Apache-2.0
#include "api/routes.h"

#include "api/commands.h"
#include "api/doctor_query.h"
#include "api/queries.h"

namespace sallyport::api {

std::vector<Route> api_routes(const Services& services) {
    // Handlers that answer at once.
    const auto at_once = [&gateway = services.gateway](auto handler) {
        return [&gateway, handler](const Call& call, const Respond& respond) {
            respond(handler(gateway, call));
        };
    };
    // Those of queries that may be asked to have seen a revision.
    const auto reading = [&gateway = services.gateway](auto handler) {
        return [&gateway, handler](const Call& call, const Respond& respond) {
            const auto refusal = queries::too_old(gateway, call);
            respond(refusal ? *refusal : handler(gateway, call));
        };
    };
    const auto watch_drops = [services](const Call& call, const Respond& respond) {
        queries::drops(services.gateway, services.drops, services.loop, call, respond);
    };
    const auto examine = [services](const Call&, const Respond& respond) {
        respond(queries::doctor(services.gateway, services.host, services.pin_dir));
    };
    constexpr Purpose query = Purpose::query;
    constexpr Purpose command = Purpose::command;
    return {
        {"GET", "/healthz", query, {}, at_once(queries::healthz)},
        {"GET", "/readyz", query, {}, at_once(queries::readyz)},
        {"GET", "/v1/version", query, {}, at_once(queries::version)},
        {"GET", "/v1/status", query, {"min_revision"}, reading(queries::status)},
        {"GET",
         "/v1/flows",
         query,
         {"inside", "external", "remote", "protocol", "limit", "count", "top", "min_revision"},
         reading(queries::flows)},
        {"GET", "/v1/who", query, {"address", "port", "protocol", "at"}, at_once(queries::who)},
        {"GET", "/v1/drops", query, {"after", "wait"}, watch_drops},
        {"GET", "/v1/history", query, {"min_revision"}, reading(queries::history)},
        {"GET", "/v1/doctor", query, {}, examine},
        {"POST", "/v1/plan", query, {}, at_once(queries::plan)},
        {"POST", "/v1/apply", command, {}, at_once(commands::apply)},
        {"POST", "/v1/confirm", command, {}, at_once(commands::confirm)},
        {"POST", "/v1/rollback", command, {}, at_once(commands::rollback)},
        {"POST", "/v1/reload", command, {}, at_once(commands::reload)},
        {"POST", "/v1/detach", command, {}, at_once(commands::detach)},
        {"GET", "/v1/{kind}", query, {"min_revision"}, reading(queries::objects)},
        {"POST", "/v1/{kind}", command, {}, at_once(commands::create_object)},
        {"GET", "/v1/{kind}/{name}", query, {"min_revision"}, reading(queries::object)},
        {"PUT", "/v1/{kind}/{name}", command, {}, at_once(commands::put_object)},
        {"PATCH", "/v1/{kind}/{name}", command, {}, at_once(commands::patch_object)},
        {"DELETE", "/v1/{kind}/{name}", command, {}, at_once(commands::delete_object)},
    };
}

std::vector<Route> metrics_routes(const telemetry::Metrics& metrics) {
    return {{"GET", "/metrics", Purpose::query, {}, [&metrics](const Call&, const Respond& respond) {
                 respond({200, telemetry::Metrics::content_type, metrics.scrape(), {}});
             }}};
}

}  // namespace sallyport::api

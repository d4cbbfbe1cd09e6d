// SPDX-License-Identifier: Apache-2.0
#include "api/routes.h"

#include <memory>
#include <string>

#include "api/capture_query.h"
#include "api/commands.h"
#include "api/doctor_query.h"
#include "api/openapi.h"
#include "api/queries.h"

namespace sallyport::api {

namespace {

constexpr std::string_view openapi_media_type = "application/yaml";  // RFC 9512

}  // namespace

std::vector<Route> api_routes(const Services& services) {
    // Queries.
    const auto reading = [&reader = services.reader](auto handler) {
        return [&reader, handler](const Call& call, const Respond& respond) {
            respond(queries::answer(reader.now(), call, handler));
        };
    };
    // Those that may be asked to have seen a revision.
    const auto reading_from = [&reader = services.reader](auto handler) {
        return [&reader, handler](const Call& call, const Respond& respond) {
            const control::Snapshot now = reader.now();
            const auto refusal = queries::too_old(now, call);
            respond(refusal ? *refusal : queries::answer(now, call, handler));
        };
    };
    // Those that may also be asked for what has changed since a revision, and to wait for that. `refuse` says
    // beforehand what is wrong with the rest of the request.
    const auto watching = [&reader = services.reader, &watch = services.watch](auto handler, auto refuse) {
        return [&reader, &watch, handler, refuse](const Call& call, const Respond& respond) {
            if (const auto refusal = queries::too_old(reader.now(), call)) return respond(*refusal);
            if (const auto refusal = refuse(call)) return respond(*refusal);
            queries::when_changed(reader, watch, call, respond, handler);
        };
    };
    const auto examine = reading(
        [&host = services.host, pin_dir = services.pin_dir](const control::Snapshot& now, const Call&) {
            return queries::doctor(now, host, pin_dir);
        });
    // What is done in the lane of commands.
    const auto doing = [&gateway = services.gateway](auto handler) {
        return [&gateway, handler](const Call& call, const Respond& respond) {
            respond(handler(gateway, call));
        };
    };
    const auto watch_drops = [services](const Call& call, const Respond& respond) {
        queries::drops(services.gateway, services.drops, services.loop, call, respond);
    };
    const auto begin_capture = [services](const Call& call, const Respond& respond) {
        respond(captures::begin(services.gateway, services.captures, call));
    };
    const auto read_capture = [services](const Call& call, const Respond& respond) {
        captures::packets(services.gateway, services.captures, services.loop, call, respond);
    };
    const auto end_capture = [services](const Call& call, const Respond& respond) {
        respond(captures::end(services.gateway, services.captures, call));
    };
    constexpr Purpose query = Purpose::query;
    constexpr Purpose query_in_turn = Purpose::query_in_turn;
    constexpr Purpose command = Purpose::command;
    // Written when the table is there, which it is made from.
    const auto description = std::make_shared<std::string>();
    const auto describe = [description](const Call&, const Respond& respond) {
        respond({200, std::string(openapi_media_type), *description, {}});
    };
    std::vector<Route> routes{
        {"GET",
         "/openapi.yaml",
         query,
         {},
         describe,
         {"This document.", Body::nothing, 200, openapi_media_type}},
        {"GET", "/healthz", query, {}, reading(queries::healthz), {"Whether the agent serves."}},
        {"GET",
         "/readyz",
         query,
         {},
         reading(queries::readyz),
         {"Whether the newest revision is in force on all devices; 503 if not."}},
        {"GET", "/v1/version", query, {}, reading(queries::version), {"The version of the agent."}},
        {"GET",
         "/v1/status",
         query,
         {"min_revision", "after_revision", "wait"},
         watching(queries::status, [](const Call&) { return std::optional<Response>(); }),
         {"The gateway, its devices, flows, NAT gateways, Elastic IPs, drops and warnings."}},
        {"GET",
         "/v1/flows",
         query,
         {"inside", "external", "remote", "protocol", "limit", "count", "top", "inner", "min_revision"},
         reading_from(queries::flows),
         {"Live flows."}},
        {"GET",
         "/v1/who",
         query,
         {"address", "port", "protocol", "at"},
         reading(queries::who),
         {"Who has, or had, an external address and port."}},
        {"GET",
         "/v1/explain",
         query,
         {"protocol", "source", "destination", "vpc", "flags"},
         reading(queries::explain),
         {"What would become of a packet, and why."}},
        {"GET", "/v1/drops", query_in_turn, {"after", "wait"}, watch_drops, {"Drop events, as they come."}},
        {"POST",
         "/v1/capture",
         command,
         {"device", "host", "protocol", "port", "points", "snap_length"},
         begin_capture,
         {"Begin to capture packets; only through the agent's own socket."}},
        {"GET",
         "/v1/capture",
         query_in_turn,
         {"capture", "wait"},
         read_capture,
         {"Captured packets, as they come."}},
        {"DELETE",
         "/v1/capture",
         command,
         {"capture"},
         end_capture,
         {"End a capture; answers with what is left of it."}},
        {"GET",
         "/v1/history",
         query,
         {"limit", "after", "min_revision"},
         reading_from(queries::history),
         {"The revisions, newest first."}},
        {"GET", "/v1/doctor", query, {}, examine, {"What keeps the host from being a good gateway."}},
        {"POST", "/v1/plan", query, {}, reading(queries::plan), {"What apply would change.", Body::document}},
        {"POST",
         "/v1/apply",
         command,
         {},
         doing(commands::apply),
         {.summary = "Make a document the configuration.",
          .body = Body::document_to_confirm,
          .repeatable = true}},
        {"POST",
         "/v1/confirm",
         command,
         {},
         doing(commands::confirm),
         {.summary = "Keep the revision that awaits it.", .repeatable = true}},
        {"POST",
         "/v1/rollback",
         command,
         {},
         doing(commands::rollback),
         {.summary = "Go back to a revision of the history.", .body = Body::revision, .repeatable = true}},
        {"POST",
         "/v1/reload",
         command,
         {},
         doing(commands::reload),
         {.summary = "Read the configuration file again.", .repeatable = true}},
        {"POST",
         "/v1/detach",
         command,
         {},
         doing(commands::detach),
         {.summary = "End forwarding.", .repeatable = true}},
        {"GET",
         "/v1/elastic_ips/{name}/drain",
         query,
         {},
         reading(queries::drain),
         {"How far an Elastic IP is drained, and who still uses it."}},
        {"POST",
         "/v1/elastic_ips/{name}/drain",
         command,
         {},
         doing(commands::drain),
         {.summary = "Give no new flows to an Elastic IP, or set another timeout.",
          .body = Body::timeout,
          .repeatable = true}},
        {"DELETE",
         "/v1/elastic_ips/{name}/drain",
         command,
         {},
         doing(commands::end_drain),
         {"Let an Elastic IP take new flows again.", Body::nothing, 204}},
        {"GET",
         "/v1/{kind}",
         query,
         {"limit", "after", "min_revision", "after_revision", "wait"},
         watching(queries::objects, queries::wrong_with_objects),
         {"Every {}."}},
        {"POST",
         "/v1/{kind}",
         command,
         {},
         doing(commands::create_object),
         {.summary = "Make: {}.", .body = Body::object, .success = 201, .repeatable = true}},
        {"GET", "/v1/{kind}/{name}", query, {"min_revision"}, reading_from(queries::object), {"One {}."}},
        {"PUT",
         "/v1/{kind}/{name}",
         command,
         {},
         doing(commands::put_object),
         {"Make or replace: {}.", Body::object, 201}},
        {"PATCH",
         "/v1/{kind}/{name}",
         command,
         {},
         doing(commands::patch_object),
         {"Change parts of: {}.", Body::merge_patch}},
        {"DELETE",
         "/v1/{kind}/{name}",
         command,
         {},
         doing(commands::delete_object),
         {"Delete: {}.", Body::nothing, 204}},
    };
    *description = openapi_document(routes, SALLYPORT_VERSION);
    return routes;
}

std::vector<Route> metrics_routes(const telemetry::Metrics& metrics) {
    return {{"GET", "/metrics", Purpose::query, {}, [&metrics](const Call&, const Respond& respond) {
                 respond({200, telemetry::Metrics::content_type, metrics.scrape(), {}});
             }}};
}

}  // namespace sallyport::api

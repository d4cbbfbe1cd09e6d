// SPDX-License-Identifier: Apache-2.0
#include "api/queries.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "api/document.h"
#include "api/entity_tag.h"
#include "api/explain_question.h"
#include "api/flow_filter.h"
#include "api/page.h"
#include "api/problem.h"
#include "api/who_filter.h"
#include "control/explain.h"
#include "control/plan.h"
#include "core/moment.h"
#include "model/enums.h"
#include "model/json.h"
#include "model/kinds.h"
#include "model/objects.h"
#include "sallyport/abi/drop_reason.h"
#include "telemetry/flow_census.h"

namespace sallyport::api::queries {

namespace {

using nlohmann::json;

constexpr std::uint64_t longest_wait_seconds = 30;
constexpr std::size_t most_flows_of_an_endpoint = 1000;  // TCP ports are shared between remotes

std::string_view protocol_name(std::uint8_t number) {
    switch (number) {
        case 1:
            return "icmp";
        case 6:
            return "tcp";
        case 17:
            return "udp";
        default:
            return "";
    }
}

json devices_json(const control::View& view, const dataplane::Counters& counters) {
    json list = json::array();
    for (const model::Device& device : view.state->gateway.devices) {
        const reconcile::DeviceStatus* status = view.device(device.device);
        dataplane::DeviceCounters counter;
        if (const auto slot = view.names.device_slots.find(device.device);
            slot != view.names.device_slots.end()) {
            if (const auto found = counters.devices.find(slot->second); found != counters.devices.end()) {
                counter = found->second;
            }
        }
        const bool attached = status != nullptr && status->attached;
        const bool native = attached && status->mode == dataplane::Mode::native;
        list.push_back({{"device", device.device},
                        {"role", model::to_string(device.role)},
                        {"vpc", device.vpc},
                        {"attached", attached},
                        {"mode", !attached ? ""
                                 : native  ? "native"
                                           : "generic"},
                        {"fallback_reason", status == nullptr ? "" : status->fallback_reason},
                        {"error", status == nullptr ? "" : status->error},
                        {"received_packets", counter.received_packets},
                        {"forwarded", counter.forwarded},
                        {"passed", counter.passed},
                        {"dropped", counter.dropped},
                        {"answered", counter.answered},
                        {"held", counter.held}});
    }
    return list;
}

json nat_gateways_json(const control::View& view, const dataplane::Counters& counters,
                       const telemetry::FlowCensus& census) {
    json list = json::array();
    for (const model::NatGateway& gateway : view.state->nat_gateways) {
        dataplane::NatGatewayCounters counter;
        json active = json::object();
        const auto number = view.names.nat_gateway_numbers.find(gateway.name);
        const bool known = number != view.names.nat_gateway_numbers.end();
        if (known) {
            const auto found = counters.nat_gateways.find(number->second);
            if (found != counters.nat_gateways.end()) counter = found->second;
        }
        for (const Protocol protocol : telemetry::all_protocols) {
            active[std::string(to_string(protocol))] = known ? census.flows_of(number->second, protocol) : 0;
        }
        list.push_back({{"name", gateway.name},
                        {"vpc", gateway.vpc},
                        {"elastic_ips", gateway.elastic_ips},
                        {"active_flows", std::move(active)},
                        {"flow_attempts", counter.flow_attempts},
                        {"flows_established", counter.flows_established},
                        {"port_allocation_errors", counter.port_allocation_errors},
                        {"idle_timeouts", counter.idle_timeouts}});
    }
    return list;
}

json elastic_ips_json(const control::View& view, const telemetry::FlowCensus& census) {
    std::map<std::string_view, std::string_view> owners;
    for (const model::NatGateway& gateway : view.state->nat_gateways) {
        for (const std::string& name : gateway.elastic_ips) owners[name] = gateway.name;
    }
    json list = json::array();
    for (const model::ElasticIp& elastic_ip : view.state->elastic_ips) {
        json ports = json::object();
        for (const Protocol protocol : telemetry::all_protocols) {
            ports[std::string(to_string(protocol))] = census.ports_of(elastic_ip.address, protocol);
        }
        const control::DrainStatus* const drain = view.drain(elastic_ip.name);
        list.push_back({{"name", elastic_ip.name},
                        {"address", elastic_ip.address.to_string()},
                        {"nat_gateway", owners[elastic_ip.name]},
                        {"instance", elastic_ip.instance},
                        {"drain", drain == nullptr ? json(nullptr) : drain_json(*drain)},
                        {"ports_in_use", std::move(ports)}});
    }
    return list;
}

json drops_json(const dataplane::Counters& counters) {
    json list = json::array();
    for (std::size_t reason = 0; reason < counters.drops.size(); ++reason) {
        const auto number = static_cast<std::uint32_t>(reason);
        if (counters.drops[reason] == 0 || dataplane::drop_reason_label(number).empty()) continue;
        list.push_back({{"reason", dataplane::drop_reason_label(number)},
                        {"count", counters.drops[reason]},
                        {"text", dataplane::drop_reason_text(number)}});
    }
    return list;
}

json flow_json(const control::View& view, const dataplane::FlowRecord& flow) {
    return {{"protocol", to_string(flow.protocol)},
            {"vpc", view.names.vpc(flow.zone)},
            {"nat_gateway", view.names.nat_gateway(flow.nat_gateway)},
            {"internet_gateway", view.names.internet_gateway(flow.nat_gateway)},
            {"elastic_ip", view.names.elastic_ip(flow.external.address)},
            {"inside", flow.inside.to_string()},
            {"external", flow.external.to_string()},
            {"remote", flow.remote.to_string()},
            {"state", flow.state},
            {"idle_seconds", flow.idle_seconds},
            {"timeout_seconds", flow.timeout_seconds},
            {"packets_out", flow.packets_out},
            {"bytes_out", flow.bytes_out},
            {"packets_in", flow.packets_in},
            {"bytes_in", flow.bytes_in}};
}

json inner_flow_json(const control::View& view, const dataplane::InnerFlowKey& key,
                     const dataplane::InnerFlow& flow) {
    return {{"protocol", to_string(key.protocol)},
            {"vpc", view.names.vpc(key.zone)},
            {"opener", key.opener.to_string()},
            {"answerer", key.answerer.to_string()},
            {"state", flow.finished   ? "finished"
                      : flow.answered ? "answered"
                                      : "opening"},
            {"idle_seconds", flow.idle_seconds},
            {"timeout_seconds", flow.timeout_seconds}};
}

Response inner_flows(const control::Snapshot& now, const FlowFilter& filter) {
    const control::View& view = *now.view;
    std::uint64_t total = 0;
    json list = json::array();
    const Result<void> visited = now.dataplane.visit_inner_flows(
        [&](const dataplane::InnerFlowKey& key, const dataplane::InnerFlow& flow) {
            if (!filter.matches(key)) return true;
            ++total;
            if (!filter.count && list.size() < filter.limit) list.push_back(inner_flow_json(view, key, flow));
            return true;
        });
    if (!visited) return problem(500, visited.error().message);
    if (filter.count) return json_response({{"count", total}});
    return json_response({{"inner_flows", std::move(list)}, {"total", total}});
}

json explanation_json(const control::View& view, const control::Question& question,
                      const control::Explanation& answer) {
    json steps = json::array();
    for (const control::Step& step : answer.steps)
        steps.push_back({{"stage", to_string(step.stage)}, {"name", step.name}, {"text", step.text}});
    const bool dropped = answer.verdict == control::Verdict::drop;
    const std::string_view told = to_string(answer.told);
    return {{"protocol", to_string(question.protocol)},
            {"source", question.source.to_string()},
            {"destination", question.destination.to_string()},
            {"flags", question.protocol == Protocol::tcp ? json(to_string(question.segment)) : json(nullptr)},
            {"from", answer.from_inside ? "inside" : "outside"},
            {"vpc", answer.vpc},
            {"steps", std::move(steps)},
            {"flow", answer.flow ? flow_json(view, *answer.flow) : json(nullptr)},
            {"translation", answer.translation
                                ? json{{"source", answer.translation->source.to_string()},
                                       {"destination", answer.translation->destination.to_string()}}
                                : json(nullptr)},
            {"verdict", to_string(answer.verdict)},
            {"reason", dropped ? json(dataplane::drop_reason_label(answer.reason)) : json(nullptr)},
            {"text", dropped ? json(dataplane::drop_reason_text(answer.reason)) : json(nullptr)},
            {"told", told.empty() ? json(nullptr) : json(told)}};
}

struct Usage {
    std::uint64_t flows = 0;
    std::uint64_t bytes = 0;
};

json top_json(const control::View& view, const std::map<std::pair<std::uint16_t, Ipv4Address>, Usage>& usage,
              std::size_t limit) {
    std::vector<std::pair<std::pair<std::uint16_t, Ipv4Address>, Usage>> ranked(usage.begin(), usage.end());
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& left, const auto& right) {
        return std::tie(left.second.flows, left.second.bytes) >
               std::tie(right.second.flows, right.second.bytes);
    });
    if (ranked.size() > limit) ranked.resize(limit);
    json list = json::array();
    for (const auto& [host, used] : ranked) {
        list.push_back({{"inside", host.second.to_string()},
                        {"vpc", view.names.vpc(host.first)},
                        {"flows", used.flows},
                        {"bytes", used.bytes}});
    }
    return list;
}

Response drop_batch_json(const control::View& view, const control::DropBatch& batch) {
    json events = json::array();
    for (const control::NumberedDrop& drop : batch.events) {
        std::string_view text;
        for (std::uint32_t reason = 0; reason < DROP_REASONS_MAX; ++reason) {
            if (dataplane::drop_reason_label(reason) == drop.event.reason)
                text = dataplane::drop_reason_text(reason);
        }
        const std::string_view name = protocol_name(drop.event.protocol);
        events.push_back(
            {{"sequence", drop.sequence},
             {"time", format_moment(drop.time)},
             {"reason", drop.event.reason},
             {"text", text},
             {"device", view.names.device(drop.event.device)},
             {"protocol", name.empty() ? std::to_string(drop.event.protocol) : std::string(name)},
             {"source", drop.event.source.to_string()},
             {"destination", drop.event.destination.to_string()},
             {"length", drop.event.length}});
    }
    return json_response({{"events", std::move(events)}, {"next", batch.next}, {"missed", batch.missed}});
}

}  // namespace

Response healthz(const control::Snapshot&, const Call&) {
    return {200, "text/plain", "ok\n", {}};
}

Response readyz(const control::Snapshot& now, const Call&) {
    if (now.view->ready()) return {200, "text/plain", "ready\n", {}};
    return problem(503, now.view->why_not_ready());
}

Response version(const control::Snapshot&, const Call&) {
    return json_response({{"version", SALLYPORT_VERSION}});
}

Response status(const control::Snapshot& now, const Call&) {
    const control::View& view = *now.view;
    // Without pinned state there is nothing to count, and the rest is still worth telling.
    const dataplane::Counters counters = now.dataplane.counters().value_or(dataplane::Counters{});
    const dataplane::FlowTableStatus table =
        now.dataplane.flow_table_status().value_or(dataplane::FlowTableStatus{});
    const telemetry::FlowCensus census =
        telemetry::take_census(now.dataplane).value_or(telemetry::FlowCensus{});
    return json_response(
        {{"gateway", view.state->gateway.name},
         {"version", SALLYPORT_VERSION},
         {"ready", view.ready()},
         {"why_not_ready", view.ready() ? json(nullptr) : json(view.why_not_ready())},
         {"desired_revision", view.desired_revision},
         {"applied_revision", view.applied_revision},
         {"configuration", now.config_path},
         {"files", view.files},
         {"confirmation", view.confirmation ? confirmation_json(*view.confirmation) : json(nullptr)},
         {"error", view.error ? json(*view.error) : json(nullptr)},
         {"devices", devices_json(view, counters)},
         {"flows",
          {{"active", table.flows},
           {"mappings", table.mappings},
           {"entries", table.entries},
           {"capacity", table.capacity},
           {"bytes", table.bytes}}},
         {"nat_gateways", nat_gateways_json(view, counters, census)},
         {"elastic_ips", elastic_ips_json(view, census)},
         {"drops", drops_json(counters)},
         {"warnings", view.warnings}});
}

Response flows(const control::Snapshot& now, const Call& call) {
    const auto filter = FlowFilter::parse(call.request);
    if (!filter) return problem(400, filter.error());
    if (filter->inner) return inner_flows(now, *filter);
    const control::View& view = *now.view;
    std::uint64_t total = 0;
    json list = json::array();
    std::map<std::pair<std::uint16_t, Ipv4Address>, Usage> usage;
    const Result<void> visited = now.dataplane.visit_flows([&](const dataplane::FlowRecord& flow) {
        if (!filter->matches(flow)) return true;
        ++total;
        if (filter->top) {
            Usage& used = usage[{flow.zone, flow.inside.address}];
            ++used.flows;
            used.bytes += flow.bytes_out + flow.bytes_in;
        } else if (!filter->count && list.size() < filter->limit) {
            list.push_back(flow_json(view, flow));
        }
        return true;
    });
    if (!visited) return problem(500, visited.error().message);
    if (filter->count) return json_response({{"count", total}});
    if (filter->top) return json_response({{"top", top_json(view, usage, filter->limit)}, {"count", total}});
    return json_response({{"flows", std::move(list)}, {"total", total}});
}

Response drain(const control::Snapshot& now, const Call& call) {
    constexpr std::size_t holders = 10;
    const control::View& view = *now.view;
    const auto elastic_ip = model::find_object(*view.state, model::Kind::elastic_ips, call.parts[0]);
    if (!elastic_ip) return problem(404, fmt::format("there is no Elastic IP \"{}\"", call.parts[0]));
    const control::DrainStatus* const status = view.drain(call.parts[0]);
    if (status == nullptr)
        return problem(404, fmt::format("Elastic IP \"{}\" is not being drained", call.parts[0]));
    const Ipv4Address address = std::get<model::ElasticIp>(*elastic_ip).address;
    std::uint64_t left = 0;
    std::map<std::pair<std::uint16_t, Ipv4Address>, Usage> usage;
    const Result<void> visited = now.dataplane.visit_flows([&](const dataplane::FlowRecord& flow) {
        if (flow.external.address != address) return true;
        ++left;
        Usage& used = usage[{flow.zone, flow.inside.address}];
        ++used.flows;
        used.bytes += flow.bytes_out + flow.bytes_in;
        return true;
    });
    if (!visited) return problem(500, visited.error().message);
    json body = drain_json(*status);
    body["address"] = address.to_string();
    body["remaining_flows"] = left;
    body["top"] = top_json(view, usage, holders);
    return json_response(body);
}

Response who(const control::Snapshot& now, const Call& call) {
    const auto filter = WhoFilter::parse(call.request, now.clock.wall());
    if (!filter) return problem(400, filter.error());
    const control::View& view = *now.view;
    json flows = json::array();
    if (filter->now) {
        const Result<void> visited = now.dataplane.visit_flows([&](const dataplane::FlowRecord& flow) {
            if (filter->matches(flow)) flows.push_back(flow_json(view, flow));
            return flows.size() < most_flows_of_an_endpoint;
        });
        if (!visited) return problem(500, visited.error().message);
    }
    const auto records = now.store.port_blocks(filter->external.address, filter->external.port,
                                               filter->at.first, filter->at.last);
    if (!records) return problem(500, records.error().message);
    json blocks = json::array();
    for (const store::PortBlockRecord& record : *records) {
        blocks.push_back({{"instance", record.instance.to_string()},
                          {"vpc", record.vpc},
                          {"nat_gateway", record.nat_gateway},
                          {"elastic_ip", record.elastic_ip.to_string()},
                          {"first_port", record.ports.first},
                          {"last_port", record.ports.last},
                          {"from", format_moment(record.from)},
                          {"until", record.until ? json(format_moment(*record.until)) : json(nullptr)}});
    }
    return json_response({{"flows", std::move(flows)}, {"port_blocks", std::move(blocks)}});
}

Response explain(const control::Snapshot& now, const Call& call) {
    const auto question = parse_explain_question(call.request);
    if (!question) return problem(400, question.error());
    const control::View& view = *now.view;
    const auto tables = now.dataplane.read_tables();
    if (!tables) return problem(500, tables.error().message);
    const auto generation = now.dataplane.generation();
    if (!generation) return problem(500, generation.error().message);
    const control::LiveState live{*tables, *generation,
                                  [&now](const auto& visit) { return now.dataplane.visit_flows(visit); },
                                  [&now](const auto& key) { return now.dataplane.inner_flow(key); },
                                  [&now](const auto& asked) { return now.dataplane.next_hop(asked); }};
    const auto answer = control::explain(*question, live, view.names);
    if (!answer) return problem(answer.error().code == EINVAL ? 400 : 500, answer.error().message);
    return json_response(explanation_json(view, *question, *answer));
}

Response plan(const control::Snapshot& now, const Call& call) {
    const auto document = read_document(call.request);
    if (!document) return document.error();
    const auto planned = control::plan_for(now, document->sources, document->prune);
    if (!planned) return refusal_response(planned.error());
    return json_response({{"changes", changes_json(planned->changes)},
                          {"flows_cut", planned->flows_cut ? json(*planned->flows_cut) : json(nullptr)},
                          {"warnings", planned->warnings}});
}

Response history(const control::Snapshot& now, const Call& call) {
    const auto page = Page::parse(call.request);
    if (!page) return page.error();
    std::uint64_t before = INT64_MAX;
    if (page->after) {
        const auto number = parse_number(*page->after, INT64_MAX);
        if (!number) return wrong_parameter(call.request, "after", "what a page of this list called next");
        before = *number;
    }
    const std::size_t limit = page->limit.value_or(store::revisions_kept);
    auto summaries = now.store.history_before(before, limit + 1);
    if (!summaries) return problem(500, summaries.error().message);
    const bool is_last = summaries->size() <= limit;
    if (!is_last) summaries->resize(limit);
    json list = json::array();
    for (const store::RevisionSummary& summary : *summaries) {
        list.push_back({{"revision", summary.number},
                        {"time", format_moment(summary.time)},
                        {"source", to_string(summary.source)},
                        {"changes", summary.changes},
                        {"actor", summary.audit}});
    }
    if (page->is_whole()) return json_response({{"revisions", std::move(list)}});
    return page_response(call.request, {{"revisions", std::move(list)}},
                         is_last ? std::nullopt : std::optional(std::to_string(summaries->back().number)));
}

std::optional<Response> too_old(const control::Snapshot& now, const Call& call) {
    const std::string* text = call.request.parameter("min_revision");
    if (text == nullptr) return std::nullopt;
    const auto wanted = parse_number(*text, UINT64_MAX);
    if (!wanted) return problem_of_parameter("min_revision", *text, "the number of a revision");
    const std::uint64_t newest = now.view->desired_revision;
    if (*wanted <= newest) return std::nullopt;
    return problem(412, fmt::format("revision {} was asked for, and {} is the newest", *wanted, newest));
}

Response objects(const control::Snapshot& now, const Call& call) {
    const auto kind = model::parse_kind(call.parts[0]);
    if (!kind) return problem(404, fmt::format("there is no kind of object \"{}\"", call.parts[0]));
    const auto page = Page::parse(call.request);
    if (!page) return page.error();
    const control::View& view = *now.view;
    if (page->is_whole()) return json_response({{call.parts[0], model::to_json(*view.state, *kind)}});
    json list = json::array();
    std::optional<std::string> last;
    model::visit_kinds([&](model::Kind candidate, auto objects) {
        if (candidate != *kind) return;
        const auto& all = (*view.state).*objects;
        std::vector<decltype(all.data())> rest;
        for (const auto& object : all) {
            if (!page->after || object.name > *page->after) rest.push_back(&object);
        }
        std::ranges::sort(rest, {}, [](const auto* object) -> const std::string& { return object->name; });
        if (page->limit && rest.size() > *page->limit) {
            rest.resize(*page->limit);
            last = rest.back()->name;
        }
        for (const auto* object : rest) list.push_back(model::to_json(*object));
    });
    return page_response(call.request, {{call.parts[0], std::move(list)}}, last);
}

std::optional<Response> wrong_with_objects(const Call& call) {
    if (!model::parse_kind(call.parts[0]))
        return problem(404, fmt::format("there is no kind of object \"{}\"", call.parts[0]));
    if (const auto page = Page::parse(call.request); !page) return page.error();
    return std::nullopt;
}

Response answer(const control::Snapshot& now, const Call& call, const Handler& handler) {
    Response response = handler(now, call);
    response.headers.emplace_back(revision_header, std::to_string(now.view->desired_revision));
    return response;
}

void when_changed(const control::GatewayReader& reader, RevisionWatch& watch, const Call& call,
                  const Respond& respond, const Handler& handler) {
    const std::string* text = call.request.parameter("after_revision");
    const auto after = text == nullptr ? std::nullopt : parse_number(*text, INT64_MAX);
    if (text != nullptr && !after)
        return respond(problem_of_parameter("after_revision", *text, "the number of a revision"));
    const std::string* patience = call.request.parameter("wait");
    const auto wait =
        patience == nullptr ? std::optional<std::uint64_t>(0) : parse_number(*patience, longest_wait_seconds);
    if (!wait) {
        return respond(problem_of_parameter("wait", *patience,
                                            fmt::format("seconds, at most {}", longest_wait_seconds)));
    }
    if (patience != nullptr && text == nullptr)
        return respond(problem(400, "there is nothing to wait for: `wait` goes with `after_revision`"));
    if (!after) return respond(answer(reader.now(), call, handler));

    const auto kind = call.parts.empty() ? std::nullopt : model::parse_kind(call.parts[0]);
    const auto has_changed = [kind, since = after.value_or(0)](const control::View& view) {
        return view.has_changed(since, kind);
    };
    const Handler if_changed = [has_changed, handler](const control::Snapshot& now, const Call& asked) {
        constexpr unsigned not_modified = 304;
        return has_changed(*now.view) ? handler(now, asked) : Response{not_modified, "", "", {}};
    };
    const control::Snapshot now = reader.now();
    if (*wait == 0 || has_changed(*now.view)) return respond(answer(now, call, if_changed));
    const auto is_due = [&reader, has_changed] { return has_changed(*reader.view()); };
    // The request is gone by the time of the answer.
    const auto finish = [&reader, request = call.request, parts = call.parts, respond, if_changed] {
        respond(answer(reader.now(), Call{request, parts}, if_changed));
    };
    if (watch.wait(std::chrono::seconds{*wait}, is_due, finish)) return;
    Response response =
        problem(503, "too many requests wait for a change already; ask again without `wait`, or later");
    response.headers.emplace_back("Retry-After", std::to_string(longest_wait_seconds));
    respond(std::move(response));
}

Response object(const control::Snapshot& now, const Call& call) {
    const auto kind = model::parse_kind(call.parts[0]);
    if (!kind) return problem(404, fmt::format("there is no kind of object \"{}\"", call.parts[0]));
    const auto found = model::to_json(*now.view->state, *kind, call.parts[1]);
    if (!found) {
        return problem(404, fmt::format("there is no {} \"{}\"", model::word_for(*kind), call.parts[1]));
    }
    const std::string text = json_text(*found);
    if (auto failed = failed_precondition(call.request, entity_tag(text))) return *failed;
    return object_response(text);
}

void drops(const control::Gateway& gateway, control::DropFeed& feed, EventLoop& loop, const Call& call,
           const Respond& respond) {
    std::uint64_t after = feed.newest();  // not given: only what comes from now on
    if (const std::string* text = call.request.parameter("after")) {
        const auto number = parse_number(*text, UINT64_MAX);
        if (!number) return respond(problem(400, fmt::format("after=\"{}\" is no sequence number", *text)));
        after = *number;
    }
    std::uint64_t wait = 0;
    if (const std::string* text = call.request.parameter("wait")) {
        const auto number = parse_number(*text, longest_wait_seconds);
        if (!number) {
            return respond(problem(400, fmt::format("wait=\"{}\" is no number of seconds of at most {}",
                                                    *text, longest_wait_seconds)));
        }
        wait = *number;
    }
    if (const Result<void> watched = feed.watch(); !watched)
        return respond(problem(500, watched.error().message));
    const control::DropBatch batch = feed.after(after);
    if (!batch.events.empty() || wait == 0) return respond(drop_batch_json(*gateway.view(), batch));

    // Whichever comes first, an event or the end of the wait, ends the other.
    struct Waiting {
        EventLoop::Watch timer;
        control::DropFeed::Waiter waiter = 0;
    };
    const auto waiting = std::make_shared<Waiting>();
    const std::uint64_t from = batch.next;
    const auto finish = [&gateway, &feed, waiting, from, respond] {
        const EventLoop::Watch timer = std::move(waiting->timer);
        respond(drop_batch_json(*gateway.view(), feed.after(from)));
    };
    waiting->waiter = feed.wait(finish);  // the feed keeps `waiting` alive, and the timer does not
    waiting->timer = loop.after(std::chrono::seconds{wait}, [weak = std::weak_ptr(waiting), &feed] {
        if (const auto held = weak.lock()) feed.end_waiting(held->waiter);
    });
}

}  // namespace sallyport::api::queries

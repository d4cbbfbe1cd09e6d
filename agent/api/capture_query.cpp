// SPDX-License-Identifier: Apache-2.0
#include "api/capture_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "api/document.h"
#include "api/flow_filter.h"
#include "api/problem.h"
#include "core/base64.h"
#include "core/moment.h"

namespace sallyport::api::captures {
namespace {

using nlohmann::json;

constexpr std::uint64_t longest_wait_seconds = 5;
constexpr std::uint64_t shortest_snap_length = 14;  // an Ethernet header
// How often packets are looked for while a client waits for them.
constexpr std::chrono::milliseconds look_interval{50};

std::optional<Response> refuse_network(const Call& call) {
    if (call.request.peer) return std::nullopt;
    return problem(403,
                   "packets are not captured over the network; use the socket of the agent on the gateway");
}

Response problem_of(const Error& error) {
    switch (error.code) {
        case EBUSY:
        case ENODEV:
        case ESTALE:
            return problem(409, error.message);
        case ENOENT:
            return problem(404, error.message);
        default:
            return problem(500, error.message);
    }
}

std::optional<dataplane::CapturePoint> parse_point(std::string_view text) {
    for (const auto point : dataplane::all_capture_points) {
        if (text == to_string(point)) return point;
    }
    return std::nullopt;
}

tl::expected<std::vector<dataplane::CapturePoint>, std::string> parse_points(const std::string& text) {
    std::vector<dataplane::CapturePoint> points;
    for (std::size_t start = 0; start <= text.size();) {
        const std::size_t end = std::min(text.find(',', start), text.size());
        const auto point = parse_point(std::string_view(text).substr(start, end - start));
        if (!point || std::ranges::find(points, *point) != points.end())
            return tl::unexpected(
                fmt::format("points=\"{}\" is no list out of received,sent,dropped,passed", text));
        points.push_back(*point);
        start = end + 1;
    }
    return points;
}

// Which device of the configuration, by name.
tl::expected<std::uint8_t, std::string> slot_of(const control::View& view, const std::string& name) {
    const auto found = view.names.device_slots.find(name);
    if (found != view.names.device_slots.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [device, slot] : view.names.device_slots) known.push_back(device);
    return tl::unexpected(fmt::format("device=\"{}\" is no device of the gateway; there are: {}", name,
                                      fmt::join(known, ", ")));
}

tl::expected<dataplane::CaptureRequest, std::string> read_request(const control::View& view,
                                                                  const Request& request) {
    dataplane::CaptureRequest wanted;
    if (const std::string* text = request.parameter("device")) {
        const auto slot = slot_of(view, *text);
        if (!slot) return tl::unexpected(slot.error());
        wanted.device = *slot;
    }
    if (const std::string* text = request.parameter("host")) {
        const auto host = Ipv4Address::parse(*text);
        if (!host) return tl::unexpected(fmt::format("host=\"{}\" is no IPv4 address", *text));
        wanted.host = *host;
    }
    if (const std::string* text = request.parameter("protocol")) {
        const auto protocol = parse_protocol(*text);
        if (!protocol) return tl::unexpected(fmt::format("protocol=\"{}\" is none of tcp, udp, icmp", *text));
        wanted.protocol = *protocol;
    }
    if (const std::string* text = request.parameter("port")) {
        const auto port = parse_number(*text, UINT16_MAX);
        if (!port || *port == 0) return tl::unexpected(fmt::format("port=\"{}\" is no port", *text));
        if (wanted.protocol == Protocol::icmp) return tl::unexpected<std::string>("ICMP has no ports");
        wanted.port = static_cast<std::uint16_t>(*port);
    }
    if (const std::string* text = request.parameter("points")) {
        auto points = parse_points(*text);
        if (!points) return tl::unexpected(points.error());
        wanted.points = *std::move(points);
    }
    if (const std::string* text = request.parameter("snap_length")) {
        const auto length = parse_number(*text, dataplane::capture_snap_length_max);
        if (!length || *length < shortest_snap_length)
            return tl::unexpected(fmt::format("snap_length=\"{}\" is no number of bytes from {} to {}", *text,
                                              shortest_snap_length, dataplane::capture_snap_length_max));
        wanted.snap_length = static_cast<std::uint16_t>(*length);
    }
    return wanted;
}

Response batch_json(const control::View& view, const control::CaptureBatch& batch) {
    json packets = json::array();
    for (const auto& [time, packet] : batch.packets) {
        packets.push_back(
            {{"time", format_moment(std::chrono::time_point_cast<std::chrono::system_clock::duration>(time))},
             {"time_ns", time.time_since_epoch().count()},
             {"device", view.names.device(packet.device)},
             {"point", to_string(packet.point)},
             {"length", packet.length},
             {"captured_length", packet.bytes.size()},
             {"bytes", encode_base64(packet.bytes)}});
    }
    return json_response({{"packets", std::move(packets)}, {"lost", batch.lost}});
}

tl::expected<std::uint64_t, std::string> number_of(const Call& call) {
    const std::string* text = call.request.parameter("capture");
    if (text == nullptr) return tl::unexpected<std::string>("the parameter \"capture\" is missing");
    const auto number = parse_number(*text, UINT64_MAX);
    if (!number) return tl::unexpected(fmt::format("capture=\"{}\" is no number of a capture", *text));
    return *number;
}

// A client that waits: asks anew until there is something, or its time is over.
struct Waiting {
    const control::Gateway& gateway;
    control::Captures& captures;
    EventLoop& loop;
    std::uint64_t number = 0;
    std::chrono::milliseconds left{0};
    Respond respond;
    EventLoop::Watch timer = {};

    static void look(const std::shared_ptr<Waiting>& waiting) {
        const auto batch = waiting->captures.take(waiting->number);
        if (!batch) return waiting->finish(problem_of(batch.error()));
        if (!batch->packets.empty() || waiting->left <= std::chrono::milliseconds{0})
            return waiting->finish(batch_json(*waiting->gateway.view(), *batch));
        waiting->left -= look_interval;
        waiting->timer = waiting->loop.after(look_interval, [weak = std::weak_ptr(waiting)] {
            const auto held = weak.lock();
            if (!held) return;
            const EventLoop::Watch done = std::move(held->timer);
            look(held);
        });
    }
    void finish(Response response) {
        captures.let_go(this);
        respond(std::move(response));
    }
};

}  // namespace

Response begin(const control::Gateway& gateway, control::Captures& captures, const Call& call) {
    if (auto refusal = refuse_network(call)) return *std::move(refusal);
    const auto wanted = read_request(*gateway.view(), call.request);
    if (!wanted) return problem(400, wanted.error());
    const auto number = captures.begin(*wanted);
    if (!number) return problem_of(number.error());
    return json_response({{"capture", *number}, {"snap_length", wanted->snap_length}});
}

void packets(const control::Gateway& gateway, control::Captures& captures, EventLoop& loop, const Call& call,
             const Respond& respond) {
    if (auto refusal = refuse_network(call)) return respond(*std::move(refusal));
    const auto number = number_of(call);
    if (!number) return respond(problem(400, number.error()));
    std::uint64_t wait = 0;
    if (const std::string* text = call.request.parameter("wait")) {
        const auto seconds = parse_number(*text, longest_wait_seconds);
        if (!seconds)
            return respond(problem(400, fmt::format("wait=\"{}\" is no number of seconds of at most {}",
                                                    *text, longest_wait_seconds)));
        wait = *seconds;
    }
    const auto waiting = std::make_shared<Waiting>(
        Waiting{gateway, captures, loop, *number, std::chrono::seconds{wait}, respond});
    captures.hold(waiting);
    Waiting::look(waiting);
}

Response end(const control::Gateway& gateway, control::Captures& captures, const Call& call) {
    if (auto refusal = refuse_network(call)) return *std::move(refusal);
    const auto number = number_of(call);
    if (!number) return problem(400, number.error());
    const auto batch = captures.end(*number);
    if (!batch) return problem_of(batch.error());
    return batch_json(*gateway.view(), *batch);
}

}  // namespace sallyport::api::captures

// SPDX-License-Identifier: Apache-2.0
//
// What the data plane would do to a packet, and why: the stages of bpf/lib/ once more, on the tables as they
// are in the kernel, without a packet and without changing anything. Where the programs change what they
// decide, this changes with them: tests/netns/test_explain.py sends what it has asked about and compares.
//
// Left out is what a tuple does not tell: TTL, length, options, fragments, and ICMP other than echo.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/flows_cut.h"
#include "control/view.h"
#include "core/address.h"
#include "core/result.h"
#include "dataplane/dataplane.h"
#include "dataplane/tables.h"

namespace sallyport::control {

enum class Segment { syn, syn_ack, ack, rst, fin };
std::optional<Segment> parse_segment(std::string_view text);  // "syn", "syn-ack", "ack", "rst", "fin"
std::string_view to_string(Segment segment);

struct Question {
    Protocol protocol = Protocol::tcp;
    // Of an echo request the identifier is the source's port and the destination's is 0; of a reply, the
    // other way round.
    Endpoint source;
    Endpoint destination;
    Segment segment = Segment::syn;  // of TCP
    std::string vpc = {};            // that the packet comes from; empty: whose subnet the source is in
};

enum class Stage {
    device,
    flow,
    subnet,
    route,
    nat_gateway,
    internet_gateway,
    security_group,
    elastic_ip,
    port,
    hairpin,
    next_hop,
};
std::string_view to_string(Stage stage);

// What one stage found.
struct Step {
    Stage stage = Stage::device;
    std::string name;  // of the object that it found, or empty
    std::string text;
};

enum class Verdict { forward, drop, pass };  // pass: the host's own network stack has it
std::string_view to_string(Verdict verdict);

// What the sender of a dropped packet is told.
enum class Told {
    nothing,
    net_unreachable,
    host_unreachable,
    prohibited,
    reset,
};
std::string_view to_string(Told told);  // "icmp 3/1"; empty: nothing

// An endpoint whose port may not be known before a packet comes.
struct LeavingEndpoint {
    Ipv4Address address;
    std::optional<std::uint16_t> port;
    [[nodiscard]] std::string to_string() const;
    bool operator==(const LeavingEndpoint&) const = default;
};

struct Translation {
    LeavingEndpoint source;
    LeavingEndpoint destination;
    bool operator==(const Translation&) const = default;
};

struct Explanation {
    bool from_inside = false;
    std::string vpc;  // of a packet from inside
    std::vector<Step> steps;
    std::optional<dataplane::FlowRecord> flow;  // that the packet belongs to
    std::optional<Translation> translation;     // how it leaves, if it is forwarded
    Verdict verdict = Verdict::drop;
    std::uint32_t reason = 0;  // enum drop_reason, if it is dropped
    Told told = Told::nothing;
};

// As Dataplane::inner_flow() does.
using FindInnerFlow =
    std::function<Result<std::optional<dataplane::InnerFlow>>(const dataplane::InnerFlowKey&)>;

// As Dataplane::next_hop() does.
using AskNextHop = std::function<Result<dataplane::NextHopAnswer>(const dataplane::NextHopQuestion&)>;

// All of it as it is in the kernel.
struct LiveState {
    const dataplane::ForwardingTables& tables;
    std::uint16_t generation = 0;
    VisitFlows visit_flows;
    FindInnerFlow find_inner_flow;
    AskNextHop ask_next_hop;
};

// The code of an error that is due to the question is EINVAL.
Result<Explanation> explain(const Question& question, const LiveState& live, const Names& names);

}  // namespace sallyport::control

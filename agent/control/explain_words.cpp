// SPDX-License-Identifier: Apache-2.0
//
// The words of explanations, for text and JSON alike.
#include <algorithm>
#include <array>
#include <utility>

#include "control/explain.h"

namespace sallyport::control {

namespace {

template <typename E, std::size_t count>
using Words = std::array<std::pair<E, std::string_view>, count>;

constexpr Words<Segment, 5> segments{{{Segment::syn, "syn"},
                                      {Segment::syn_ack, "syn-ack"},
                                      {Segment::ack, "ack"},
                                      {Segment::rst, "rst"},
                                      {Segment::fin, "fin"}}};
constexpr Words<Stage, 11> stages{{{Stage::device, "device"},
                                   {Stage::flow, "flow"},
                                   {Stage::subnet, "subnet"},
                                   {Stage::route, "route"},
                                   {Stage::nat_gateway, "nat_gateway"},
                                   {Stage::internet_gateway, "internet_gateway"},
                                   {Stage::security_group, "security_group"},
                                   {Stage::elastic_ip, "elastic_ip"},
                                   {Stage::port, "port"},
                                   {Stage::hairpin, "hairpin"},
                                   {Stage::next_hop, "next_hop"}}};
constexpr Words<Verdict, 3> verdicts{
    {{Verdict::forward, "forward"}, {Verdict::drop, "drop"}, {Verdict::pass, "pass"}}};
constexpr Words<Told, 5> tellings{{{Told::nothing, ""},
                                   {Told::net_unreachable, "icmp 3/0"},
                                   {Told::host_unreachable, "icmp 3/1"},
                                   {Told::prohibited, "icmp 3/13"},
                                   {Told::reset, "tcp reset"}}};

template <typename E, std::size_t count>
std::string_view word_of(const Words<E, count>& words, E value) {
    const auto found = std::ranges::find(words, value, &std::pair<E, std::string_view>::first);
    return found == words.end() ? std::string_view() : found->second;
}

}  // namespace

std::optional<Segment> parse_segment(std::string_view text) {
    const auto found = std::ranges::find(segments, text, &std::pair<Segment, std::string_view>::second);
    if (found == segments.end()) return std::nullopt;
    return found->first;
}

std::string_view to_string(Segment segment) {
    return word_of(segments, segment);
}
std::string_view to_string(Stage stage) {
    return word_of(stages, stage);
}
std::string_view to_string(Verdict verdict) {
    return word_of(verdicts, verdict);
}
std::string_view to_string(Told told) {
    return word_of(tellings, told);
}

}  // namespace sallyport::control

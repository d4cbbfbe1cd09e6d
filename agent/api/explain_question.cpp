// SPDX-License-Identifier: Apache-2.0
#include "api/explain_question.h"

#include <fmt/format.h>

#include <optional>

namespace sallyport::api {

namespace {

// "10.0.1.12:40000"; for ICMP, whose only number is the identifier of the sender or of whoever answers, an
// address alone as well.
std::optional<Endpoint> parse_end(const std::string& text, bool may_lack_port) {
    if (const auto endpoint = Endpoint::parse(text)) return *endpoint;
    const auto address = Ipv4Address::parse(text);
    if (!address || !may_lack_port) return std::nullopt;
    return Endpoint{*address, 0};
}

}  // namespace

tl::expected<control::Question, std::string> parse_explain_question(const Request& request) {
    const std::string* protocol = request.parameter("protocol");
    const std::string* source = request.parameter("source");
    const std::string* destination = request.parameter("destination");
    if (protocol == nullptr || source == nullptr || destination == nullptr)
        return tl::unexpected<std::string>("protocol, source and destination must be given");
    const auto unreadable = [&request](const char* name, std::string_view expected) {
        return tl::unexpected(
            fmt::format("{}=\"{}\" cannot be read; expected: {}", name, *request.parameter(name), expected));
    };
    control::Question question;
    const Result<Protocol> parsed = parse_protocol(*protocol);
    if (!parsed) return unreadable("protocol", "tcp, udp or icmp");
    question.protocol = *parsed;
    const bool is_icmp = question.protocol == Protocol::icmp;
    const std::string_view end = is_icmp ? "an address, or address:identifier" : "address:port";
    const auto parsed_source = parse_end(*source, is_icmp);
    if (!parsed_source) return unreadable("source", end);
    const auto parsed_destination = parse_end(*destination, is_icmp);
    if (!parsed_destination) return unreadable("destination", end);
    question.source = *parsed_source;
    question.destination = *parsed_destination;
    if (is_icmp && question.source.port != 0 && question.destination.port != 0)
        return tl::unexpected<std::string>(
            "an echo has one identifier: of a request it stands with the source, of a reply with the "
            "destination");
    if (const std::string* flags = request.parameter("flags")) {
        if (question.protocol != Protocol::tcp) return tl::unexpected<std::string>("only TCP has flags");
        const auto segment = control::parse_segment(*flags);
        if (!segment) return unreadable("flags", "syn, syn-ack, ack, rst or fin");
        question.segment = *segment;
    }
    if (const std::string* vpc = request.parameter("vpc")) {
        if (vpc->empty()) return unreadable("vpc", "the name of a VPC");
        question.vpc = *vpc;
    }
    return question;
}

}  // namespace sallyport::api

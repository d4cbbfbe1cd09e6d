// SPDX-License-Identifier: Apache-2.0
#include "api/who_filter.h"

#include <fmt/format.h>

#include "api/flow_filter.h"

namespace sallyport::api {

tl::expected<WhoFilter, std::string> WhoFilter::parse(const Request& request,
                                                      std::chrono::system_clock::time_point now) {
    const auto unreadable = [&request](const char* name, std::string_view expected) {
        return tl::unexpected(
            fmt::format("{}=\"{}\" cannot be read; expected: {}", name, *request.parameter(name), expected));
    };
    WhoFilter filter;
    filter.at = {now, now};
    const std::string* address = request.parameter("address");
    const std::string* port = request.parameter("port");
    if (address == nullptr || port == nullptr)
        return tl::unexpected<std::string>("address and port must be given");
    const Result<Ipv4Address> parsed_address = Ipv4Address::parse(*address);
    if (!parsed_address) return unreadable("address", "an address");
    const auto parsed_port = parse_number(*port, UINT16_MAX);
    if (!parsed_port) return unreadable("port", "a number of at most 65535");
    filter.external = {*parsed_address, static_cast<std::uint16_t>(*parsed_port)};
    if (const std::string* protocol = request.parameter("protocol")) {
        const Result<Protocol> parsed = parse_protocol(*protocol);
        if (!parsed) return unreadable("protocol", "tcp, udp or icmp");
        filter.protocol = *parsed;
    }
    if (const std::string* at = request.parameter("at")) {
        const Result<Moment> parsed = parse_moment(*at);
        if (!parsed) return tl::unexpected("at=" + parsed.error().message);
        filter.at = *parsed;
        filter.now = parsed->last >= now;
    }
    return filter;
}

}  // namespace sallyport::api

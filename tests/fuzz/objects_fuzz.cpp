// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an object of the API: never a crash, and what comes out keeps what it promises. The first byte
// says of which kind it is and whether it is a whole object or a merge patch.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "config/object.h"
#include "model/delta.h"
#include "model/validate.h"

namespace {

using namespace sallyport;

constexpr const char* file =
    "api_version: sallyport/v1\n"
    "gateway:\n"
    "  name: gw1\n"
    "  devices: [ { device: lan0, role: inside, vpc: main }, { device: wan0, role: outside } ]\n"
    "vpcs: [ { name: main, cidrs: [10.0.0.0/16] } ]\n"
    "security_groups: [ { name: web, vpc: main } ]\n"
    "elastic_ips: [ { name: eip-1, address: 198.51.100.10 }, { name: eip-2, address: 198.51.100.11 } ]\n"
    "nat_gateways: [ { name: egress, vpc: main, elastic_ips: [eip-1] } ]\n"
    "internet_gateways: [ { name: igw, vpc: main } ]\n"
    "route_tables: [ { name: t, vpc: main, routes: [ { destination: 0.0.0.0/0, nat_gateway: egress } ] } ]\n"
    "subnets: [ { name: app, vpc: main, cidr: 10.0.1.0/24, route_table: t } ]\n"
    "instances: [ { name: db, subnet: app, address: 10.0.1.50 } ]\n"
    "port_forwards: [ { name: p, elastic_ip: eip-1, protocol: tcp, port: 80, to: '10.0.1.50:80' } ]\n";

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
}

void check_fault(const config::Fault& fault) {
    require(!fault.message.empty(), "a fault has a message");
    require(fault.line == 0 && fault.file.empty(), "a fault is in no file");
    const std::string text = fault.to_string();
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    require(std::ranges::none_of(text, is_control), "a message holds no control characters");
    if (fault.message.starts_with("and ")) return;  // how many more there are
    require(fault.pointer.has_value(), "a fault has a pointer");
    require(fault.pointer->empty() || fault.pointer->front() == '/', "a pointer begins with a slash");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const model::DesiredState state = config::load_text(file, "f")->state;
    if (size == 0) return 0;
    const model::Kind kind = model::all_kinds.at((data[0] >> 1) % model::all_kinds.size());
    const std::string text(data + 1, data + size);
    const bool whole = data[0] % 2 == 0;
    model::Object one;
    model::visit_kinds([&](model::Kind visited, auto objects) {
        if (visited == kind) one = (state.*objects).front();
    });
    const config::Draft draft = whole ? config::read_object(kind, text) : config::patch_object(one, text);
    const auto next = config::with_object(state, draft);
    if (!next) {
        require(!next.error().empty(), "what is refused has a fault");
        for (const config::Fault& fault : next.error()) check_fault(fault);
        return 0;
    }
    require(model::validate(*next).empty(), "what is accepted is sound");
    require(model::delta(state, *next).size() <= 1, "no other object is changed");
    for (const model::Object& object : model::objects_of(*next, model::Origin::api)) {
        const auto read = config::read_object_text(model::kind_of(object), config::object_text(object));
        require(read && *read == object, "what is kept can be read");
    }
    return 0;
}

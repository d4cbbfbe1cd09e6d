// SPDX-License-Identifier: Apache-2.0
#include "conformance/fixture.h"

#include <cstdlib>
#include <map>

namespace sallyport::support {
namespace {

// How the suite runs: ctest runs it several times (CMakeLists.txt).
std::string setting(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

Lane lane() {
    static const Lane chosen = setting("SALLYPORT_LANE") == "stages" ? Lane::stages : Lane::express;
    return chosen;
}

enum class Shape { plain, vlan, options, all_options };

Shape shape() {
    static const std::string name = setting("SALLYPORT_SHAPE");
    return name == "vlan"          ? Shape::vlan
           : name == "options"     ? Shape::options
           : name == "all_options" ? Shape::all_options
                                   : Shape::plain;
}

constexpr std::uint16_t tag = 100;
constexpr std::uint8_t no_operation = 1;

using RowsOfTests = std::map<std::pair<std::string, std::string>, std::string>;
RowsOfTests& rows_of_tests() {
    static RowsOfTests rows;
    return rows;
}

}  // namespace

ProvedRows::ProvedRows(const char* suite, const char* test, std::initializer_list<const char*> rows) {
    std::string& joined = rows_of_tests()[{suite, test}];
    for (const char* row : rows) joined += (joined.empty() ? "" : "|") + std::string(row);
}

std::string ProvedRows::of(const std::string& suite, const std::string& test) {
    return rows_of_tests()[{suite, test}];
}

External Mapping::external() const {
    return {seen.source, seen.protocol == 1 ? seen.icmp_id : seen.source_port};
}

void ConformanceTest::SetUp() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string rows = ProvedRows::of(test->test_suite_name(), test->name());
    ASSERT_NE(rows, "") << "say with ROW which rows it proves";
    RecordProperty("rows", rows);
    if (!shared_) {
        LabOptions options;
        options.stages_too = lane() == Lane::stages;
        shared_ = std::make_unique<ProgramLab>(options);
        shared_->add_elastic_ip(E2);
        fresh_ = shared_->save();
    }
    shared_->refill_reply_budget();
    oracle_ = std::make_unique<Oracle>(*shared_);
}

void ConformanceTest::TearDown() {
    if (!oracle_) return;
    Faults faults;
    oracle_->look_at_table(faults);
    for (const std::string& fault : faults) ADD_FAILURE() << fault;
    lab().reap_all(REAP_CUT);
    EXPECT_TRUE(lab().entries().empty()) << "a flow left something behind";
    if (!own_lab_) shared_->restore(fresh_);
}

void ConformanceTest::use_lab(LabOptions options) {
    options.stages_too = lane() == Lane::stages;
    options.make_network = false;  // that of the shared one
    own_lab_ = std::make_unique<ProgramLab>(options);
    own_lab_->add_elastic_ip(E2);
    own_lab_->refill_reply_budget();
    oracle_ = std::make_unique<Oracle>(*own_lab_);
}

void ConformanceTest::use_pool(std::initializer_list<const char*> addresses) {
    struct nat_gateway gateway = lab().nat_gateway(0);
    for (std::uint32_t i = gateway.elastic_ip_count; i > 0; i--)
        lab().remove_elastic_ip(Ipv4Address::from_network(gateway.elastic_ips[i - 1]).to_string().c_str());
    for (const char* address : addresses) lab().add_elastic_ip(address);
}

void ConformanceTest::change_gateway(const std::function<void(struct nat_gateway&)>& change) {
    struct nat_gateway gateway = lab().nat_gateway(0);
    change(gateway);
    lab().change_nat_gateway(0, gateway);
}

Outcome ConformanceTest::run(Role role, const Bytes& frame) {
    Faults faults;
    Outcome outcome = oracle_->run(role, frame, lane(), faults);
    for (const std::string& fault : faults)
        ADD_FAILURE() << fault << "\n  in:  " << Packet::parse(frame).value_or(Packet{}).to_string()
                      << "\n  out: " << outcome.packet.value_or(Packet{}).to_string() << " action "
                      << outcome.action << " " << outcome.drop_reason;
    return outcome;
}

Outcome ConformanceTest::run(Role role, const Packet& packet) {
    Packet shaped = packet;
    bool tagged = !shape_kept_ && shape() == Shape::vlan && packet.vlans.empty();
    std::size_t options = shape_kept_ || !packet.options.empty() ? 0
                          : shape() == Shape::options            ? 4
                          : shape() == Shape::all_options        ? 40
                                                                 : 0;
    if (tagged) shaped.vlans = {tag};
    if (options) shaped.options.assign(options, no_operation);
    Outcome outcome = run(role, shaped.frame());
    if (!outcome.packet) return outcome;
    if (tagged) {
        EXPECT_EQ(outcome.packet->vlans, shaped.vlans);
        outcome.packet->vlans.clear();
    }
    if (outcome.packet->options == shaped.options && options) outcome.packet->options.clear();
    return outcome;
}

Mapping ConformanceTest::map(const Packet& packet) {
    Outcome outcome = from_inside(packet);
    EXPECT_EQ(outcome.action, XDP_REDIRECT) << packet.to_string() << " " << outcome.drop_reason;
    EXPECT_EQ(outcome.drop_reason, "");
    return {packet, outcome.packet.value_or(Packet{})};
}

namespace {

// Forwarded, and not as an answer that goes back.
std::optional<Packet> forwarded(Outcome outcome) {
    if (outcome.action != XDP_REDIRECT || !outcome.drop_reason.empty()) return std::nullopt;
    return outcome.packet;
}

}  // namespace

std::optional<Packet> ConformanceTest::in(const Packet& packet) {
    return forwarded(from_outside(packet));
}

std::optional<Packet> ConformanceTest::out(const Packet& packet) {
    return forwarded(from_inside(packet));
}

Mapping ConformanceTest::est(const char* host, std::uint16_t port, const char* server,
                             std::uint16_t server_port) {
    Mapping flow = map(tcp().from(host, port).to(server, server_port).seq(h_sequence));
    EXPECT_TRUE(in(server_segment(flow, syn | ack, s_sequence, h_sequence + 1)));
    EXPECT_TRUE(out(segment(flow, ack, h_sequence + 1, s_sequence + 1)));
    EXPECT_TRUE(out(segment(flow, ack | psh, h_sequence + 1, s_sequence + 1, 10)));
    EXPECT_TRUE(in(server_segment(flow, ack | psh, s_sequence + 1, h_sequence + 11, 10)));
    EXPECT_TRUE(out(segment(flow, ack, h_sequence + 11, s_sequence + 11)));
    return flow;
}

Packet ConformanceTest::err(const char* from, std::uint8_t type, std::uint8_t code, const Packet& about,
                            std::size_t after_header) {
    Packet error = icmp_error(type, code, about.ip(), after_header);
    error.from(from);
    error.destination = about.source;
    return error;
}

bool ConformanceTest::alive(const Mapping& mapping) {
    Packet reply = answer_to(mapping.seen, ack);
    std::optional<Packet> arrived = in(reply);
    if (!arrived || arrived->destination != mapping.sent.source) return false;
    return mapping.sent.protocol == 1 ? arrived->icmp_id == mapping.sent.icmp_id
                                      : arrived->destination_port == mapping.sent.source_port;
}

Packet ConformanceTest::segment(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack,
                                std::size_t payload) {
    Packet packet = flow.sent;
    packet.tcp_options.clear();
    return packet.flags(flags).seq(seq, ack).with_payload(payload);
}

Packet ConformanceTest::server_segment(const Mapping& flow, int flags, std::uint32_t seq, std::uint32_t ack,
                                       std::size_t payload) {
    Packet packet = answer_to(flow.seen, flags);
    packet.tcp_options.clear();
    return packet.seq(seq, ack).with_payload(payload);
}

void ConformanceTest::figure(const std::string& name, const std::string& value) {
    RecordProperty("figure: " + name, value);
}

}  // namespace sallyport::support

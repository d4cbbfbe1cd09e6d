// SPDX-License-Identifier: Apache-2.0
#include "telemetry/metrics.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <regex>
#include <set>
#include <string>

#include "core/file.h"
#include "dataplane/memory_dataplane.h"
#include "telemetry/flow_census.h"
#include "telemetry/metric_definitions.h"

namespace sallyport::telemetry {
namespace {

dataplane::FlowRecord flow(Protocol protocol, std::uint16_t nat_gateway, std::uint16_t port,
                           std::uint16_t remote_port = 443) {
    dataplane::FlowRecord record;
    record.protocol = protocol;
    record.nat_gateway = nat_gateway;
    record.inside = {Ipv4Address(10, 0, 1, 5), 40000};
    record.external = {Ipv4Address(198, 51, 100, 10), port};
    record.remote = {Ipv4Address(203, 0, 113, 10), remote_port};
    record.state = "established";
    record.timeout_seconds = 300;
    return record;
}

class MetricsTest : public testing::Test {
  protected:
    MetricsTest()
        : kernel_(std::make_shared<dataplane::MemoryKernel>()),
          dataplane_(kernel_),
          metrics_(
              dataplane_, [this] { return subject_; }, "1.2.3") {
        EXPECT_TRUE(dataplane_.prepare(65536));
        kernel_->tables.nat_gateways[3] = {};
        kernel_->tables.devices[0].name = "lan0";
        kernel_->tables.devices[1].name = "wan0";
        subject_.nat_gateways = {{3, "egress"}};
        subject_.elastic_ips = {{"eip-1", Ipv4Address(198, 51, 100, 10), 64512, 64512},
                                {"eip-2", Ipv4Address(198, 51, 100, 11), 0}};
        subject_.devices = {{"lan0", 0}, {"wan0", 1}};
        subject_.desired_revision = 5;
        subject_.applied_revision = 4;
    }
    bool has(const std::string& line) const {
        const std::string text = "\n" + metrics_.scrape();
        return text.find("\n" + line + "\n") != std::string::npos;
    }

    std::shared_ptr<dataplane::MemoryKernel> kernel_;
    dataplane::MemoryDataplane dataplane_;
    Subject subject_;
    Metrics metrics_;
};

TEST_F(MetricsTest, LegsComeFromWhatWasForwardedAndDropped) {
    dataplane::NatGatewayCounters& counters = kernel_->counters.nat_gateways[3];
    counters.out_packets = 100;
    counters.out_dropped_packets = 7;
    counters.in_packets = 50;
    counters.in_dropped_packets = 3;
    counters.out_bytes = 1000;
    counters.out_dropped_bytes = 70;
    EXPECT_TRUE(has(R"(sallyport_nat_packets_total{nat_gateway="egress",leg="in_from_source"} 107)"));
    EXPECT_TRUE(has(R"(sallyport_nat_packets_total{nat_gateway="egress",leg="out_to_destination"} 100)"));
    EXPECT_TRUE(has(R"(sallyport_nat_packets_total{nat_gateway="egress",leg="in_from_destination"} 53)"));
    EXPECT_TRUE(has(R"(sallyport_nat_packets_total{nat_gateway="egress",leg="out_to_source"} 50)"));
    EXPECT_TRUE(has(R"(sallyport_nat_bytes_total{nat_gateway="egress",leg="in_from_source"} 1070)"));
    EXPECT_TRUE(has(R"(sallyport_nat_bytes_total{nat_gateway="egress",leg="out_to_source"} 0)"));
}

TEST_F(MetricsTest, EveryReasonIsThereFromTheBeginning) {
    const std::string text = metrics_.scrape();
    std::size_t reasons = 0;
    for (std::uint32_t reason = 0; reason < 64; ++reason) {
        const std::string label(dataplane::drop_reason_label(reason));
        if (label.empty()) continue;
        ++reasons;
        EXPECT_NE(text.find("sallyport_drops_total{reason=\"" + label + "\"} 0\n"), std::string::npos)
            << label;
    }
    EXPECT_GT(reasons, 20u);
}

TEST_F(MetricsTest, PortsAreCountedOnce) {
    kernel_->flows = {flow(Protocol::tcp, 3, 1024), flow(Protocol::tcp, 3, 1024, 80),
                      flow(Protocol::tcp, 3, 1025), flow(Protocol::udp, 3, 1024)};
    EXPECT_TRUE(has(R"(sallyport_nat_active_flows{nat_gateway="egress",protocol="tcp"} 3)"));
    EXPECT_TRUE(has(R"(sallyport_nat_active_flows{nat_gateway="egress",protocol="icmp"} 0)"));
    EXPECT_TRUE(has(R"(sallyport_eip_ports_in_use{elastic_ip="eip-1",protocol="tcp"} 2)"));
    EXPECT_TRUE(has(R"(sallyport_eip_ports_in_use{elastic_ip="eip-1",protocol="udp"} 1)"));
    EXPECT_TRUE(has(R"(sallyport_eip_ports_in_use{elastic_ip="eip-2",protocol="udp"} 0)"));
    const std::string text = metrics_.scrape();
    EXPECT_NE(text.find(R"(sallyport_eip_port_utilization_ratio{elastic_ip="eip-1",protocol="tcp"} 3.1)"),
              std::string::npos)
        << text;
    EXPECT_EQ(text.find(R"(sallyport_eip_port_utilization_ratio{elastic_ip="eip-2")"), std::string::npos)
        << "an Elastic IP without a NAT gateway gives no ports";
}

TEST_F(MetricsTest, PortsOfTheHostAreNoCapacity) {
    subject_.elastic_ips[0].ports = 4;
    subject_.elastic_ips[0].identifiers = 8;
    kernel_->flows = {flow(Protocol::tcp, 3, 1024), flow(Protocol::icmp, 3, 1024)};
    EXPECT_TRUE(has(R"(sallyport_eip_port_utilization_ratio{elastic_ip="eip-1",protocol="tcp"} 0.25)"));
    EXPECT_TRUE(has(R"(sallyport_eip_port_utilization_ratio{elastic_ip="eip-1",protocol="icmp"} 0.125)"));
}

TEST_F(MetricsTest, VerdictsAttachmentAndRevisions) {
    kernel_->counters.devices[0] = {10, 1000, 6, 2, 1, 1};
    const std::vector<dataplane::AttachRequest> wanted{{0, "lan0", 2, dataplane::Role::inside}};
    ASSERT_TRUE(dataplane_.attach(wanted, dataplane::ModeWish::automatic));
    EXPECT_TRUE(has(R"(sallyport_packets_total{device="lan0",verdict="forwarded"} 6)"));
    EXPECT_TRUE(has(R"(sallyport_packets_total{device="lan0",verdict="answered"} 1)"));
    EXPECT_TRUE(has(R"(sallyport_received_packets_total{device="lan0"} 10)"));
    EXPECT_TRUE(has(R"(sallyport_datapath_attached{device="lan0",mode="native"} 1)"));
    EXPECT_TRUE(has(R"(sallyport_datapath_attached{device="lan0",mode="generic"} 0)"));
    EXPECT_TRUE(has(R"(sallyport_datapath_attached{device="wan0",mode="native"} 0)"));
    EXPECT_TRUE(has("sallyport_desired_revision 5"));
    EXPECT_TRUE(has("sallyport_applied_revision 4"));
    EXPECT_TRUE(has("sallyport_flow_table_capacity 65536"));
    EXPECT_TRUE(has(R"(sallyport_build_info{version="1.2.3"} 1)"));
}

TEST_F(MetricsTest, PortBlocksAndWhatIsNotKnownOfThem) {
    kernel_->counters.nat_gateways[3].port_block_events_lost = 4;
    kernel_->port_blocks.resize(2);
    subject_.port_block_records_lost = 9;
    subject_.api_requests_waiting = 11;
    subject_.api_waits_refused = 12;
    EXPECT_TRUE(has("sallyport_port_blocks 2"));
    EXPECT_TRUE(has(R"(sallyport_port_block_events_lost_total{nat_gateway="egress"} 4)"));
    EXPECT_TRUE(has("sallyport_port_block_records_lost_total 9"));
    EXPECT_TRUE(has("sallyport_api_requests_waiting 11"));
    EXPECT_TRUE(has("sallyport_api_waits_refused_total 12"));
}

TEST_F(MetricsTest, WithoutADataPlaneWhatIsKnownIsStillTold) {
    kernel_->prepared = false;
    EXPECT_TRUE(has("sallyport_desired_revision 5"));
    EXPECT_TRUE(has(R"(sallyport_datapath_attached{device="lan0",mode="native"} 0)"));
}

TEST_F(MetricsTest, NamesAreEscaped) {
    subject_.devices = {{"we\"ird\\0", 0}};
    EXPECT_TRUE(has(R"(sallyport_received_packets_total{device="we\"ird\\0"} 0)"));
}

TEST_F(MetricsTest, PromtoolHasNoComplaint) {
    kernel_->flows = {flow(Protocol::tcp, 3, 1024)};
    const std::string command = "promtool check metrics >&2";
    FILE* promtool = popen(command.c_str(), "w");
    ASSERT_NE(promtool, nullptr);
    const std::string text = metrics_.scrape();
    ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), promtool), text.size());
    const int status = pclose(promtool);
    ASSERT_NE(WEXITSTATUS(status), 127) << "promtool is missing: ./dev deps installs it";
    EXPECT_EQ(status, 0);
}

TEST(MetricDefinitions, HaveUniqueNamesAndATableInTheDocuments) {
    std::set<std::string_view> names;
    for (const MetricDefinition& metric : all_metrics) {
        EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
        EXPECT_EQ(metric.kind == MetricKind::counter, metric.name.ends_with("_total")) << metric.name;
    }
    const Result<std::string> document = read_file(SALLYPORT_SOURCE "/docs/metrics.md");
    ASSERT_TRUE(document) << document.error().message;
    EXPECT_NE(document->find(metrics_table()), std::string::npos)
        << "docs/metrics.md must hold what build/bin/sallyport_metrics_table prints:\n"
        << metrics_table();
}

TEST(MetricDefinitions, HoldWhatAlertsAndDashboardAskFor) {
    for (const char* path :
         {"/packaging/prometheus/sallyport.rules.yml", "/packaging/grafana/sallyport.json"}) {
        const Result<std::string> text = read_file(std::string(SALLYPORT_SOURCE) + path);
        ASSERT_TRUE(text) << text.error().message;
        const std::regex name("sallyport_[a-z_]+");
        std::size_t found = 0;
        for (std::sregex_iterator match(text->begin(), text->end(), name), end; match != end;
             ++match, ++found) {
            const bool known = std::any_of(all_metrics.begin(), all_metrics.end(),
                                           [&](const auto& metric) { return metric.name == match->str(); });
            EXPECT_TRUE(known) << path << ": " << match->str();
        }
        EXPECT_GT(found, 5u) << path;
    }
}

}  // namespace
}  // namespace sallyport::telemetry

// SPDX-License-Identifier: Apache-2.0
#include "control/drains.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/gateway_in_memory.h"

namespace sallyport::control {
namespace {

using namespace std::chrono_literals;

const Ipv4Address eip_1(198, 51, 100, 10), eip_2(198, 51, 100, 11);

class DrainsTest : public testing::Test {
  protected:
    void SetUp() override {
        here_.write_config(configuration("eip-1, eip-2"));
        start();
    }
    void start() {
        const auto started = here_.start();
        ASSERT_TRUE(started) << started.error().message;
    }
    void put_flow(std::uint32_t slot, Ipv4Address external) {
        dataplane::FlowRecord flow;
        flow.slot = slot;
        flow.flow_id = slot + 1;
        flow.zone = 1;
        flow.external = Endpoint{external, 5000};
        flow.timeout_seconds = 7440;
        here_.kernel->flows.push_back(flow);
    }
    std::size_t flows_of(Ipv4Address external) const {
        return static_cast<std::size_t>(std::ranges::count_if(
            here_.kernel->flows,
            [&](const dataplane::FlowRecord& flow) { return flow.external.address == external; }));
    }
    void pass(std::chrono::seconds time) {
        for (; time > 0s; time -= 1s) {
            here_.clock.advance(1s);
            here_.gateway->tick();
        }
    }
    const std::vector<Ipv4Address>& in_use() const {
        return here_.kernel->tables.nat_gateways.begin()->second.elastic_ips;
    }
    bool is_draining(Ipv4Address address) const {
        return here_.kernel->tables.elastic_ips.at(address).draining;
    }
    const DrainStatus* status(const char* name = "eip-1") const {
        held_ = here_.gateway->view();
        return held_->drain(name);
    }

    GatewayInMemory here_;
    mutable std::shared_ptr<const View> held_;
};

TEST_F(DrainsTest, TakesTheElasticIpOutOfTheListAndKeepsItsFlows) {
    put_flow(1, eip_1);
    const std::uint32_t generation = here_.kernel->generation;
    ASSERT_TRUE(here_.gateway->drain("eip-1", {}, "test"));
    EXPECT_EQ(in_use(), std::vector{eip_2});
    EXPECT_TRUE(is_draining(eip_1));
    EXPECT_FALSE(is_draining(eip_2));
    EXPECT_EQ(here_.kernel->tables.elastic_ips.at(eip_1).nat_gateway, 0) << "its flows stay the gateway's";
    EXPECT_GT(here_.kernel->generation, generation);
    pass(3600s);
    EXPECT_EQ(flows_of(eip_1), 1U) << "without a timeout it waits";
    ASSERT_NE(status(), nullptr);
    EXPECT_FALSE(status()->drained);
    EXPECT_EQ(here_.gateway->view()->desired_revision, 1U) << "it is no revision";
    here_.kernel->flows.clear();
    pass(10s);
    EXPECT_TRUE(status()->drained);
    EXPECT_EQ(in_use(), std::vector{eip_2}) << "it stays out of use";
}

TEST_F(DrainsTest, EndsWhatIsLeftAtTheDeadlineAndNothingElse) {
    put_flow(1, eip_1);
    put_flow(2, eip_1);
    put_flow(3, eip_2);
    ASSERT_TRUE(here_.gateway->drain("eip-1", 30s, "test"));
    pass(29s);
    EXPECT_EQ(flows_of(eip_1), 2U);
    pass(3s);
    EXPECT_EQ(flows_of(eip_1), 0U);
    EXPECT_EQ(flows_of(eip_2), 1U);
    EXPECT_TRUE(status()->drained);
}

TEST_F(DrainsTest, GoesOnAfterARestartWithItsDeadline) {
    put_flow(1, eip_1);
    ASSERT_TRUE(here_.gateway->drain("eip-1", 30s, "test"));
    const std::uint64_t writes = here_.kernel->writes;
    pass(10s);
    start();
    EXPECT_EQ(here_.kernel->writes, writes) << "nothing is different";
    EXPECT_EQ(in_use(), std::vector{eip_2});
    pass(15s);
    EXPECT_EQ(flows_of(eip_1), 1U);
    pass(7s);
    EXPECT_EQ(flows_of(eip_1), 0U);
    // One that was due while no agent ran.
    put_flow(2, eip_2);
    ASSERT_TRUE(here_.gateway->drain("eip-2", 30s, "test"));
    here_.clock.advance(100s);
    start();
    pass(2s);
    EXPECT_EQ(flows_of(eip_2), 0U);
}

TEST_F(DrainsTest, CanBeEndedAndSetAnew) {
    EXPECT_EQ(here_.gateway->drain("eip-7", {}, "test").error().kind, Refusal::Kind::missing);
    EXPECT_EQ(here_.gateway->end_drain("eip-7", "test").error().kind, Refusal::Kind::missing);
    EXPECT_TRUE(here_.gateway->end_drain("eip-1", "test")) << "as it is already";
    put_flow(1, eip_1);
    ASSERT_TRUE(here_.gateway->drain("eip-1", 30s, "test"));
    const auto started = status()->drain.started;
    pass(20s);
    ASSERT_TRUE(here_.gateway->drain("eip-1", 60s, "test"));
    EXPECT_EQ(status()->drain.started, started);
    pass(50s);
    EXPECT_EQ(flows_of(eip_1), 1U);
    ASSERT_TRUE(here_.gateway->end_drain("eip-1", "test"));
    EXPECT_EQ(status(), nullptr);
    EXPECT_EQ(in_use(), (std::vector{eip_1, eip_2}));
    pass(30s);
    EXPECT_EQ(flows_of(eip_1), 1U);
    start();
    EXPECT_EQ(status(), nullptr);
}

TEST_F(DrainsTest, OutlivesOtherRevisionsAndEndsWithTheElasticIp) {
    ASSERT_TRUE(here_.gateway->drain("eip-2", {}, "test"));
    ASSERT_TRUE(here_.gateway->apply({{"other.yaml", configuration("eip-2, eip-1")}}, "test"));
    EXPECT_EQ(in_use(), std::vector{eip_1});
    std::string without = configuration("eip-1");
    const std::string second = ", { name: eip-2, address: 198.51.100.11 }";
    without.replace(without.find(second), second.size(), "");
    ASSERT_TRUE(here_.gateway->apply({{"other.yaml", without}}, "test"));
    EXPECT_EQ(status("eip-2"), nullptr);
    ASSERT_TRUE(here_.gateway->apply({{"other.yaml", configuration("eip-1, eip-2")}}, "test"));
    EXPECT_EQ(in_use(), (std::vector{eip_1, eip_2}));
    EXPECT_TRUE(here_.store->drains()->empty());
}

TEST_F(DrainsTest, IsRememberedWhileTheKernelRefusesOrNothingIsAttached) {
    here_.kernel->writes_left = 0;
    const auto refused = here_.gateway->drain("eip-1", {}, "test");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Refusal::Kind::not_applied);
    here_.kernel->writes_left.reset();
    pass(5s);
    EXPECT_EQ(in_use(), std::vector{eip_2});

    ASSERT_TRUE(here_.gateway->detach("test"));
    ASSERT_TRUE(here_.gateway->drain("eip-2", {}, "test"));
    ASSERT_TRUE(here_.gateway->reload("test"));
    EXPECT_TRUE(in_use().empty());
}

}  // namespace
}  // namespace sallyport::control

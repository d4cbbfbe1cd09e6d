// SPDX-License-Identifier: Apache-2.0
#include "dataplane/memory_dataplane.h"

#include "unit/dataplane_contract.h"

namespace sallyport::dataplane {
namespace {

class MemoryWorld final : public World {
  public:
    MemoryWorld() { kernel_->broken_devices.insert(missing_device().name); }
    Result<std::unique_ptr<Dataplane>> start() override {
        auto dataplane = std::make_unique<MemoryDataplane>(kernel_);
        if (auto prepared = dataplane->prepare(1000); !prepared) return tl::make_unexpected(prepared.error());
        return dataplane;
    }
    AttachRequest first_device() override { return {0, "lan0", 11, Role::inside}; }
    AttachRequest second_device() override { return {1, "wan0", 12, Role::outside}; }
    AttachRequest missing_device() override { return {2, "gone0", 13, Role::inside}; }

  private:
    std::shared_ptr<MemoryKernel> kernel_ = std::make_shared<MemoryKernel>();
};

INSTANTIATE_TEST_SUITE_P(memory, DataplaneContract, testing::Values(+[]() -> std::unique_ptr<World> {
                             return std::make_unique<MemoryWorld>();
                         }));

TEST(MemoryDataplane, after_a_failed_write_the_rest_is_what_the_next_apply_writes) {
    MemoryWorld world;
    const ForwardingTables wanted = example_tables(world);
    auto kernel = std::make_shared<MemoryKernel>();
    MemoryDataplane dataplane(kernel);
    ASSERT_TRUE(dataplane.prepare(1000));
    const std::uint64_t all = dataplane.apply(wanted)->written;

    for (std::uint64_t writes = 0; writes < all; ++writes) {
        *kernel = MemoryKernel();
        ASSERT_TRUE(dataplane.prepare(1000));
        kernel->writes_left = writes;
        EXPECT_FALSE(dataplane.apply(wanted));
        kernel->writes_left.reset();
        const auto rest = dataplane.apply(wanted);
        ASSERT_TRUE(rest);
        EXPECT_EQ(rest->written, all - writes);
        EXPECT_EQ(kernel->tables, wanted);
    }
}

// At every moment what is referred to must be there, whichever write was the last.
TEST(MemoryDataplane, no_prefix_of_the_writes_leaves_a_reference_dangling) {
    MemoryWorld world;
    const ForwardingTables full = example_tables(world);
    const auto check = [](const ForwardingTables& tables) {
        for (const auto& [key, subnet] : tables.subnets) {
            if (key.zone != 1) continue;
            EXPECT_TRUE(tables.routes.contains({subnet.route_table, Ipv4Prefix()}));
        }
        for (const auto& [key, route] : tables.routes) {
            EXPECT_TRUE(route.kind != RouteKind::nat_gateway || tables.nat_gateways.contains(route.index));
        }
        for (const auto& [number, gateway] : tables.nat_gateways) {
            for (const Ipv4Address& address : gateway.elastic_ips) {
                EXPECT_TRUE(tables.elastic_ips.contains(address));
            }
        }
        for (const auto& [key, hop] : tables.next_hops) EXPECT_TRUE(tables.devices.contains(hop.device));
        if (!tables.subnets.empty()) {
            EXPECT_FALSE(tables.private_prefixes.empty());
            EXPECT_FALSE(tables.local_addresses.empty());
            EXPECT_FALSE(tables.identifiers.empty());
        }
    };
    for (const bool filling : {true, false}) {
        for (std::uint64_t writes = 0; writes < 20; ++writes) {
            auto kernel = std::make_shared<MemoryKernel>();
            MemoryDataplane dataplane(kernel);
            ASSERT_TRUE(dataplane.prepare(1000));
            kernel->tables = filling ? ForwardingTables{} : full;
            kernel->writes_left = writes;
            std::ignore = dataplane.apply(filling ? full : ForwardingTables{});
            check(kernel->tables);
        }
    }
}

TEST(MemoryDataplane, falls_back_to_generic_mode_with_a_reason) {
    auto kernel = std::make_shared<MemoryKernel>();
    kernel->devices_without_native.insert("lan0");
    MemoryDataplane dataplane(kernel);
    ASSERT_TRUE(dataplane.prepare(1000));
    const std::vector<AttachRequest> wanted{{0, "lan0", 11, Role::inside}, {1, "wan0", 12, Role::outside}};
    const auto result = dataplane.attach(wanted, ModeWish::automatic);
    ASSERT_TRUE(result);
    for (const Attachment& attachment : *result) {  // frames of the one have to get into the other
        EXPECT_EQ(attachment.mode, Mode::generic);
        EXPECT_NE(attachment.fallback_reason, "");
    }
}

TEST(MemoryDataplane, flows_past_their_timeout_are_swept_and_not_listed) {
    auto kernel = std::make_shared<MemoryKernel>();
    MemoryDataplane dataplane(kernel);
    ASSERT_TRUE(dataplane.prepare(1000));
    FlowRecord live, dead;
    live.timeout_seconds = dead.timeout_seconds = 60;
    dead.idle_seconds = 61;
    kernel->flows = {live, dead, live};
    int seen = 0;
    ASSERT_TRUE(dataplane.visit_flows([&](const FlowRecord&) { return ++seen > 0; }));
    EXPECT_EQ(seen, 2);
    EXPECT_EQ(dataplane.sweep(0)->removed, 1U);
    EXPECT_EQ(kernel->flows.size(), 2U);
}

}  // namespace
}  // namespace sallyport::dataplane

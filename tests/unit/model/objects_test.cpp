// SPDX-License-Identifier: Apache-2.0
#include "model/objects.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "unit/model/sample.h"

namespace sallyport::model {
namespace {

TEST(Objects, AreFoundPutAndRemovedByKindAndName) {
    DesiredState state = sample_state();
    EXPECT_FALSE(find_object(state, Kind::elastic_ips, "eip-3"));
    EXPECT_FALSE(find_object(state, Kind::vpcs, "eip-1"));
    const auto first = find_object(state, Kind::elastic_ips, "eip-1");
    ASSERT_TRUE(first);
    EXPECT_EQ(kind_of(*first), Kind::elastic_ips);
    EXPECT_EQ(name_of(*first), "eip-1");
    EXPECT_EQ(origin_of(*first), Origin::file);
    EXPECT_EQ(describe(*first), "Elastic IP \"eip-1\"");
    EXPECT_EQ(to_json(*first)["address"], "198.51.100.10");

    ElasticIp changed{.name = "eip-1", .address = Ipv4Address(198, 51, 100, 20), .origin = Origin::api};
    EXPECT_EQ(put_object(state, changed), 0u);
    EXPECT_EQ(put_object(state, ElasticIp{.name = "eip-3"}), 2u);
    EXPECT_EQ(state.elastic_ips.size(), 3u);
    EXPECT_EQ(state.elastic_ips[0], changed);
    EXPECT_EQ(objects_of(state, Origin::api), std::vector<Object>{changed});

    remove_object(state, Kind::elastic_ips, "eip-1");
    remove_object(state, Kind::elastic_ips, "eip-1");
    EXPECT_EQ(state.elastic_ips.size(), 2u);
}

TEST(Objects, EveryKindHasAnEmptyOne) {
    for (const Kind kind : all_kinds) {
        const Object object = empty_object(kind, "one");
        EXPECT_EQ(kind_of(object), kind);
        EXPECT_EQ(name_of(object), "one");
    }
}

TEST(Objects, APathLeadsToItsObject) {
    const DesiredState state = sample_state();
    EXPECT_EQ(name_of(*object_at(state, "elastic_ips[1].address")), "eip-2");
    EXPECT_EQ(name_of(*object_at(state, "vpcs[0]")), "main");
    for (const char* other : {"elastic_ips", "elastic_ips[7]", "gateway.devices[0].vpc", "cars[0]", ""}) {
        EXPECT_FALSE(object_at(state, other)) << other;
    }
}

TEST(Objects, ReferrersAreFoundHoweverDeepTheyRefer) {
    DesiredState state = sample_state();
    SecurityGroup group{.name = "web", .vpc = "main"};
    group.ingress.push_back({.peer = "web"});
    state.security_groups.push_back(group);
    using Names = std::vector<std::string>;
    EXPECT_EQ(referrers(state, Kind::elastic_ips, "eip-1"), Names{"NAT gateway \"egress\""});
    EXPECT_EQ(referrers(state, Kind::nat_gateways, "egress"), Names{"route table \"private\""});
    EXPECT_EQ(referrers(state, Kind::elastic_ips, "eip-2"), Names{});
    EXPECT_EQ(referrers(state, Kind::security_groups, "web"), Names{}) << "but for itself";
    state.security_groups.push_back(group);
    state.security_groups.back().name = "db";
    EXPECT_EQ(referrers(state, Kind::security_groups, "web"), Names{"security group \"db\""});
    const Names of_vpc = referrers(state, Kind::vpcs, "main");
    EXPECT_EQ(of_vpc.front(), "the gateway's devices");
    EXPECT_EQ(of_vpc.size(), 6u);
}

}  // namespace
}  // namespace sallyport::model

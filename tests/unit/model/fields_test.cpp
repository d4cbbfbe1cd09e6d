// SPDX-License-Identifier: Apache-2.0
#include "model/fields.h"

#include <gtest/gtest.h>

#include <set>

namespace sallyport::model {
namespace {

template <Described T>
std::set<std::string_view> names_of() {
    std::set<std::string_view> names;
    visit_fields<T>(
        [&names](const auto& field) { EXPECT_TRUE(names.insert(field.name).second) << field.name; });
    return names;
}

TEST(Fields, OfEveryKindBeginWithItsName) {
    visit_kinds([](Kind kind, auto objects_of_kind) {
        using Objects = std::remove_cvref_t<decltype(DesiredState{}.*objects_of_kind)>;
        using Object = typename Objects::value_type;
        EXPECT_TRUE(names_of<Object>().contains("name")) << to_string(kind);
        const auto name = std::get<0>(Schema<Object>::fields());
        EXPECT_EQ(name.name, "name");
        EXPECT_EQ(name.text, Text::name);
        EXPECT_EQ(name.need, Need::required);
    });
}

TEST(Fields, NameWhatOneOfThemIsChosenFrom) {
    for (const std::string_view name : Schema<Route>::one_of)
        EXPECT_TRUE(names_of<Route>().contains(name)) << name;
    for (const std::string_view name : Schema<SecurityGroupRule>::one_of) {
        EXPECT_TRUE(names_of<SecurityGroupRule>().contains(name)) << name;
    }
}

TEST(Fields, GetAndSetAlternatives) {
    Route route{Ipv4Prefix(), ToNatGateway{"egress"}};
    visit_fields<Route>([&](const auto& field) {
        using Value = typename std::remove_cvref_t<decltype(field)>::Value;
        if constexpr (std::is_same_v<Value, std::optional<std::string>>) {
            if (field.name == "nat_gateway") {
                EXPECT_EQ(field.get(route), "egress");
                field.set(route, std::nullopt);  // not given: nothing changes
                EXPECT_EQ(field.get(route), "egress");
            } else {
                EXPECT_EQ(field.get(route), std::nullopt);
            }
        }
        if constexpr (std::is_same_v<Value, std::optional<True>>) {
            field.set(route, True{});
            EXPECT_EQ(route.target, RouteTarget(Blackhole{}));
        }
    });
}

TEST(Fields, TurnAnEndpointIntoAddressAndPort) {
    PortForward forward;
    visit_fields<PortForward>([&](const auto& field) {
        using Value = typename std::remove_cvref_t<decltype(field)>::Value;
        if constexpr (std::is_same_v<Value, Endpoint>) {
            field.set(forward, {Ipv4Address(10, 0, 1, 12), 80});
            EXPECT_EQ(field.get(forward).to_string(), "10.0.1.12:80");
        }
    });
    EXPECT_EQ(forward.to_address, Ipv4Address(10, 0, 1, 12));
    EXPECT_EQ(forward.to_port, 80);
}

}  // namespace
}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
#include "config/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace sallyport::config {
namespace {

const SectionReference& section(const std::vector<SectionReference>& sections, std::string_view path) {
    const auto found = std::ranges::find(sections, path, &SectionReference::path);
    EXPECT_NE(found, sections.end()) << path;
    return *found;
}

const SettingReference& setting(const SectionReference& section, std::string_view name) {
    const auto found = std::ranges::find(section.settings, name, &SettingReference::name);
    EXPECT_NE(found, section.settings.end()) << name;
    return *found;
}

TEST(Reference, ListsEverySectionOnce) {
    const auto sections = reference();
    std::set<std::string> paths;
    for (const SectionReference& one : sections) {
        EXPECT_TRUE(paths.insert(one.path).second) << one.path;
        EXPECT_FALSE(one.settings.empty()) << one.path;
    }
    for (const char* path : {"",
                             "gateway",
                             "gateway.devices[]",
                             "vpcs[]",
                             "subnets[]",
                             "route_tables[]",
                             "route_tables[].routes[]",
                             "internet_gateways[]",
                             "elastic_ips[]",
                             "nat_gateways[]",
                             "nat_gateways[].timeouts",
                             "nat_gateways[].limits",
                             "instances[]",
                             "security_groups[]",
                             "security_groups[].ingress[]",
                             "security_groups[].egress[]",
                             "port_forwards[]",
                             "api",
                             "api.tls",
                             "api.cors"}) {
        EXPECT_TRUE(paths.contains(path)) << path;
    }
}

TEST(Reference, KnowsDefaults) {
    const auto sections = reference();
    const SectionReference& timeouts = section(sections, "nat_gateways[].timeouts");
    EXPECT_EQ(setting(timeouts, "udp").default_text, "300s");
    EXPECT_EQ(setting(timeouts, "tcp_established").default_text, "7440s");
    const SectionReference& nat = section(sections, "nat_gateways[]");
    EXPECT_EQ(setting(nat, "port_range").default_text, "1024-65535");
    EXPECT_EQ(setting(nat, "mapping").default_text,
              "{ icmp: endpoint_independent, tcp: address_and_port_dependent, udp: endpoint_independent }");
    EXPECT_EQ(setting(section(sections, "gateway"), "flow_capacity").default_text, "1048576");
    EXPECT_TRUE(setting(section(sections, "gateway"), "name").required);
}

TEST(Reference, HelpsWithEverything) {
    for (const SectionReference& one : reference()) {
        EXPECT_FALSE(one.help.empty()) << one.path;
        for (const SettingReference& each : one.settings) {
            EXPECT_FALSE(each.help.empty()) << one.path << " " << each.name;
            EXPECT_FALSE(each.wanted.empty()) << one.path << " " << each.name;
            EXPECT_EQ(std::ranges::count(each.help, '`') % 2, 0) << each.help;
            EXPECT_TRUE(each.help.ends_with('.')) << each.help;
        }
    }
}

TEST(Reference, IsPrinted) {
    EXPECT_NE(reference_markdown().find("| `udp` | a duration such as 300s, 5m or 2h4m | `300s` |"),
              std::string::npos);
    const std::string man = reference_man();
    EXPECT_TRUE(man.starts_with(".TH SALLYPORT.YAML 5"));
    EXPECT_NE(man.find(".SS route_tables[].routes[]\n"), std::string::npos);
    EXPECT_EQ(man.find('`'), std::string::npos);
    // Words are shown as they are written.
    EXPECT_NE(man.find("\nValue: inside, outside or both; required.\n"), std::string::npos);
}

TEST(Reference, TellsWhatIsNotCarriedOutYet) {
    for (const std::string& text : {reference_man(), reference_markdown()}) {
        EXPECT_NE(text.find("a flow log"), std::string::npos);
    }
}

}  // namespace
}  // namespace sallyport::config

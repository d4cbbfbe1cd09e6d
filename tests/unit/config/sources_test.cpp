// SPDX-License-Identifier: Apache-2.0
#include "config/sources.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "config/load.h"
#include "config/object.h"
#include "core/file.h"

namespace sallyport::config {
namespace {

constexpr const char* main_text =
    "api_version: sallyport/v1\n"
    "gateway:\n"
    "  name: gw1\n"
    "  devices:\n"
    "    - { device: wan0, role: outside }\n"
    "vpcs:\n"
    "  - { name: main, cidrs: [10.0.0.0/16] }\n";

Source fragment(const std::string& name, const std::string& rest) {
    return {name, "api_version: sallyport/v1\n" + rest};
}

std::vector<std::string> faults_of(std::vector<Source> fragments) {
    Sources sources{{"gw.yaml", main_text}};
    std::ranges::move(fragments, std::back_inserter(sources));
    const auto loaded = load_sources(sources);
    std::vector<std::string> texts;
    if (!loaded) {
        for (const Fault& fault : loaded.error()) texts.push_back(fault.to_string());
    }
    return texts;
}
using Texts = std::vector<std::string>;

TEST(Fragments, AreOneDocumentWithTheFile) {
    const auto loaded =
        load_sources({{"gw.yaml", main_text},
                      fragment("d/10.yaml", "vpcs: [ { name: other, cidrs: [10.1.0.0/16] } ]\n"),
                      fragment("d/20.yaml",
                               "subnets: [ { name: app, vpc: other, cidr: 10.1.1.0/24, route_table: t } ]\n"
                               "route_tables: [ { name: t, vpc: other, routes: [] } ]\n"
                               "vpcs: [ { name: third, cidrs: [10.2.0.0/16] } ]\n")});
    ASSERT_TRUE(loaded) << loaded.error().front().to_string();
    ASSERT_EQ(loaded->state.vpcs.size(), 3u);
    EXPECT_EQ(loaded->state.vpcs[1].name, "other");
    EXPECT_EQ(loaded->state.vpcs[2].name, "third");
    EXPECT_EQ(loaded->state.subnets.size(), 1u);
    EXPECT_EQ(loaded->state.gateway.name, "gw1");
}

TEST(Fragments, FaultsAreToldWithTheFileThatTheyAreIn) {
    EXPECT_EQ(faults_of({fragment("d/10.yaml", "vpcs:\n  - { name: other, cidrs: [10.1.0.0/99] }\n")}).at(0),
              "d/10.yaml:3:28: vpcs[0].cidrs[0]: \"10.1.0.0/99\" is no prefix: the length must be 0 to 32; "
              "expected "
              "a prefix such as 10.0.0.0/16");
    EXPECT_EQ(
        faults_of({fragment("d/10.yaml", "subnets:\n  - { name: s, vpc: nobody, cidr: 10.1.0.0/24 }\n")})
            .at(0)
            .substr(0, 40),
        "d/10.yaml:3:21: subnets[0].vpc: there is");
}

TEST(Fragments, DuplicatesNameBothFiles) {
    const Texts faults =
        faults_of({fragment("d/10.yaml", "vpcs:\n  - { name: other, cidrs: [10.1.0.0/16] }\n"),
                   fragment("d/20.yaml",
                            "vpcs:\n  - { name: main, cidrs: [10.2.0.0/16] }\n"
                            "  - { name: other, cidrs: [10.3.0.0/16] }\n")});
    ASSERT_EQ(faults.size(), 2u);
    EXPECT_TRUE(faults[0].starts_with("d/20.yaml:3:13: vpcs[0].name: ")) << faults[0];
    EXPECT_TRUE(faults[0].ends_with("(see gw.yaml:7:13)")) << faults[0];
    EXPECT_TRUE(faults[1].starts_with("d/20.yaml:4:13: vpcs[1].name: ")) << faults[1];
    EXPECT_TRUE(faults[1].ends_with("(see d/10.yaml:3:13)")) << faults[1];
}

TEST(Fragments, HaveListsOnly) {
    const auto only = [](const std::string& text) {
        const Texts faults = faults_of({{"d/10.yaml", text}});
        return faults.size() == 1 ? faults.front() : std::to_string(faults.size()) + " faults";
    };
    const std::string version = "api_version: sallyport/v1\n";
    EXPECT_EQ(only(version + "gateway: { name: gw2 }\n"),
              "d/10.yaml:2:1: gateway: \"gateway\" belongs into gw.yaml, not into a fragment");
    EXPECT_EQ(only(version + "api: {}\n"),
              "d/10.yaml:2:1: api: \"api\" belongs into gw.yaml, not into a fragment");
    EXPECT_EQ(only(version + "vpc: []\n"), "d/10.yaml:2:1: vpc: unknown key \"vpc\"; did you mean \"vpcs\"?");
    EXPECT_EQ(only("vpcs: []\n"),
              "d/10.yaml:1:1: api_version: the key \"api_version\" is missing; expected "
              "sallyport/v1");
    EXPECT_TRUE(only("api_version: sallyport/v9\n").starts_with("d/10.yaml:1:14: api_version: "));
    EXPECT_TRUE(only(version + "vpcs: none\n").starts_with("d/10.yaml:2:7: vpcs: \"none\" was read"));
    EXPECT_NE(only(version + "vpcs:\n").find(": vpcs: no value was read; expected a list"), std::string::npos)
        << only(version + "vpcs:\n");
    EXPECT_TRUE(only(version + "vpcs: []\nvpcs: []\n").starts_with("d/10.yaml:3:1: vpcs: duplicate key"));
    EXPECT_EQ(only(""), "d/10.yaml:1:1: the file is empty; expected api_version at least");
    EXPECT_EQ(only("# nothing\n"), "d/10.yaml:1:1: the file is empty; expected api_version at least");
    EXPECT_TRUE(only("- a\n").starts_with("d/10.yaml:1:1: a list was read"));
    EXPECT_TRUE(only("a: [\n").starts_with("d/10.yaml:2:1: this is no valid YAML"));
    EXPECT_EQ(only(version), "0 faults");
}

TEST(Fragments, AllFaultsOfAllFilesAreToldInOrder) {
    const Texts faults =
        faults_of({fragment("d/20.yaml", "vpcs: [ { name: UPPER, cidrs: [10.1.0.0/16] } ]\n"),
                   fragment("d/10.yaml", "subnets: [ { name: s } ]\ngateway: {}\n")});
    ASSERT_GE(faults.size(), 3u);
    EXPECT_TRUE(faults.front().starts_with("d/20.yaml:2:")) << faults.front();
    EXPECT_TRUE(faults.back().starts_with("d/10.yaml:3:1: gateway")) << faults.back();
}

TEST(Fragments, ConclusionsFromFaultyNamesAreLeftOut) {
    // The name that the subnet refers to may be the one that cannot be read.
    const Texts faults =
        faults_of({fragment("d/10.yaml", "vpcs: [ { name: [other], cidrs: [10.1.0.0/16] } ]\n"),
                   fragment("d/20.yaml", "subnets: [ { name: s, vpc: other, cidr: 10.1.1.0/24 } ]\n")});
    EXPECT_EQ(std::ranges::count_if(faults, [](const auto& text) { return text.starts_with("d/20.yaml"); }),
              0)
        << faults.back();
}

TEST(Fragments, WarningsAndObjectsOfTheApiHaveTheirPlacesToo) {
    const Sources sources{{"gw.yaml", main_text},
                          fragment("d/10.yaml",
                                   "vpcs: [ { name: other, cidrs: [10.1.0.0/16] } ]\n"
                                   "elastic_ips: [ { name: eip-1, address: 198.51.100.10 } ]\n")};
    const auto file = load_sources(sources);
    ASSERT_TRUE(file);
    const auto both =
        join(*file, sources,
             {model::ElasticIp{
                 .name = "eip-1", .address = Ipv4Address(198, 51, 100, 12), .origin = model::Origin::api}});
    ASSERT_FALSE(both);
    EXPECT_TRUE(both.error().front().to_string().starts_with(
        "d/10.yaml:3:24: elastic_ips[0].name: Elastic IP \"eip-1\", made through the API: "))
        << both.error().front().to_string();
    EXPECT_EQ(file_of(sources, "vpcs[1]"), "d/10.yaml");
    EXPECT_EQ(file_of(sources, "vpcs[0]"), "gw.yaml");
}

class SourcesTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "/sources-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
        path_ = folder_ / "gw.yaml";
        ASSERT_TRUE(write_file(path_, main_text));
        std::filesystem::create_directory(folder_ / "sallyport.d");
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    void put(const std::string& name, const std::string& text = "api_version: sallyport/v1\n") const {
        ASSERT_TRUE(write_file(folder_ / "sallyport.d" / name, text));
    }

    std::filesystem::path folder_;
    std::string path_;
};

TEST_F(SourcesTest, FragmentsComeInTheOrderOfTheirNamesBytes) {
    for (const char* name : {"b.yaml", "a.yaml", "B.yaml", "10.yaml", "9.yaml"}) put(name);
    for (const char* name : {".hidden.yaml", "a.yaml~", "a.yml", "README", "a.yaml.dpkg-old"})
        put(name, "not read");
    const auto sources = read_sources(path_);
    ASSERT_TRUE(sources) << sources.error().message;
    std::vector<std::string> names;
    for (const Source& source : *sources) names.push_back(std::filesystem::path(source.name).filename());
    EXPECT_EQ(names, (Texts{"gw.yaml", "10.yaml", "9.yaml", "B.yaml", "a.yaml", "b.yaml"}));
    EXPECT_EQ((*sources)[1].name, (folder_ / "sallyport.d" / "10.yaml").string());
    EXPECT_EQ(describe(*sources), path_ + " and 5 fragments");
    EXPECT_TRUE(load_file(path_));
}

TEST_F(SourcesTest, WithoutADirectoryThereIsTheFileAlone) {
    std::filesystem::remove(folder_ / "sallyport.d");
    const auto sources = read_sources(path_);
    ASSERT_TRUE(sources);
    EXPECT_EQ(sources->size(), 1u);
    EXPECT_EQ(describe(*sources), path_);
}

TEST_F(SourcesTest, WhatCannotBeReadIsAnError) {
    std::filesystem::create_symlink("nowhere", folder_ / "sallyport.d" / "a.yaml");
    EXPECT_NE(read_sources(path_).error().message.find("sallyport.d/a.yaml"), std::string::npos);
    std::filesystem::remove(folder_ / "sallyport.d" / "a.yaml");
    std::filesystem::create_directory(folder_ / "sallyport.d" / "b.yaml");
    EXPECT_TRUE(read_sources(path_).error().message.ends_with("b.yaml is no file"));
    std::filesystem::remove_all(folder_ / "sallyport.d");
    ASSERT_TRUE(write_file(folder_ / "sallyport.d", "a file"));
    EXPECT_FALSE(read_sources(path_));
    std::filesystem::remove(path_);
    EXPECT_FALSE(read_sources(path_));
}

TEST_F(SourcesTest, TheLimitIsThatOfAllTogether) {
    const std::string half(sources_most_bytes / 2 + 1, '#');
    put("a.yaml", half);
    EXPECT_TRUE(read_sources(path_));
    put("b.yaml", half);
    EXPECT_FALSE(read_sources(path_));
    EXPECT_FALSE(load_sources({{"gw.yaml", half}, {"a", half}}));
}

}  // namespace
}  // namespace sallyport::config

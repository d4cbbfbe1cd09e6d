// SPDX-License-Identifier: Apache-2.0
#include "api/openapi.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "api/listener.h"
#include "api/routes.h"
#include "config/object.h"
#include "doctor/memory_host.h"
#include "model/json.h"
#include "model/json_schema.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::api {
namespace {

class OpenApi : public testing::Test {
  protected:
    void SetUp() override {
        here_.write_config(configuration());
        ASSERT_TRUE(here_.start());
        loop_ = std::move(*EventLoop::make());
        watch_ = std::make_unique<RevisionWatch>(*loop_, 3);
        routes_ = api_routes({*here_.gateway, *here_.drops, host_, *loop_, *watch_, "/sys/fs/bpf/sallyport"});
        document_ = YAML::Load(openapi_document(routes_, "1.2.3"));
    }

    static std::string lower(std::string text) {
        std::ranges::transform(text, text.begin(), [](unsigned char letter) { return std::tolower(letter); });
        return text;
    }

    static void find_references(const YAML::Node& node, std::set<std::string>& found) {
        if (node.IsMap()) {
            for (const auto& member : node) {
                if (member.first.as<std::string>() == "$ref") found.insert(member.second.as<std::string>());
                find_references(member.second, found);
            }
        } else if (node.IsSequence()) {
            for (const auto& member : node) find_references(member, found);
        }
    }

    GatewayInMemory here_;
    doctor::MemoryHost host_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<RevisionWatch> watch_;
    std::vector<Route> routes_;
    YAML::Node document_;
};

TEST_F(OpenApi, TellsOfEveryRouteAndOfNothingElse) {
    std::set<std::pair<std::string, std::string>> routed, described;
    for (const Route& route : routes_) {
        std::string pattern(route.pattern);
        const std::size_t at = pattern.find("{kind}");
        if (at == std::string::npos) {
            routed.emplace(pattern, lower(std::string(route.method)));
            continue;
        }
        for (const model::Kind kind : model::all_kinds) {
            std::string path = pattern;
            routed.emplace(path.replace(at, 6, model::to_string(kind)), lower(std::string(route.method)));
        }
    }
    for (const auto& path : document_["paths"]) {
        for (const auto& method : path.second)
            described.emplace(path.first.as<std::string>(), method.first.as<std::string>());
    }
    EXPECT_EQ(described, routed);
    EXPECT_EQ(document_["info"]["version"].as<std::string>(), "1.2.3");
}

TEST_F(OpenApi, SaysSomethingOfEachOperationAndParameter) {
    for (const auto& path : document_["paths"]) {
        for (const auto& method : path.second) {
            const std::string where = path.first.as<std::string>() + " " + method.first.as<std::string>();
            EXPECT_TRUE(method.second["summary"].as<std::string>().ends_with('.')) << where;
            EXPECT_TRUE(method.second["responses"]["default"]) << where;
            for (const auto& parameter : method.second["parameters"]) {
                EXPECT_TRUE(parameter["in"].as<std::string>() == "path" ||
                            parameter["description"].as<std::string>().ends_with('.'))
                    << where << " " << parameter["name"];
            }
        }
    }
}

TEST_F(OpenApi, RefersToWhatItHolds) {
    std::set<std::string> references;
    find_references(document_, references);
    EXPECT_GT(references.size(), model::all_kinds.size());
    for (const std::string& reference : references) {
        YAML::Node at = YAML::Clone(document_);
        ASSERT_TRUE(reference.starts_with("#/")) << reference;
        for (std::size_t begin = 2; begin <= reference.size();) {
            const std::size_t end = std::min(reference.find('/', begin), reference.size());
            at = YAML::Clone(at[reference.substr(begin, end - begin)]);
            ASSERT_TRUE(at.IsMap()) << reference;
            begin = end + 1;
        }
    }
}

// What comes from the API fits its schema, and what the schema asks for is what the reader asks for.
TEST_F(OpenApi, SchemasAreThoseOfTheObjects) {
    for (const model::Kind kind : model::all_kinds) {
        const auto schema = model::json_schema(kind);
        for (const auto& object : model::to_json(*here_.gateway->view()->state, kind)) {
            for (const auto& [key, value] : object.items())
                EXPECT_TRUE(schema["properties"].contains(key)) << model::to_string(kind) << " " << key;
            for (const auto& needed : schema["required"])
                EXPECT_TRUE(object.contains(needed.get<std::string>())) << model::to_string(kind) << needed;
        }
        std::set<std::string> missed;
        for (const auto& fault : config::read_object(kind, "{}").faults) missed.insert(fault.path);
        for (const auto& needed : schema["required"])
            EXPECT_TRUE(missed.contains(needed.get<std::string>())) << model::to_string(kind) << needed;
        EXPECT_FALSE(config::read_object(kind, R"({"no-such-key": 1})").faults.empty());
        EXPECT_EQ(schema["additionalProperties"], false);
    }
}

}  // namespace
}  // namespace sallyport::api

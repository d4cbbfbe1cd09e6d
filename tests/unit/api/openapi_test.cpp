// SPDX-License-Identifier: Apache-2.0
#include "api/openapi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "api/listener.h"
#include "api/routes.h"
#include "config/document.h"
#include "config/object.h"
#include "doctor/memory_host.h"
#include "model/json.h"
#include "model/json_schema.h"
#include "unit/api/services_in_memory.h"
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
        routes_ = api_routes(services_of(here_, host_, *watch_, *loop_));
        std::vector<config::Fault> faults;
        document_ = config::parse_document(openapi_document(routes_, "1.2.3"), "openapi.yaml", faults);
        ASSERT_TRUE(faults.empty()) << faults.front().to_string();
    }

    static std::string lower(std::string text) {
        std::ranges::transform(text, text.begin(), [](unsigned char letter) { return std::tolower(letter); });
        return text;
    }

    // The value of a key; one without a value where the map has none of that name.
    static const config::Node& at(const config::Node& map, std::string_view key) {
        static const config::Node nothing;
        const config::Node* child = map.child(key);
        return child == nullptr ? nothing : *child;
    }

    static void find_references(const config::Node& node, std::set<std::string>& found) {
        for (std::size_t i = 0; i < node.children.size(); ++i) {
            if (!node.keys.empty() && node.keys[i].text == "$ref") found.insert(node.children[i].scalar);
            find_references(node.children[i], found);
        }
    }

    GatewayInMemory here_;
    doctor::MemoryHost host_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<RevisionWatch> watch_;
    std::vector<Route> routes_;
    config::Node document_;
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
    const config::Node& paths = at(document_, "paths");
    for (std::size_t i = 0; i < paths.keys.size(); ++i) {
        for (const config::Key& method : paths.children[i].keys)
            described.emplace(paths.keys[i].text, method.text);
    }
    EXPECT_EQ(described, routed);
    EXPECT_EQ(at(at(document_, "info"), "version").scalar, "1.2.3");
}

TEST_F(OpenApi, SaysSomethingOfEachOperationAndParameter) {
    const config::Node& paths = at(document_, "paths");
    ASSERT_FALSE(paths.keys.empty());
    for (std::size_t i = 0; i < paths.keys.size(); ++i) {
        const config::Node& path = paths.children[i];
        for (std::size_t k = 0; k < path.keys.size(); ++k) {
            const config::Node& method = path.children[k];
            const std::string where = paths.keys[i].text + " " + path.keys[k].text;
            EXPECT_TRUE(at(method, "summary").scalar.ends_with('.')) << where;
            EXPECT_NE(at(method, "responses").child("default"), nullptr) << where;
            for (const config::Node& parameter : at(method, "parameters").children) {
                EXPECT_TRUE(at(parameter, "in").scalar == "path" ||
                            at(parameter, "description").scalar.ends_with('.'))
                    << where << " " << at(parameter, "name").scalar;
            }
        }
    }
}

TEST_F(OpenApi, RefersToWhatItHolds) {
    std::set<std::string> references;
    find_references(document_, references);
    EXPECT_GT(references.size(), model::all_kinds.size());
    for (const std::string& reference : references) {
        const config::Node* there = &document_;
        ASSERT_TRUE(reference.starts_with("#/")) << reference;
        for (std::size_t begin = 2; begin <= reference.size();) {
            const std::size_t end = std::min(reference.find('/', begin), reference.size());
            there = &at(*there, reference.substr(begin, end - begin));
            ASSERT_EQ(there->type, config::Node::Type::map) << reference;
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

// SPDX-License-Identifier: Apache-2.0
//
// Queries do not wait for commands, nor commands for queries: one is held at a point where it has half of its
// work behind it, for as long as the others take.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "api/http_server.h"
#include "api/listener.h"
#include "api/loop_thread.h"
#include "api/routes.h"
#include "doctor/memory_host.h"
#include "unit/api/http_client.h"
#include "unit/api/services_in_memory.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::api {
namespace {

using namespace std::chrono_literals;

// Who comes here while it is closed waits until it is opened.
class Gate {
  public:
    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }
    void open() {
        const std::lock_guard lock(mutex_);
        closed_ = false;
        changed_.notify_all();
    }
    void pass() {
        std::unique_lock lock(mutex_);
        if (!closed_) return;
        held_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !closed_; });
        held_ = false;
    }
    // Whether somebody waits here, or does so soon.
    bool holds_somebody() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, 10s, [this] { return held_; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool closed_ = false;
    bool held_ = false;
};

class LanesTest : public testing::Test {
  protected:
    void SetUp() override {
        here_.write_config(configuration());
        ASSERT_TRUE(here_.start());
        here_.kernel->before_apply = [this] { applying_.pass(); };
        here_.kernel->before_visit = [this] { visiting_.pass(); };
        for (auto* thread : {&queries_, &commands_, &connections_})
            *thread = std::move(*LoopThread::make("test"));
        watch_ = std::make_unique<RevisionWatch>(queries_->loop(), 3);
        here_.gateway->follow_revisions([this] { queries_->loop().post([this] { watch_->look(); }); });
        routes_ = api_routes(services_of(here_, host_, *watch_, commands_->loop()));
        router_ = std::make_unique<Router>(
            routes_, admit_peers(std::nullopt),
            [this] { return std::to_string(here_.reader->view()->desired_revision); },
            Lanes{queries_->loop(), commands_->loop(), connections_->loop(), running_});
        const std::string path = here_.folder / "api.sock";
        auto server =
            HttpServer::start(connections_->loop(), std::move(*listen_unix(path, std::nullopt)), *router_);
        ASSERT_TRUE(server);
        server_ = std::move(*server);
        clients_loop_ = std::move(*EventLoop::make());
        client_ = std::make_unique<HttpClient>(*clients_loop_, path);
        for (auto* thread : {&queries_, &commands_, &connections_}) (*thread)->start();
    }
    void TearDown() override {
        applying_.open();
        visiting_.open();
        for (auto* thread : {&connections_, &queries_, &commands_}) (*thread)->stop();
    }

    static ClientRequest creation(const std::string& name, const std::string& address,
                                  std::vector<std::string> headers = {}) {
        headers.emplace_back("Content-Type: application/json");
        return {"/v1/elastic_ips", "POST", nlohmann::json{{"name", name}, {"address", address}}.dump(), true,
                std::move(headers)};
    }

    Gate applying_, visiting_;
    GatewayInMemory here_;
    doctor::MemoryHost host_;
    std::unique_ptr<LoopThread> queries_, commands_, connections_;
    std::unique_ptr<RevisionWatch> watch_;
    RunningKeys running_;
    std::vector<Route> routes_;
    std::unique_ptr<Router> router_;
    std::unique_ptr<HttpServer> server_;
    std::unique_ptr<EventLoop> clients_loop_;
    std::unique_ptr<HttpClient> client_;
};

// All routes whose purpose says so, so that a new one is asked for as well.
TEST_F(LanesTest, EveryQueryIsAnsweredWhileACommandIsUnderWay) {
    const std::map<std::string, std::string> questions{
        {"/v1/who", "?address=198.51.100.10&port=4000"},
        {"/v1/explain", "?protocol=udp&source=10.0.1.5:4000&destination=203.0.113.10:53"},
        {"/v1/elastic_ips/{name}/drain", ""},
    };
    applying_.close();
    CURL* const command = client_->begin(creation("eip-3", "198.51.100.12"));
    for (int i = 0; i < 10; ++i) client_->turn();
    ASSERT_TRUE(applying_.holds_somebody());
    std::size_t asked = 0;
    for (const Route& route : routes_) {
        if (route.purpose != Purpose::query) continue;
        std::string target(route.pattern);
        if (const auto known = questions.find(target); known != questions.end()) target += known->second;
        if (const auto at = target.find("{kind}"); at != std::string::npos)
            target.replace(at, 6, "elastic_ips");
        if (const auto at = target.find("{name}"); at != std::string::npos) target.replace(at, 6, "eip-3");
        const nlohmann::json document{{"document", configuration("eip-2")}};
        const Answer answer =
            route.method == "GET" ? client_->get(target) : client_->post(target, document.dump());
        EXPECT_EQ(answer.result, CURLE_OK) << target;
        // No Elastic IP is being drained.
        EXPECT_EQ(answer.status, target.ends_with("/drain") ? 404
                                 : target == "/readyz"      ? 503
                                                            : 200)
            << target << ": " << answer.body;
        EXPECT_EQ(answer.headers.at("sallyport-revision"), "2") << target << ": it is committed";
        ++asked;
    }
    EXPECT_GT(asked, 10U);
    EXPECT_FALSE(client_->done(command));
    applying_.open();
    client_->finish(command);
    EXPECT_EQ(client_->end(command).status, 201);
}

TEST_F(LanesTest, ACommandIsCarriedOutWhileAQueryIsUnderWay) {
    visiting_.close();
    CURL* const query = client_->begin({"/v1/flows", "", "", false, {}});
    for (int i = 0; i < 10; ++i) client_->turn();
    ASSERT_TRUE(visiting_.holds_somebody());
    EXPECT_EQ(client_->request(creation("eip-3", "198.51.100.12")).status, 201);
    EXPECT_EQ(client_->request({"/v1/elastic_ips/eip-3", "DELETE", "", false, {}}).status, 204);
    EXPECT_FALSE(client_->done(query));
    visiting_.open();
    client_->finish(query);
    const Answer answer = client_->end(query);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("sallyport-revision"), "1") << "that of the names that it tells";
}

TEST_F(LanesTest, WhatIsWrongIsSaidWhateverIsUnderWay) {
    applying_.close();
    visiting_.close();
    CURL* const command = client_->begin(creation("eip-3", "198.51.100.12"));
    CURL* const query = client_->begin({"/v1/flows", "", "", false, {}});
    for (int i = 0; i < 10; ++i) client_->turn();
    ASSERT_TRUE(applying_.holds_somebody());
    ASSERT_TRUE(visiting_.holds_somebody());
    EXPECT_EQ(client_->get("/nowhere").status, 404);
    EXPECT_EQ(client_->get("/v1/flows?limt=3").status, 400);
    applying_.open();
    visiting_.open();
    client_->finish(command);
    client_->finish(query);
    EXPECT_EQ(client_->end(command).status, 201);
    EXPECT_EQ(client_->end(query).status, 200);
}

TEST_F(LanesTest, AKeyWhoseRequestIsBeingCarriedOutIsAConflictAndLaterAReplay) {
    applying_.close();
    const ClientRequest request = creation("eip-3", "198.51.100.12", {"Idempotency-Key: once"});
    CURL* const command = client_->begin(request);
    for (int i = 0; i < 10; ++i) client_->turn();
    ASSERT_TRUE(applying_.holds_somebody());
    const Answer refused = client_->request(request);
    EXPECT_EQ(refused.status, 409) << refused.body;
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
    applying_.open();
    client_->finish(command);
    EXPECT_EQ(client_->end(command).status, 201);
    const Answer replayed = client_->request(request);
    EXPECT_EQ(replayed.status, 201);
    EXPECT_EQ(replayed.headers.at("idempotency-replayed"), "true");
}

TEST_F(LanesTest, WhoWaitsForAChangeIsToldOfItOnceItIsCommitted) {
    CURL* const waiting = client_->begin({"/v1/elastic_ips?after_revision=1&wait=20", "", "", false, {}});
    for (int i = 0; i < 10; ++i) client_->turn();
    EXPECT_EQ(client_->request(creation("eip-3", "198.51.100.12")).status, 201);
    client_->finish(waiting);
    const Answer answer = client_->end(waiting);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("sallyport-revision"), "2");
    EXPECT_NE(answer.body.find("eip-3"), std::string::npos);
}

}  // namespace
}  // namespace sallyport::api

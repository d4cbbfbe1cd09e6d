// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "api/problem.h"
#include "unit/api/one_thread.h"

namespace sallyport::api {
namespace {

bool admit_all(const std::optional<Peer>&) {
    return true;
}
bool admit_none(const std::optional<Peer>&) {
    return false;
}

Router router_for_test(Admission admit = admit_all) {
    static OneThread one_thread;
    const auto say = [](const std::string& text) {
        return [text](const Call& call, const Respond& respond) {
            std::string body = text;
            for (const std::string& part : call.parts) body += " " + part;
            respond({200, "text/plain", body, {}});
        };
    };
    return Router(
        {{"GET", "/v1/status", Purpose::query, {}, say("status")},
         {"GET", "/v1/flows", Purpose::query, {"limit", "count"}, say("flows")},
         {"POST", "/v1/apply", Purpose::command, {}, say("apply")},
         {"GET", "/v1/{kind}", Purpose::query, {}, say("kind")},
         {"GET", "/v1/{kind}/{name}", Purpose::query, {}, say("object")}},
        std::move(admit), [] { return std::string("7"); }, one_thread.lanes);
}

Request request_of(std::string method, std::string path) {
    Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    return request;
}

Response answer(Router& router, const Request& request) {
    if (auto refusal = router.refuse(request)) return *refusal;
    Response result;
    router.handle(request, [&](Response response) { result = std::move(response); });
    return result;
}

TEST(Router, TakesTheFirstRouteThatFits) {
    Router router = router_for_test();
    EXPECT_EQ(answer(router, request_of("GET", "/v1/status")).body, "status");
    EXPECT_EQ(answer(router, request_of("GET", "/v1/vpcs")).body, "kind vpcs");
    EXPECT_EQ(answer(router, request_of("GET", "/v1/vpcs/main")).body, "object vpcs main");
    EXPECT_EQ(answer(router, request_of("HEAD", "/v1/vpcs/main")).status, 200u);
}

TEST(Router, EveryAnswerCarriesTheRevision) {
    Router router = router_for_test();
    const std::pair<std::string, std::string> expected{"Sallyport-Revision", "7"};
    for (const char* path : {"/v1/status", "/nowhere"}) {
        const Response response = answer(router, request_of("GET", path));
        ASSERT_FALSE(response.headers.empty());
        EXPECT_EQ(response.headers[0], expected);
    }
}

TEST(Router, UnknownPathsAreNotFound) {
    Router router = router_for_test();
    for (const char* path : {"/", "", "/v1", "/v1/", "/v1/a/b/c", "/v2/status", "*", "/v1/vpcs/"}) {
        EXPECT_EQ(answer(router, request_of("GET", path)).status, 404u) << path;
    }
}

TEST(Router, WrongMethodsSayWhichAreRight) {
    Router router = router_for_test();
    const Response response = answer(router, request_of("DELETE", "/v1/apply"));
    EXPECT_EQ(response.status, 405u);
    EXPECT_EQ(response.headers.back().first, "Allow");
    EXPECT_NE(response.headers.back().second.find("POST"), std::string::npos);
    EXPECT_EQ(answer(router, request_of("POST", "/v1/status")).status, 405u);
}

TEST(Router, UnknownAndRepeatedParametersAreRefused) {
    Router router = router_for_test();
    Request request = request_of("GET", "/v1/flows");
    request.query = {{"limit", "5"}};
    EXPECT_EQ(answer(router, request).status, 200u);
    request.query = {{"limt", "5"}};
    const Response response = answer(router, request);
    EXPECT_EQ(response.status, 400u);
    EXPECT_NE(response.body.find("known: limit, count"), std::string::npos) << response.body;
    request.query = {{"limit", "5"}, {"limit", "6"}};
    EXPECT_EQ(answer(router, request).status, 400u);
}

TEST(Router, CommandsTakeJsonOnly) {
    Router router = router_for_test();
    Request request = request_of("POST", "/v1/apply");
    request.content_type = "application/x-www-form-urlencoded";
    EXPECT_EQ(answer(router, request).status, 415u);
    request.content_type = "application/json";
    EXPECT_EQ(answer(router, request).status, 200u);
    request.content_type.clear();
    EXPECT_EQ(answer(router, request).status, 200u) << "no body needs no type";
    request.body = "{}";
    EXPECT_EQ(answer(router, request).status, 415u);
}

TEST(Router, PeersWithoutPermissionAreRefusedWhateverTheyAsk) {
    Router router = router_for_test(admit_none);
    EXPECT_EQ(answer(router, request_of("GET", "/v1/status")).status, 403u);
    EXPECT_EQ(answer(router, request_of("GET", "/nowhere")).status, 403u);
}

// Keeps what it is to do, until it is told.
class Patient final : public Executor {
  public:
    void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
    [[nodiscard]] std::size_t waiting() const { return tasks_.size(); }
    void do_all() {
        while (!tasks_.empty()) {
            const auto task = std::move(tasks_.front());
            tasks_.pop_front();
            task();
        }
    }

  private:
    std::deque<std::function<void()>> tasks_;
};

class RouterWithLanes : public testing::Test {
  protected:
    static std::function<void(const Call&, Respond)> say(unsigned status) {
        return [status](const Call& call, const Respond& respond) {
            respond({status, "text/plain", call.request.body, {}});
        };
    }
    void ask(const Request& request) {
        router_.handle(request, [this](Response response) { answers_.push_back(std::move(response)); });
    }
    static Request command(const std::string& key) {
        Request request = request_of("POST", "/v1/apply");
        if (!key.empty()) request.headers = {{"idempotency-key", key}};
        return request;
    }

    Patient queries_, commands_, sending_;
    RunningKeys running_;
    std::string revision_ = "7";
    Router router_{{{"GET", "/v1/status", Purpose::query, {}, say(200)},
                    {"POST", "/v1/plan", Purpose::query_in_turn, {}, say(200)},
                    {"POST", "/v1/apply", Purpose::command, {}, say(201), {.repeatable = true}},
                    {"POST", "/v1/detach", Purpose::command, {}, say(200)}},
                   admit_all,
                   [this] { return revision_; },
                   {queries_, commands_, sending_, running_}};
    std::vector<Response> answers_;
};

TEST_F(RouterWithLanes, EachPurposeHasItsLaneAndAnswersHaveTheirOwn) {
    ask(request_of("GET", "/v1/status"));
    EXPECT_EQ(queries_.waiting(), 1U);
    EXPECT_EQ(commands_.waiting(), 0U);
    ask(request_of("POST", "/v1/plan"));
    ask(command(""));
    EXPECT_EQ(queries_.waiting(), 1U);
    EXPECT_EQ(commands_.waiting(), 2U);
    queries_.do_all();
    EXPECT_TRUE(answers_.empty());
    sending_.do_all();
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_EQ(answers_[0].status, 200U);
}

TEST_F(RouterWithLanes, AnAnswerTellsTheRevisionOfTheMomentInWhichItWasMade) {
    ask(command(""));
    commands_.do_all();
    revision_ = "8";
    sending_.do_all();
    const std::pair<std::string, std::string> expected{"Sallyport-Revision", "7"};
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_EQ(answers_[0].headers.at(0), expected);
}

TEST_F(RouterWithLanes, AKeyIsRefusedForAsLongAsItsRequestIsCarriedOut) {
    ask(command("a"));
    ask(command("a"));
    ask(command("b"));
    EXPECT_EQ(commands_.waiting(), 2U);
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_EQ(answers_[0].status, 409U);
    EXPECT_EQ(answers_[0].headers.back().first, "Retry-After");

    commands_.do_all();
    ask(command("a"));
    EXPECT_EQ(commands_.waiting(), 0U) << "it is not answered yet";
    sending_.do_all();
    answers_.clear();
    ask(command("a"));
    commands_.do_all();
    sending_.do_all();
    ASSERT_EQ(answers_.size(), 1U);
    EXPECT_EQ(answers_[0].status, 201U);
}

TEST_F(RouterWithLanes, AKeyMeansNothingWhereRequestsAreNotRepeatable) {
    Request request = request_of("POST", "/v1/detach");
    request.headers = {{"idempotency-key", "a"}};
    ask(request);
    ask(request);
    EXPECT_EQ(commands_.waiting(), 2U);
    EXPECT_TRUE(answers_.empty());
}

TEST(AdmitPeers, RootTheOwnUserAndTheGroup) {
    const Admission admit = admit_peers(gid_t{900});
    const uid_t stranger = geteuid() + 12345;
    EXPECT_TRUE(admit(Peer{1, 0, 0, {}}));
    EXPECT_TRUE(admit(Peer{1, geteuid(), 1, {}}));
    EXPECT_FALSE(admit(Peer{1, stranger, 100, {101, 102}}));
    EXPECT_TRUE(admit(Peer{1, stranger, 900, {}}));
    EXPECT_TRUE(admit(Peer{1, stranger, 100, {101, 900}}));
    EXPECT_FALSE(admit(std::nullopt));
    EXPECT_FALSE(admit_peers(std::nullopt)(Peer{1, stranger, 900, {900}}));
}

TEST(Problem, CarriesEveryFault) {
    config::Fault fault;
    fault.file = "gateway.yaml";
    fault.line = 3;
    fault.column = 7;
    fault.path = "vpcs[0].name";
    fault.read = "caf\xe9";
    fault.message = "wrong";
    const Response response = problem(400, "the document is not valid", {fault});
    EXPECT_EQ(response.content_type, "application/problem+json");
    const auto body = nlohmann::json::parse(response.body);
    EXPECT_EQ(body["title"], "Bad Request");
    EXPECT_EQ(body["status"], 400);
    EXPECT_EQ(body["faults"][0]["line"], 3);
    EXPECT_EQ(body["faults"][0]["path"], "vpcs[0].name");
}

}  // namespace
}  // namespace sallyport::api

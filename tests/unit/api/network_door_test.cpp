// SPDX-License-Identifier: Apache-2.0
#include "api/network_door.h"

#include <gtest/gtest.h>

#include "store/store.h"
#include "unit/api/one_thread.h"

namespace sallyport::api {
namespace {

constexpr const char* console = "https://console.example.net";

class NetworkDoorTest : public testing::Test {
  protected:
    NetworkDoorTest()
        : router_(
              {{"GET", "/v1/status", Purpose::query, {}, say()},
               {"POST", "/v1/apply", Purpose::command, {}, say()},
               {"GET", "/v1/{kind}", Purpose::query, {}, say()},
               {"POST", "/v1/{kind}", Purpose::command, {}, say()}},
              [](const std::optional<Peer>&) { return true; }, [] { return std::string("7"); },
              one_thread_.lanes),
          door_(router_) {
        NetworkPolicy policy;
        policy.tokens = *BearerTokens::parse("alice:" + store::digest("secret"), "tokens");
        policy.allowed_origins = {*WebOrigin::parse(console)};
        door_.follow(std::make_shared<const NetworkPolicy>(policy));
    }

    // Answers with who has asked.
    std::function<void(const Call&, Respond)> say() {
        return [this](const Call& call, const Respond& respond) {
            ++handled_;
            respond({200, "text/plain", call.request.actor, {}});
        };
    }
    static Request ask(std::string method, std::string path, Headers headers) {
        Request request;
        request.method = std::move(method);
        request.path = std::move(path);
        request.headers = std::move(headers);
        request.headers.emplace_back("host", "localhost:9711");
        return request;
    }
    Response answer(const Request& request) {
        if (auto refusal = door_.refuse(request)) return *refusal;
        Response result;
        door_.handle(request, [&](Response response) { result = std::move(response); });
        return result;
    }
    static std::string header(const Response& response, std::string_view name) {
        for (const auto& [key, value] : response.headers) {
            if (key == name) return value;
        }
        return "none";
    }

    int handled_ = 0;
    OneThread one_thread_;
    Router router_;
    NetworkDoor door_;
};

const std::pair<std::string, std::string> with_token{"authorization", "Bearer secret"};

TEST_F(NetworkDoorTest, LetsTokensInAndTellsWhose) {
    const Response response = answer(ask("GET", "/v1/status", {with_token}));
    EXPECT_EQ(response.status, 200u);
    EXPECT_EQ(response.body, "token alice");
    EXPECT_EQ(header(response, "Vary"), "Origin");
    EXPECT_EQ(header(response, "Sallyport-Revision"), "7");
    EXPECT_EQ(header(response, "Access-Control-Allow-Origin"), "none");
}

TEST_F(NetworkDoorTest, AsksForATokenBeforeItSaysAnythingElse) {
    for (const char* path : {"/v1/status", "/nowhere", "/v1/vpcs"}) {
        const Response response = answer(ask("GET", path, {}));
        EXPECT_EQ(response.status, 401u) << path;
        EXPECT_EQ(header(response, "WWW-Authenticate"), "Bearer");
        EXPECT_EQ(header(response, "Vary"), "Origin");
        EXPECT_EQ(response.content_type, "application/problem+json");
    }
    const Response wrong = answer(ask("GET", "/v1/status", {{"authorization", "Bearer guess"}}));
    EXPECT_EQ(wrong.status, 401u);
    EXPECT_EQ(header(wrong, "WWW-Authenticate"), "Bearer error=\"invalid_token\"");
    EXPECT_EQ(handled_, 0);
}

TEST_F(NetworkDoorTest, IsNoOtherHost) {
    Request request = ask("GET", "/v1/status", {with_token});
    request.headers.back().second = "evil.example";
    EXPECT_EQ(answer(request).status, 421u);
    request.headers.pop_back();
    EXPECT_EQ(answer(request).status, 400u);
    EXPECT_EQ(handled_, 0);
}

TEST_F(NetworkDoorTest, AnswersAPreflightWithoutAToken) {
    const Response response =
        answer(ask("OPTIONS", "/v1/vpcs", {{"origin", console}, {"access-control-request-method", "POST"}}));
    EXPECT_EQ(response.status, 204u);
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(header(response, "Access-Control-Allow-Origin"), console);
    EXPECT_EQ(header(response, "Access-Control-Allow-Methods"), "GET, HEAD, POST");
    EXPECT_EQ(header(response, "Vary"), "Origin");
    const Response of_apply = answer(
        ask("OPTIONS", "/v1/apply", {{"origin", console}, {"access-control-request-method", "DELETE"}}));
    EXPECT_EQ(header(of_apply, "Access-Control-Allow-Methods"), "POST");
    EXPECT_EQ(
        answer(ask("OPTIONS", "/x", {{"origin", console}, {"access-control-request-method", "GET"}})).status,
        404u);
    EXPECT_EQ(handled_, 0);
}

TEST_F(NetworkDoorTest, ForeignPagesChangeNothingAndReadNothing) {
    const std::pair<std::string, std::string> foreign{"origin", "https://evil.example"};
    for (const char* method : {"POST", "PUT", "PATCH", "DELETE"}) {
        const Response response = answer(ask(method, "/v1/apply", {foreign, with_token}));
        EXPECT_EQ(response.status, 403u) << method;
        EXPECT_EQ(header(response, "Access-Control-Allow-Origin"), "none");
    }
    const Response preflight =
        answer(ask("OPTIONS", "/v1/apply", {foreign, {"access-control-request-method", "POST"}}));
    EXPECT_EQ(preflight.status, 403u);
    EXPECT_EQ(header(preflight, "Access-Control-Allow-Methods"), "none");
    EXPECT_EQ(header(preflight, "Vary"), "Origin");
    EXPECT_EQ(handled_, 0);
    // The browser keeps the answer from the page.
    const Response read = answer(ask("GET", "/v1/status", {foreign, with_token}));
    EXPECT_EQ(read.status, 200u);
    EXPECT_EQ(header(read, "Access-Control-Allow-Origin"), "none");
}

TEST_F(NetworkDoorTest, AllowedPagesCanReadErrorsToo) {
    const std::pair<std::string, std::string> origin{"origin", console};
    for (const Request& request :
         {ask("GET", "/v1/status", {origin}), ask("GET", "/x/y/z", {origin, with_token}),
          ask("DELETE", "/v1/apply", {origin, with_token}), ask("POST", "/v1/apply", {origin, with_token})}) {
        const Response response = answer(request);
        EXPECT_EQ(header(response, "Access-Control-Allow-Origin"), console) << response.status;
        EXPECT_EQ(header(response, "Vary"), "Origin");
    }
    EXPECT_EQ(handled_, 1);
    const Request large = ask("POST", "/v1/apply", {origin});
    EXPECT_EQ(header(door_.body_too_large(large), "Access-Control-Allow-Origin"), console);
    EXPECT_EQ(header(door_.too_busy(large), "Access-Control-Allow-Origin"), console);
}

TEST_F(NetworkDoorTest, ATokenThatIsTakenAwayOpensNothing) {
    const Request request = ask("POST", "/v1/apply", {with_token});
    ASSERT_FALSE(door_.refuse(request));
    door_.follow(std::make_shared<const NetworkPolicy>());
    Response result;
    door_.handle(request, [&](Response response) { result = std::move(response); });
    EXPECT_EQ(result.status, 401u);
    EXPECT_EQ(handled_, 0);
}

}  // namespace
}  // namespace sallyport::api

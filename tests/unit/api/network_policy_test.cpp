// SPDX-License-Identifier: Apache-2.0
#include "api/network_policy.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/file.h"
#include "store/store.h"

namespace sallyport::api {
namespace {

Request request_with(std::string method, Headers headers) {
    Request request;
    request.method = std::move(method);
    request.path = "/v1/status";
    request.headers = std::move(headers);
    request.reached_at = Ipv4Address(10, 0, 1, 1);
    return request;
}

NetworkPolicy policy_for_test() {
    NetworkPolicy policy;
    policy.allowed_hosts = {*HostName::parse("gw1.example.net")};
    policy.allowed_origins = {*WebOrigin::parse("https://console.example.net"),
                              *WebOrigin::parse("http://localhost:5173")};
    policy.tokens = *BearerTokens::parse("alice:" + store::digest("secret") + "\n", "tokens");
    return policy;
}

std::string value_of(const Headers& headers, std::string_view name) {
    for (const auto& [key, value] : headers) {
        if (key == name) return value;
    }
    return "none";
}

TEST(JudgeHost, KnowsTheNamesOfTheGateway) {
    const NetworkPolicy policy = policy_for_test();
    const auto judged = [&](const std::string& host) {
        return judge_host(policy, request_with("GET", {{"host", host}}));
    };
    for (const std::string host :
         {"10.0.1.1", "10.0.1.1:8443", "localhost", "localhost:1", "LOCALHOST:8443", "gw1.example.net",
          "GW1.example.net:443", "gw1.example.net:", "127.0.0.1:9711", "[::1]:9711"}) {
        EXPECT_EQ(judged(host), HostVerdict::ours) << host;
    }
    for (const std::string host :
         {"evil.example", "evil.example:8443", "10.0.1.2", "gw1.example.net.evil.example", "gw2.example.net",
          "[::2]:8443", "localhost.evil.example"}) {
        EXPECT_EQ(judged(host), HostVerdict::foreign) << host;
    }
    for (const std::string host :
         {"", ":80", "a b", "gw1.example.net:x", "gw1.example.net:80:80", "a/b", "[::1",
          "user@gw1.example.net", "gw1.example.net, evil.example", "0x0a000101."}) {
        EXPECT_EQ(judged(host), HostVerdict::malformed) << host;
    }
}

TEST(JudgeHost, WantsExactlyOne) {
    const NetworkPolicy policy = policy_for_test();
    EXPECT_EQ(judge_host(policy, request_with("GET", {})), HostVerdict::missing);
    EXPECT_EQ(judge_host(policy, request_with("GET", {{"host", "localhost"}, {"host", "localhost"}})),
              HostVerdict::malformed);
}

TEST(JudgeHost, AnAddressIsOursWhereTheClientCameToIt) {
    const NetworkPolicy policy;
    Request request = request_with("GET", {{"host", "10.0.1.2:9711"}});
    EXPECT_EQ(judge_host(policy, request), HostVerdict::foreign);
    request.reached_at = Ipv4Address(10, 0, 1, 2);
    EXPECT_EQ(judge_host(policy, request), HostVerdict::ours);
    request.reached_at.reset();
    EXPECT_EQ(judge_host(policy, request), HostVerdict::foreign);
}

TEST(JudgeOrigin, ComparesAllOfIt) {
    const NetworkPolicy policy = policy_for_test();
    const auto judged = [&](const std::string& origin) {
        return judge_origin(policy, request_with("GET", {{"origin", origin}}));
    };
    EXPECT_EQ(judge_origin(policy, request_with("GET", {})), OriginVerdict::none);
    EXPECT_EQ(judged("https://console.example.net"), OriginVerdict::allowed);
    EXPECT_EQ(judged("http://localhost:5173"), OriginVerdict::allowed);
    for (const std::string origin :
         {"", "null", "*", "http://console.example.net", "https://console.example.net:8443",
          "https://console.example.net.evil.example", "https://evil.example", "http://localhost",
          "https://CONSOLE.example.net", "https://console.example.net/",
          "https://console.example.net https://evil.example"}) {
        EXPECT_EQ(judged(origin), OriginVerdict::foreign) << origin;
    }
    EXPECT_EQ(judge_origin(policy, request_with("GET", {{"origin", "https://console.example.net"},
                                                        {"origin", "https://console.example.net"}})),
              OriginVerdict::foreign);
    EXPECT_EQ(judge_origin(NetworkPolicy{}, request_with("GET", {{"origin", "http://localhost:5173"}})),
              OriginVerdict::foreign);
}

TEST(CorsHeaders, VaryAlwaysAndTheRestForTheAllowed) {
    const NetworkPolicy policy = policy_for_test();
    for (const Headers& headers : {Headers{}, Headers{{"origin", "https://evil.example"}}}) {
        EXPECT_EQ(cors_headers(policy, request_with("GET", headers)), (Headers{{"Vary", "Origin"}}));
    }
    const Headers headers =
        cors_headers(policy, request_with("GET", {{"origin", "https://console.example.net"}}));
    EXPECT_EQ(value_of(headers, "Vary"), "Origin");
    EXPECT_EQ(value_of(headers, "Access-Control-Allow-Origin"), "https://console.example.net");
    EXPECT_EQ(value_of(headers, "Access-Control-Expose-Headers"),
              "Sallyport-Revision, ETag, Link, Location, Idempotency-Replayed");
    // Tokens are given by scripts; cookies and the like are never asked for.
    EXPECT_EQ(value_of(headers, "Access-Control-Allow-Credentials"), "none");
}

TEST(Preflight, IsKnownByItsHeaders) {
    const Headers both{{"origin", "https://console.example.net"}, {"access-control-request-method", "POST"}};
    EXPECT_TRUE(is_preflight(request_with("OPTIONS", both)));
    EXPECT_FALSE(is_preflight(request_with("GET", both)));
    EXPECT_FALSE(is_preflight(request_with("OPTIONS", {both[0]})));
    EXPECT_FALSE(is_preflight(request_with("OPTIONS", {both[1]})));
}

TEST(Preflight, SaysWhatMayFollow) {
    const Headers headers = preflight_headers(request_with("OPTIONS", {}), "POST");
    EXPECT_EQ(value_of(headers, "Access-Control-Allow-Methods"), "POST");
    EXPECT_EQ(value_of(headers, "Access-Control-Allow-Headers"),
              "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match");
    EXPECT_EQ(value_of(headers, "Access-Control-Max-Age"), "600");
    EXPECT_EQ(value_of(headers, "Access-Control-Allow-Private-Network"), "none");
    const Headers inside = preflight_headers(
        request_with("OPTIONS", {{"access-control-request-private-network", "true"}}), "POST");
    EXPECT_EQ(value_of(inside, "Access-Control-Allow-Private-Network"), "true");
}

TEST(Identify, KnowsTokensByTheirHash) {
    const NetworkPolicy policy = policy_for_test();
    const auto who = [&](const std::string& authorization) {
        return identify(policy, request_with("GET", {{"authorization", authorization}}));
    };
    EXPECT_EQ(*who("Bearer secret"), "token alice");
    EXPECT_EQ(*who("bearer  secret "), "token alice");
    EXPECT_EQ(who("Bearer Secret").error(), Unknown::wrong_token);
    EXPECT_EQ(who("Bearer " + store::digest("secret")).error(), Unknown::wrong_token);
    EXPECT_EQ(who("Bearer ").error(), Unknown::wrong_token);
    EXPECT_EQ(who("Basic c2VjcmV0").error(), Unknown::no_token);
    EXPECT_EQ(who("secret").error(), Unknown::no_token);
    EXPECT_EQ(identify(policy, request_with("GET", {})).error(), Unknown::no_token);
    EXPECT_EQ(identify(policy, request_with("GET", {{"authorization", "Bearer secret"},
                                                    {"authorization", "Bearer secret"}}))
                  .error(),
              Unknown::no_token);
}

TEST(Identify, OnLoopbackAWrongTokenIsStillWrong) {
    NetworkPolicy policy = policy_for_test();
    policy.token_needed = false;
    EXPECT_EQ(*identify(policy, request_with("GET", {})), "a client on loopback");
    EXPECT_EQ(*identify(policy, request_with("GET", {{"authorization", "Bearer secret"}})), "token alice");
    EXPECT_FALSE(identify(policy, request_with("GET", {{"authorization", "Bearer other"}})));
}

TEST(BearerTokens, ReadsLines) {
    const std::string hash = store::digest("one");
    std::string upper = store::digest("two");
    for (char& digit : upper) digit = digit >= 'a' ? static_cast<char>(digit - 'a' + 'A') : digit;
    const auto tokens = BearerTokens::parse(
        "# people\n\nalice:" + hash + "\r\n  ci@build-1.a_b:" + upper + "  \nalice:" + store::digest("three"),
        "tokens");
    ASSERT_TRUE(tokens) << tokens.error().message;
    EXPECT_EQ(tokens->size(), 3u);
    EXPECT_EQ(tokens->name_of("one"), "alice");
    EXPECT_EQ(tokens->name_of("two"), "ci@build-1.a_b");
    EXPECT_EQ(tokens->name_of("three"), "alice");
    EXPECT_FALSE(tokens->name_of(""));
    EXPECT_FALSE(tokens->name_of(hash));
    EXPECT_EQ(BearerTokens::parse("", "tokens")->size(), 0u);
}

TEST(BearerTokens, RefusesWhatIsNoHashWithoutRepeatingIt) {
    const std::string hash = store::digest("one");
    for (const std::string& line : std::vector<std::string>{
             "alice", "alice:", ":" + hash, "alice:my-password", "alice:" + hash.substr(1),
             "alice:" + hash + "0", "al ice:" + hash, "alice: " + hash, std::string(65, 'a') + ":" + hash,
             "alice:" + hash + " # note"}) {
        const auto tokens = BearerTokens::parse("\n" + line, "tokens");
        ASSERT_FALSE(tokens) << line;
        EXPECT_EQ(tokens.error().message.find("tokens:2: expected NAME:HASH"), 0u) << tokens.error().message;
        EXPECT_EQ(tokens.error().message.find("my-password"), std::string::npos);
    }
    const auto twice = BearerTokens::parse("a:" + hash + "\nb:" + hash, "tokens");
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().message, "tokens:2: a and b have the same token; expected one for each");
}

TEST(BearerTokens, AreReadFromAClosedFileOnly) {
    const std::string path = testing::TempDir() + "/tokens-" + std::to_string(getpid());
    ASSERT_TRUE(write_file(path, "alice:" + store::digest("one"), 0600));
    EXPECT_TRUE(BearerTokens::load(path));
    for (const mode_t mode : {0640U, 0400U, 0440U}) {
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        EXPECT_TRUE(BearerTokens::load(path)) << mode;
    }
    for (const mode_t mode : {0644U, 0660U, 0602U, 0601U}) {
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        const auto tokens = BearerTokens::load(path);
        ASSERT_FALSE(tokens) << mode;
        EXPECT_NE(tokens.error().message.find("chmod 0640"), std::string::npos) << tokens.error().message;
    }
    std::filesystem::remove(path);
    EXPECT_FALSE(BearerTokens::load(path));
}

}  // namespace
}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
#include "api/network_api.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "unit/api/http_client.h"
#include "unit/api/one_thread.h"

namespace sallyport::api {
namespace {

class NetworkApiTest : public testing::Test {
  protected:
    NetworkApiTest()
        : loop_(std::move(*EventLoop::make())),
          router_(
              {{"GET",
                "/v1/version",
                Purpose::query,
                {},
                [](const Call&, const Respond& respond) {
                    respond({200, "text/plain", "here", {}});
                }}},
              [](const std::optional<Peer>&) { return true; }, [] { return std::string("7"); },
              one_thread_.lanes),
          api_({*loop_, router_, log_}, std::nullopt),
          client_(*loop_, "") {}

    // What a reload with this address does.
    void listen_at(const std::string& endpoint) {
        const auto commit = api_.prepare({.listen = *Endpoint::parse(endpoint), .insecure_loopback = true});
        ASSERT_TRUE(commit) << commit.error().message;
        (*commit)();
    }
    long status_at(const Endpoint& endpoint) {
        return client_.get(fmt::format("http://{}/v1/version", endpoint.to_string())).status;
    }

    std::unique_ptr<EventLoop> loop_;
    OneThread one_thread_;
    Router router_;
    control::MemoryLog log_;
    NetworkApi api_;
    HttpClient client_;
};

TEST_F(NetworkApiTest, ComesBackAtOnceToAnAddressThatItHasLeft) {
    listen_at("127.0.0.1:0");  // to be given a port that is free
    const Endpoint first = *api_.endpoint();
    const Endpoint second{*Ipv4Address::parse("127.0.0.2"), first.port};
    listen_at(second.to_string());
    listen_at("127.0.0.1:0");
    EXPECT_EQ(api_.endpoint()->port, first.port);  // it was still there
    listen_at(second.to_string());
    listen_at(second.to_string());
    EXPECT_EQ(*api_.endpoint(), second);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{300};
    while (std::chrono::steady_clock::now() < end) client_.turn();
    EXPECT_EQ(status_at(second), 200);
    EXPECT_EQ(status_at(first), 0);  // left for good
}

}  // namespace
}  // namespace sallyport::api

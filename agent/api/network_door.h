// SPDX-License-Identifier: Apache-2.0
//
// What a request over the network has to pass before the router sees it, and what each answer to it carries.
// On the Unix socket there is none of this: the kernel says who asks.
#pragma once

#include <memory>
#include <optional>

#include "api/http.h"
#include "api/network_policy.h"
#include "api/router.h"

namespace sallyport::api {

class NetworkDoor final : public RequestHandler {
  public:
    // `router` must outlive the door, and admit everybody: who gets there has been let in here.
    explicit NetworkDoor(Router& router) : router_(router) {}

    // From now on, requests under way included: a token that is gone opens nothing any more.
    void follow(std::shared_ptr<const NetworkPolicy> policy) { policy_ = std::move(policy); }

    std::optional<Response> refuse(const Request& head) override;
    void handle(Request request, Respond respond) override;
    Response body_too_large(const Request& head) override;
    Response too_busy(const Request& head) override;

  private:
    [[nodiscard]] std::optional<Response> judge(const Request& head) const;
    [[nodiscard]] Response answer_preflight(const Request& head) const;

    Router& router_;
    std::shared_ptr<const NetworkPolicy> policy_ = std::make_shared<NetworkPolicy>();
};

}  // namespace sallyport::api

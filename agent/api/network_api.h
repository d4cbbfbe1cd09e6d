// SPDX-License-Identifier: Apache-2.0
//
// The API on TCP, as the section `api` of the configuration file wants it: none, or one listener. What a
// reload changes takes effect with the next request; a new address or certificate does so for new
// connections, and those that are there end with the answer that they wait for.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "api/event_loop.h"
#include "api/http_server.h"
#include "api/network_door.h"
#include "api/router.h"
#include "control/api_access.h"
#include "control/log.h"
#include "core/address.h"

namespace sallyport::api {

class NetworkApi final : public control::ApiAccess {
  public:
    static constexpr unsigned connections = 512;  // at once

    struct Parts {
        EventLoop& loop;
        Router& router;  // that admits everybody
        control::Log& log;
    };
    // All parts must outlive this. `listen` is what the command line asks for; it goes before the file.
    NetworkApi(Parts parts, std::optional<Endpoint> listen)
        : parts_(parts), door_(parts.router), listen_(listen) {}

    Result<std::function<void()>> prepare(const config::ApiSettings& settings) override;

    // What is listened on now. With port 0 asked for, the port that was given.
    [[nodiscard]] std::optional<Endpoint> endpoint() const;

  private:
    struct Listener {
        Endpoint asked_for;
        std::optional<TlsIdentity> tls;
        UniqueFd socket;  // one more for the server's, to hand on
        std::unique_ptr<HttpServer> server;
    };
    Result<std::shared_ptr<Listener>> listener_for(const Endpoint& endpoint, std::optional<TlsIdentity> tls);
    void replace(std::shared_ptr<Listener> next);
    void forget_the_retired();

    Parts parts_;
    NetworkDoor door_;
    std::optional<Endpoint> listen_;
    std::shared_ptr<Listener> listener_;  // null: none
    std::vector<std::shared_ptr<Listener>> retired_;
    EventLoop::Watch retirement_;
};

}  // namespace sallyport::api

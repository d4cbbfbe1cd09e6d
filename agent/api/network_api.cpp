// SPDX-License-Identifier: Apache-2.0
#include "api/network_api.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "api/listener.h"
#include "api/tls_identity.h"

namespace sallyport::api {

namespace {

using namespace std::chrono_literals;

// Strangers get less of everything than those on the Unix socket: less time to say what they want, and no
// address can take all of the connections.
constexpr ServerLimits limits{
    .body_bytes = std::size_t{16} << 20,
    .connections = NetworkApi::connections,
    .patience = 30s,
    .connections_per_address = 64,
    .head_patience = 10s,
    .all_bodies_bytes = std::size_t{64} << 20,
};

}  // namespace

Result<std::function<void()>> NetworkApi::prepare(const config::ApiSettings& settings) {
    const std::optional<Endpoint> endpoint = listen_ ? listen_ : settings.listen;
    NetworkPolicy policy{.allowed_hosts = settings.allowed_hosts,
                         .allowed_origins = settings.cors.allowed_origins};
    std::shared_ptr<Listener> next;
    if (endpoint) {
        const auto exposures = config::exposures(settings, *endpoint);
        if (!exposures.empty())
            return failure(fmt::format("{}: {}", exposures[0].path, exposures[0].message));
        policy.token_needed = config::needs_token(settings, *endpoint);
        if (!settings.tokens_file.empty()) {
            Result<BearerTokens> tokens = BearerTokens::load(settings.tokens_file);
            if (!tokens) return failure_within("api.tokens_file", tokens.error());
            policy.tokens = *std::move(tokens);
        }
        std::optional<TlsIdentity> tls;
        if (settings.tls) {
            Result<TlsIdentity> identity = load_tls_identity(*settings.tls);
            if (!identity) return failure_within("api.tls", identity.error());
            tls = *std::move(identity);
        }
        Result<std::shared_ptr<Listener>> listener = listener_for(*endpoint, std::move(tls));
        if (!listener) return failure_within("serve the API over TCP", listener.error());
        next = *std::move(listener);
    }
    auto shared_policy = std::make_shared<const NetworkPolicy>(std::move(policy));
    return [this, next = std::move(next), policy = std::move(shared_policy)] {
        door_.follow(policy);
        if (next && policy->token_needed && policy->tokens.size() == 0) {
            parts_.log.warning("the file of api.tokens_file names no token: nobody may use the API over TCP");
        }
        replace(next);
    };
}

Result<std::shared_ptr<NetworkApi::Listener>> NetworkApi::listener_for(const Endpoint& endpoint,
                                                                       std::optional<TlsIdentity> tls) {
    const auto listens_there = [&endpoint](const std::shared_ptr<Listener>& other) {
        return other && other->socket && other->asked_for == endpoint;
    };
    if (listens_there(listener_) && listener_->tls == tls) return listener_;
    auto made = std::make_shared<Listener>(Listener{endpoint, std::move(tls), {}, {}});
    // One that was left a moment ago still has its address, and who comes back to it must not be refused.
    const auto retired = std::ranges::find_if(retired_, listens_there);
    const Listener* const there = listens_there(listener_)    ? listener_.get()
                                  : retired != retired_.end() ? retired->get()
                                                              : nullptr;
    if (there != nullptr) {
        // Connections that wait to be accepted are not lost so.
        made->socket = UniqueFd(fcntl(there->socket.get(), F_DUPFD_CLOEXEC, 0));
        if (!made->socket) return system_failure("hand on the listening socket");
    } else {
        Result<UniqueFd> socket = listen_tcp(endpoint);
        if (!socket) return tl::unexpected(socket.error());
        made->socket = *std::move(socket);
    }
    UniqueFd for_server(fcntl(made->socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!for_server) return system_failure("hand on the listening socket");
    auto server = HttpServer::start(parts_.loop, std::move(for_server), door_, limits, made->tls);
    if (!server) return tl::unexpected(server.error());
    made->server = *std::move(server);
    return made;
}

void NetworkApi::replace(std::shared_ptr<Listener> next) {
    if (next == listener_) return;
    if (std::shared_ptr<Listener> previous = std::exchange(listener_, std::move(next))) {
        retired_.push_back(std::move(previous));
        // Not now: the request that asked for it may be one of the server that goes.
        retirement_ = parts_.loop.every(100ms, [this] { forget_the_retired(); });
    }
    if (const std::optional<Endpoint> now = endpoint()) {
        parts_.log.notice(
            fmt::format("the API is served on {} {}", listener_->tls ? "https" : "http", now->to_string()));
    } else {
        parts_.log.notice("the API is not served over TCP any more");
    }
}

void NetworkApi::forget_the_retired() {
    for (const auto& listener : retired_) {
        listener->socket = {};
        listener->server->retire();
    }
    std::erase_if(retired_, [](const auto& listener) { return listener->server->connections() == 0; });
    if (retired_.empty()) retirement_ = {};
}

std::optional<Endpoint> NetworkApi::endpoint() const {
    if (!listener_) return std::nullopt;
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    if (getsockname(listener_->socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return listener_->asked_for;
    return Endpoint{Ipv4Address::from_network(address.sin_addr.s_addr), ntohs(address.sin_port)};
}

}  // namespace sallyport::api

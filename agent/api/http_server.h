// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 on a listening socket, inside an event loop: libmicrohttpd polls nothing and starts no thread, its
// epoll descriptor is watched by the loop. libmicrohttpd is seen nowhere else.
//
// No client can hold up another: all reading and writing is non-blocking, the number of connections and
// the size of a body are bounded, and a connection that does not send its request, or take its answer,
// within the limit is closed; where connections get scarce, one without a request goes earlier.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "api/event_loop.h"
#include "api/http.h"
#include "core/result.h"
#include "core/unique_fd.h"

namespace sallyport::api {

struct ServerLimits {
    std::size_t body_bytes = std::size_t{16} << 20;
    unsigned connections = 256;
    // For sending a request and, counted anew, for taking its answer; also how long a connection may idle.
    std::chrono::milliseconds patience{30000};
    unsigned connections_per_address = 0;                  // of TCP; 0: not limited
    std::chrono::milliseconds head_patience{30000};        // for the head of a request, with TLS's handshake
    std::size_t all_bodies_bytes = std::size_t{64} << 20;  // of requests that are not answered yet
};

// A certificate with those that lead to its authority, and its key, in PEM.
struct TlsIdentity {
    std::string certificate;
    std::string key;
    bool operator==(const TlsIdentity&) const = default;
};

class HttpServer {
  public:
    // `loop` and `handler` must outlive the server. It serves from the loop's next turn on; with `tls`,
    // HTTPS. Answers are to be given by the thread of the loop.
    static Result<std::unique_ptr<HttpServer>> start(EventLoop& loop, UniqueFd listener,
                                                     RequestHandler& handler, ServerLimits limits = {},
                                                     std::optional<TlsIdentity> tls = {});
    // Sends what has been answered, tells those who wait that they are not answered any more, and closes all
    // connections; answers given later go nowhere.
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Takes no more connections and lets those that are there go with their next answer, or at once where
    // they idle. Not to be called by a handler of this server's requests.
    void retire();
    [[nodiscard]] std::size_t connections() const;

  private:
    class Implementation;
    explicit HttpServer(std::unique_ptr<Implementation> implementation);
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace sallyport::api

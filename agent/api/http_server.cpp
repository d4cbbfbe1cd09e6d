// SPDX-License-Identifier: Apache-2.0
#include "api/http_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/problem.h"

namespace sallyport::api {

namespace {

using SteadyClock = std::chrono::steady_clock;

// What a client that means it needs to say what it wants, also over a bad line.
constexpr std::chrono::milliseconds in_a_hurry{500};

// In which the library takes a connection up again and sends its answer.
constexpr int turns_of_a_resumed = 3;

// TLS 1.2 for clients that have nothing newer, and of it only what has forward secrecy and authenticates.
constexpr const char* tls_priorities =
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:+AES-256-GCM:"
    "+AES-128-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE";

std::string lower_case(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

std::string media_type(const char* header) {
    if (header == nullptr) return {};
    std::string_view text(header);
    text = text.substr(0, text.find(';'));
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return lower_case(text);
}

bool has_body(const Request& request) {
    const std::string* length = request.header("content-length");
    return request.has_header("transfer-encoding") ||
           (request.has_header("content-length") && (length == nullptr || *length != "0"));
}

std::optional<Ipv4Address> reached_at(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sin_family != AF_INET)
        return std::nullopt;
    return Ipv4Address::from_network(address.sin_addr.s_addr);
}

std::optional<Peer> peer_of(int fd) {
    ucred credentials{};
    socklen_t size = sizeof(credentials);
    int domain = 0;
    socklen_t domain_size = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) != 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return std::nullopt;
    }
    Peer peer{credentials.pid, credentials.uid, credentials.gid, {}};
    socklen_t bytes = 64 * sizeof(gid_t);
    for (int attempt = 0; attempt < 2; ++attempt) {
        peer.groups.resize(bytes / sizeof(gid_t));
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &bytes) == 0) {
            peer.groups.resize(bytes / sizeof(gid_t));
            return peer;
        }
        // ERANGE: `bytes` now says how much room is needed.
    }
    peer.groups.clear();
    return peer;
}

// One request on a connection.
struct Exchange {
    Request request;
    std::optional<Response> response;
    bool refused = false;    // the answer was given before the body came
    bool too_large = false;  // the rest of the body is thrown away
    bool no_room = false;    // the same, because of the bodies of others
    bool handled = false;
    std::size_t buffered = 0;             // bytes of the body, as they count for all of them
    MHD_Connection* suspended = nullptr;  // the connection, while it waits for the answer
};

enum class Stage {
    head,     // of a request, from the moment on that the client connected
    request,  // the head is there
    idle,     // between two requests
};

struct Connection {
    int fd = -1;
    SteadyClock::time_point since = {};       // when the step that is bounded began
    std::chrono::milliseconds patience = {};  // with that step
    bool waiting = false;                     // for an answer of ours: not the client's fault
    Stage stage = Stage::head;
    bool closing = false;  // shut down to make room
};

}  // namespace

class HttpServer::Implementation {
  public:
    Implementation(EventLoop& loop, RequestHandler& handler, ServerLimits limits,
                   std::optional<TlsIdentity> tls)
        : loop_(loop), handler_(handler), limits_(limits), tls_(std::move(tls)) {
        limits_.head_patience = std::min(limits_.head_patience, limits_.patience);
    }
    Implementation(const Implementation&) = delete;
    Implementation& operator=(const Implementation&) = delete;

    ~Implementation() {
        if (daemon_ == nullptr) return;
        readable_ = {};  // before its descriptor is closed
        stopping_ = true;
        // A suspended connection must be resumed before the daemon may stop.
        for (auto& [exchange, shared] : waiting_) {
            exchange->response = stopping();
            MHD_resume_connection(std::exchange(exchange->suspended, nullptr));
        }
        waiting_.clear();
        // What was answered a moment ago is sent as well, as far as its client takes it at once: a command
        // may have been carried out, and is not to look as if it was not.
        for (int turn = 0; turn < turns_of_a_resumed; ++turn) MHD_run(daemon_);
        MHD_stop_daemon(daemon_);
    }

    Result<void> start(UniqueFd listener) {
        const int fd = listener.get();
        const int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
            return system_failure("set up a listener");
        unsigned mode = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
        std::vector<MHD_OptionItem> options;
        if (limits_.connections_per_address > 0) {
            options.push_back({MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                               static_cast<std::intptr_t>(limits_.connections_per_address), nullptr});
        }
        if (tls_) {
            mode |= MHD_USE_TLS;
            options.push_back({MHD_OPTION_HTTPS_MEM_CERT, 0, tls_->certificate.data()});
            options.push_back({MHD_OPTION_HTTPS_MEM_KEY, 0, tls_->key.data()});
            options.push_back({MHD_OPTION_HTTPS_PRIORITIES, 0, const_cast<char*>(tls_priorities)});
        }
        options.push_back({MHD_OPTION_END, 0, nullptr});
        daemon_ =
            MHD_start_daemon(mode, 0, nullptr, nullptr, &on_request, this, MHD_OPTION_LISTEN_SOCKET, fd,  //
                             MHD_OPTION_ARRAY, options.data(),                                            //
                             MHD_OPTION_CONNECTION_LIMIT, limits_.connections,                            //
                             MHD_OPTION_CONNECTION_MEMORY_LIMIT, std::size_t{32} << 10,                   //
                             MHD_OPTION_NOTIFY_COMPLETED, &on_completed, this,                            //
                             MHD_OPTION_NOTIFY_CONNECTION, &on_connection, this,                          //
                             MHD_OPTION_URI_LOG_CALLBACK, &on_request_line, this,                         //
                             MHD_OPTION_END);
        if (daemon_ == nullptr) return failure("start the HTTP server");
        (void)listener.release();  // the daemon closes it
        const MHD_DaemonInfo* info = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD);
        if (info == nullptr || info->epoll_fd < 0)
            return failure("start the HTTP server: no epoll descriptor");
        Result<EventLoop::Watch> watch = loop_.on_readable(info->epoll_fd, [this] { run(); });
        if (!watch) return tl::unexpected(watch.error());
        readable_ = std::move(*watch);
        const auto pace =
            std::clamp(limits_.patience / 10, std::chrono::milliseconds{10}, std::chrono::milliseconds{1000});
        patience_check_ = loop_.every(pace, [this] { close_the_slow(); });
        // Not at once: who starts a server is not ready yet for the requests that may be waiting.
        again_ = loop_.after(std::chrono::milliseconds{0}, [this] { run(); });
        return {};
    }

    void retire() {
        if (std::exchange(retired_, true)) return;
        const UniqueFd listener(MHD_quiesce_daemon(daemon_));
        close_the_slow();
    }

    [[nodiscard]] std::size_t connections() const { return connections_.size(); }

  private:
    void run() {
        const std::size_t before = connections_.size();
        MHD_run(daemon_);
        // With all connections taken the library stops listening, and looks whether to begin again at the
        // start of a turn only.
        const bool listens_again = connections_.size() < before;
        // The library keeps a list of connections that still have something to read or write and for which
        // its epoll descriptor will not become readable again; it says so by a timeout.
        MHD_UNSIGNED_LONG_LONG milliseconds = 0;
        if (std::exchange(resumed_, false) || listens_again) {
            again_ = loop_.after(std::chrono::milliseconds{0}, [this] { run(); });
        } else if (MHD_get_timeout(daemon_, &milliseconds) == MHD_YES) {
            again_ = loop_.after(std::chrono::milliseconds{milliseconds}, [this] { run(); });
        } else {
            again_ = {};
        }
    }

    void close_the_slow() {
        const auto now = SteadyClock::now();
        for (const Connection& connection : connections_) {
            const bool unwanted = retired_ && connection.stage == Stage::idle;
            if (unwanted || (!connection.waiting && now - connection.since > connection.patience)) {
                shutdown(connection.fd, SHUT_RDWR);  // the library sees the end and closes
            }
        }
        make_room();
    }

    MHD_Result answer(MHD_Connection* connection, const Response& response) {
        MHD_Response* made = MHD_create_response_from_buffer(
            response.body.size(), const_cast<char*>(response.body.data()), MHD_RESPMEM_MUST_COPY);
        if (made == nullptr) return MHD_NO;
        if (!response.content_type.empty()) {
            MHD_add_response_header(made, MHD_HTTP_HEADER_CONTENT_TYPE, response.content_type.c_str());
        }
        MHD_add_response_header(made, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        MHD_add_response_header(made, "X-Content-Type-Options", "nosniff");
        if (retired_) MHD_add_response_header(made, MHD_HTTP_HEADER_CONNECTION, "close");
        for (const auto& [name, value] : response.headers) {
            MHD_add_response_header(made, name.c_str(), value.c_str());
        }
        const MHD_Result result = MHD_queue_response(connection, response.status, made);
        MHD_destroy_response(made);
        return result;
    }

    MHD_Result begin(MHD_Connection* connection, const char* path, const char* method, Exchange& exchange) {
        Request& request = exchange.request;
        request.method = method;
        request.path = path;
        request.content_type = media_type(
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE));
        MHD_get_connection_values(
            connection, MHD_HEADER_KIND,
            [](void* context, MHD_ValueKind, const char* key, const char* value) {
                static_cast<Request*>(context)->headers.emplace_back(lower_case(key),
                                                                     value == nullptr ? "" : value);
                return MHD_YES;
            },
            &request);
        MHD_get_connection_values(
            connection, MHD_GET_ARGUMENT_KIND,
            [](void* context, MHD_ValueKind, const char* key, const char* value) {
                static_cast<Request*>(context)->query.emplace_back(key, value == nullptr ? "" : value);
                return MHD_YES;
            },
            &request);
        const MHD_ConnectionInfo* info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info != nullptr) {
            request.peer = peer_of(info->connect_fd);
            request.reached_at = reached_at(info->connect_fd);
        }
        begin_step(state_of(connection), Stage::request);

        exchange.response = handler_.refuse(request);
        if (!exchange.response) {
            const char* length =
                MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
            // The library has refused what is no number.
            if (length != nullptr && std::strtoull(length, nullptr, 10) > limits_.body_bytes) {
                exchange.response = handler_.body_too_large(request);
            }
        }
        // An answer now spares the client the body, and costs it the connection: where there is none, it
        // waits.
        if (!exchange.response || !has_body(request)) return MHD_YES;
        exchange.refused = true;
        return answer(connection, *exchange.response);
    }

    MHD_Result proceed(MHD_Connection* connection, const char* upload, std::size_t* upload_size,
                       const std::shared_ptr<Exchange>& exchange) {
        if (*upload_size > 0) {
            std::string& body = exchange->request.body;
            if (body.size() + *upload_size > limits_.body_bytes) exchange->too_large = true;
            if (buffered_ + *upload_size > limits_.all_bodies_bytes) exchange->no_room = true;
            if (exchange->too_large || exchange->no_room || exchange->refused) {
                body = {};
                forget_body(*exchange);
            } else {
                body.append(upload, *upload_size);
                exchange->buffered += *upload_size;
                buffered_ += *upload_size;
            }
            *upload_size = 0;
            return MHD_YES;
        }
        if (exchange->refused) return MHD_YES;
        if (exchange->too_large) {
            exchange->response = handler_.body_too_large(exchange->request);
        } else if (exchange->no_room) {
            exchange->response = handler_.too_busy(exchange->request);
        }
        if (stopping_ && !exchange->response) exchange->response = stopping();
        if (!exchange->response && !exchange->handled) {
            exchange->handled = true;
            handler_.handle(std::move(exchange->request),
                            [this, weak = std::weak_ptr<Exchange>(exchange)](Response response) {
                                respond(weak, std::move(response));
                            });
        }
        if (Connection* state = state_of(connection)) {
            begin_step(state, Stage::request);
            state->waiting = !exchange->response;
        }
        if (exchange->response) return answer(connection, *exchange->response);
        exchange->suspended = connection;
        waiting_.emplace(exchange.get(), exchange);
        MHD_suspend_connection(connection);
        return MHD_YES;
    }

    static Response stopping() { return problem(503, "the agent is stopping"); }

    void forget_body(Exchange& exchange) { buffered_ -= std::exchange(exchange.buffered, 0); }

    void begin_step(Connection* connection, Stage stage) const {
        if (connection == nullptr) return;
        connection->stage = stage;
        connection->since = SteadyClock::now();
        connection->patience = stage == Stage::head ? limits_.head_patience : limits_.patience;
        connection->waiting = false;
    }

    // Where connections get scarce, those go first that have been without a request for longest: strangers
    // that say nothing keep nobody out who does.
    void make_room() {
        const auto going =
            std::ranges::count_if(connections_, [](const Connection& one) { return one.closing; });
        const std::size_t enough = limits_.connections - limits_.connections / 8;
        const auto old = SteadyClock::now() - in_a_hurry;
        for (std::size_t left = connections_.size() - static_cast<std::size_t>(going); left > enough;
             --left) {
            Connection* oldest = nullptr;
            for (Connection& one : connections_) {
                if (one.stage == Stage::request || one.since > old || one.closing) continue;
                if (oldest == nullptr || one.since < oldest->since) oldest = &one;
            }
            if (oldest == nullptr) return;
            oldest->closing = true;
            shutdown(oldest->fd, SHUT_RDWR);
        }
    }

    // The server may be gone, but then so is the exchange.
    void respond(const std::weak_ptr<Exchange>& weak, Response response) {
        const std::shared_ptr<Exchange> exchange = weak.lock();
        if (!exchange || exchange->response) return;
        forget_body(*exchange);
        exchange->response = std::move(response);
        if (exchange->suspended == nullptr) return;
        waiting_.erase(exchange.get());
        MHD_resume_connection(std::exchange(exchange->suspended, nullptr));
        // The library takes it up in its next two turns, and does not make its descriptor readable for that.
        resumed_ = true;
        again_ = loop_.after(std::chrono::milliseconds{0}, [this] { run(); });
    }

    Connection* state_of(MHD_Connection* connection) {
        const MHD_ConnectionInfo* info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return info == nullptr ? nullptr : static_cast<Connection*>(info->socket_context);
    }

    // The library is C: nothing may be thrown through it.
    static MHD_Result on_request(void* context, MHD_Connection* connection, const char* path,
                                 const char* method, const char*, const char* upload,
                                 std::size_t* upload_size, void** exchange_slot) noexcept {
        auto* self = static_cast<Implementation*>(context);
        try {
            if (*exchange_slot == nullptr) {
                auto* holder = new std::shared_ptr<Exchange>(std::make_shared<Exchange>());
                *exchange_slot = holder;
                return self->begin(connection, path, method, **holder);
            }
            return self->proceed(connection, upload, upload_size,
                                 *static_cast<std::shared_ptr<Exchange>*>(*exchange_slot));
        } catch (const std::exception&) {
            return MHD_NO;  // closes this connection, and only this one
        }
    }

    static void on_completed(void* context, MHD_Connection* connection, void** exchange_slot,
                             MHD_RequestTerminationCode) noexcept {
        auto* self = static_cast<Implementation*>(context);
        auto* holder = static_cast<std::shared_ptr<Exchange>*>(*exchange_slot);
        if (holder != nullptr) {
            self->forget_body(**holder);
            self->waiting_.erase(holder->get());
        }
        delete holder;
        *exchange_slot = nullptr;
        if (Connection* state = self->state_of(connection)) {
            self->begin_step(state, Stage::idle);
        }
    }

    static void* on_request_line(void* context, const char*, MHD_Connection* connection) noexcept {
        auto* self = static_cast<Implementation*>(context);
        self->begin_step(self->state_of(connection), Stage::head);
        return nullptr;  // becomes the exchange's slot
    }

    static void on_connection(void* context, MHD_Connection* connection, void** socket_context,
                              MHD_ConnectionNotificationCode code) noexcept {
        auto* self = static_cast<Implementation*>(context);
        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
            const MHD_ConnectionInfo* info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
            if (info == nullptr) return;
            self->connections_.push_back(Connection{.fd = info->connect_fd});
            self->begin_step(&self->connections_.back(), Stage::head);
            self->make_room();
            *socket_context = &self->connections_.back();
        } else if (*socket_context != nullptr) {
            self->connections_.remove_if(
                [gone = *socket_context](const Connection& candidate) { return &candidate == gone; });
            *socket_context = nullptr;
        }
    }

    EventLoop& loop_;
    RequestHandler& handler_;
    ServerLimits limits_;
    std::optional<TlsIdentity> tls_;  // the daemon keeps pointers to it
    std::size_t buffered_ = 0;        // bytes of all bodies, until their requests are answered
    bool retired_ = false;
    bool stopping_ = false;  // no handler is asked any more
    MHD_Daemon* daemon_ = nullptr;
    bool resumed_ = false;  // an answer waits for a suspended connection to be taken up again
    std::list<Connection> connections_;
    std::unordered_map<Exchange*, std::shared_ptr<Exchange>> waiting_;
    EventLoop::Watch readable_;
    EventLoop::Watch again_;
    EventLoop::Watch patience_check_;
};

HttpServer::HttpServer(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {
}
HttpServer::~HttpServer() = default;

void HttpServer::retire() {
    implementation_->retire();
}

std::size_t HttpServer::connections() const {
    return implementation_->connections();
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(EventLoop& loop, UniqueFd listener,
                                                      RequestHandler& handler, ServerLimits limits,
                                                      std::optional<TlsIdentity> tls) {
    auto implementation = std::make_unique<Implementation>(loop, handler, limits, std::move(tls));
    if (Result<void> started = implementation->start(std::move(listener)); !started) {
        return tl::unexpected(started.error());
    }
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(implementation)));
}

}  // namespace sallyport::api

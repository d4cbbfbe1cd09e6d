// SPDX-License-Identifier: Apache-2.0
#include "api/http_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>
#include <set>
#include <string_view>

#include "api/listener.h"
#include "unit/api/http_client.h"

namespace sallyport::api {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

// Answers with what it was asked; "/later" only when told to.
class Echo final : public RequestHandler {
  public:
    std::optional<Response> refuse(const Request& head) override {
        last_head = head;
        if (head.path == "/refused") return Response{403, "text/plain", "no", {}};
        return std::nullopt;
    }
    void handle(Request request, Respond respond) override {
        if (request.path == "/later") {
            pending.push_back(std::move(respond));
        } else if (request.path == "/large") {
            respond({200, "text/plain", std::string(large_bytes, 'x'), {}});
        } else {
            const std::string text = request.method + " " + request.path + " " + request.body;
            respond({200, "text/plain", text, {{"X-Test", "yes"}}});
        }
    }
    Response body_too_large(const Request&) override { return {413, "text/plain", "too large", {}}; }
    Response too_busy(const Request&) override { return {503, "text/plain", "too busy", {}}; }

    static constexpr std::size_t large_bytes = std::size_t{4} << 20;
    Request last_head;
    std::vector<Respond> pending;
};

class HttpServerTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "/http-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
        path_ = folder_ / "api.sock";
        loop_ = std::move(*EventLoop::make());
    }
    void TearDown() override {
        server_.reset();
        std::filesystem::remove_all(folder_);
    }
    void start(ServerLimits limits = {}) {
        auto listener = listen_unix(path_, std::nullopt);
        ASSERT_TRUE(listener) << listener.error().message;
        auto server = HttpServer::start(*loop_, std::move(*listener), echo_, limits);
        ASSERT_TRUE(server) << server.error().message;
        server_ = std::move(*server);
        client_ = std::make_unique<HttpClient>(*loop_, path_);
    }
    CURL* begin(const std::string& target) { return client_->begin({target, "", "", false, {}}); }
    void turn_for(milliseconds duration) {
        const auto end = SteadyClock::now() + duration;
        while (SteadyClock::now() < end) client_->turn();
    }
    static bool send_text(const UniqueFd& fd, std::string_view text) {
        return send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
    }
    // What the server sent before it closed; nothing: it did not close within two seconds.
    std::optional<std::string> read_until_closed(const UniqueFd& fd) {
        std::string text;
        const auto end = SteadyClock::now() + milliseconds{2000};
        while (SteadyClock::now() < end) {
            client_->turn();
            char buffer[4096];
            const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
            if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
            if (got == 0 || (got < 0 && errno != EAGAIN)) return text;
        }
        return std::nullopt;
    }

    std::filesystem::path folder_;
    std::string path_;
    std::unique_ptr<EventLoop> loop_;
    Echo echo_;
    std::unique_ptr<HttpServer> server_;
    std::unique_ptr<HttpClient> client_;
};

TEST_F(HttpServerTest, ServesARequestWithEverythingInIt) {
    start();
    const Answer answer = client_->request(
        {"/a%20b?x=1&y=%2F&z", "", "hello", true, {"Content-Type: Application/JSON; charset=utf-8"}});
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "POST /a b hello");
    EXPECT_EQ(answer.headers.at("x-test"), "yes");
    EXPECT_EQ(answer.headers.at("content-type"), "text/plain");
    EXPECT_EQ(echo_.last_head.content_type, "application/json");
    EXPECT_EQ(*echo_.last_head.parameter("y"), "/");
    EXPECT_EQ(*echo_.last_head.parameter("z"), "");
    EXPECT_EQ(echo_.last_head.parameter("w"), nullptr);
    ASSERT_TRUE(echo_.last_head.peer);
    EXPECT_EQ(echo_.last_head.peer->uid, getuid());
    EXPECT_EQ(echo_.last_head.peer->pid, getpid());
}

TEST_F(HttpServerTest, HeadHasTheHeadersOfGetAndNoBody) {
    start();
    const Answer answer = client_->request({"/x", "HEAD", "", false, {}});
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "");
    EXPECT_EQ(answer.headers.at("content-length"), "8");
}

TEST_F(HttpServerTest, ARefusalComesBeforeTheBody) {
    start();
    EXPECT_EQ(client_->post("/refused", std::string(1 << 20, 'x')).status, 403);
}

TEST_F(HttpServerTest, BodiesAreBounded) {
    start({.body_bytes = 1000, .connections = 8, .patience = milliseconds{2000}});
    EXPECT_EQ(client_->post("/", std::string(1000, 'x')).status, 200);
    EXPECT_EQ(client_->post("/", std::string(1001, 'x')).status, 413);
    const Answer chunked =
        client_->request({"/", "", std::string(100000, 'x'), true, {"Transfer-Encoding: chunked"}});
    EXPECT_EQ(chunked.status, 413);
    EXPECT_EQ(client_->get("/").status, 200);
}

TEST_F(HttpServerTest, ALateAnswerHoldsUpNobody) {
    start();
    CURL* late = begin("/later");
    while (echo_.pending.empty()) client_->turn();
    EXPECT_EQ(client_->get("/now").status, 200);
    EXPECT_FALSE(client_->done(late));
    echo_.pending[0]({200, "text/plain", "at last", {}});
    client_->finish(late);
    EXPECT_EQ(client_->end(late).body, "at last");
}

TEST_F(HttpServerTest, AnAnswerToAClientThatLeftGoesNowhere) {
    start();
    CURL* late = begin("/later");
    while (echo_.pending.empty()) client_->turn();
    client_->end(late);
    turn_for(milliseconds{20});
    echo_.pending[0]({200, "text/plain", "at last", {}});
    turn_for(milliseconds{20});
    EXPECT_EQ(client_->get("/now").status, 200);
}

TEST_F(HttpServerTest, StopsWithRequestsUnderWay) {
    start();
    CURL* late = begin("/later");
    while (echo_.pending.empty()) client_->turn();
    server_.reset();
    echo_.pending[0]({200, "text/plain", "too late", {}});
    client_->finish(late);
    EXPECT_EQ(client_->end(late).status, 503);
}

TEST_F(HttpServerTest, SendsWhatWasAnsweredBeforeItStopped) {
    start();
    CURL* late = begin("/later");
    CURL* never = begin("/later");
    while (echo_.pending.size() < 2) client_->turn();
    echo_.pending[0]({200, "text/plain", "in time", {}});
    server_.reset();
    client_->finish(late);
    client_->finish(never);
    const std::set<long> told{client_->end(late).status, client_->end(never).status};
    EXPECT_EQ(told, (std::set<long>{200, 503})) << "whichever came first";
}

TEST_F(HttpServerTest, WaitingForAnAnswerIsNotTheClientsFault) {
    start({.body_bytes = 1000, .connections = 8, .patience = milliseconds{100}});
    CURL* late = begin("/later");
    turn_for(milliseconds{400});
    EXPECT_FALSE(client_->done(late));
    ASSERT_EQ(echo_.pending.size(), 1u);
    echo_.pending[0]({200, "text/plain", "at last", {}});
    client_->finish(late);
    EXPECT_EQ(client_->end(late).status, 200);
}

TEST_F(HttpServerTest, ClientsThatSayNothingOrDribbleAreClosed) {
    start({.body_bytes = 1000, .connections = 64, .patience = milliseconds{200}});
    const UniqueFd silent = connect_unix(path_);
    const UniqueFd dribbling = connect_unix(path_);
    ASSERT_TRUE(silent && dribbling);
    bool closed = false;
    for (int i = 0; i < 50 && !closed; ++i) {
        closed = !send_text(dribbling, "G");
        turn_for(milliseconds{20});
    }
    EXPECT_TRUE(closed);
    EXPECT_TRUE(read_until_closed(silent));
}

TEST_F(HttpServerTest, ABodyThatDribblesIsClosed) {
    start({.body_bytes = 1000, .connections = 64, .patience = milliseconds{200}});
    const UniqueFd slow = connect_unix(path_);
    ASSERT_TRUE(send_text(slow, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n"));
    bool closed = false;
    for (int i = 0; i < 50 && !closed; ++i) {
        closed = !send_text(slow, "x");
        turn_for(milliseconds{20});
    }
    EXPECT_TRUE(closed);
}

TEST_F(HttpServerTest, AClientThatTakesNoAnswerIsClosed) {
    start({.body_bytes = 1000, .connections = 64, .patience = milliseconds{200}});
    const UniqueFd greedy = connect_unix(path_);
    ASSERT_TRUE(send_text(greedy, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
    turn_for(milliseconds{600});
    const auto received = read_until_closed(greedy);
    ASSERT_TRUE(received);
    EXPECT_LT(received->size(), Echo::large_bytes);
}

TEST_F(HttpServerTest, ManySlowClientsHoldUpNobody) {
    start();
    std::vector<UniqueFd> slow;
    for (int i = 0; i < 100; ++i) {
        slow.push_back(connect_unix(path_));
        ASSERT_TRUE(slow.back());
        ASSERT_TRUE(send_text(slow.back(), "GET / HT"));
        client_->turn();
    }
    const auto begun = SteadyClock::now();
    EXPECT_EQ(client_->get("/now").status, 200);
    EXPECT_LT(SteadyClock::now() - begun, milliseconds{500});
}

TEST_F(HttpServerTest, WhereConnectionsGetScarceTheSilentGoFirst) {
    start({.body_bytes = 1000, .connections = 16, .patience = milliseconds{20000}});
    CURL* late = begin("/later");
    while (echo_.pending.empty()) client_->turn();
    std::vector<UniqueFd> silent;
    for (int i = 0; i < 15; ++i) {
        silent.push_back(connect_unix(path_));
        ASSERT_TRUE(silent.back());
    }
    turn_for(milliseconds{700});
    const auto begun = SteadyClock::now();
    for (int i = 0; i < 10; ++i) {
        HttpClient another(*loop_, path_);
        EXPECT_EQ(another.get("/now").status, 200);
    }
    EXPECT_LT(SteadyClock::now() - begun, milliseconds{3000});
    EXPECT_TRUE(read_until_closed(silent.front()));
    // Who waits for an answer is no stranger.
    echo_.pending[0]({200, "text/plain", "at last", {}});
    client_->finish(late);
    EXPECT_EQ(client_->end(late).body, "at last");
}

TEST_F(HttpServerTest, AllBodiesTogetherAreBounded) {
    start({.body_bytes = 1000, .connections = 8, .all_bodies_bytes = 1500});
    const UniqueFd unfinished = connect_unix(path_);
    ASSERT_TRUE(send_text(
        unfinished, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + std::string(900, 'x')));
    turn_for(milliseconds{50});
    EXPECT_EQ(client_->post("/", std::string(700, 'x')).status, 503);
    EXPECT_EQ(client_->post("/", std::string(500, 'x')).status, 200);
    shutdown(unfinished.get(), SHUT_RDWR);
    turn_for(milliseconds{50});
    EXPECT_EQ(client_->post("/", std::string(1000, 'x')).status, 200);
}

TEST_F(HttpServerTest, ARefusalWithoutABodyKeepsTheConnection) {
    start();
    const UniqueFd fd = connect_unix(path_);
    const std::string request = "GET /refused HTTP/1.1\r\nHost: a\r\n\r\n";
    ASSERT_TRUE(send_text(fd, request + request));
    std::string answers;
    for (int i = 0; i < 300 && answers.rfind("403") == answers.find("403"); ++i) {
        client_->turn();
        char buffer[4096];
        const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
        if (got > 0) answers.append(buffer, static_cast<std::size_t>(got));
    }
    EXPECT_NE(answers.rfind("403"), answers.find("403"));
}

TEST_F(HttpServerTest, ARetiredServerFinishesWhatItHas) {
    start();
    CURL* late = begin("/later");
    while (echo_.pending.empty()) client_->turn();
    const UniqueFd idle = connect_unix(path_);
    ASSERT_TRUE(send_text(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    turn_for(milliseconds{50});
    EXPECT_EQ(server_->connections(), 2u);
    server_->retire();
    EXPECT_TRUE(read_until_closed(idle));
    EXPECT_FALSE(client_->done(late));
    echo_.pending[0]({200, "text/plain", "at last", {}});
    client_->finish(late);
    EXPECT_EQ(client_->end(late).body, "at last");
    turn_for(milliseconds{50});
    EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(HttpServerTest, GarbageClosesItsOwnConnectionOnly) {
    start({.body_bytes = 1000, .connections = 64, .patience = milliseconds{500}});
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        std::string garbage = round % 2 == 0 ? "" : "POST /v1/apply HTTP/1.1\r\nHost: a\r\nContent-Length: ";
        const std::size_t size = random() % 500;
        for (std::size_t i = 0; i < size; ++i) garbage += static_cast<char>(random() & 0xff);
        garbage += "\r\n\r\n";
        const UniqueFd fd = connect_unix(path_);
        ASSERT_TRUE(fd);
        (void)send_text(fd, garbage);
        client_->turn();
        client_->turn();
    }
    const UniqueFd enormous = connect_unix(path_);
    (void)send_text(enormous, "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100000, 'x') + "\r\n\r\n");
    EXPECT_TRUE(read_until_closed(enormous));
    EXPECT_EQ(client_->get("/now").status, 200);
}

TEST_F(HttpServerTest, OneConnectionServesManyRequests) {
    start();
    const UniqueFd fd = connect_unix(path_);
    std::string requests;
    for (int i = 0; i < 5; ++i) requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    ASSERT_TRUE(send_text(fd, requests));
    std::string answers;
    for (int i = 0; i < 300 && answers.find("GET /4") == std::string::npos; ++i) {
        client_->turn();
        char buffer[4096];
        const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
        if (got > 0) answers.append(buffer, static_cast<std::size_t>(got));
    }
    EXPECT_NE(answers.find("GET /0"), std::string::npos);
    EXPECT_NE(answers.find("GET /4"), std::string::npos);
}

TEST_F(HttpServerTest, TheSocketIsForOwnerAndGroup) {
    start();
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777u, 0660u);
}

TEST_F(HttpServerTest, AStaleSocketIsReplacedAndALiveOneRefused) {
    { const auto gone = listen_unix(path_, std::nullopt); }
    ASSERT_TRUE(std::filesystem::exists(path_));
    start();
    const auto second = listen_unix(path_, std::nullopt);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("another agent runs"), std::string::npos) << second.error().message;
    EXPECT_EQ(client_->get("/now").status, 200);
}

TEST_F(HttpServerTest, WhatIsNoSocketIsKept) {
    std::filesystem::create_directory(path_);
    EXPECT_FALSE(listen_unix(path_, std::nullopt));
    EXPECT_TRUE(std::filesystem::is_directory(path_));
    EXPECT_FALSE(listen_unix(folder_ / std::string(200, 'x'), std::nullopt));
}

TEST_F(HttpServerTest, ServesTcpWithoutAPeer) {
    auto listener = listen_tcp({Ipv4Address(127, 0, 0, 1), 0});
    ASSERT_TRUE(listener) << listener.error().message;
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    ASSERT_EQ(getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    auto server = HttpServer::start(*loop_, std::move(*listener), echo_);
    ASSERT_TRUE(server);
    HttpClient client(*loop_, "");
    EXPECT_EQ(client.get("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/x").status, 200);
    EXPECT_FALSE(echo_.last_head.peer);
}

}  // namespace
}  // namespace sallyport::api

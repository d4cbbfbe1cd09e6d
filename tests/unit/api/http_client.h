// SPDX-License-Identifier: Apache-2.0
//
// A client for the tests of a server that runs in the same thread: libcurl's multi interface moves on in
// turns with the event loop.
#pragma once

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "api/event_loop.h"
#include "core/unique_fd.h"

namespace sallyport::api {

struct Answer {
    CURLcode result = CURLE_OK;
    long status = 0;
    std::string body;
    std::map<std::string, std::string> headers;  // names in lower case
};

struct ClientRequest {
    std::string target;
    std::string method;  // empty: GET, or POST with a body
    std::string body;
    bool has_body = false;
    std::vector<std::string> headers;
};

class HttpClient {
  public:
    // An empty path: targets are whole URLs.
    HttpClient(EventLoop& loop, std::string socket_path)
        : loop_(loop), socket_path_(std::move(socket_path)) {}
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;
    ~HttpClient() { curl_multi_cleanup(multi_); }

    Answer get(const std::string& target) { return request({target, "", "", false, {}}); }
    Answer post(const std::string& target, const std::string& body) {
        return request({target, "", body, true, {"Content-Type: application/json"}});
    }
    Answer request(const ClientRequest& request) {
        CURL* handle = begin(request);
        finish(handle);
        return end(handle);
    }

    // For several at once: begin() each, turn() until done(), end() each.
    CURL* begin(const ClientRequest& request) {
        auto* pending = new Pending;
        pending->body = request.body;
        CURL* handle = curl_easy_init();
        curl_easy_setopt(handle, CURLOPT_PRIVATE, pending);
        const std::string url =
            request.target.starts_with("http") ? request.target : "http://gateway" + request.target;
        if (!socket_path_.empty()) curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, socket_path_.c_str());
        curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
        curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &HttpClient::write);
        curl_easy_setopt(handle, CURLOPT_WRITEDATA, &pending->answer.body);
        curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, &HttpClient::header);
        curl_easy_setopt(handle, CURLOPT_HEADERDATA, &pending->answer.headers);
        curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 20000L);
        curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
        if (request.has_body) {
            curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                             static_cast<curl_off_t>(pending->body.size()));
            curl_easy_setopt(handle, CURLOPT_POSTFIELDS, pending->body.c_str());
        }
        for (const std::string& line : request.headers) {
            pending->headers = curl_slist_append(pending->headers, line.c_str());
        }
        curl_easy_setopt(handle, CURLOPT_HTTPHEADER, pending->headers);
        if (request.method == "HEAD") {
            curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
        } else if (!request.method.empty()) {
            curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
        }
        curl_multi_add_handle(multi_, handle);
        return handle;
    }

    void turn() {
        int count = 0;
        curl_multi_perform(multi_, &count);
        (void)loop_.run_once(std::chrono::milliseconds{1});
        while (const CURLMsg* message = curl_multi_info_read(multi_, &count)) {
            if (message->msg != CURLMSG_DONE) continue;
            Pending& pending = pending_of(message->easy_handle);
            pending.answer.result = message->data.result;
            pending.done = true;
        }
    }
    bool done(CURL* handle) const { return pending_of(handle).done; }
    void finish(CURL* handle) {
        while (!done(handle)) turn();
    }
    Answer end(CURL* handle) {
        Pending& pending = pending_of(handle);
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &pending.answer.status);
        Answer answer = std::move(pending.answer);
        curl_multi_remove_handle(multi_, handle);
        curl_slist_free_all(pending.headers);
        delete &pending;
        curl_easy_cleanup(handle);
        return answer;
    }

  private:
    struct Pending {
        Answer answer;
        std::string body;
        curl_slist* headers = nullptr;
        bool done = false;
    };
    static Pending& pending_of(CURL* handle) {
        Pending* pending = nullptr;
        curl_easy_getinfo(handle, CURLINFO_PRIVATE, &pending);
        return *pending;
    }
    static std::size_t write(char* data, std::size_t size, std::size_t count, void* text) {
        static_cast<std::string*>(text)->append(data, size * count);
        return size * count;
    }
    static std::size_t header(char* data, std::size_t size, std::size_t count, void* headers) {
        const std::string line(data, size * count);
        const std::size_t colon = line.find(':');
        if (colon != std::string::npos) {
            std::string name = line.substr(0, colon);
            for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            std::string value = line.substr(colon + 1);
            while (!value.empty() && value.front() == ' ') value.erase(0, 1);
            while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) value.pop_back();
            (*static_cast<std::map<std::string, std::string>*>(headers))[name] = value;
        }
        return size * count;
    }

    EventLoop& loop_;
    std::string socket_path_;
    CURLM* multi_ = curl_multi_init();
};

// For a client that keeps to no rule. Does not block.
inline UniqueFd connect_unix(const std::string& path) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) fd.reset();
    return fd;
}

}  // namespace sallyport::api

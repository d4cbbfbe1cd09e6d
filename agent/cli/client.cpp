// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <thread>

namespace sallyport::cli {
namespace {

constexpr long connect_patience_ms = 5000;
// An agent that is being started anew answers again within a few of these.
constexpr int repetitions_most = 5;
constexpr std::chrono::seconds repetition_delay{1};
// Far above any answer; keeps a wrong process at the other end from filling the memory.
constexpr std::size_t longest_answer = std::size_t{256} << 20;

struct CurlDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
    void operator()(char* text) const { curl_free(text); }
};

// curl_global_init() must come before the first handle and is not safe beside other threads.
class CurlLibrary {
  public:
    CurlLibrary() {
        if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) throw std::bad_alloc();
    }
    ~CurlLibrary() { curl_global_cleanup(); }
    CurlLibrary(const CurlLibrary&) = delete;
    CurlLibrary& operator=(const CurlLibrary&) = delete;
};

std::string encoded(std::string_view text) {
    std::unique_ptr<char, CurlDeleter> out(
        curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size())));
    if (!out) throw std::bad_alloc();
    return out.get();
}

// Called by libcurl, which is C: no exception may leave it.
std::size_t receive(char* data, std::size_t size, std::size_t count, void* user) noexcept {
    auto* answer = static_cast<std::string*>(user);
    std::size_t bytes = size * count;
    if (answer->size() + bytes > longest_answer) return 0;
    try {
        answer->append(data, bytes);
    } catch (const std::bad_alloc&) {
        return 0;
    }
    return bytes;
}

tl::unexpected<Problem> not_reached(const std::string& socket_path, CURLcode code, int cause,
                                    const char* curl_text, std::chrono::seconds patience) {
    if (cause == EACCES || cause == EPERM) {
        return problem(ExitCode::not_permitted, "not permitted",
                       fmt::format("not permitted to use the agent's socket {}: be root or a member of the "
                                   "group sallyport",
                                   socket_path));
    }
    std::string why;
    if (code == CURLE_COULDNT_CONNECT && cause != 0) {
        why = std::strerror(cause);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        why = fmt::format("no answer within {} s", patience.count());
    } else {
        why = *curl_text != '\0' ? curl_text : curl_easy_strerror(code);
    }
    return problem(ExitCode::unreachable, "agent not reachable",
                   fmt::format("cannot reach the agent at {}: {}; is sallyportd running? (systemctl status "
                               "sallyport)",
                               socket_path, why));
}

ExitCode exit_of(long status) {
    switch (status) {
        case 401:
        case 403:
            return ExitCode::not_permitted;
        case 409:
        case 412:
            return ExitCode::conflict;
        default:
            return ExitCode::failed;
    }
}

std::string random_key() {
    std::array<unsigned char, 16> bytes{};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        throw std::runtime_error("the system gives no random numbers");
    return fmt::format("{:02x}", fmt::join(bytes, ""));
}

// Whether the request may have been carried out and only the answer is missing.
bool is_broken_off(CURLcode code) {
    return code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
           code == CURLE_PARTIAL_FILE;
}

// A document that is not UTF-8 still reaches the agent, which tells what is wrong with it and where.
std::string text_of(const Json& body) {
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

struct Client::Answer {
    CURLcode code = CURLE_OK;
    int cause = 0;  // errno of a connection that failed
    std::string curl_text = {};
    long status = 0;
    std::string body = {};
};

std::string path_of(std::initializer_list<std::string_view> parts) {
    std::string path = "/v1";
    for (std::string_view part : parts) path += "/" + encoded(part);
    return path;
}

std::string with_query(std::string path, const Query& query) {
    char separator = '?';
    for (const auto& [name, value] : query) {
        path += separator + encoded(name) + '=' + encoded(value);
        separator = '&';
    }
    return path;
}

Outcome Client::get(const std::string& path, const Query& query, std::chrono::seconds patience) const {
    return send({.target = with_query(path, query), .patience = patience});
}

Outcome Client::post(const std::string& path, const Json& body) const {
    return send({.method = "POST", .target = path, .body = text_of(body)});
}

Outcome Client::post_once(const std::string& path, const Json& body) const {
    const Request request{
        .method = "POST", .target = path, .body = text_of(body), .idempotency_key = random_key()};
    Answer answer = perform(request);
    const bool repeat = is_broken_off(answer.code);
    for (int i = 0; repeat && i < repetitions_most && answer.code != CURLE_OK; ++i) {
        std::this_thread::sleep_for(repetition_delay);
        answer = perform(request);
    }
    return outcome_of(answer, request.patience);
}

Outcome Client::patch(const std::string& path, const Json& body) const {
    return send({.method = "PATCH", .target = path, .body = text_of(body)});
}

Outcome Client::remove(const std::string& path) const {
    return send({.method = "DELETE", .target = path});
}

Outcome Client::send(const Request& request) const {
    return outcome_of(perform(request), request.patience);
}

Client::Answer Client::perform(const Request& request) const {
    static const CurlLibrary library;
    std::unique_ptr<CURL, CurlDeleter> curl(curl_easy_init());
    if (!curl) throw std::bad_alloc();

    Answer answer;
    std::array<char, CURL_ERROR_SIZE> curl_text{};
    std::unique_ptr<curl_slist, CurlDeleter> headers(
        curl_slist_append(nullptr, "Accept: application/json, application/problem+json"));
    const auto add_header = [&headers](const std::string& line) {
        headers.reset(curl_slist_append(headers.release(), line.c_str()));
    };
    curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, socket_path_.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_URL, ("http://localhost" + request.target).c_str());
    curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http");
    // A proxy of the environment is for the network, not for this socket.
    curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, connect_patience_ms);
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, static_cast<long>(request.patience.count()));
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &receive);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
    curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, curl_text.data());
    if (request.body) {
        add_header("Content-Type: application/json");
        // libcurl would first ask the agent whether it takes a large body, and wait for the reply.
        add_header("Expect:");
        curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                         static_cast<curl_off_t>(request.body->size()));
        curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, request.body->data());
    }
    if (!request.idempotency_key.empty()) add_header("Idempotency-Key: " + request.idempotency_key);
    if (!headers) throw std::bad_alloc();
    curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, request.method);
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());

    answer.code = curl_easy_perform(curl.get());
    answer.curl_text = curl_text.data();
    long cause = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_OS_ERRNO, &cause);
    answer.cause = static_cast<int>(cause);
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    return answer;
}

Outcome Client::outcome_of(const Answer& answer, std::chrono::seconds patience) const {
    constexpr long no_content = 204;
    if (answer.code != CURLE_OK)
        return not_reached(socket_path_, answer.code, answer.cause, answer.curl_text.c_str(), patience);
    if (answer.status == no_content) return Json::object();
    Json value = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded() || !value.is_object()) {
        return problem(
            exit_of(answer.status), "answer not understood",
            fmt::format("what answered at {} sent no JSON object (HTTP status {}); is it sallyportd?",
                        socket_path_, answer.status));
    }
    if (answer.status < 200 || answer.status > 299)
        return tl::unexpected(Problem{exit_of(answer.status), std::move(value)});
    return value;
}

}  // namespace sallyport::cli

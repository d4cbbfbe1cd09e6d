// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <new>
#include <thread>

#include "config/api_settings.h"
#include "core/address.h"

namespace sallyport::cli {
namespace {

constexpr long connect_patience_ms = 5000;
// An agent that is being started anew answers again within a few of these, and so does one that is busy with
// the same request.
constexpr int repetitions_most = 5;
constexpr std::chrono::seconds repetition_delay{1};
// Far above any answer; keeps a wrong process at the other end from filling the memory.
constexpr std::size_t longest_answer = std::size_t{256} << 20;

struct CurlDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
    void operator()(char* text) const { curl_free(text); }
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// curl_global_init() must come before the first handle and is not safe beside other threads.
class CurlLibrary {
  public:
    CurlLibrary() {
        if (curl_global_init(CURL_GLOBAL_SSL) != CURLE_OK) throw std::bad_alloc();
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

// Empty where the URL has no such part.
std::string part_of(CURLU* url, CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(url, which, &text, 0) != CURLUE_OK) return {};
    const std::unique_ptr<char, CurlDeleter> owner(text);
    return text;
}

bool is_this_host(const std::string& name) {
    const auto address = Ipv4Address::parse(name);
    return name == "localhost" || name == "[::1]" || (address && config::is_loopback(*address));
}

// Empty where the answer has no such header.
std::string header_of(CURL* curl, const char* name) {
    curl_header* header = nullptr;
    return curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : "";
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
    std::string entity_tag = {};
    std::string revision = {};
    std::string retry_after = {};

    // The same request came before and is still being carried out: the next time it is answered.
    [[nodiscard]] bool is_under_way() const {
        constexpr long conflict = 409;
        return status == conflict && !retry_after.empty();
    }
};

std::string random_key() {
    std::array<unsigned char, 16> bytes{};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        throw std::runtime_error("the system gives no random numbers");
    return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string fault_of_url(const std::string& text) {
    const std::unique_ptr<CURLU, CurlDeleter> url(curl_url());
    if (!url) throw std::bad_alloc();
    const bool is_url = curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
    const std::string scheme = part_of(url.get(), CURLUPART_SCHEME),
                      path = part_of(url.get(), CURLUPART_PATH);
    bool is_bare = path.empty() || path == "/";
    for (const CURLUPart more : {CURLUPART_USER, CURLUPART_QUERY, CURLUPART_FRAGMENT})
        is_bare = is_bare && part_of(url.get(), more).empty();
    if (!is_url || !is_bare || (scheme != "https" && scheme != "http"))
        return fmt::format("\"{}\" is no https://HOST:PORT", text);
    if (scheme == "http" && !is_this_host(part_of(url.get(), CURLUPART_HOST)))
        return fmt::format(
            "\"{}\" leads beyond this host without TLS, where the token could be read on the way; "
            "take https://",
            text);
    return {};
}

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

tl::expected<Reply, Problem> Client::read(const std::string& path, const Query& query,
                                          std::chrono::seconds patience) const {
    return reply_of(perform({.target = with_query(path, query), .patience = patience}), patience);
}

Outcome Client::ready() const {
    constexpr long ok = 200;
    const Request request{.target = "/readyz"};
    const Answer answer = perform(request);
    // Made for probes, which look at the status alone, it is no JSON.
    if (answer.code == CURLE_OK && answer.status == ok) return Json{{"ready", true}};
    return outcome_of(answer, request.patience);
}

Outcome Client::post(const std::string& path, const Json& body, const std::string& key) const {
    return send({.method = "POST", .target = path, .body = text_of(body), .idempotency_key = key});
}

Outcome Client::put(const std::string& path, const Json& body, const std::string& tag) const {
    return send({.method = "PUT", .target = path, .body = text_of(body), .if_match = tag});
}

Outcome Client::patch(const std::string& path, const Json& body, const std::string& tag) const {
    return send({.method = "PATCH", .target = path, .body = text_of(body), .if_match = tag});
}

Outcome Client::remove(const std::string& path, const std::string& tag) const {
    return send({.method = "DELETE", .target = path, .if_match = tag});
}

Outcome Client::send(const Request& request) const {
    Answer answer = perform(request);
    const bool repeat =
        !request.idempotency_key.empty() && (is_broken_off(answer.code) || answer.is_under_way());
    const auto is_missing = [&answer] { return answer.code != CURLE_OK || answer.is_under_way(); };
    for (int i = 0; repeat && i < repetitions_most && is_missing(); ++i) {
        std::this_thread::sleep_for(repetition_delay);
        answer = perform(request);
    }
    return outcome_of(answer, request.patience);
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
    std::string base = "http://localhost";
    if (server_.is_remote()) {
        base = server_.url;
        while (base.ends_with('/')) base.pop_back();
        if (!server_.token.empty()) add_header("Authorization: Bearer " + server_.token);
        if (!server_.ca_file.empty()) curl_easy_setopt(curl.get(), CURLOPT_CAINFO, server_.ca_file.c_str());
    } else {
        curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, server_.socket_path.c_str());
    }
    curl_easy_setopt(curl.get(), CURLOPT_URL, (base + request.target).c_str());
    curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
    // A proxy of the environment is for the web, neither for a socket nor for what a gateway is run with.
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
    if (!request.if_match.empty()) add_header("If-Match: " + request.if_match);
    if (!headers) throw std::bad_alloc();
    curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, request.method);
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());

    answer.code = curl_easy_perform(curl.get());
    answer.curl_text = curl_text.data();
    long cause = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_OS_ERRNO, &cause);
    answer.cause = static_cast<int>(cause);
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    answer.entity_tag = header_of(curl.get(), "ETag");
    answer.revision = header_of(curl.get(), "Sallyport-Revision");
    answer.retry_after = header_of(curl.get(), "Retry-After");
    return answer;
}

tl::unexpected<Problem> Client::not_reached(const Answer& answer, std::chrono::seconds patience) const {
    std::string why;
    if (answer.code == CURLE_COULDNT_CONNECT && answer.cause != 0) {
        why = std::strerror(answer.cause);
    } else if (answer.code == CURLE_OPERATION_TIMEDOUT) {
        why = fmt::format("no answer within {} s", patience.count());
    } else {
        why = answer.curl_text.empty() ? curl_easy_strerror(answer.code) : answer.curl_text;
    }
    if (!server_.is_remote() && (answer.cause == EACCES || answer.cause == EPERM)) {
        return problem(ExitCode::not_permitted, "not permitted",
                       fmt::format("not permitted to use the agent's socket {}: be root or a member of the "
                                   "group sallyport",
                                   server_.socket_path));
    }
    if (!server_.is_remote()) why += "; is sallyportd running? (systemctl status sallyport)";
    if (answer.code == CURLE_PEER_FAILED_VERIFICATION)
        why += "; --ca-file names the certificates of whom to trust";
    return problem(ExitCode::unreachable, "agent not reachable",
                   fmt::format("cannot reach the agent at {}: {}", server_.place(), why));
}

Outcome Client::outcome_of(const Answer& answer, std::chrono::seconds patience) const {
    auto reply = reply_of(answer, patience);
    if (!reply) return tl::unexpected(std::move(reply.error()));
    return std::move(reply->body);
}

tl::expected<Reply, Problem> Client::reply_of(const Answer& answer, std::chrono::seconds patience) const {
    constexpr long no_content = 204, not_modified = 304;
    if (answer.code != CURLE_OK) return not_reached(answer, patience);
    Reply reply{.body = Json::object(), .entity_tag = answer.entity_tag};
    // What is no number stays 0, as with an agent that does not say it.
    std::from_chars(answer.revision.data(), answer.revision.data() + answer.revision.size(), reply.revision);
    reply.is_unchanged = answer.status == not_modified;
    if (answer.status == no_content || reply.is_unchanged) return reply;
    reply.body = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
    if (reply.body.is_discarded() || !reply.body.is_object()) {
        return problem(
            exit_of(answer.status), "answer not understood",
            fmt::format("what answered at {} sent no JSON object (HTTP status {}); is it sallyportd?",
                        server_.place(), answer.status));
    }
    if (answer.status < 200 || answer.status > 299)
        return tl::unexpected(Problem{exit_of(answer.status), std::move(reply.body)});
    return reply;
}

}  // namespace sallyport::cli

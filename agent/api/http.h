// SPDX-License-Identifier: Apache-2.0
//
// A request and its answer as values, apart from the library that carries them.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/address.h"

namespace sallyport::api {

// Who is at the other end of a Unix socket, as the kernel knew it when it connected.
struct Peer {
    pid_t pid = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;  // beside gid
};

struct Request {
    std::string method;
    std::string path;                                          // decoded, without the query
    std::vector<std::pair<std::string, std::string>> query;    // decoded, in the order of the request
    std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
    std::string content_type;                                  // lower case, without parameters
    std::string body;
    std::optional<Peer> peer;               // of a Unix socket
    std::optional<Ipv4Address> reached_at;  // of TCP: the address of ours that the client connected to
    std::string actor;                      // who asks, in words, where it is not the peer

    [[nodiscard]] const std::string* parameter(std::string_view name) const;  // nullptr: not given
    // The only header of that name, which is in lower case; nullptr: there is none, or more than one.
    [[nodiscard]] const std::string* header(std::string_view name) const;
    [[nodiscard]] bool has_header(std::string_view name) const;
};

// Which revision an answer tells of.
inline constexpr const char* revision_header = "Sallyport-Revision";

struct Response {
    unsigned status = 200;
    std::string content_type;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
};

// Gives the answer: once, at once or later. Later than the client's patience does no harm.
using Respond = std::function<void(Response)>;

class RequestHandler {
  public:
    virtual ~RequestHandler() = default;

    // Called when the head of a request is there and its body is not: an answer here spares the client to
    // send it.
    virtual std::optional<Response> refuse(const Request& head) = 0;

    // Called with the whole of a request that was not refused.
    virtual void handle(Request request, Respond respond) = 0;

    // The answer to a body above the limit.
    virtual Response body_too_large(const Request& head) = 0;

    // The answer to a body for which there is no room beside those that are coming in already.
    virtual Response too_busy(const Request& head) = 0;
};

}  // namespace sallyport::api

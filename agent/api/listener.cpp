// SPDX-License-Identifier: Apache-2.0
#include "api/listener.h"

#include <fmt/format.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace sallyport::api {

namespace {

constexpr int backlog = 128;

Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return {};
        return system_failure("look at " + path);
    }
    if (!S_ISSOCK(status.st_mode))
        return failure(fmt::format("{} is there and is no socket: move it away", path));
    const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return system_failure("make a socket");
    const int connected = connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    if (connected == 0 || errno != ECONNREFUSED) {
        return failure(fmt::format("{} is in use: another agent runs; stop it first", path), EADDRINUSE);
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return system_failure("remove " + path);
    return {};
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path, std::optional<gid_t> group) {
    const std::string doing = "listen on " + path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return failure(
            fmt::format("{}: the path is longer than {} bytes", doing, sizeof(address.sun_path) - 1));
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (Result<void> removed = remove_stale(path, address); !removed) {
        return failure_within(doing, removed.error());
    }
    UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener) return system_failure(doing);
    // Made closed to all, and opened to those who may once its group is right.
    const mode_t previous_mask = umask(0177);
    const int bound = bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    const int bind_error = errno;
    umask(previous_mask);
    if (bound != 0) return system_failure(doing, bind_error);
    // An agent that runs with this group need not, and as a service may not, change it.
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return system_failure(doing);
    if (group && status.st_gid != *group && chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) {
        return system_failure(fmt::format("{}: give it to the group {}", doing, *group));
    }
    if (chmod(path.c_str(), 0660) != 0) return system_failure(doing);
    if (::listen(listener.get(), backlog) != 0) return system_failure(doing);
    return listener;
}

Result<UniqueFd> listen_tcp(const Endpoint& endpoint) {
    const std::string doing = "listen on " + endpoint.to_string();
    UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener) return system_failure(doing);
    const int on = 1;
    if (setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return system_failure(doing);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    address.sin_addr.s_addr = endpoint.address.to_network();
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        return system_failure(doing);
    }
    if (::listen(listener.get(), backlog) != 0) return system_failure(doing);
    return listener;
}

std::optional<gid_t> group_named(const std::string& name) {
    const group* found = getgrnam(name.c_str());
    return found == nullptr ? std::nullopt : std::optional<gid_t>(found->gr_gid);
}

}  // namespace sallyport::api

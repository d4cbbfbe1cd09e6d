// SPDX-License-Identifier: Apache-2.0
//
// Sockets to listen on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/address.h"
#include "core/result.h"
#include "core/unique_fd.h"

namespace sallyport::api {

// Listens on a Unix socket that is made with mode 0660 and, where one is given, that group. What a dead
// agent left at `path` is replaced; a socket that somebody listens on, or anything else than a socket, is
// refused.
Result<UniqueFd> listen_unix(const std::string& path, std::optional<gid_t> group);

Result<UniqueFd> listen_tcp(const Endpoint& endpoint);

std::optional<gid_t> group_named(const std::string& name);

}  // namespace sallyport::api

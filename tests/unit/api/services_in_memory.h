// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/routes.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::api {

// All that the routes of the API need, of a gateway that has started; `loop` is that of commands.
inline Services services_of(const GatewayInMemory& here, doctor::Host& host, RevisionWatch& watch,
                            EventLoop& loop) {
    return {.reader = *here.reader,
            .host = host,
            .watch = watch,
            .pin_dir = "/sys/fs/bpf/sallyport",
            .gateway = *here.gateway,
            .drops = *here.drops,
            .captures = *here.captures,
            .loop = loop};
}

}  // namespace sallyport::api

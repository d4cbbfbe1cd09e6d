// SPDX-License-Identifier: Apache-2.0
//
// Captures for clients of the agent's own socket. Packets are content: nobody gets them over the network,
// whatever token he has.
#pragma once

#include "api/event_loop.h"
#include "api/http.h"
#include "api/router.h"
#include "control/captures.h"
#include "control/gateway.h"

namespace sallyport::api::captures {

Response begin(const control::Gateway& gateway, control::Captures& captures, const Call& call);
// Answers when there are packets, or at the end of the client's wait.
void packets(const control::Gateway& gateway, control::Captures& captures, EventLoop& loop, const Call& call,
             const Respond& respond);
Response end(const control::Gateway& gateway, control::Captures& captures, const Call& call);

}  // namespace sallyport::api::captures

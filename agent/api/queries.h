// SPDX-License-Identifier: Apache-2.0
//
// The half of the API that reads. A query looks at a Snapshot of the gateway: it never waits for a command
// and never changes anything.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "api/event_loop.h"
#include "api/http.h"
#include "api/revision_watch.h"
#include "api/router.h"
#include "control/drop_feed.h"
#include "control/gateway.h"
#include "control/gateway_reader.h"

namespace sallyport::api::queries {

using Handler = std::function<Response(const control::Snapshot&, const Call&)>;

// What the handler answers, under the revision of the snapshot.
Response answer(const control::Snapshot& now, const Call& call, const Handler& handler);

Response healthz(const control::Snapshot& now, const Call& call);
Response readyz(const control::Snapshot& now, const Call& call);
Response version(const control::Snapshot& now, const Call& call);
Response status(const control::Snapshot& now, const Call& call);
Response flows(const control::Snapshot& now, const Call& call);
Response who(const control::Snapshot& now, const Call& call);
Response explain(const control::Snapshot& now, const Call& call);
Response drain(const control::Snapshot& now, const Call& call);
Response plan(const control::Snapshot& now, const Call& call);
Response history(const control::Snapshot& now, const Call& call);
// The answer to a reader who asks for a newer revision than there is (`min_revision`).
std::optional<Response> too_old(const control::Snapshot& now, const Call& call);

Response objects(const control::Snapshot& now, const Call& call);
std::optional<Response> wrong_with_objects(const Call& call);
Response object(const control::Snapshot& now, const Call& call);

// Answers with what `handler` gives once something has changed since `after_revision`, if that is given: of
// the kind in the path, or anything at all. At the end of the client's wait, 304.
void when_changed(const control::GatewayReader& reader, RevisionWatch& watch, const Call& call,
                  const Respond& respond, const Handler& handler);

// In its turn among the commands: answers when drops come, or at the end of the client's wait.
void drops(const control::Gateway& gateway, control::DropFeed& feed, EventLoop& loop, const Call& call,
           const Respond& respond);

}  // namespace sallyport::api::queries

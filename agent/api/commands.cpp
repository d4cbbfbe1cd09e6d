// SPDX-License-Identifier: Apache-2.0
#include "api/commands.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/document.h"

namespace sallyport::api::commands {

namespace {

// Who asked, for the history.
std::string actor_of(const Call& call) {
    if (!call.request.actor.empty()) return call.request.actor;
    const std::optional<Peer>& peer = call.request.peer;
    return peer ? fmt::format("uid {} (process {})", peer->uid, peer->pid) : "unknown";
}

Response answer(const control::Outcome<control::Applied>& applied) {
    if (!applied) return refusal_response(applied.error());
    nlohmann::json body{{"revision", applied->revision},
                        {"changes", changes_json(applied->changes)},
                        {"warnings", applied->warnings}};
    if (applied->confirmation) body["confirmation"] = confirmation_json(*applied->confirmation);
    return json_response(body);
}

}  // namespace

Response apply(control::Gateway& gateway, const Call& call) {
    const auto document = read_document(call.request, true);
    if (!document) return document.error();
    return answer(gateway.apply(document->text, document->name, actor_of(call), document->confirm_within));
}

Response confirm(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    const auto confirmed = gateway.confirm(actor_of(call));
    if (!confirmed) return refusal_response(confirmed.error());
    return json_response({{"revision", *confirmed}});
}

Response rollback(control::Gateway& gateway, const Call& call) {
    const auto revision = read_revision(call.request);
    if (!revision) return revision.error();
    return answer(gateway.rollback(*revision, actor_of(call)));
}

Response reload(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    return answer(gateway.reload(actor_of(call)));
}

Response detach(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    const auto detached = gateway.detach(actor_of(call));
    if (!detached) return refusal_response(detached.error());
    return json_response({{"detached", *detached}});
}

}  // namespace sallyport::api::commands

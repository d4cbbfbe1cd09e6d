// SPDX-License-Identifier: Apache-2.0
#include "api/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/document.h"
#include "api/entity_tag.h"
#include "api/problem.h"
#include "model/json.h"

namespace sallyport::api::commands {

namespace {

constexpr const char* replayed_header = "Idempotency-Replayed";

// Who asked, for the history.
std::string actor_of(const Call& call) {
    if (!call.request.actor.empty()) return call.request.actor;
    const std::optional<Peer>& peer = call.request.peer;
    return peer ? fmt::format("uid {} (process {})", peer->uid, peer->pid) : "unknown";
}

nlohmann::json body_of(const control::Applied& applied) {
    nlohmann::json body{{"revision", applied.revision},
                        {"changes", changes_json(applied.changes)},
                        {"warnings", applied.warnings}};
    if (applied.confirmation) body["confirmation"] = confirmation_json(*applied.confirmation);
    return body;
}

nlohmann::json body_of(const control::Confirmed& confirmed) {
    return {{"revision", confirmed.revision}};
}

nlohmann::json body_of(const control::Detached& detached) {
    return {{"detached", detached.devices}};
}

nlohmann::json body_of(const control::Draining& draining) {
    return drain_json(draining.status);
}

template <typename Done>
Response answer(const control::Outcome<Done>& done) {
    if (!done) return refusal_response(done.error());
    if (done->replayed.empty()) return json_response(body_of(*done));
    return {200, "application/json", done->replayed + "\n", {{replayed_header, "true"}}};
}

// The object that the path names, as its kind, its name, and its tag if it is there.
struct Target {
    model::Kind kind;
    std::string name;
    std::optional<std::string> tag;
};

// Otherwise the problem to answer with: there is no such kind, or what the request demands of the object as
// it stands does not hold. Nothing can come between this and the command, because both are in one turn of the
// loop.
tl::expected<Target, Response> find_target(const control::Gateway& gateway, const Call& call) {
    const auto kind = model::parse_kind(call.parts[0]);
    if (!kind)
        return tl::unexpected(problem(404, fmt::format("there is no kind of object \"{}\"", call.parts[0])));
    Target target{*kind, call.parts[1], {}};
    const auto found = model::to_json(*gateway.view()->state, *kind, target.name);
    if (found) target.tag = entity_tag(json_text(*found));
    // Where the object is not there, that is what is wrong: a precondition could not change the answer.
    const bool needed = call.request.method != "PUT";
    if (found || !needed) {
        if (auto failed = failed_precondition(call.request, target.tag)) return tl::unexpected(*failed);
    }
    return target;
}

Response object_answer(const control::Outcome<control::ObjectAnswer>& answer, const Call& call) {
    if (!answer) return refusal_response(answer.error());
    Response response = object_response(answer->json);
    if (answer->created) {
        response.status = 201;
        response.headers.emplace_back("Location", fmt::format("/v1/{}/{}", call.parts[0], answer->name));
    }
    if (answer->replayed) response.headers.emplace_back(replayed_header, "true");
    return response;
}

// Otherwise the problem.
tl::expected<std::optional<control::Idempotency>, Response> read_idempotency(const Request& request) {
    constexpr std::size_t longest = 255;
    if (!request.has_header("idempotency-key")) return std::optional<control::Idempotency>{};
    const std::string* key = request.header("idempotency-key");
    const auto printable = [](char c) { return c > ' ' && c < 0x7f; };
    if (key == nullptr || key->empty() || key->size() > longest ||
        !std::all_of(key->begin(), key->end(), printable)) {
        return tl::unexpected(problem(
            400, fmt::format("the Idempotency-Key must be 1 to {} printable ASCII characters", longest)));
    }
    return control::Idempotency{
        *key, store::digest(fmt::format("{}\n{}\n{}", request.method, request.path, request.body))};
}

template <typename Done>
tl::expected<std::optional<control::Repeatable<Done>>, Response> read_repeatable(const Request& request) {
    const auto key = read_idempotency(request);
    if (!key) return tl::unexpected(key.error());
    if (!*key) return std::optional<control::Repeatable<Done>>{};
    return control::Repeatable<Done>{**key, [](const Done& done) { return json_text(body_of(done)); }};
}

}  // namespace

Response apply(control::Gateway& gateway, const Call& call) {
    const auto document = read_document(call.request, true);
    if (!document) return document.error();
    const auto repeatable = read_repeatable<control::Applied>(call.request);
    if (!repeatable) return repeatable.error();
    return answer(gateway.apply(document->sources, actor_of(call), document->confirm_within, document->prune,
                                *repeatable));
}

Response confirm(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    const auto repeatable = read_repeatable<control::Confirmed>(call.request);
    if (!repeatable) return repeatable.error();
    return answer(gateway.confirm(actor_of(call), *repeatable));
}

Response rollback(control::Gateway& gateway, const Call& call) {
    const auto revision = read_revision(call.request);
    if (!revision) return revision.error();
    const auto repeatable = read_repeatable<control::Applied>(call.request);
    if (!repeatable) return repeatable.error();
    return answer(gateway.rollback(*revision, actor_of(call), *repeatable));
}

Response reload(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    const auto repeatable = read_repeatable<control::Applied>(call.request);
    if (!repeatable) return repeatable.error();
    return answer(gateway.reload(actor_of(call), *repeatable));
}

Response detach(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    const auto repeatable = read_repeatable<control::Detached>(call.request);
    if (!repeatable) return repeatable.error();
    return answer(gateway.detach(actor_of(call), *repeatable));
}

Response drain(control::Gateway& gateway, const Call& call) {
    const auto timeout = read_timeout(call.request);
    if (!timeout) return timeout.error();
    const auto repeatable = read_repeatable<control::Draining>(call.request);
    if (!repeatable) return repeatable.error();
    return answer(gateway.drain(call.parts[0], *timeout, actor_of(call), *repeatable));
}

Response end_drain(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    const auto ended = gateway.end_drain(call.parts[0], actor_of(call));
    if (!ended) return refusal_response(ended.error());
    return {204, "", "", {}};
}

Response create_object(control::Gateway& gateway, const Call& call) {
    const auto kind = model::parse_kind(call.parts[0]);
    if (!kind) return problem(404, fmt::format("there is no kind of object \"{}\"", call.parts[0]));
    const auto idempotency = read_idempotency(call.request);
    if (!idempotency) return idempotency.error();
    return object_answer(gateway.create_object(*kind, call.request.body, actor_of(call), *idempotency), call);
}

Response put_object(control::Gateway& gateway, const Call& call) {
    const auto target = find_target(gateway, call);
    if (!target) return target.error();
    return object_answer(gateway.put_object(target->kind, target->name, call.request.body, actor_of(call)),
                         call);
}

Response patch_object(control::Gateway& gateway, const Call& call) {
    const auto target = find_target(gateway, call);
    if (!target) return target.error();
    return object_answer(gateway.patch_object(target->kind, target->name, call.request.body, actor_of(call)),
                         call);
}

Response delete_object(control::Gateway& gateway, const Call& call) {
    if (const auto none = expect_no_arguments(call.request); !none) return none.error();
    const auto target = find_target(gateway, call);
    if (!target) return target.error();
    const auto deleted = gateway.delete_object(target->kind, target->name, actor_of(call));
    if (!deleted) return refusal_response(deleted.error());
    return {204, "", "", {}};
}

}  // namespace sallyport::api::commands

// SPDX-License-Identifier: Apache-2.0
#include "control/gateway.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>
#include <utility>

#include "model/json.h"
#include "sallyport/abi/limits.h"

namespace sallyport::control {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds first_retry = 1s;
constexpr std::chrono::nanoseconds slowest_retry = 30s;
constexpr std::chrono::nanoseconds rollback_retry = 10s;
// Slices of the flow table's sweep, a quarter of a second apart.
constexpr std::size_t sweep_slices = 4;

tl::unexpected<Refusal> missing_object(model::Kind kind, const std::string& name) {
    return tl::unexpected(
        Refusal{Refusal::Kind::missing, fmt::format("there is no {}", model::describe(kind, name)), {}});
}

std::vector<std::string> change_lines(const std::vector<model::Change>& changes) {
    std::vector<std::string> lines;
    lines.reserve(changes.size());
    for (const model::Change& change : changes) lines.push_back(model::to_json(change).dump());
    return lines;
}

std::set<std::pair<model::Kind, std::string>> names_of_api(const model::DesiredState& state) {
    std::set<std::pair<model::Kind, std::string>> names;
    for (const model::Object& object : model::objects_of(state, model::Origin::api))
        names.emplace(model::kind_of(object), model::name_of(object));
    return names;
}

// Of which kinds the objects differ, be it in who owns them alone.
std::set<model::Kind> changed_kinds(const std::vector<model::Change>& changes,
                                    const model::DesiredState& from, const model::DesiredState& to) {
    std::set<model::Kind> kinds;
    for (const model::Change& change : changes) {
        if (const auto kind = model::parse_kind(change.kind)) kinds.insert(*kind);
    }
    std::vector<std::pair<model::Kind, std::string>> moved;
    std::ranges::set_symmetric_difference(names_of_api(from), names_of_api(to), std::back_inserter(moved));
    for (const auto& [kind, name] : moved) kinds.insert(kind);
    return kinds;
}

std::vector<std::string> names_of(const config::Sources& sources) {
    std::vector<std::string> names;
    for (const config::Source& source : sources) names.push_back(source.name);
    return names;
}

// What the store has to note of the API's half.
std::vector<store::ObjectChange> object_changes(const model::DesiredState& from,
                                                const model::DesiredState& to) {
    std::vector<store::ObjectChange> changes;
    model::visit_kinds([&](model::Kind kind, auto objects_of_kind) {
        const auto& list = from.*objects_of_kind;
        using T = typename std::remove_cvref_t<decltype(list)>::value_type;
        std::map<std::string_view, const T*> before;
        for (const T& object : list) {
            if (object.origin == model::Origin::api) before.emplace(object.name, &object);
        }
        const std::string kind_name(to_string(kind));
        for (const T& object : to.*objects_of_kind) {
            if (object.origin != model::Origin::api) continue;
            const auto known = before.find(object.name);
            if (known == before.end() || *known->second != object)
                changes.push_back({kind_name, object.name, config::object_text(object)});
            if (known != before.end()) before.erase(known);
        }
        for (const auto& [name, object] : before) changes.push_back({kind_name, std::string(name)});
    });
    return changes;
}

}  // namespace

Gateway::Gateway(Parts parts, std::string config_path, Opening opening)
    : parts_(parts),
      drains_({parts.store, parts.dataplane, parts.clock, parts.log}),
      config_path_(std::move(config_path)),
      opening_(std::move(opening)) {
    auto view = std::make_shared<View>();
    view->state = opening_->store_state ? opening_->store_state : share({});
    view->desired_revision = opening_->store_revision;
    stored_ = view->state;
    view->changed_in.fill(opening_->store_revision);
    publish(std::move(view));
}

void Gateway::follow_api_settings(ApiAccess& access, config::ApiSettings in_force) {
    api_access_ = &access;
    api_settings_ = std::move(in_force);
}

Result<void> Gateway::start() {
    Opening opening = *std::exchange(opening_, std::nullopt);
    const Result<std::optional<store::Confirmation>> awaited = parts_.store.confirmation();
    if (!awaited) return tl::unexpected(awaited.error());
    if (*awaited) await(**awaited);
    if (Result<void> loaded = drains_.load(); !loaded) return loaded;
    if (opening.from_file) {
        const Outcome<Applied> applied = commit(std::move(opening), {store::Source::file, "start"});
        if (!applied && applied.error().kind == Refusal::Kind::failed)
            return failure(applied.error().message);
        return {};
    }
    document_warnings_ = texts_of(opening.loaded.warnings);
    sources_ = std::move(opening.sources);
    document_is_stored_ = true;
    file_warnings_ = std::move(opening.file_warnings);
    auto view = std::make_shared<View>(*view_);
    view->files = names_of(sources_);
    publish(std::move(view));
    if (!roll_back_when_due()) reconcile();
    return {};
}

void Gateway::publish(std::shared_ptr<const View> view) {
    view_ = std::move(view);
    published_.set(view_);
}

void Gateway::await(const store::Confirmation& confirmation) {
    // The deadline is one of the wall clock, to outlive the machine; from here on nobody can set it.
    confirm_by_ = parts_.clock.monotonic() + (confirmation.deadline - parts_.clock.wall());
    auto next = std::make_shared<View>(*view_);
    next->confirmation = confirmation;
    publish(std::move(next));
}

Result<void> Gateway::await_nothing(const std::optional<store::Answered>& answered) {
    if (!view_->confirmation) return {};
    if (Result<void> cleared = parts_.store.clear_confirmation(answered); !cleared) return cleared;
    auto next = std::make_shared<View>(*view_);
    next->confirmation.reset();
    publish(std::move(next));
    return {};
}

bool Gateway::roll_back_when_due() {
    if (!view_->confirmation || parts_.clock.monotonic() < confirm_by_) return false;
    const std::uint64_t unconfirmed = view_->confirmation->revision;
    const Outcome<Applied> back = rollback({}, "the agent: nobody has confirmed");
    if (!view_->confirmation) {
        parts_.log.warning(
            fmt::format("revision {} was not confirmed in time and is rolled back", unconfirmed));
        return true;
    }
    confirm_by_ = parts_.clock.monotonic() + rollback_retry;
    parts_.log.error(
        fmt::format("revision {} was not confirmed in time and cannot be rolled back: {}; trying again",
                    unconfirmed, back ? std::string() : back.error().message));
    return false;
}

Outcome<std::optional<std::string>> Gateway::answer_before(const Idempotency* key, DoneWhen done_when) const {
    if (key == nullptr) return std::optional<std::string>{};
    const auto record = parts_.store.idempotency_record(key->key, parts_.clock.wall());
    if (!record) return failed(record.error());
    if (!*record) return std::optional<std::string>{};
    if ((*record)->request != key->request) {
        return tl::unexpected(
            Refusal{Refusal::Kind::key_reused,
                    fmt::format("the Idempotency-Key \"{}\" came with another request before; a new "
                                "request needs a key of its own",
                                key->key),
                    {}});
    }
    if (done_when == DoneWhen::in_force && view_->error) return tl::unexpected(not_in_force());
    return std::optional((*record)->answer);
}

template <typename Done, typename Act>
Outcome<Done> Gateway::once(const std::optional<Repeatable<Done>>& repeatable, DoneWhen done_when,
                            const Act& act) {
    const auto before = answer_before(repeatable ? &*repeatable : nullptr, done_when);
    if (!before) return tl::unexpected(before.error());
    if (!*before) return act();
    Done done;
    done.replayed = **before;
    return done;
}

template <typename Done>
std::optional<store::Answered> Gateway::answered(const std::optional<Repeatable<Done>>& repeatable,
                                                 const Done& done) const {
    if (!repeatable) return {};
    return store::Answered{{repeatable->key, repeatable->request, repeatable->answer(done)},
                           parts_.clock.wall()};
}

Outcome<Applied> Gateway::apply(const config::Sources& sources, const std::string& actor,
                                std::optional<std::chrono::seconds> confirm_within, bool prune,
                                const std::optional<Repeatable<Applied>>& repeatable) {
    return once(repeatable, DoneWhen::in_force, [&] {
        return command(sources, prune, {store::Source::apply, actor, confirm_within, repeatable});
    });
}

Outcome<Confirmed> Gateway::confirm(const std::string& actor,
                                    const std::optional<Repeatable<Confirmed>>& repeatable) {
    return once(repeatable, DoneWhen::stored, [&]() -> Outcome<Confirmed> {
        if (!view_->confirmation) return conflict("no revision awaits confirmation");
        const Confirmed done{view_->confirmation->revision};
        if (const Result<void> cleared = await_nothing(answered(repeatable, done)); !cleared)
            return failed(cleared.error());
        parts_.log.notice(fmt::format("revision {} confirmed by {}", done.revision, actor));
        return done;
    });
}

Outcome<std::uint64_t> Gateway::rollback_target() const {
    if (view_->confirmation) return view_->confirmation->fallback;
    const Result<std::vector<store::RevisionSummary>> newest = parts_.store.history(2);
    if (!newest) return failed(newest.error());
    if (newest->size() < 2) return conflict("the history has no earlier revision");
    return newest->back().number;
}

Outcome<Applied> Gateway::rollback(std::optional<std::uint64_t> revision, const std::string& actor,
                                   const std::optional<Repeatable<Applied>>& repeatable) {
    return once(repeatable, DoneWhen::in_force, [&] { return go_back_to(revision, actor, repeatable); });
}

Outcome<Applied> Gateway::go_back_to(std::optional<std::uint64_t> revision, const std::string& actor,
                                     const std::optional<Repeatable<Applied>>& repeatable) {
    if (!revision) {
        const Outcome<std::uint64_t> target = rollback_target();
        if (!target) return tl::unexpected(target.error());
        revision = *target;
    }
    const Result<std::optional<store::Revision>> found = parts_.store.find(*revision);
    if (!found) return failed(found.error());
    if (!*found) {
        return tl::unexpected(Refusal{Refusal::Kind::missing,
                                      fmt::format("the history has no revision {}; see history", *revision),
                                      {}});
    }
    const store::Revision& earlier = **found;
    const auto objects = read_objects(earlier);
    if (!objects) return tl::unexpected(objects.error());
    auto candidate = read_candidate(earlier, *objects);
    if (!candidate) return tl::unexpected(std::move(candidate.error()));
    Outcome<Applied> done = commit(
        *std::move(candidate),
        {store::Source::apply, fmt::format("{}, back to revision {}", actor, *revision), {}, repeatable});
    if (!done && done.error().kind != Refusal::Kind::not_applied) return done;
    // Where the two revisions are the same state there was nothing to commit.
    if (const Result<void> cleared = await_nothing(); !cleared) return failed(cleared.error());
    return done;
}

Outcome<Applied> Gateway::reload(const std::string& actor,
                                 const std::optional<Repeatable<Applied>>& repeatable) {
    return once(repeatable, DoneWhen::in_force, [&]() -> Outcome<Applied> {
        const Result<config::Sources> sources = config::read_sources(config_path_);
        if (!sources) return failed(sources.error());
        return command(*sources, false, {store::Source::reload, actor, {}, repeatable});
    });
}

Outcome<void> Gateway::refuse_while_awaiting() const {
    if (!view_->confirmation) return {};
    return conflict(fmt::format("revision {} awaits confirmation: confirm it or roll it back first",
                                view_->confirmation->revision));
}

Outcome<Applied> Gateway::command(const config::Sources& sources, bool prune, const Cause& cause) {
    if (auto free = refuse_while_awaiting(); !free) return tl::unexpected(std::move(free.error()));
    auto candidate = read_candidate(sources, kept_objects(*view_->state, prune));
    if (!candidate) return tl::unexpected(std::move(candidate.error()));
    return commit(*std::move(candidate), cause);
}

Outcome<Applied> Gateway::commit(Candidate candidate, const Cause& cause) {
    config::Loaded& loaded = candidate.loaded;
    const std::uint64_t before = view_->desired_revision;
    const bool first = before == 0;
    const std::vector<model::Change> changes = model::delta(*view_->state, loaded.state);
    // An object that the file declares as it was made through the API is no change but of its origin.
    const bool moved = changes.empty() && names_of_api(loaded.state) != names_of_api(*view_->state);
    const std::string& name = candidate.sources.front().name;
    std::function<void()> adopt_api_settings;
    if (cause.source == store::Source::reload && api_access_ != nullptr) {
        auto prepared = api_access_->prepare(loaded.api);
        if (!prepared) {
            return invalid(name, {{name, 0, 0, {}, {}, {}, prepared.error().message}});
        }
        adopt_api_settings = *std::move(prepared);
    } else if (cause.source == store::Source::apply && loaded.api != api_settings_) {
        loaded.warnings.push_back(
            {name, 0, 0, "api", {}, {}, fmt::format("only taken from {}, by reload", config_path_)});
    }

    auto next = std::make_shared<View>(*view_);
    next->state = share(std::move(loaded.state));
    next->files = names_of(candidate.sources);
    const bool committed = !changes.empty() || first || moved;
    // A repetition is answered with what was known when this was stored: of the kernel's trouble, if there is
    // any, it learns how it stands then.
    const auto answered_with = [&](const std::optional<store::Confirmation>& confirmation) {
        const Applied stored{before + (committed ? 1 : 0), changes, texts_of(loaded.warnings), confirmation};
        return answered(cause.repeatable, stored);
    };
    if (!committed && cause.repeatable) {
        const Result<void> kept = parts_.store.remember(*answered_with(view_->confirmation));
        if (!kept) return failed(kept.error());
    }
    if (committed) {
        store::NewRevision revision;
        revision.time = parts_.clock.wall();
        revision.source = cause.source;
        if (cause.source != store::Source::api || !document_is_stored_)
            revision.document = document_of(candidate.sources);
        revision.objects = object_changes(*stored_, *next->state);
        revision.changes = change_lines(changes);
        revision.audit = cause.actor;
        if (cause.confirm_within)
            revision.confirmation =
                store::Confirmation{before + 1, before, revision.time + *cause.confirm_within};
        revision.answered = answered_with(revision.confirmation);
        const Result<std::uint64_t> number = parts_.store.commit(revision);
        if (!number) return failed(number.error());
        stored_ = next->state;
        document_is_stored_ = true;
        next->desired_revision = *number;
        for (const model::Kind kind : changed_kinds(changes, *view_->state, *next->state))
            next->changed_in[static_cast<std::size_t>(kind)] = *number;
        next->confirmation = revision.confirmation;
        if (next->confirmation) {
            next->confirmation->revision = *number;
            confirm_by_ = parts_.clock.monotonic() + *cause.confirm_within;
        }
        const std::string from =
            cause.source == store::Source::api ? "the API" : config::describe(candidate.sources);
        parts_.log.notice(fmt::format("revision {}: {} change{} from {} by {}", *number, changes.size(),
                                      changes.size() == 1 ? "" : "s", from, cause.actor));
    } else if (cause.source != store::Source::api) {
        document_is_stored_ = document_is_stored_ && candidate.sources == sources_;
    }
    if (!committed && (cause.source == store::Source::file || cause.source == store::Source::reload)) {
        const Result<void> noted = parts_.store.set_loaded_file_hash(digest_of(candidate.sources));
        if (!noted) return failed(noted.error());
    }
    if (adopt_api_settings) {
        adopt_api_settings();
        api_settings_ = std::move(loaded.api);
    }
    document_warnings_ = texts_of(loaded.warnings);
    sources_ = std::move(candidate.sources);
    file_warnings_ = std::move(candidate.file_warnings);
    // Whoever changes an object of a gateway that is detached does not mean to attach it.
    if (cause.source != store::Source::api) next->detached = false;
    publish(std::move(next));
    if (view_->detached) {
        publish_progress();
    } else {
        reconcile();
    }
    if (view_->desired_revision != before) revision_told_();
    if (view_->error) return tl::unexpected(not_in_force());
    return Applied{view_->desired_revision, changes, view_->warnings, view_->confirmation};
}

Refusal Gateway::not_in_force() const {
    return {Refusal::Kind::not_applied,
            fmt::format("revision {} is stored and not in force: {}. It is being tried again; see status",
                        view_->desired_revision, *view_->error),
            {}};
}

Outcome<Applied> Gateway::commit_objects(model::DesiredState state, const Cause& cause) {
    Candidate candidate;
    candidate.sources = sources_;
    candidate.file_warnings = file_warnings_;
    candidate.loaded.warnings = config::joined_warnings(state, file_warnings_, sources_);
    candidate.loaded.state = std::move(state);
    return commit(std::move(candidate), cause);
}

Outcome<ObjectAnswer> Gateway::commit_draft(const config::Draft& draft, bool created,
                                            const std::string& actor,
                                            const std::optional<Idempotency>& idempotency) {
    auto state = config::with_object(*view_->state, draft);
    if (!state) {
        return invalid(fmt::format("the {}", model::word_for(model::kind_of(draft.object))),
                       std::move(state.error()));
    }
    ObjectAnswer answer{model::name_of(draft.object), model::to_json(draft.object).dump(), created};
    Cause cause{store::Source::api, actor};
    if (idempotency)
        cause.repeatable =
            Repeatable<Applied>{*idempotency, [&answer](const Applied&) { return answer.json; }};
    const Outcome<Applied> applied = commit_objects(*std::move(state), cause);
    if (!applied) return tl::unexpected(applied.error());
    return answer;
}

std::string Gateway::file_of(model::Kind kind, const std::string& name) const {
    if (sources_.size() == 1) return sources_.front().name;
    std::string path;
    // Objects of the files come first, in the order of the files.
    model::visit_kinds([&](model::Kind candidate, auto objects) {
        if (candidate != kind) return;
        const auto& all = (*view_->state).*objects;
        const auto found = std::ranges::find_if(all, [&](const auto& object) { return object.name == name; });
        path = fmt::format("{}[{}]", model::to_string(kind), found - all.begin());
    });
    return config::file_of(sources_, path);
}

Outcome<std::optional<model::Object>> Gateway::changeable(model::Kind kind, const std::string& name) const {
    std::optional<model::Object> object = model::find_object(*view_->state, kind, name);
    if (object && model::origin_of(*object) == model::Origin::file) {
        const std::string& main = sources_.front().name;
        const std::string take_over =
            main == config_path_ ? "sallyport reload" : fmt::format("sallyport apply {}", main);
        return conflict(fmt::format("{} is declared in {}: change it there, then run `{}`",
                                    model::describe(*object), file_of(kind, name), take_over));
    }
    return object;
}

Outcome<ObjectAnswer> Gateway::create_object(model::Kind kind, std::string_view json,
                                             const std::string& actor,
                                             const std::optional<Idempotency>& idempotency) {
    const auto before = answer_before(idempotency ? &*idempotency : nullptr, DoneWhen::in_force);
    if (!before) return tl::unexpected(before.error());
    if (*before) return ObjectAnswer{nlohmann::json::parse(**before).value("name", ""), **before, true, true};
    if (auto free = refuse_while_awaiting(); !free) return tl::unexpected(std::move(free.error()));
    const config::Draft draft = config::read_object(kind, json);
    const bool taken =
        draft.faults.empty() && model::find_object(*view_->state, kind, model::name_of(draft.object));
    if (taken) {
        return conflict(fmt::format("there is {} \"{}\" already", model::with_article(kind),
                                    model::name_of(draft.object)));
    }
    return commit_draft(draft, true, actor, idempotency);
}

Outcome<ObjectAnswer> Gateway::put_object(model::Kind kind, const std::string& name, std::string_view json,
                                          const std::string& actor) {
    if (auto free = refuse_while_awaiting(); !free) return tl::unexpected(std::move(free.error()));
    const auto before = changeable(kind, name);
    if (!before) return tl::unexpected(before.error());
    return commit_draft(config::read_object(kind, json, name), !*before, actor);
}

Outcome<ObjectAnswer> Gateway::patch_object(model::Kind kind, const std::string& name, std::string_view json,
                                            const std::string& actor) {
    if (auto free = refuse_while_awaiting(); !free) return tl::unexpected(std::move(free.error()));
    const auto before = changeable(kind, name);
    if (!before) return tl::unexpected(before.error());
    if (!*before) return missing_object(kind, name);
    return commit_draft(config::patch_object(**before, json), false, actor);
}

Outcome<void> Gateway::delete_object(model::Kind kind, const std::string& name, const std::string& actor) {
    if (auto free = refuse_while_awaiting(); !free) return free;
    const auto before = changeable(kind, name);
    if (!before) return tl::unexpected(before.error());
    if (!*before) return missing_object(kind, name);
    const std::vector<std::string> users = model::referrers(*view_->state, kind, name);
    if (!users.empty()) {
        return conflict(
            fmt::format("{} is in use by {}", model::describe(kind, name), fmt::join(users, ", ")));
    }
    model::DesiredState state = *view_->state;
    model::remove_object(state, kind, name);
    if (auto faults = config::faults_without_object(state); !faults.empty()) {
        return tl::unexpected(Refusal{Refusal::Kind::conflict,
                                      fmt::format("without {} the rest is not valid: {}",
                                                  model::describe(kind, name), counted_faults(faults)),
                                      std::move(faults)});
    }
    const Outcome<Applied> applied = commit_objects(std::move(state), {store::Source::api, actor});
    if (!applied) return tl::unexpected(applied.error());
    return {};
}

Outcome<Detached> Gateway::detach(const std::string& actor,
                                  const std::optional<Repeatable<Detached>>& repeatable) {
    return once(repeatable, DoneWhen::stored, [&]() -> Outcome<Detached> {
        Detached done;
        for (const reconcile::DeviceStatus& device : parts_.reconciler.devices()) {
            if (device.attached) done.devices.push_back(device.device);
        }
        const Result<void> detached = parts_.reconciler.detach();
        // Nothing attaches again by itself.
        if (const Result<void> cleared = await_nothing(); !cleared) parts_.log.error(cleared.error().message);
        auto next = std::make_shared<View>(*view_);
        next->detached = true;
        publish(std::move(next));
        retry_delay_ = 0s;
        publish_progress();
        if (!detached) return failed(detached.error());
        parts_.log.notice(fmt::format("detached from {} by {}", fmt::join(done.devices, ", "), actor));
        if (const auto kept = answered(repeatable, done)) {
            if (const Result<void> remembered = parts_.store.remember(*kept); !remembered)
                return failed(remembered.error());
        }
        return done;
    });
}

Outcome<Draining> Gateway::drain(const std::string& elastic_ip, std::optional<std::chrono::seconds> timeout,
                                 const std::string& actor,
                                 const std::optional<Repeatable<Draining>>& repeatable) {
    return once(repeatable, DoneWhen::in_force, [&]() -> Outcome<Draining> {
        if (!model::find_object(*view_->state, model::Kind::elastic_ips, elastic_ip))
            return missing_object(model::Kind::elastic_ips, elastic_ip);
        const auto keep = [&](const DrainStatus& status) { return answered(repeatable, Draining{status}); };
        if (const Result<void> begun = drains_.begin(elastic_ip, timeout, actor, keep); !begun)
            return failed(begun.error());
        put_drains_in_force();
        if (view_->error) return tl::unexpected(not_in_force());
        return Draining{*view_->drain(elastic_ip)};
    });
}

Outcome<void> Gateway::end_drain(const std::string& elastic_ip, const std::string& actor) {
    if (!model::find_object(*view_->state, model::Kind::elastic_ips, elastic_ip))
        return missing_object(model::Kind::elastic_ips, elastic_ip);
    const Result<bool> ended = drains_.end(elastic_ip);
    if (!ended) return failed(ended.error());
    if (*ended) {
        parts_.log.notice(fmt::format("Elastic IP {} takes new flows again, by {}", elastic_ip, actor));
        put_drains_in_force();
    }
    if (view_->error) return tl::unexpected(not_in_force());
    return {};
}

void Gateway::put_drains_in_force() {
    parts_.reconciler.set_draining(drains_.names());
    if (view_->detached) {
        publish_progress();
    } else {
        settle();
    }
}

void Gateway::tend_drains() {
    const Result<bool> tended = drains_.tick(*view_->state);
    tell_upkeep("drain an Elastic IP", tended ? nullptr : &tended.error());
    if (tended && *tended) publish_progress();
}

void Gateway::on_network_events() {
    const Result<void> polled =
        parts_.netlink.poll_events([this](const netlink::Event& event) { parts_.reconciler.handle(event); });
    tell_upkeep("follow the network", polled ? nullptr : &polled.error());
    settle();
}

void Gateway::sweep_slice() {
    if (view_->detached || slice_buckets_ == 0) return;
    const Result<dataplane::SweepReport> swept = parts_.dataplane.sweep(slice_buckets_);
    tell_upkeep("remove expired flows", swept ? nullptr : &swept.error());
}

void Gateway::tick() {
    (void)roll_back_when_due();
    if (view_->detached) return;
    tend_drains();
    const Result<void> ticked = parts_.reconciler.tick();
    tell_upkeep("keep next hops current", ticked ? nullptr : &ticked.error());
    if (retry_delay_ == 0s && parts_.reconciler.needs_settling()) settle();
    if (retry_delay_ == 0s || parts_.clock.monotonic() < retry_at_) return;
    (void)parts_.reconciler.retry();
    publish_progress();
}

void Gateway::settle() {
    if (view_->detached) return;
    const Result<reconcile::Report> settled = parts_.reconciler.settle();
    (void)settled;  // publish_progress() reads how it went
    publish_progress();
}

void Gateway::reconcile() {
    retry_delay_ = 0s;
    drains_.keep_those_of(*view_->state);
    parts_.reconciler.set_draining(drains_.names());
    (void)parts_.reconciler.apply(view_->state);  // publish_progress() reads how it went
    publish_progress();
}

// Compares how the reconciler stands with what the View says, tells the differences and publishes them.
void Gateway::publish_progress() {
    const View& before = *view_;
    auto next = std::make_shared<View>(before);
    const bool failing = !before.detached && parts_.reconciler.needs_retry();
    next->error = failing ? std::optional(parts_.reconciler.last_error()) : std::nullopt;
    next->devices = parts_.reconciler.devices();
    next->kernel_writes = parts_.reconciler.writes();
    next->basis = parts_.reconciler.basis();
    next->drains = drains_.all();
    if (!next->names.hold_for(next->state, parts_.reconciler.tables())) note_tables(*next);
    if (next->host_ports != parts_.reconciler.tables().host_ports)
        next->host_ports = parts_.reconciler.tables().host_ports;
    next->warnings = document_warnings_;
    for (const std::string& warning : parts_.reconciler.warnings()) {
        if (std::find(next->warnings.begin(), next->warnings.end(), warning) == next->warnings.end()) {
            next->warnings.push_back(warning);
        }
    }

    if (failing) {
        retry_delay_ = retry_delay_ == 0s ? first_retry : std::min(2 * retry_delay_, slowest_retry);
        retry_at_ = parts_.clock.monotonic() + retry_delay_;
        if (next->error != before.error) {
            parts_.log.error(fmt::format("revision {} is not in force: {}; trying again",
                                         next->desired_revision, *next->error));
        }
    } else {
        retry_delay_ = 0s;
        if (before.error)
            parts_.log.notice(fmt::format("revision {} is in force again", next->desired_revision));
        if (!before.detached && next->applied_revision != next->desired_revision) {
            next->applied_revision = next->desired_revision;
            const Result<void> noted = parts_.store.set_applied_revision(next->applied_revision);
            if (!noted) parts_.log.error(noted.error().message);
        }
    }
    for (const reconcile::DeviceStatus& device : next->devices) {
        const reconcile::DeviceStatus* known = before.device(device.device);
        if (!device.error.empty() && (known == nullptr || known->error != device.error)) {
            parts_.log.error(fmt::format("{} is not attached: {}", device.device, device.error));
        }
        if (device.attached && (known == nullptr || !known->attached || known->mode != device.mode)) {
            const bool native = device.mode == dataplane::Mode::native;
            parts_.log.write(device.fallback_reason.empty() ? LogLevel::info : LogLevel::warning,
                             fmt::format("{} {} in {} mode{}{}", device.adopted ? "took over" : "attached to",
                                         device.device, native ? "native" : "generic",
                                         device.fallback_reason.empty() ? "" : ": ", device.fallback_reason));
        }
    }
    for (const std::string& warning : next->warnings) {
        if (std::find(before.warnings.begin(), before.warnings.end(), warning) == before.warnings.end()) {
            parts_.log.warning(warning);
        }
    }
    publish(std::move(next));
}

// What follows from the tables and stays the same until another state is applied: the reconciler gives names
// their numbers, and the table its size, then.
void Gateway::note_tables(View& view) {
    const Result<dataplane::FlowTableStatus> table = parts_.dataplane.flow_table_status();
    slice_buckets_ =
        table ? static_cast<std::size_t>(table->bytes / FLOW_BUCKET_BYTES / sweep_slices) + 1 : 0;
    view.names = Names::of(view.state, parts_.reconciler.tables());
}

void Gateway::tell_upkeep(const char* doing, const Error* error) {
    const std::string message =
        error == nullptr ? std::string{} : fmt::format("{}: {}", doing, error->message);
    if (error != nullptr && message != upkeep_error_) parts_.log.error(message);
    if (error != nullptr) upkeep_error_ = message;
}

}  // namespace sallyport::control

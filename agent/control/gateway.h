// SPDX-License-Identifier: Apache-2.0
//
// The commands. A command is validated against the desired state of revision N, becomes revision N+1 in
// one transaction of the store, is published as a new View, and then brought into the kernel by the
// reconciler. A kernel that refuses leaves the revision committed and not applied: that is shown, and tried
// again until it works or another revision comes.
//
// Everything here runs in the thread of commands; queries have gateway_reader.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "config/load.h"
#include "config/object.h"
#include "config/sources.h"
#include "control/api_access.h"
#include "control/candidate.h"
#include "control/drains.h"
#include "control/gateway_reader.h"
#include "control/log.h"
#include "control/view.h"
#include "core/clock.h"
#include "dataplane/dataplane.h"
#include "model/delta.h"
#include "model/kinds.h"
#include "netlink/netlink.h"
#include "reconcile/reconciler.h"
#include "store/store.h"

namespace sallyport::control {

// What commands have done. `replayed` is the answer to the same request before, and then nothing else is
// told; empty: it was done now.
struct Applied {
    std::uint64_t revision = 0;
    std::vector<model::Change> changes;  // none: the revision is the one that was there
    std::vector<std::string> warnings;
    std::optional<store::Confirmation> confirmation = {};  // that the revision awaits
    std::string replayed = {};
};

struct Confirmed {
    std::uint64_t revision = 0;  // the one that stays
    std::string replayed = {};
};

struct Draining {
    DrainStatus status = {};
    std::string replayed = {};
};

struct Detached {
    std::vector<std::string> devices = {};  // those that were attached
    std::string replayed = {};
};

// A key of the client's own, with which a request may be repeated.
struct Idempotency {
    std::string key;
    std::string request;  // digest of all that makes it the same request
};

// The same, and how the request is answered.
template <typename Done>
struct Repeatable : Idempotency {
    std::function<std::string(const Done&)> answer;
};

struct ObjectAnswer {
    std::string name;
    std::string json;       // the object as it is now
    bool created = false;   // else it was there before
    bool replayed = false;  // the answer to the same request before: `json` is the object as it was then
};

class Gateway {
  public:
    // All of them must outlive the gateway.
    struct Parts {
        store::Store& store;
        dataplane::Dataplane& dataplane;
        netlink::Netlink& netlink;
        reconcile::Reconciler& reconciler;
        const Clock& clock;
        Log& log;
    };

    Gateway(Parts parts, std::string config_path, Opening opening);

    // What carries out the section `api` from the next reload on; it must outlive the gateway. `in_force` is
    // what it does already.
    void follow_api_settings(ApiAccess& access, config::ApiSettings in_force);

    // Calls `told` after each new revision, once it is in force or is found not to be.
    void follow_revisions(std::function<void()> told) { revision_told_ = std::move(told); }

    // Commits what the opening holds, if it is new, and brings it into the kernel. Only a store that fails is
    // an error: with a kernel that fails the agent runs on, and tries again.
    Result<void> start();

    // Commands. `actor` is who asked, in words, for the history.
    // With `confirm_within`, the revision is rolled back unless confirm() comes in time, also across a
    // restart of the agent; until then no other one is taken.
    // What was made through the API stays, unless `prune`.
    Outcome<Applied> apply(const config::Sources& sources, const std::string& actor,
                           std::optional<std::chrono::seconds> confirm_within = {}, bool prune = false,
                           const std::optional<Repeatable<Applied>>& repeatable = {});
    Outcome<Confirmed> confirm(const std::string& actor,
                               const std::optional<Repeatable<Confirmed>>& repeatable = {});
    // Makes an earlier revision the newest one again, both its document and its objects of the API. Without a
    // number: the one before the newest, or, while one awaits confirmation, the one that would come back.
    Outcome<Applied> rollback(std::optional<std::uint64_t> revision, const std::string& actor,
                              const std::optional<Repeatable<Applied>>& repeatable = {});
    Outcome<Applied> reload(const std::string& actor,
                            const std::optional<Repeatable<Applied>>& repeatable = {});
    Outcome<Detached> detach(const std::string& actor,
                             const std::optional<Repeatable<Detached>>& repeatable = {});

    // Commands on one object of the API. Those of the file are refused; the texts are JSON (config/object.h).
    Outcome<ObjectAnswer> create_object(model::Kind kind, std::string_view json, const std::string& actor,
                                        const std::optional<Idempotency>& idempotency = {});
    Outcome<ObjectAnswer> put_object(model::Kind kind, const std::string& name, std::string_view json,
                                     const std::string& actor);
    Outcome<ObjectAnswer> patch_object(model::Kind kind, const std::string& name, std::string_view json,
                                       const std::string& actor);
    // Only of what nothing refers to.
    Outcome<void> delete_object(model::Kind kind, const std::string& name, const std::string& actor);

    // The Elastic IP takes no new flows from now on. With a timeout, what is left of its flows ends then;
    // without, it waits for them. The same again sets another deadline.
    Outcome<Draining> drain(const std::string& elastic_ip, std::optional<std::chrono::seconds> timeout,
                            const std::string& actor,
                            const std::optional<Repeatable<Draining>>& repeatable = {});
    // It takes new flows again, drained or not.
    Outcome<void> end_drain(const std::string& elastic_ip, const std::string& actor);

    [[nodiscard]] std::shared_ptr<const View> view() const { return view_; }
    // The same for everybody else.
    [[nodiscard]] const PublishedView& published() const { return published_; }

    // Upkeep, called by the event loop.
    void on_network_events();  // Netlink::events_fd() is readable
    void sweep_slice();        // four times a second: a whole pass in about a second
    void tick();  // once a second: what the reconciler does by time, and what is to be tried again

  private:
    // Where a revision comes from, and what else is committed with it.
    struct Cause {
        store::Source source;
        std::string actor;
        std::optional<std::chrono::seconds> confirm_within = {};
        std::optional<Repeatable<Applied>> repeatable = {};
    };
    // When a command is done: once it is stored, or once the kernel has it. Of the latter a repetition is
    // told how it stands now.
    enum class DoneWhen { stored, in_force };
    // What was answered to the same request before, if it comes again. Without a key it does not.
    [[nodiscard]] Outcome<std::optional<std::string>> answer_before(const Idempotency* key,
                                                                    DoneWhen done_when) const;
    // Does `act` unless it was done before.
    template <typename Done, typename Act>
    Outcome<Done> once(const std::optional<Repeatable<Done>>& repeatable, DoneWhen done_when, const Act& act);
    // The record of a request that was done now; none: it has no key.
    template <typename Done>
    [[nodiscard]] std::optional<store::Answered> answered(const std::optional<Repeatable<Done>>& repeatable,
                                                          const Done& done) const;
    Outcome<Applied> command(const config::Sources& sources, bool prune, const Cause& cause);
    Outcome<Applied> commit(Candidate candidate, const Cause& cause);
    Outcome<Applied> commit_objects(model::DesiredState state, const Cause& cause);
    Outcome<ObjectAnswer> commit_draft(const config::Draft& draft, bool created, const std::string& actor,
                                       const std::optional<Idempotency>& idempotency = {});
    // The object, if the API may change it; none: it is not there.
    [[nodiscard]] Outcome<std::optional<model::Object>> changeable(model::Kind kind,
                                                                   const std::string& name) const;
    [[nodiscard]] std::string file_of(model::Kind kind, const std::string& name) const;
    [[nodiscard]] Outcome<void> refuse_while_awaiting() const;
    [[nodiscard]] Refusal not_in_force() const;
    Outcome<std::uint64_t> rollback_target() const;
    Outcome<Applied> go_back_to(std::optional<std::uint64_t> revision, const std::string& actor,
                                const std::optional<Repeatable<Applied>>& repeatable);
    void await(const store::Confirmation& confirmation);  // and show it in the View
    Result<void> await_nothing(const std::optional<store::Answered>& answered = {});
    bool roll_back_when_due();  // whether it did, and brought that into the kernel
    void reconcile();           // and tell in a new View how it went
    void settle();
    void tend_drains();
    void put_drains_in_force();
    void publish(std::shared_ptr<const View> view);
    void publish_progress();
    void note_tables(View& view);
    void tell_upkeep(const char* doing, const Error* error);

    Parts parts_;
    Drains drains_;
    std::string config_path_;
    std::optional<Opening> opening_;
    ApiAccess* api_access_ = nullptr;
    std::function<void()> revision_told_ = [] {};
    config::ApiSettings api_settings_;  // in force
    std::shared_ptr<const View> view_;
    PublishedView published_;  // holds the same
    // Of the desired revision.
    config::Sources sources_;
    bool document_is_stored_ = false;  // as the newest revision's
    // What the newest revision holds of the API; in `view_` the lists of objects may stand in another order.
    std::shared_ptr<const model::DesiredState> stored_;
    std::vector<config::Fault> file_warnings_;
    std::vector<std::string> document_warnings_;
    std::chrono::nanoseconds retry_at_{0};
    std::chrono::nanoseconds retry_delay_{0};  // 0: nothing to try again
    std::chrono::nanoseconds confirm_by_{0};   // of the View's confirmation, by the monotonic clock
    std::size_t slice_buckets_ = 0;            // of the flow table, for one call of sweep_slice()
    std::string upkeep_error_;                 // told when it changes, not each time
};

}  // namespace sallyport::control

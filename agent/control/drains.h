// SPDX-License-Identifier: Apache-2.0
//
// Elastic IPs that are being drained: they take no new flows, and what is left of theirs ends at a deadline.
// The store remembers them, so that a drain goes on over a restart, and the reconciler tells the data plane.
//
// A drain is no part of the desired state: it ends with the Elastic IP, or when somebody ends it, and a
// rollback neither brings it back nor takes it away. Everything here runs in the thread of commands.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/log.h"
#include "core/clock.h"
#include "core/result.h"
#include "dataplane/dataplane.h"
#include "model/resources.h"
#include "store/store.h"

namespace sallyport::control {

struct DrainStatus {
    store::Drain drain;
    bool drained = false;  // no flow is left
};

class Drains {
  public:
    // All of them must outlive it.
    struct Parts {
        store::Store& store;
        dataplane::Dataplane& dataplane;
        const Clock& clock;
        Log& log;
    };
    explicit Drains(Parts parts) : parts_(parts) {}

    // What the store remembers. To be called once, before anything else.
    Result<void> load();

    // Without a timeout it waits for as long as there are flows. One that is there gets the new deadline.
    // `answered` says what is to be kept with it, if anything.
    using Answer = std::function<std::optional<store::Answered>(const DrainStatus&)>;
    Result<void> begin(const std::string& elastic_ip, std::optional<std::chrono::seconds> timeout,
                       const std::string& actor, const Answer& answered);
    // Returns whether there was one.
    Result<bool> end(const std::string& elastic_ip);

    // Forgets those whose Elastic IP is gone.
    void keep_those_of(const model::DesiredState& state);

    // Finds out which have no flows any more, and ends those that are past the deadline. To be called about
    // once a second. Returns whether anything that all() says has changed.
    Result<bool> tick(const model::DesiredState& state);

    [[nodiscard]] std::vector<DrainStatus> all() const;
    [[nodiscard]] std::set<std::string> names() const;

  private:
    struct Active {
        DrainStatus status;
        std::optional<std::chrono::nanoseconds> due = {};  // by the monotonic clock
    };
    struct Left {
        Active* drain = nullptr;
        bool is_due = false;
        std::uint64_t flows = 0;
    };
    // By address; those that are not drained yet.
    [[nodiscard]] std::map<Ipv4Address, Left> undrained(const model::DesiredState& state);
    void note(store::Drain drain);

    Parts parts_;
    std::map<std::string, Active> drains_;  // by Elastic IP
    std::optional<std::chrono::nanoseconds> looked_at_;
};

}  // namespace sallyport::control

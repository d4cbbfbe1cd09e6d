// SPDX-License-Identifier: Apache-2.0
//
// Who had which external ports when: what the data plane tells of port blocks, into the store and the
// journal. Events can be lost, and the pinned state can be removed, with all blocks and without an event: so
// the log is compared with the blocks that instances have.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "control/log.h"
#include "control/view.h"
#include "core/clock.h"
#include "dataplane/dataplane.h"
#include "store/store.h"

namespace sallyport::control {

class PortBlockLog {
  public:
    static constexpr std::chrono::minutes compared_every{5};
    // Changes that wait for a store that fails.
    static constexpr std::size_t most_waiting = 10000;

    // All of them must outlive the log.
    struct Parts {
        dataplane::Dataplane& dataplane;
        store::Store& store;
        const Clock& clock;
        Log& log;
    };
    using CurrentView = std::function<std::shared_ptr<const View>()>;

    PortBlockLog(Parts parts, CurrentView view) : parts_(parts), view_(std::move(view)) {}

    // Takes over what the data plane has to tell. To be called when Dataplane::port_block_events_fd() is
    // readable.
    void poll();
    // Ends the records of blocks that nobody has, and begins those that are missing. To be called at the
    // start and when the pinned state was made or removed.
    void compare();
    // To be called once a second.
    void tick();

    // Changes that could not be noted. Any thread may ask.
    [[nodiscard]] std::uint64_t lost() const { return lost_; }

  private:
    using Changes = std::vector<store::PortBlockRecord>;

    Changes take();
    bool note(const Changes& changes);
    [[nodiscard]] store::PortBlockRecord record_of(const dataplane::PortBlock& block,
                                                   std::chrono::system_clock::time_point from) const;
    void tell(const store::PortBlockRecord& change);

    Parts parts_;
    CurrentView view_;
    std::shared_ptr<const View> previous_view_;  // events may be of before the present one
    Changes waiting_;
    std::chrono::nanoseconds compare_at_{0};
    bool idle_ = false;  // nobody has a block, so that there is nothing to compare
    bool failing_ = false;
    std::atomic<std::uint64_t> lost_ = 0;
};

}  // namespace sallyport::control

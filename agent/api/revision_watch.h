// SPDX-License-Identifier: Apache-2.0
//
// Requests that wait until a revision brings what they ask for (`after_revision`). One that waits costs its
// suspended connection and a timer, no thread; and no more than so many wait at once, so that others find
// connections.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "api/event_loop.h"

namespace sallyport::api {

class RevisionWatch {
  public:
    // `loop` must outlive this.
    RevisionWatch(EventLoop& loop, std::size_t most) : loop_(loop), most_(most) {}
    RevisionWatch(const RevisionWatch&) = delete;
    RevisionWatch& operator=(const RevisionWatch&) = delete;

    // Calls `done` once: when `is_due` says so, or when `patience` has passed before that. Returns false and
    // does nothing where too many wait already.
    [[nodiscard]] bool wait(std::chrono::seconds patience, std::function<bool()> is_due,
                            std::function<void()> done);

    // To be called by the loop when there is a new revision, and by no handler of a request.
    void look();

    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
    [[nodiscard]] std::uint64_t refused() const { return refused_; }

  private:
    struct Waiting {
        std::function<bool()> is_due;
        std::function<void()> done;
        EventLoop::Watch timer;
    };
    void end(std::uint64_t number);

    EventLoop& loop_;
    std::size_t most_;
    std::map<std::uint64_t, Waiting> waiting_;
    std::uint64_t next_ = 0;
    std::uint64_t refused_ = 0;
};

}  // namespace sallyport::api

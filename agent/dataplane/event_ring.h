// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "core/result.h"
#include "dataplane/codec.h"
#include "dataplane/pinned_state.h"

namespace sallyport::dataplane {

// A ring buffer of `Raw` as a list of `Event`, which decode() makes of each. All calls are made by one
// thread.
template <typename Raw, typename Event>
class EventRing {
  public:
    Result<void> open(const PinnedState& state, const char* map) {
        name_ = map;
        ring_.reset(ring_buffer__new(state.map(map), collect, &events_, nullptr));
        if (!ring_) return system_failure(std::string("open the ring buffer ") + map);
        return {};
    }

    Result<void> poll(const std::function<void(const Event&)>& handle) {
        events_.clear();
        if (const int count = ring_buffer__consume(ring_.get()); count < 0)
            return system_failure(std::string("read the ring buffer ") + name_, -count);
        for (const Event& event : events_) handle(event);
        return {};
    }

    [[nodiscard]] int fd() const { return ring_buffer__epoll_fd(ring_.get()); }

  private:
    // libbpf calls this, through C frames that no exception may cross: an event for which there is no memory
    // is lost, as one is for which the ring has no room.
    static int collect(void* context, void* data, std::size_t size) {
        if (size < sizeof(Raw)) return 0;
        try {
            static_cast<std::vector<Event>*>(context)->push_back(decode(*static_cast<const Raw*>(data)));
        } catch (const std::bad_alloc&) {
            return 0;
        }
        return 0;
    }
    struct Deleter {
        void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
    };

    const char* name_ = "";
    std::vector<Event> events_;
    std::unique_ptr<ring_buffer, Deleter> ring_;
};

}  // namespace sallyport::dataplane

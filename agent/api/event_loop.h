// SPDX-License-Identifier: Apache-2.0
//
// The one loop that everything in the agent runs in, on sd-event. There is one thread: a handler runs to
// its end before the next begins, so nothing here needs a lock. Handlers must not throw; one that does
// ends the process, and forwarding goes on without it.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <functional>
#include <memory>

#include "core/result.h"

namespace sallyport::api {

class EventLoop {
  public:
    using Handler = std::function<void()>;

    // What the loop watches. It stops watching when this goes, which a handler may do to its own.
    class Watch {
      public:
        Watch() = default;

      private:
        friend class EventLoop;
        struct State;
        struct Release {
            void operator()(State* state) const;
        };
        explicit Watch(State* state) : state_(state) {}
        std::unique_ptr<State, Release> state_;
    };

    static Result<std::unique_ptr<EventLoop>> make();
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    [[nodiscard]] Result<Watch> on_readable(int fd, Handler handler);    // the descriptor stays the caller's
    [[nodiscard]] Result<Watch> on_signal(int signal, Handler handler);  // blocks the signal's usual effect
    [[nodiscard]] Watch after(std::chrono::microseconds delay, Handler handler);  // once
    [[nodiscard]] Watch every(std::chrono::microseconds interval, Handler handler);

    // Tells systemd's watchdog, if it asks for that, that the loop still turns.
    void serve_watchdog();

    // Runs until stop(). Returns what stopped it if that was not stop().
    Result<void> run();
    void stop();

    // Handles what is ready, waiting for it at most so long. For tests.
    Result<void> run_once(std::chrono::microseconds wait);

  private:
    explicit EventLoop(sd_event* event) : event_(event) {}
    Watch add_timer(std::chrono::microseconds delay, std::chrono::microseconds interval, Handler handler);

    sd_event* event_;
};

}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
//
// A loop that handlers run in, on sd-event: one runs to its end before the next begins, so that those of one
// loop need no lock among them. All calls are made by the thread that runs the loop, but for post(). Handlers
// must not throw; one that does ends the process, and forwarding goes on without it.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "api/executor.h"
#include "core/result.h"
#include "core/unique_fd.h"

namespace sallyport::api {

class EventLoop final : public Executor {
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
    ~EventLoop() override;
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    [[nodiscard]] Result<Watch> on_readable(int fd, Handler handler);    // the descriptor stays the caller's
    [[nodiscard]] Result<Watch> on_signal(int signal, Handler handler);  // blocks the signal's usual effect
    [[nodiscard]] Watch after(std::chrono::microseconds delay, Handler handler);  // once
    [[nodiscard]] Watch every(std::chrono::microseconds interval, Handler handler);

    // One task in a turn of the loop, so that timers and descriptors have theirs in between.
    void post(std::function<void()> task) override;

    // Tells systemd's watchdog, if it asks for that, that the loop still turns.
    void serve_watchdog();
    // From now on no more: systemd will end the process.
    void fail_watchdog();

    // Runs until stop(). Returns what stopped it if that was not stop().
    Result<void> run();
    void stop();

    // Handles what is ready, waiting for it at most so long. For tests.
    Result<void> run_once(std::chrono::microseconds wait);

  private:
    EventLoop(sd_event* event, UniqueFd wake) : event_(event), wake_(std::move(wake)) {}
    Watch add_timer(std::chrono::microseconds delay, std::chrono::microseconds interval, Handler handler);
    void do_a_task();

    sd_event* event_;
    UniqueFd wake_;  // an eventfd that counts the tasks
    Watch woken_;
    std::mutex tasks_mutex_;
    std::deque<std::function<void()>> tasks_;
};

}  // namespace sallyport::api

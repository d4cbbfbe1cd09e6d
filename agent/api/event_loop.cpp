// SPDX-License-Identifier: Apache-2.0
#include "api/event_loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace sallyport::api {

struct EventLoop::Watch::State {
    Handler handler;
    std::chrono::microseconds interval{0};
    sd_event_source* source = nullptr;

    // A handler may let go of its own watch: the copy keeps it alive until it returns.
    void call() const {
        const Handler keep = handler;
        keep();
    }
};

void EventLoop::Watch::Release::operator()(State* state) const {
    sd_event_source_disable_unref(state->source);
    delete state;
}

namespace {

// sd-event is C: what throws inside a handler must end here, and noexcept makes it the end of the process.
template <typename State>
int handle_io(sd_event_source*, int, std::uint32_t, void* state) noexcept {
    static_cast<State*>(state)->call();
    return 0;
}

template <typename State>
int handle_signal(sd_event_source*, const signalfd_siginfo*, void* state) noexcept {
    static_cast<State*>(state)->call();
    return 0;
}

template <typename State>
int handle_time(sd_event_source* source, std::uint64_t, void* context) noexcept {
    auto* state = static_cast<State*>(context);
    if (state->interval.count() > 0) {
        // Armed again before the call, because the handler may end the watch. The interval counts from now:
        // a loop that was held up does not run the handler several times to catch up.
        sd_event_source_set_time_relative(source, static_cast<std::uint64_t>(state->interval.count()));
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    }
    state->call();
    return 0;
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::make() {
    sd_event* event = nullptr;
    if (const int status = sd_event_new(&event); status < 0) {
        return system_failure("make the event loop", -status);
    }
    UniqueFd wake(eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
    if (!wake) {
        sd_event_unref(event);
        return system_failure("make the event loop");
    }
    std::unique_ptr<EventLoop> loop(new EventLoop(event, std::move(wake)));
    Result<Watch> woken = loop->on_readable(loop->wake_.get(), [loop = loop.get()] { loop->do_a_task(); });
    if (!woken) return tl::unexpected(woken.error());
    loop->woken_ = *std::move(woken);
    return loop;
}

EventLoop::~EventLoop() {
    woken_ = {};
    sd_event_unref(event_);
}

void EventLoop::post(std::function<void()> task) {
    {
        const std::lock_guard lock(tasks_mutex_);
        tasks_.push_back(std::move(task));
    }
    // Fails only where 2^64 tasks wait.
    std::ignore = eventfd_write(wake_.get(), 1);
}

void EventLoop::do_a_task() {
    eventfd_t one = 0;
    if (eventfd_read(wake_.get(), &one) != 0) return;
    std::function<void()> task;
    {
        const std::lock_guard lock(tasks_mutex_);
        task = std::move(tasks_.front());
        tasks_.pop_front();
    }
    task();
}

Result<EventLoop::Watch> EventLoop::on_readable(int fd, Handler handler) {
    Watch watch(new Watch::State{std::move(handler)});
    const int status = sd_event_add_io(event_, &watch.state_->source, fd, EPOLLIN, handle_io<Watch::State>,
                                       watch.state_.get());
    if (status < 0) return system_failure("watch a descriptor", -status);
    return watch;
}

Result<EventLoop::Watch> EventLoop::on_signal(int signal, Handler handler) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return system_failure("block a signal");
    Watch watch(new Watch::State{std::move(handler)});
    const int status = sd_event_add_signal(event_, &watch.state_->source, signal, handle_signal<Watch::State>,
                                           watch.state_.get());
    if (status < 0) return system_failure("watch a signal", -status);
    return watch;
}

EventLoop::Watch EventLoop::after(std::chrono::microseconds delay, Handler handler) {
    return add_timer(delay, std::chrono::microseconds{0}, std::move(handler));
}

EventLoop::Watch EventLoop::every(std::chrono::microseconds interval, Handler handler) {
    return add_timer(interval, interval, std::move(handler));
}

EventLoop::Watch EventLoop::add_timer(std::chrono::microseconds delay, std::chrono::microseconds interval,
                                      Handler handler) {
    Watch watch(new Watch::State{std::move(handler), interval});
    const int status = sd_event_add_time_relative(event_, &watch.state_->source, CLOCK_MONOTONIC,
                                                  static_cast<std::uint64_t>(delay.count()), 1000,
                                                  handle_time<Watch::State>, watch.state_.get());
    if (status < 0) throw std::runtime_error("sd-event refuses a timer");
    return watch;
}

void EventLoop::serve_watchdog() {
    sd_event_set_watchdog(event_, 1);
}

void EventLoop::fail_watchdog() {
    sd_event_set_watchdog(event_, 0);
}

Result<void> EventLoop::run() {
    if (const int status = sd_event_loop(event_); status < 0)
        return system_failure("run the event loop", -status);
    return {};
}

void EventLoop::stop() {
    sd_event_exit(event_, 0);
}

Result<void> EventLoop::run_once(std::chrono::microseconds wait) {
    const int status = sd_event_run(event_, static_cast<std::uint64_t>(wait.count()));
    if (status < 0) return system_failure("run the event loop", -status);
    return {};
}

}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
//
// An event loop with a thread of its own. Until start() and after stop() the loop belongs to the caller, who
// may make and destroy what is watched by it; between them, to its thread alone.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "api/event_loop.h"
#include "core/result.h"

namespace sallyport::api {

class LoopThread {
  public:
    // `name` is what tools call the thread: at most 15 characters.
    static Result<std::unique_ptr<LoopThread>> make(std::string name);
    ~LoopThread() { stop(); }
    LoopThread(const LoopThread&) = delete;
    LoopThread& operator=(const LoopThread&) = delete;

    [[nodiscard]] EventLoop& loop() { return *loop_; }
    [[nodiscard]] const std::string& name() const { return name_; }

    // Signals that the caller has blocked are blocked in the thread too.
    void start();
    // Returns when the thread has ended; what was posted and not begun by then is not done.
    void stop();

    // Does it in the thread and waits for that; without a thread, here. Not to be called by the thread
    // itself, nor by one that this thread waits for.
    void call(const std::function<void()>& task);

    // For who watches over it: asks the thread for a sign of life, unless one is awaited already; and for how
    // long it is awaited.
    void ask_for_sign();
    [[nodiscard]] std::chrono::nanoseconds silent_for() const;

  private:
    LoopThread(std::string name, std::unique_ptr<EventLoop> loop)
        : name_(std::move(name)), loop_(std::move(loop)) {}

    std::string name_;
    std::unique_ptr<EventLoop> loop_;
    std::thread thread_;
    std::atomic<std::chrono::steady_clock::rep> asked_at_{0};  // 0: nothing is asked
};

}  // namespace sallyport::api

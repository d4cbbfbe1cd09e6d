// SPDX-License-Identifier: Apache-2.0
#include "api/loop_thread.h"

#include <pthread.h>

#include <future>
#include <utility>

namespace sallyport::api {

namespace {

std::chrono::steady_clock::rep now() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

}  // namespace

Result<std::unique_ptr<LoopThread>> LoopThread::make(std::string name) {
    auto loop = EventLoop::make();
    if (!loop) return tl::unexpected(loop.error());
    return std::unique_ptr<LoopThread>(new LoopThread(std::move(name), *std::move(loop)));
}

void LoopThread::start() {
    // A loop that cannot run any more leaves requests without an answer: as with a handler that throws, the
    // process ends, is started anew, and forwarding goes on meanwhile.
    thread_ = std::thread([this]() noexcept {
        if (!loop_->run()) std::terminate();
    });
    pthread_setname_np(thread_.native_handle(), name_.c_str());
}

void LoopThread::stop() {
    if (!thread_.joinable()) return;
    loop_->post([this] { loop_->stop(); });
    thread_.join();
}

void LoopThread::call(const std::function<void()>& task) {
    if (!thread_.joinable()) return task();
    std::promise<void> done;
    loop_->post([&] {
        task();
        done.set_value();
    });
    done.get_future().wait();
}

void LoopThread::ask_for_sign() {
    std::chrono::steady_clock::rep nothing_asked = 0;
    if (!asked_at_.compare_exchange_strong(nothing_asked, now())) return;
    loop_->post([this] { asked_at_ = 0; });
}

std::chrono::nanoseconds LoopThread::silent_for() const {
    const std::chrono::steady_clock::rep asked_at = asked_at_;
    return asked_at == 0 ? std::chrono::nanoseconds{0}
                         : std::chrono::steady_clock::duration{now() - asked_at};
}

}  // namespace sallyport::api

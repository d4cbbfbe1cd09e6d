// SPDX-License-Identifier: Apache-2.0
#include "api/loop_thread.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "api/api_access_in_thread.h"

namespace sallyport::api {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<LoopThread> thread_for_test() {
    return std::move(*LoopThread::make("test"));
}

TEST(EventLoopPost, TasksOfAllThreadsAreDoneInOrder) {
    const auto loop = std::move(*EventLoop::make());
    std::vector<int> done;
    std::thread other([&] {
        for (int i = 0; i < 100; ++i) loop->post([&done, i] { done.push_back(i); });
    });
    other.join();
    EXPECT_TRUE(done.empty());
    while (done.size() < 100) ASSERT_TRUE(loop->run_once(1s));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(done[static_cast<std::size_t>(i)], i);
}

TEST(EventLoopPost, TimersHaveTheirTurnAmongManyTasks) {
    const auto loop = std::move(*EventLoop::make());
    bool rung = false;
    const auto timer = loop->after(1us, [&] { rung = true; });
    int left = 100000;
    std::function<void()> again = [&] {
        if (--left > 0 && !rung) loop->post(again);
    };
    loop->post(again);
    while (!rung && left > 0) ASSERT_TRUE(loop->run_once(1s));
    EXPECT_TRUE(rung);
    EXPECT_GT(left, 0);
}

TEST(LoopThread, IsTheCallersUntilItStartsAndAfterItStopped) {
    const auto thread = thread_for_test();
    std::thread::id where;
    const auto look = [&] { where = std::this_thread::get_id(); };
    thread->call(look);
    EXPECT_EQ(where, std::this_thread::get_id());
    thread->start();
    thread->call(look);
    EXPECT_NE(where, std::this_thread::get_id());
    thread->stop();
    thread->call(look);
    EXPECT_EQ(where, std::this_thread::get_id());
    thread->stop();
}

TEST(LoopThread, SaysForHowLongItHasGivenNoSign) {
    const auto thread = thread_for_test();
    EXPECT_EQ(thread->silent_for(), 0s);
    thread->start();
    std::promise<void> free;
    thread->loop().post([waits = free.get_future().share()] { waits.wait(); });
    thread->ask_for_sign();
    std::this_thread::sleep_for(20ms);
    thread->ask_for_sign();
    EXPECT_GE(thread->silent_for(), 20ms) << "asking again begins nothing anew";
    free.set_value();
    thread->call([] {});  // comes after the sign
    EXPECT_EQ(thread->silent_for(), 0s);
}

// Notes where it is used, and what becomes of what it has made ready.
class Observed final : public control::ApiAccess {
  public:
    Result<std::function<void()>> prepare(const config::ApiSettings& settings) override {
        places.push_back(std::this_thread::get_id());
        if (settings.listen) return failure("not to be had");
        const std::shared_ptr<void> ready(nullptr,
                                          [this](void*) { places.push_back(std::this_thread::get_id()); });
        return [this, ready] { places.push_back(std::this_thread::get_id()); };
    }
    std::vector<std::thread::id> places;
};

TEST(ApiAccessInThread, EverythingHappensInTheThread) {
    Observed observed;
    const auto thread = thread_for_test();
    ApiAccessInThread access(observed, *thread);
    thread->start();
    std::thread::id there;
    thread->call([&] { there = std::this_thread::get_id(); });

    { const auto left_alone = access.prepare({}); }
    EXPECT_EQ(observed.places, (std::vector{there, there})) << "made ready, and forgotten";
    observed.places.clear();
    {
        const auto step = access.prepare({});
        ASSERT_TRUE(step);
        (*step)();
    }
    EXPECT_EQ(observed.places, (std::vector{there, there, there}));
    const auto refused = access.prepare({.listen = Endpoint{}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "not to be had");
}

}  // namespace
}  // namespace sallyport::api

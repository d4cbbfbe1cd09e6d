// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace sallyport::api {

// Where work is done, one task after the other, in the order in which it came.
class Executor {
  public:
    virtual ~Executor() = default;

    // May be called from any thread, and does not wait for the task.
    virtual void post(std::function<void()> task) = 0;
};

// Does it at once, by who posts it: where one thread does everything.
class InlineExecutor final : public Executor {
  public:
    void post(std::function<void()> task) override { task(); }
};

}  // namespace sallyport::api

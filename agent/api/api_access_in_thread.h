// SPDX-License-Identifier: Apache-2.0
//
// The section `api` of the configuration file is carried out by who serves the API, and asked for by the
// thread of commands, which waits for it here. The thread that serves never waits for that one.
#pragma once

#include "api/loop_thread.h"
#include "control/api_access.h"

namespace sallyport::api {

class ApiAccessInThread final : public control::ApiAccess {
  public:
    // Both must outlive this. `access` is touched by `thread` alone, while that runs.
    ApiAccessInThread(control::ApiAccess& access, LoopThread& thread) : access_(access), thread_(thread) {}

    Result<std::function<void()>> prepare(const config::ApiSettings& settings) override;

  private:
    control::ApiAccess& access_;
    LoopThread& thread_;
};

}  // namespace sallyport::api

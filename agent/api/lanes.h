// SPDX-License-Identifier: Apache-2.0
//
// Where requests are handled. Queries and commands have a thread each, so that neither waits for the other,
// and the server that reads requests and sends answers waits for none of them.
#pragma once

#include <set>
#include <string>

#include "api/executor.h"

namespace sallyport::api {

// The Idempotency-Keys of commands that have begun and are not answered yet. All calls are made where the
// answers are.
class RunningKeys {
  public:
    // Returns false and does nothing where one with this key is running.
    [[nodiscard]] bool begin(const std::string& key) { return keys_.insert(key).second; }
    void end(const std::string& key) { keys_.erase(key); }

  private:
    std::set<std::string> keys_;
};

// All of them must outlive who uses the lanes.
struct Lanes {
    Executor& queries;
    Executor& commands;
    Executor& answers;  // what sends them: all that a server does
    RunningKeys& running;
};

}  // namespace sallyport::api

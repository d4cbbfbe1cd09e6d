// SPDX-License-Identifier: Apache-2.0
#include "api/api_access_in_thread.h"

#include <memory>

namespace sallyport::api {

Result<std::function<void()>> ApiAccessInThread::prepare(const config::ApiSettings& settings) {
    Result<std::function<void()>> prepared;
    thread_.call([&] { prepared = access_.prepare(settings); });
    if (!prepared) return prepared;
    // What is ready belongs to the thread too, whether it is put in force or not.
    const auto forget = [this](std::function<void()>* step) { thread_.call([step] { delete step; }); };
    const std::shared_ptr<std::function<void()>> step(new std::function<void()>(*std::move(prepared)),
                                                      forget);
    return [this, step] { thread_.call(*step); };
}

}  // namespace sallyport::api

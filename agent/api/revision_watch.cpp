// SPDX-License-Identifier: Apache-2.0
#include "api/revision_watch.h"

#include <utility>
#include <vector>

namespace sallyport::api {

bool RevisionWatch::wait(std::chrono::seconds patience, std::function<bool()> is_due,
                         std::function<void()> done) {
    if (waiting_.size() >= most_) {
        ++refused_;
        return false;
    }
    const std::uint64_t number = next_++;
    waiting_.emplace(number, Waiting{std::move(is_due), std::move(done),
                                     loop_.after(patience, [this, number] { end(number); })});
    return true;
}

void RevisionWatch::look() {
    std::vector<std::uint64_t> due;
    for (const auto& [number, waiting] : waiting_) {
        if (waiting.is_due()) due.push_back(number);
    }
    for (const std::uint64_t number : due) end(number);
}

void RevisionWatch::end(std::uint64_t number) {
    if (auto node = waiting_.extract(number)) node.mapped().done();
}

}  // namespace sallyport::api

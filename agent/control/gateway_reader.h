// SPDX-License-Identifier: Apache-2.0
//
// What queries have of the gateway. They run beside the commands, in a thread of their own, and cannot reach
// what belongs to those: here are the View that was published last, the live tables, and a reading
// connection to the store.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "control/view.h"
#include "core/clock.h"
#include "core/result.h"
#include "dataplane/dataplane.h"
#include "netlink/netlink.h"
#include "store/store.h"

namespace sallyport::control {

// The View that was published last. Any thread may ask for it.
class PublishedView {
  public:
    [[nodiscard]] std::shared_ptr<const View> get() const {
        const std::lock_guard lock(mutex_);
        return view_;
    }
    void set(std::shared_ptr<const View> view) {
        {
            const std::lock_guard lock(mutex_);
            view_.swap(view);
        }
        // The one before may be large, and goes outside of the lock.
    }

  private:
    mutable std::mutex mutex_;  // held for the copy of a pointer
    std::shared_ptr<const View> view_;
};

// What one query looks at. All that it says of the desired state is of one revision; the tables are live.
struct Snapshot {
    std::shared_ptr<const View> view;
    dataplane::DataplaneReader& dataplane;
    store::StoreReader& store;
    netlink::Netlink& netlink;
    const Clock& clock;
    const std::string& config_path;
};

class GatewayReader {
  public:
    // All of them must outlive the reader; `netlink` is the queries' own.
    struct Parts {
        const PublishedView& view;
        dataplane::DataplaneReader& dataplane;
        store::StoreReader& store;
        netlink::Netlink& netlink;
        const Clock& clock;
    };
    GatewayReader(Parts parts, std::string config_path)
        : parts_(parts), config_path_(std::move(config_path)) {}

    [[nodiscard]] std::shared_ptr<const View> view() const { return parts_.view.get(); }
    [[nodiscard]] Snapshot now() const {
        return {view(), parts_.dataplane, parts_.store, parts_.netlink, parts_.clock, config_path_};
    }

  private:
    Parts parts_;
    std::string config_path_;
};

// Whether the configuration files say something else than when a start or a reload has read them.
Result<bool> files_have_changed(const Snapshot& snapshot);

}  // namespace sallyport::control

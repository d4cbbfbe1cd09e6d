// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/executor.h"
#include "api/lanes.h"

namespace sallyport::api {

// All lanes of a test that has one thread.
struct OneThread {
    InlineExecutor here;
    RunningKeys running;
    Lanes lanes{here, here, here, running};
};

}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
//
// The agent as a whole: every part, wired to the event loops of its threads.
#pragma once

#include "options.h"

namespace sallyport {

// Runs until a signal ends it. Returns the exit code; what went wrong has been printed.
int run_agent(const Options& options);

}  // namespace sallyport

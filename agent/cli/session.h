// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/client.h"
#include "cli/invocation.h"
#include "cli/output.h"

namespace sallyport::cli {

// What a command works with.
class Session {
  public:
    Session(const Invocation& invocation, const Client& api, Output& output)
        : invocation_(invocation), api_(api), output_(output) {}

    [[nodiscard]] const Invocation& invocation() const { return invocation_; }
    [[nodiscard]] const Client& api() const { return api_; }
    // What was given with --idempotency-key, if anything.
    [[nodiscard]] std::string key() const { return invocation_.value("idempotency-key"); }
    [[nodiscard]] Output& output() { return output_; }

    // Shows the answer through `view`, or the problem. Gives what the process shall end with.
    ExitCode show(const Outcome& outcome, const View& view) {
        if (!outcome) return show(outcome.error());
        output_.answer(*outcome, view);
        return ExitCode::ok;
    }
    ExitCode show(const Problem& problem) {
        output_.problem(problem.body);
        return problem.exit;
    }

  private:
    const Invocation& invocation_;
    const Client& api_;
    Output& output_;
};

}  // namespace sallyport::cli

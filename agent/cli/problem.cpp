// SPDX-License-Identifier: Apache-2.0
#include "cli/problem.h"

#include <utility>

namespace sallyport::cli {

tl::unexpected<Problem> problem(ExitCode exit, std::string title, std::string detail) {
    Json body{{"type", "about:blank"}, {"title", std::move(title)}, {"detail", std::move(detail)}};
    return tl::unexpected(Problem{exit, std::move(body)});
}

}  // namespace sallyport::cli

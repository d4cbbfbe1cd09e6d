// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/result.h"
#include "core/unique_fd.h"

namespace sallyport {

// A directory that is one agent's alone for as long as this lives. The kernel lets go of the lock when the
// process ends, however it ends.
class DirectoryLock {
  public:
    // Makes the directory where it is missing.
    static Result<DirectoryLock> take(const std::string& directory);

  private:
    explicit DirectoryLock(UniqueFd file) : file_(std::move(file)) {}
    UniqueFd file_;
};

}  // namespace sallyport

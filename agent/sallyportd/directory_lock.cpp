// SPDX-License-Identifier: Apache-2.0
#include "directory_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <filesystem>

namespace sallyport {

Result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return failure(fmt::format("make {}: {}", directory, error.message()), error.value());
    const std::string path = directory + "/sallyportd.lock";
    UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return system_failure("open " + path);
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return failure(fmt::format("another agent works on {}: stop it first", directory), EWOULDBLOCK);
        return system_failure("lock " + path);
    }
    return DirectoryLock(std::move(file));
}

}  // namespace sallyport

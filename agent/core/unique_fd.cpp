// SPDX-License-Identifier: Apache-2.0
#include "core/unique_fd.h"

#include <unistd.h>

#include <cerrno>

namespace sallyport {

void UniqueFd::reset(int fd) {
    const int old = std::exchange(fd_, fd);
    if (old >= 0 && old != fd) {
        // Linux closes the descriptor even when close() reports an error, so there is nothing to repeat;
        // errno is kept for a caller who is about to report an error of its own.
        const int saved = errno;
        ::close(old);
        errno = saved;
    }
}

}  // namespace sallyport

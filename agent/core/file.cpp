// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/unique_fd.h"

namespace sallyport {
namespace {

std::string folder_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_all(int fd, std::string_view content, const std::string& path) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0) {
            if (errno == EINTR) continue;
            return system_failure("write " + path);
        }
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

// Everything up to the rename; the caller removes `temporary` when this fails.
Result<void> write_and_rename(UniqueFd fd, const std::string& temporary, const std::string& path,
                              std::string_view content, mode_t mode) {
    if (auto written = write_all(fd.get(), content, temporary); !written) return written;
    if (::fchmod(fd.get(), mode) != 0) return system_failure("set the mode of " + temporary);
    if (::fsync(fd.get()) != 0) return system_failure("flush " + temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        return system_failure(fmt::format("rename {} to {}", temporary, path));
    }
    return {};
}

}  // namespace

namespace {

Result<std::string> read_all(const UniqueFd& fd, const std::string& path, std::size_t most) {
    std::string content;
    std::size_t used = 0;
    // One byte more than allowed is asked for, so that "too large" is seen without trusting st_size.
    while (used <= most) {
        if (used == content.size()) content.resize(std::clamp<std::size_t>(used * 2, 65536, most + 1));
        const ssize_t got = ::read(fd.get(), content.data() + used, content.size() - used);
        if (got < 0) {
            if (errno == EINTR) continue;
            return system_failure("read " + path);
        }
        if (got == 0) {
            content.resize(used);
            return content;
        }
        used += static_cast<std::size_t>(got);
    }
    return failure(fmt::format("read {}: it is larger than {} bytes", path, most), EFBIG);
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t most) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return system_failure("open " + path);
    return read_all(fd, path, most);
}

Result<std::string> read_secret_file(const std::string& path, std::size_t most) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return system_failure("open " + path);
    // Of the open file: what stands at the path may be another one by now.
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return system_failure("look at " + path);
    if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        return failure(fmt::format("{} has mode {:04o} and must be closed to others: chmod 0640 {}", path,
                                   status.st_mode & 07777U, path),
                       EACCES);
    }
    if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
        return failure(fmt::format("{} belongs to uid {}, who could change it: chown root {}", path,
                                   status.st_uid, path),
                       EACCES);
    }
    return read_all(fd, path, most);
}

Result<void> write_file(const std::string& path, std::string_view content, mode_t mode) {
    std::string temporary = path + ".XXXXXX";
    UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return system_failure("create a file beside " + path);
    if (auto done = write_and_rename(std::move(fd), temporary, path, content, mode); !done) {
        ::unlink(temporary.c_str());
        return done;
    }
    // The rename itself lasts only when the folder has been flushed too.
    const std::string folder = folder_of(path);
    const UniqueFd folder_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_fd) return system_failure("open " + folder);
    if (::fsync(folder_fd.get()) != 0) return system_failure("flush " + folder);
    return {};
}

}  // namespace sallyport

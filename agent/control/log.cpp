// SPDX-License-Identifier: Apache-2.0
#include "control/log.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace sallyport::control {

namespace {

// JOURNAL_STREAM names the device and inode of the stream that the journal reads. It is inherited by whoever
// the service starts, so it counts only where it is our own standard error.
bool journal_reads_stderr() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat status {};
    if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
    return stream == fmt::format("{}:{}", status.st_dev, status.st_ino);
}

int priority_of(LogLevel level) {
    switch (level) {
        case LogLevel::error:
            return 3;
        case LogLevel::warning:
            return 4;
        case LogLevel::notice:
            return 5;
        case LogLevel::info:
            return 6;
    }
    return 6;
}

}  // namespace

StderrLog::StderrLog() : with_priority_(journal_reads_stderr()) {
}

void StderrLog::write(LogLevel level, std::string_view line) {
    const std::string text =
        with_priority_ ? fmt::format("<{}>{}\n", priority_of(level), line) : fmt::format("{}\n", line);
    // One write for a line, so that lines of several processes do not mix.
    (void)!::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace sallyport::control

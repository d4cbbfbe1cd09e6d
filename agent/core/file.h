// SPDX-License-Identifier: Apache-2.0
//
// Whole files, read and written.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sallyport {

// Reads all of a file, also one whose size is not known beforehand (a pipe, /proc). Fails with EFBIG when
// it holds more than `most` bytes, and for a directory.
Result<std::string> read_file(const std::string& path, std::size_t most = std::size_t{64} << 20);

// The same for what nobody else may know, such as keys: fails with EACCES where others than the owner and the
// group can read the file, others than the owner can write it, or the owner is neither root nor this process.
Result<std::string> read_secret_file(const std::string& path, std::size_t most = std::size_t{1} << 20);

// Replaces a file in one step: writes beside it, flushes, renames. Readers see the old content or the
// new one, never a part of it, also after a loss of power.
Result<void> write_file(const std::string& path, std::string_view content, mode_t mode = 0644);

}  // namespace sallyport

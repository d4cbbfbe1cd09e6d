// SPDX-License-Identifier: Apache-2.0
//
// The tables of the store, as the steps that made each version of them from the one before.
#pragma once

#include <cstddef>
#include <span>

namespace sallyport::store {

// One step of SQL for each version of the layout, the first one at index 0; user_version counts the steps
// taken. A step is never changed once it was released.
std::span<const char* const> layout_steps();

// The version that wants more than SQL: SqliteStore::keep_objects_apart() completes it.
inline constexpr std::size_t objects_apart = 6;

// "SPRT": tells our files from other programs' databases.
inline constexpr int application_id = 0x53505254;

}  // namespace sallyport::store

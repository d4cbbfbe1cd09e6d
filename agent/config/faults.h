// SPDX-License-Identifier: Apache-2.0
//
// What the files of this folder share about faults.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"
#include "config/files.h"
#include "config/load.h"
#include "model/validate.h"

namespace sallyport::config {

// Whether `path` is `outer` or leads into it.
bool is_inside(std::string_view path, std::string_view outer);

Fault at_its_place(const model::Fault& fault, const Files& files);

// Sorted by place, bounded in number and fit for a terminal. `unlisted` faults were found besides.
std::vector<Fault> in_order(std::vector<Fault> faults, const Files& files, std::size_t unlisted = 0);

}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
#include "control/gateway_reader.h"

#include "config/sources.h"
#include "control/candidate.h"

namespace sallyport::control {

Result<bool> files_have_changed(const Snapshot& snapshot) {
    const Result<config::Sources> sources = config::read_sources(snapshot.config_path);
    if (!sources) return tl::unexpected(sources.error());
    const Result<std::string> known = snapshot.store.loaded_file_hash();
    if (!known) return tl::unexpected(known.error());
    return digest_of(*sources) != *known;
}

}  // namespace sallyport::control

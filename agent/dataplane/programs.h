// SPDX-License-Identifier: Apache-2.0
//
// Loads copies of the programs, each with constants of its own, onto the maps that are pinned.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "core/result.h"
#include "core/unique_fd.h"
#include "dataplane/tables.h"
#include "sallyport/abi/capture.h"
#include "sallyport/abi/maps.h"

namespace sallyport::dataplane {

using MapFds = std::map<std::string, UniqueFd, std::less<>>;

// The copy for one device. `description` gives the shape of the flow table.
Result<UniqueFd> load_device_program(Role role, std::uint8_t slot, const meta& description,
                                     const MapFds& maps);
// The same program for the time of a capture. `capture_maps` are those of bpf/lib/capture.h.
Result<UniqueFd> load_capturing_program(Role role, std::uint8_t slot, const meta& description,
                                        const MapFds& maps, const MapFds& capture_maps,
                                        const capture_filter& filter);
Result<UniqueFd> load_reaper(const meta& description, const MapFds& maps);
Result<UniqueFd> load_next_hop_query(const meta& description, const MapFds& maps);
Result<UniqueFd> load_pass_on();

// Calls `use` with all maps as the programs declare them, opened but not loaded: where their shapes come
// from. All programs declare the same ones.
Result<void> with_declared_maps(const std::function<Result<void>(bpf_object*)>& use);

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
//
// What outlives the agent, under PIN_DIR on a bpffs:
//
//   PIN_DIR/vN/maps/NAME          all maps of bpf/lib/maps.h; "meta", pinned last, says that all are there
//   PIN_DIR/vN/programs/DEVICE    the program that is attached to a device (and "reaper")
//   PIN_DIR/vN/links/DEVICE       what keeps it attached
//
// N is the version of the layout. State of another version is refused and never touched, because its
// flows are somebody's connections. PIN_DIR is locked for as long as a PinnedState or PinDirectory lives:
// there is one agent at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"
#include "sallyport/abi/maps.h"

namespace sallyport::dataplane {

// How large the flow table and what goes with it are made.
struct TableSize {
    std::uint32_t flow_regions = 0;
    std::uint32_t port_sets = 0;
};
// `flow_capacity` flows fill the table to seven tenths. Measured with a million of them: up to there no
// bucket overflows, at three quarters it refuses three flows, at four fifths some seventy.
TableSize table_size(std::uint32_t flow_capacity);

// PIN_DIR itself: on a bpffs, locked, holding no state of another layout version.
class PinDirectory {
  public:
    static Result<PinDirectory> open(const std::string& path);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string version_path() const;

  private:
    PinDirectory(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    std::string path_;
    UniqueFd lock_;
};

class PinnedState {
  public:
    // Opens what is pinned in `directory`, or makes it. What a crash left half made is made anew.
    static Result<PinnedState> open_or_make(const PinDirectory& directory, std::uint32_t flow_capacity,
                                            std::string_view version);

    [[nodiscard]] bool made() const { return made_; }  // and not found
    [[nodiscard]] const meta& description() const { return meta_; }
    [[nodiscard]] int map(std::string_view name) const;  // descriptor; the name must be one of maps.h
    [[nodiscard]] const std::map<std::string, UniqueFd, std::less<>>& maps() const { return maps_; }

    [[nodiscard]] std::string program_path(std::string_view name) const;
    [[nodiscard]] std::string link_path(std::string_view device) const;
    // Devices whose links are pinned.
    [[nodiscard]] Result<std::vector<std::string>> linked_devices() const;

    // Removes all that is pinned. No link may be pinned any more.
    Result<void> remove();

  private:
    explicit PinnedState(std::string directory) : directory_(std::move(directory)) {}
    Result<void> make(std::uint32_t flow_capacity, std::string_view version);
    Result<void> adopt();

    std::string directory_;
    std::map<std::string, UniqueFd, std::less<>> maps_;
    meta meta_{};
    bool made_ = false;
};

}  // namespace sallyport::dataplane

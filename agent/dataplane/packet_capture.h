// SPDX-License-Identifier: Apache-2.0
//
// Records what the devices receive and what is made of it: copies of the programs that record besides
// (bpf/lib/capture.h) take the place of those on the devices, each in one step, and give it back. They and
// their ring buffer are pinned nowhere. An agent that is killed leaves them on the devices, where they
// forward as before and record no more; the next agent replaces them as it would any program.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/result.h"
#include "dataplane/attacher.h"
#include "dataplane/dataplane.h"
#include "dataplane/pinned_state.h"
#include "dataplane/programs.h"

namespace sallyport::dataplane {

class PacketCapture {
  public:
    // `state` and `attacher` must outlive it.
    static Result<std::unique_ptr<PacketCapture>> begin(const PinnedState& state, const Attacher& attacher,
                                                        const CaptureRequest& request);
    ~PacketCapture();
    PacketCapture(const PacketCapture&) = delete;
    PacketCapture& operator=(const PacketCapture&) = delete;

    // As Dataplane::poll_capture().
    Result<std::uint64_t> poll(std::size_t most, const std::function<void(CapturedPacket)>& handle);
    // Nothing is recorded any more; what waits can still be polled.
    void stop();

  private:
    struct Ring;
    using Programs = std::map<std::uint8_t, std::uint32_t>;  // identifiers, by slot

    explicit PacketCapture(const Attacher& attacher);
    Result<void> make_maps();
    // What is on the devices that this capture is about.
    [[nodiscard]] Result<Programs> programs_now() const;
    // Says that the agent is there.
    Result<void> renew();
    [[nodiscard]] Result<std::uint64_t> lost() const;

    const Attacher& attacher_;
    CaptureRequest request_;
    MapFds maps_;
    std::unique_ptr<Ring> ring_;
    Programs programs_;
    struct Replacement {
        UniqueFd link;
        UniqueFd usual;      // the program that has its place again
        UniqueFd capturing;  // the one that has it now
    };
    std::vector<Replacement> replacements_;
};

// What both implementations say of it.
tl::unexpected<Error> no_device_to_capture(const CaptureRequest& request);
tl::unexpected<Error> capture_is_running();
tl::unexpected<Error> no_capture();
tl::unexpected<Error> captured_program_was_replaced();

}  // namespace sallyport::dataplane

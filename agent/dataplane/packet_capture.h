// SPDX-License-Identifier: Apache-2.0
//
// Records what the programs on the devices receive and what they make of it, by tracing programs beside them
// (bpf/capture.bpf.c). They and their ring buffer are pinned nowhere: they go with this object, or with the
// process.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "core/result.h"
#include "dataplane/attacher.h"
#include "dataplane/dataplane.h"

namespace sallyport::dataplane {

class PacketCapture {
  public:
    // `attacher` must outlive it.
    static Result<std::unique_ptr<PacketCapture>> begin(const Attacher& attacher,
                                                        const CaptureRequest& request);
    ~PacketCapture();
    PacketCapture(const PacketCapture&) = delete;
    PacketCapture& operator=(const PacketCapture&) = delete;

    // As Dataplane::poll_capture().
    Result<std::uint64_t> poll(std::size_t most, const std::function<void(CapturedPacket)>& handle);
    // Nothing is recorded any more; what waits can still be polled.
    void stop();

  private:
    struct Traced;
    struct Ring;
    explicit PacketCapture(const Attacher& attacher);

    // The identifiers of the programs that are to be traced, by slot.
    static Result<std::map<std::uint8_t, std::uint32_t>> programs_now(const Attacher& attacher,
                                                                      const CaptureRequest& request);

    const Attacher& attacher_;
    CaptureRequest request_;
    std::map<std::uint8_t, std::uint32_t> programs_;
    std::unique_ptr<Ring> ring_;
    std::vector<std::unique_ptr<Traced>> traced_;
};

// What both implementations say of it.
tl::unexpected<Error> no_device_to_capture(const CaptureRequest& request);
tl::unexpected<Error> capture_is_running();
tl::unexpected<Error> no_capture();
tl::unexpected<Error> captured_program_was_replaced();

}  // namespace sallyport::dataplane

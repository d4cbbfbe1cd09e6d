// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "dataplane/packet_capture.h"

namespace sallyport::dataplane {

std::string_view to_string(CapturePoint point) {
    switch (point) {
        case CapturePoint::received:
            return "received";
        case CapturePoint::sent:
            return "sent";
        case CapturePoint::dropped:
            return "dropped";
        case CapturePoint::passed:
            return "passed";
    }
    return "";
}

tl::unexpected<Error> no_device_to_capture(const CaptureRequest& request) {
    return failure(request.device ? "the device is not attached" : "no device is attached", ENODEV);
}

tl::unexpected<Error> capture_is_running() {
    return failure("another capture is running; there is one at a time", EBUSY);
}

tl::unexpected<Error> no_capture() {
    return failure(
        "there is no such capture; it ended, or its client did not ask for its packets for too long", ENOENT);
}

tl::unexpected<Error> captured_program_was_replaced() {
    return failure(
        "the capture has ended because the program on a device was replaced or taken off; begin anew",
        ESTALE);
}

}  // namespace sallyport::dataplane

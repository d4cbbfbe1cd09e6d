// SPDX-License-Identifier: Apache-2.0
#include "sallyport/abi/drop_reason.h"

#include "dataplane/dataplane.h"

namespace sallyport::dataplane {

std::string_view drop_reason_label(std::uint32_t reason) {
    switch (reason) {
#define REASON(number, NAME, label, text) \
    case number:                          \
        return #label;
        FOREACH_DROP_REASON(REASON)
#undef REASON
        default:
            return "";
    }
}

std::string_view drop_reason_text(std::uint32_t reason) {
    switch (reason) {
#define REASON(number, NAME, label, text) \
    case number:                          \
        return text;
        FOREACH_DROP_REASON(REASON)
#undef REASON
        default:
            return "";
    }
}

}  // namespace sallyport::dataplane

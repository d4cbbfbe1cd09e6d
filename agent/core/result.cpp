// SPDX-License-Identifier: Apache-2.0
#include "core/result.h"

#include <system_error>

namespace sallyport {

Error Error::within(std::string_view context) const {
    std::string longer(context);
    longer += ": ";
    longer += message;
    return Error{std::move(longer), code};
}

tl::unexpected<Error> failure(std::string message, int code) {
    return tl::make_unexpected(Error{std::move(message), code});
}

tl::unexpected<Error> system_failure(std::string_view doing, int error) {
    // std::generic_category is used and not strerror(), because it is safe with threads.
    return tl::make_unexpected(Error{std::generic_category().message(error), error}.within(doing));
}

tl::unexpected<Error> failure_within(std::string_view context, const Error& error) {
    return tl::make_unexpected(error.within(context));
}

}  // namespace sallyport

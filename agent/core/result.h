// SPDX-License-Identifier: Apache-2.0
//
// The error policy of the agent, in one place:
//  - what the outside world can cause (a file, a peer, the kernel) returns Result<T>;
//  - exceptions are for programming errors and lack of memory, and never cross a C frame;
//  - errno is read in the first line after the call that sets it;
//  - each layer adds one noun phrase in front, so that a message reads from the outside in:
//    "apply revision 42: NAT gateway \"egress\": update map nat_gateways: no space left on device".
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace sallyport {

struct Error {
    std::string message;
    int code = 0;  // errno where one was the cause, else 0

    // The same error with `context` in front: Error{"no space"}.within("update map") reads
    // "update map: no space".
    [[nodiscard]] Error within(std::string_view context) const;
};

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
  public:
    using tl::expected<T, Error>::expected;
};

// An error to return: `return failure("device {} is missing")`.
[[nodiscard]] tl::unexpected<Error> failure(std::string message, int code = 0);

// An error made of errno as it is now: `return system_failure("open " + path)`.
[[nodiscard]] tl::unexpected<Error> system_failure(std::string_view doing, int error = errno);

// Passes an error on with one more phrase in front.
[[nodiscard]] tl::unexpected<Error> failure_within(std::string_view context, const Error& error);

}  // namespace sallyport

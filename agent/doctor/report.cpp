// SPDX-License-Identifier: Apache-2.0
#include "doctor/report.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace sallyport::doctor {

Result<long> Sysctl::read(Host& host) const {
    const std::string path = "/proc/sys/" + name_;
    const auto text = host.read(path);
    if (!text) {
        return tl::make_unexpected(text.error());
    }
    long value = 0;
    const auto [end, fault] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (fault != std::errc() || end != text->data() + text->size()) {
        return failure(path + " holds \"" + *text + "\", which is no number", EINVAL);
    }
    return value;
}

std::string Sysctl::setting(long value) const {
    std::string name = name_;
    if (name.find('.') == std::string::npos) {
        std::replace(name.begin(), name.end(), '/', '.');
    }
    return name + "=" + std::to_string(value);
}

}  // namespace sallyport::doctor

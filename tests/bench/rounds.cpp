// SPDX-License-Identifier: Apache-2.0
#include "bench/rounds.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

namespace sallyport::bench {

void bind_to_processor(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(processor), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::system_error(errno, std::generic_category(),
                                "bind to processor " + std::to_string(processor));
    }
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

}  // namespace sallyport::bench

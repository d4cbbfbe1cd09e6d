// SPDX-License-Identifier: Apache-2.0
//
// What all measuring programs do alike.
#pragma once

#include <vector>

namespace sallyport::bench {

// Binds the calling thread, and what it starts, to one processor. Throws if there is no such processor.
void bind_to_processor(int processor);

// The upper of the two middle ones where their number is even. At least one value.
double median(std::vector<double> values);

}  // namespace sallyport::bench

// SPDX-License-Identifier: Apache-2.0
//
// Prints the table of metrics for docs/metrics.md.
#include <cstdio>

#include "telemetry/metric_definitions.h"

int main() {
    std::fputs(sallyport::telemetry::metrics_table().c_str(), stdout);
}

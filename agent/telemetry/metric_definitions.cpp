// SPDX-License-Identifier: Apache-2.0
#include "telemetry/metric_definitions.h"

#include <fmt/format.h>

namespace sallyport::telemetry {

std::string metrics_table() {
    std::string table = "| metric | type | labels | meaning |\n|---|---|---|---|\n";
    for (const MetricDefinition& metric : all_metrics) {
        std::string labels;
        for (const std::string_view label : metric.labels) {
            if (!label.empty()) labels += fmt::format("{}`{}`", labels.empty() ? "" : ", ", label);
        }
        table += fmt::format("| `{}` | {} | {} | {} |\n", metric.name,
                             metric.kind == MetricKind::counter ? "counter" : "gauge", labels, metric.help);
    }
    return table;
}

}  // namespace sallyport::telemetry

// SPDX-License-Identifier: Apache-2.0
#include "cli/faults.h"

namespace sallyport::cli {

Json faults_json(const std::vector<config::Fault>& faults, std::string_view severity) {
    Json out = Json::array();
    for (const config::Fault& fault : faults) {
        out.push_back({{"severity", severity},
                       {"file", fault.file},
                       {"line", fault.line},
                       {"column", fault.column},
                       {"path", fault.path},
                       {"read", fault.read},
                       {"expected", fault.expected},
                       {"message", fault.message}});
    }
    return out;
}

}  // namespace sallyport::cli

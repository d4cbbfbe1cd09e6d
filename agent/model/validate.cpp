// SPDX-License-Identifier: Apache-2.0
#include "model/validate.h"

#include "model/rules/rules.h"

namespace sallyport::model {

std::vector<Fault> validate(const DesiredState& state) {
    Examination examination(state);
    check_sizes(examination);
    check_names(examination);
    check_references(examination);
    check_gateway(examination);
    check_networks(examination);
    check_translation(examination);
    check_hosts(examination);
    check_port_forwards(examination);
    return std::move(examination.faults);
}

}  // namespace sallyport::model

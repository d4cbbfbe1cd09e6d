// SPDX-License-Identifier: Apache-2.0
//
// Whether a desired state makes sense. No I/O: what devices and addresses the host really has is asked
// elsewhere.
#pragma once

#include <string>
#include <vector>

#include "model/resources.h"

namespace sallyport::model {

struct Fault {
    std::string path;        // "nat_gateways[0].elastic_ips[1]": fields and positions in the state
    std::string other_path;  // the object that this one is at odds with, or empty
    std::string read;        // the value at fault
    std::string expected;    // what would be right
    std::string message;     // one sentence that holds all of it
    bool operator==(const Fault&) const = default;
};

// Every fault at once; none: the state may be applied.
std::vector<Fault> validate(const DesiredState& state);

// What is allowed and yet not what the operator may think: a subnet without routes, for instance, and
// all that this version accepts but does not carry out (in_force.h). For a state without faults.
std::vector<Fault> warnings(const DesiredState& state);

}  // namespace sallyport::model

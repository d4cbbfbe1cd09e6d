// SPDX-License-Identifier: Apache-2.0
//
// What may be declared and is not yet carried out. The table in in_force.cpp is the only place that knows;
// carrying something out ends with taking its line out of there.
#pragma once

#include <string_view>
#include <vector>

#include "model/resources.h"
#include "model/validate.h"

namespace sallyport::model {

// One warning for each object or setting that the state declares in vain. Settings whose default is not in
// force are among them: who read the state from a file leaves out those that the file does not mention.
std::vector<Fault> not_in_force(const DesiredState& state);

// What the table names, such as "a port forward", for manuals.
std::vector<std::string_view> kinds_not_in_force();

}  // namespace sallyport::model

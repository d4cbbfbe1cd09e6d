// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "api/http.h"
#include "control/gateway_reader.h"
#include "doctor/doctor.h"

namespace sallyport::api::queries {

// What of the host matters to the gateway as it is now.
doctor::Subjects doctor_subjects(const control::View& view, const std::string& pin_dir);

// Looks at the host now; changes nothing.
Response doctor(const control::Snapshot& now, doctor::Host& host, const std::string& pin_dir);

}  // namespace sallyport::api::queries

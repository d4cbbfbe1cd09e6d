// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "api/http.h"
#include "control/gateway.h"
#include "doctor/host.h"

namespace sallyport::api::queries {

// Looks at the host now; changes nothing.
Response doctor(const control::Gateway& gateway, doctor::Host& host, const std::string& pin_dir);

}  // namespace sallyport::api::queries

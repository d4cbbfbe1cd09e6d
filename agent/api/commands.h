// SPDX-License-Identifier: Apache-2.0
//
// The half of the API that changes state. Each answers when its change is in force.
#pragma once

#include "api/http.h"
#include "api/router.h"
#include "control/gateway.h"

namespace sallyport::api::commands {

Response apply(control::Gateway& gateway, const Call& call);
Response confirm(control::Gateway& gateway, const Call& call);
Response rollback(control::Gateway& gateway, const Call& call);
Response reload(control::Gateway& gateway, const Call& call);
Response detach(control::Gateway& gateway, const Call& call);

}  // namespace sallyport::api::commands

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
Response drain(control::Gateway& gateway, const Call& call);
Response end_drain(control::Gateway& gateway, const Call& call);

// On one object of the API.
Response create_object(control::Gateway& gateway, const Call& call);
Response put_object(control::Gateway& gateway, const Call& call);
Response patch_object(control::Gateway& gateway, const Call& call);
Response delete_object(control::Gateway& gateway, const Call& call);

}  // namespace sallyport::api::commands

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/http_server.h"
#include "config/api_settings.h"
#include "core/result.h"

namespace sallyport::api {

// Reads certificate and key and makes sure that TLS can be served with them: that both can be read, that the
// key belongs to the certificate, and that it is closed to others.
Result<TlsIdentity> load_tls_identity(const config::Tls& files);

}  // namespace sallyport::api

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "config/api_settings.h"
#include "core/result.h"

namespace sallyport::control {

// Carries out the section `api` of the configuration file, which is in no revision. A reload is one step:
// what can go wrong does so in prepare(), while nothing has changed yet.
class ApiAccess {
  public:
    virtual ~ApiAccess() = default;

    // Makes ready what the settings ask for. The step that puts it in force cannot fail; without it, nothing
    // has happened.
    virtual Result<std::function<void()>> prepare(const config::ApiSettings& settings) = 0;
};

}  // namespace sallyport::control

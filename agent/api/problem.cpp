// SPDX-License-Identifier: Apache-2.0
#include "api/problem.h"

#include <microhttpd.h>

#include <nlohmann/json.hpp>

namespace sallyport::api {

Response problem(unsigned status, const std::string& detail, const std::vector<config::Fault>& faults) {
    nlohmann::json body{
        {"type", "about:blank"}, {"title", MHD_get_reason_phrase_for(status)}, {"status", status},
        {"detail", detail},      {"faults", nlohmann::json::array()},
    };
    for (const config::Fault& fault : faults) {
        if (fault.pointer) {  // into the body of the request
            body["faults"].push_back({{"pointer", *fault.pointer},
                                      {"path", fault.path},
                                      {"read", fault.read},
                                      {"expected", fault.expected},
                                      {"message", fault.message}});
            continue;
        }
        body["faults"].push_back({{"file", fault.file},
                                  {"line", fault.line},
                                  {"column", fault.column},
                                  {"path", fault.path},
                                  {"read", fault.read},
                                  {"expected", fault.expected},
                                  {"message", fault.message}});
    }
    // A message may quote bytes of the operator's file that are no UTF-8.
    constexpr auto replace = nlohmann::json::error_handler_t::replace;
    return {status, "application/problem+json", body.dump(-1, ' ', false, replace) + "\n", {}};
}

}  // namespace sallyport::api

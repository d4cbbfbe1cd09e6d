// SPDX-License-Identifier: Apache-2.0
#include "api/problem.h"

#include <fmt/format.h>
#include <microhttpd.h>

#include <nlohmann/json.hpp>

namespace sallyport::api {

namespace {

nlohmann::json problem_body(unsigned status, const std::string& detail) {
    return {
        {"type", "about:blank"}, {"title", MHD_get_reason_phrase_for(status)}, {"status", status},
        {"detail", detail},      {"faults", nlohmann::json::array()},
    };
}

Response problem_response(unsigned status, const nlohmann::json& body) {
    // A message may quote bytes of the operator's file that are no UTF-8.
    constexpr auto replace = nlohmann::json::error_handler_t::replace;
    return {status, "application/problem+json", body.dump(-1, ' ', false, replace) + "\n", {}};
}

}  // namespace

Response problem(unsigned status, const std::string& detail, const std::vector<config::Fault>& faults) {
    nlohmann::json body = problem_body(status, detail);
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
    return problem_response(status, body);
}

Response problem_of_parameter(const std::string& name, const std::string& read, const std::string& expected) {
    constexpr unsigned bad_request = 400;
    const std::string message = fmt::format("{}=\"{}\" cannot be read; expected: {}", name, read, expected);
    nlohmann::json body = problem_body(bad_request, message);
    body["faults"].push_back(
        {{"parameter", name}, {"read", read}, {"expected", expected}, {"message", message}});
    return problem_response(bad_request, body);
}

}  // namespace sallyport::api

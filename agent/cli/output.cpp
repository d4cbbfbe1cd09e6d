// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fmt/format.h>

#include <ostream>

#include "cli/views.h"

namespace sallyport::cli {
namespace {

// Names and texts come from outside: a byte that is no UTF-8 is replaced rather than ending the program.
std::string dump(const Json& value, int indent) {
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void TextOutput::answer(const Json& value, const View& view) {
    view(text_, value);
}

void TextOutput::event(const Json& value, const View& view) {
    view(text_, value);
    out_.flush();
}

void TextOutput::problem(const Json& body) {
    std::string what = field(body, "detail");
    if (what.empty()) what = field(body, "title");
    if (what.empty()) what = "the agent refused and did not say why";
    err_ << "sallyport: " << what << '\n';
    for (const Json& fault : list(body, "faults")) err_ << fault_line(fault) << '\n';
}

void JsonOutput::answer(const Json& value, const View&) {
    out_ << dump(value, 2) << '\n';
}

void JsonOutput::event(const Json& value, const View&) {
    out_ << dump(value, -1) << '\n';
    out_.flush();
}

void JsonOutput::problem(const Json& body) {
    err_ << dump(body, 2) << '\n';
}

}  // namespace sallyport::cli

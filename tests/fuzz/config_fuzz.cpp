// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a configuration file: never a crash, and what comes out keeps what it promises.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"
#include "config/load.h"
#include "config/simple_yaml.h"
#include "model/delta.h"
#include "model/json.h"
#include "model/validate.h"

namespace {

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
}

void check_fault(const sallyport::config::Fault& fault, std::ptrdiff_t lines) {
    require(!fault.message.empty(), "a fault has a message");
    require(fault.line >= 0 && fault.line <= lines + 1, "a fault is in the file");
    require((fault.line == 0) == (fault.column == 0), "a fault has a line and a column, or neither");
    const std::string text = fault.to_string();
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    require(std::ranges::none_of(text, is_control), "a message holds no control characters");
}

void check_quick_reading(const std::string& text) {
    std::vector<sallyport::config::Fault> faults;
    sallyport::config::parse_document(text, "f", faults);
    if (!faults.empty()) return;  // it may be no text at all
    const auto quick = sallyport::config::parse_simple_yaml(text);
    if (!quick) return;
    require(sallyport::config::parse_any_yaml(text, "f", faults) == *quick,
            "what is read quickly is read right");
    require(faults.empty(), "what is read quickly is right");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    const auto lines = std::ranges::count(text, '\n') + 1;
    check_quick_reading(text);
    const auto loaded = sallyport::config::load_text(text, "f");
    if (!loaded) {
        require(!loaded.error().empty(), "what is refused has a fault");
        for (const auto& fault : loaded.error()) check_fault(fault, lines);
        return 0;
    }
    for (const auto& warning : loaded->warnings) check_fault(warning, lines);
    const sallyport::model::DesiredState& state = loaded->state;
    require(sallyport::model::validate(state).empty(), "what is accepted is sound");
    require(sallyport::model::delta(state, state).empty(), "a state does not differ from itself");
    require(!sallyport::model::to_json(state).dump().empty(), "a state can be written as JSON");
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// What people see of each answer. A view takes whatever the agent sent: a field that is missing or of another
// type is shown as "-" or left out, so that a command line and an agent of different versions get on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/problem.h"
#include "cli/text.h"
#include "model/kinds.h"

namespace sallyport::cli {

void status_view(Text& text, const Json& value);
void faults_view(Text& text, const Json& value);  // [faults]
void plan_view(Text& text, const Json& value);
void apply_view(Text& text, const Json& value);
void created_view(Text& text, model::Kind kind, const std::string& name);
void changed_view(Text& text, model::Kind kind, const std::string& name);
void deleted_view(Text& text, model::Kind kind, const std::string& name);
void association_view(Text& text, const Json& value);
void drain_view(Text& text, const Json& value);
void confirm_view(Text& text, const Json& value);
void flows_view(Text& text, const Json& value);
void inner_flows_view(Text& text, const Json& value);
void flow_count_view(Text& text, const Json& value);
void top_view(Text& text, const Json& value);
void who_view(Text& text, const Json& value);
void explain_view(Text& text, const Json& value);
void drop_view(Text& text, const Json& value);
void missed_view(Text& text, const Json& value);  // events that came faster than they were fetched
void captured_view(Text& text, const Json& value);
void detach_view(Text& text, const Json& value);
void doctor_view(Text& text, const Json& value);
void history_view(Text& text, const Json& value);
void version_view(Text& text, const Json& value);
void resource_view(Text& text, const Json& value);   // one object
void resources_view(Text& text, const Json& value);  // {kind: [objects]}

// The field as text: a string as it is, numbers and truth values in words, lists with commas; `otherwise`
// where it is missing, null or empty.
std::string field(const Json& object, std::string_view name, std::string_view otherwise = {});
std::uint64_t number(const Json& object, std::string_view name);  // 0 where it is none
bool truth(const Json& object, std::string_view name);            // false where it is none
const Json& list(const Json& object, std::string_view name);      // an empty list where it is none
const Json& part(const Json& object, std::string_view name);      // an empty object where it is none

// "FILE:LINE:COLUMN: PATH: MESSAGE", without what is not known; a warning says that it is one.
std::string fault_line(const Json& fault);

}  // namespace sallyport::cli

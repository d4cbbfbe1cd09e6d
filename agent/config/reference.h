// SPDX-License-Identifier: Apache-2.0
//
// The reference of the configuration file, made from the table of settings.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::config {

struct SettingReference {
    std::string name;
    std::string wanted;  // "a duration such as 300s, 5m or 2h4m"
    bool required = false;
    std::optional<std::string> default_text;  // as it would be written in the file
    std::string help;                         // `…` marks what is typed
};

struct SectionReference {
    std::string path;  // "route_tables[].routes[]"; empty for the file itself
    std::string help;
    std::vector<std::string> one_of;  // settings of which exactly one is given
    std::vector<SettingReference> settings;
};

// Every map of the file: an outer one before those within it.
std::vector<SectionReference> reference();

std::string reference_markdown();
std::string reference_man();  // sallyport.yaml(5), as roff

}  // namespace sallyport::config

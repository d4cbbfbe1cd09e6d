// SPDX-License-Identifier: Apache-2.0
//
// How each type of value is written in JSON, and so also how a default reads in a manual.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/duration.h"
#include "core/host_name.h"
#include "core/web_origin.h"
#include "model/fields.h"

namespace sallyport::model {

inline nlohmann::json value_to_json(bool value) {
    return value;
}
inline nlohmann::json value_to_json(std::uint32_t value) {
    return value;
}
inline nlohmann::json value_to_json(const std::string& value) {
    return value;
}
inline nlohmann::json value_to_json(True) {
    return true;
}
inline nlohmann::json value_to_json(Ipv4Address value) {
    return value.to_string();
}
inline nlohmann::json value_to_json(const Ipv4Prefix& value) {
    return value.to_string();
}
inline nlohmann::json value_to_json(const PortRange& value) {
    return value.to_string();
}
inline nlohmann::json value_to_json(const IcmpType& value) {
    return value.to_string();
}
inline nlohmann::json value_to_json(const Endpoint& value) {
    return value.to_string();
}
inline nlohmann::json value_to_json(const HostName& value) {
    return value.to_string();
}
inline nlohmann::json value_to_json(const WebOrigin& value) {
    return value.to_string();
}
inline nlohmann::json value_to_json(std::chrono::seconds value) {
    return format_duration(value);
}

template <Worded E>
nlohmann::json value_to_json(E value) {
    return to_string(value);
}

template <Described T>
nlohmann::json value_to_json(const T& value);

template <typename T>
nlohmann::json value_to_json(const std::vector<T>& values) {
    nlohmann::json array = nlohmann::json::array();
    for (const T& value : values) array.push_back(value_to_json(value));
    return array;
}

// Null stands for "not set" here, and fields_to_json() leaves it out.
template <typename T>
nlohmann::json value_to_json(const std::optional<T>& value) {
    return value ? value_to_json(*value) : nlohmann::json();
}

template <Described T>
nlohmann::json value_to_json(const T& value) {
    nlohmann::json object = nlohmann::json::object();
    visit_fields<T>([&](const auto& field) {
        nlohmann::json member = value_to_json(field.get(value));
        const bool unset = member.is_null() || (member.is_string() && member.get_ref<std::string&>().empty());
        if (!unset) object[std::string(field.name)] = std::move(member);
    });
    return object;
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
#include "model/json_schema.h"

#include <chrono>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "model/fields.h"
#include "model/json_values.h"

namespace sallyport::model {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view name_pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

Json text(std::string_view pattern, std::string_view example) {
    return {{"type", "string"}, {"pattern", pattern}, {"examples", Json::array({example})}};
}

template <typename T>
struct Shape;

template <typename T>
Json shape(const FieldFacts& facts) {
    return Shape<T>::of(facts);
}

template <>
struct Shape<std::string> {
    static Json of(const FieldFacts& facts) {
        const bool is_name = facts.text == Text::name || facts.text == Text::reference;
        return is_name ? Json{{"type", "string"}, {"pattern", name_pattern}} : Json{{"type", "string"}};
    }
};

#define SALLYPORT_SHAPE(Type, ...)                                      \
    template <>                                                         \
    struct Shape<Type> {                                                \
        static Json of(const FieldFacts&) { return Json(__VA_ARGS__); } \
    };
SALLYPORT_SHAPE(bool, {{"type", "boolean"}})
SALLYPORT_SHAPE(std::uint32_t, {{"type", "integer"}, {"minimum", 0}, {"maximum", 4294967295U}})
SALLYPORT_SHAPE(True, {{"type", "boolean"}, {"const", true}})
SALLYPORT_SHAPE(Ipv4Address, {{"type", "string"}, {"format", "ipv4"}})
SALLYPORT_SHAPE(Ipv4Prefix, text("^[0-9.]+/[0-9]{1,2}$", "10.0.0.0/16"))
SALLYPORT_SHAPE(Endpoint, text("^[0-9.]+:[0-9]{1,5}$", "10.0.1.12:80"))
SALLYPORT_SHAPE(std::chrono::seconds, text("^([0-9]+[smhd])+$", "2h4m"))
#undef SALLYPORT_SHAPE

// A port may be written as a number.
template <>
struct Shape<PortRange> {
    static Json of(const FieldFacts&) {
        return {{"oneOf", Json::array({{{"type", "integer"}, {"minimum", 0}, {"maximum", 65535}},
                                       text("^[0-9]{1,5}(-[0-9]{1,5})?$", "1024-65535")})}};
    }
};

// A number, or a name for it.
template <>
struct Shape<IcmpType> {
    static Json of(const FieldFacts&) {
        Json words = Json::array();
        for (const std::string_view name : icmp_type_names()) words.push_back(name);
        return {{"oneOf", Json::array({{{"type", "integer"}, {"minimum", 0}, {"maximum", 255}},
                                       {{"type", "string"}, {"enum", std::move(words)}},
                                       text("^[0-9]{1,3}$", "8")})}};
    }
};

template <Worded E>
struct Shape<E> {
    static Json of(const FieldFacts&) {
        Json words = Json::array();
        for (const auto& [value, word] : enum_words<E>) words.push_back(word);
        return {{"type", "string"}, {"enum", std::move(words)}};
    }
};

template <typename T>
struct Shape<std::optional<T>> {
    static Json of(const FieldFacts& facts) { return shape<T>(facts); }
};

template <typename T>
struct Shape<std::vector<T>> {
    static Json of(const FieldFacts& facts) { return {{"type", "array"}, {"items", shape<T>(facts)}}; }
};

template <Described T>
Json object_shape() {
    Json properties = Json::object(), required = Json::array();
    const T defaults{};
    visit_fields<T>([&](const auto& field) {
        using Value = typename std::remove_cvref_t<decltype(field)>::Value;
        Json property = shape<Value>(field);
        property["description"] = field.help;
        const nlohmann::json value = value_to_json(field.get(defaults));
        const bool unset = value.is_null() || value.empty() || value == "";
        if (field.need == Need::required) {
            required.push_back(field.name);
        } else if (!unset) {
            property["default"] = Json::parse(value.dump());
        }
        properties[std::string(field.name)] = std::move(property);
    });
    Json result{{"type", "object"}, {"additionalProperties", false}};
    if (!required.empty()) result["required"] = std::move(required);
    result["properties"] = std::move(properties);
    if constexpr (requires { Schema<T>::one_of; }) {
        for (const std::string_view name : Schema<T>::one_of)
            result["oneOf"].push_back({{"required", Json::array({name})}});
    }
    return result;
}

template <Described T>
struct Shape<T> {
    static Json of(const FieldFacts&) { return object_shape<T>(); }
};

// One word for all protocols, or one for each.
template <>
struct Shape<PerProtocol> {
    static Json of(const FieldFacts& facts) {
        return {{"oneOf", Json::array({shape<EndpointRule>(facts), object_shape<PerProtocol>()})}};
    }
};

}  // namespace

nlohmann::ordered_json json_schema(Kind kind) {
    Json result;
    visit_kinds([&]<typename T>(Kind visited, std::vector<T> DesiredState::*) {
        if (visited == kind) result = object_shape<T>();
    });
    result["description"] = help_for(kind);
    Json origin = shape<Origin>({});
    origin["description"] = "Who has declared the object. It may be sent back as it was read.";
    result["properties"]["origin"] = std::move(origin);
    return result;
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
//
// What is expected of a value of each type, in words: "a duration such as 300s". For messages and manuals.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/schema.h"

namespace sallyport::config {

// "a, b or c"
inline std::string joined(const std::vector<std::string_view>& words, std::string_view last_link) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) text += i + 1 == words.size() ? fmt::format(" {} ", last_link) : ", ";
        text += words[i];
    }
    return text;
}

template <model::Described T>
std::vector<std::string_view> keys_of() {
    std::vector<std::string_view> keys;
    model::visit_fields<T>([&keys](const auto& field) { keys.push_back(field.name); });
    return keys;
}

template <typename E>
std::vector<std::string_view> words_of() {
    std::vector<std::string_view> words;
    for (const auto& [value, word] : model::enum_words<E>) words.push_back(word);
    return words;
}

template <typename T>
struct Wanted;

// `facts` tells apart what strings hold.
template <typename T>
std::string wanted(const model::FieldFacts& facts) {
    return Wanted<T>::text(facts);
}

template <>
struct Wanted<std::string> {
    static std::string text(const model::FieldFacts& facts) {
        switch (facts.text) {
            case model::Text::free:
                return "text";
            case model::Text::name:
                return "a name of a-z, 0-9 and \"-\"";
            case model::Text::device:
                return "the name of a network interface";
            case model::Text::path:
                return "an absolute path";
            case model::Text::reference:
                return fmt::format("the name of {}", model::with_article(*facts.refers_to));
        }
        return {};
    }
};

#define SALLYPORT_WANTED(Type, words)                                       \
    template <>                                                             \
    struct Wanted<Type> {                                                   \
        static std::string text(const model::FieldFacts&) { return words; } \
    };
SALLYPORT_WANTED(bool, "true or false")
SALLYPORT_WANTED(std::uint32_t, "a whole number")
SALLYPORT_WANTED(model::True, "true, or no such key")
SALLYPORT_WANTED(Ipv4Address, "an IPv4 address such as 198.51.100.10")
SALLYPORT_WANTED(Ipv4Prefix, "a prefix such as 10.0.0.0/16")
SALLYPORT_WANTED(PortRange, "a port or a range of ports such as 1024-65535")
SALLYPORT_WANTED(IcmpType, "a number from 0 to 255, or a name such as echo_request")
SALLYPORT_WANTED(Endpoint, "an address and a port such as 10.0.1.12:80")
SALLYPORT_WANTED(HostName, "a host name or an address, without a port")
SALLYPORT_WANTED(WebOrigin, "an origin such as https://console.example.net")
SALLYPORT_WANTED(std::chrono::seconds, "a duration such as 300s, 5m or 2h4m")
#undef SALLYPORT_WANTED

template <model::Worded E>
struct Wanted<E> {
    static std::string text(const model::FieldFacts&) { return joined(words_of<E>(), "or"); }
};

template <>
struct Wanted<model::PerProtocol> {
    static std::string text(const model::FieldFacts&) {
        return fmt::format("{}, or one of these for each of {}",
                           joined(words_of<model::EndpointRule>(), "or"),
                           joined(keys_of<model::PerProtocol>(), "and"));
    }
};

template <model::Described T>
struct Wanted<T> {
    static std::string text(const model::FieldFacts&) {
        return fmt::format("a map with the keys {}", joined(keys_of<T>(), "and"));
    }
};

template <typename T>
struct Wanted<std::optional<T>> {
    static std::string text(const model::FieldFacts& facts) { return wanted<T>(facts); }
};

template <typename T>
struct Wanted<std::vector<T>> {
    static std::string text(const model::FieldFacts& facts) {
        return fmt::format("a list, each element {}", wanted<T>(facts));
    }
};

}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
//
// The words for the enumerations of resources.h, declared once for files, JSON, messages and manuals.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "model/resources.h"

namespace sallyport::model {

// enum_words<E> lists the values of E in the order in which messages name them.
template <typename E, std::size_t count>
using WordList = std::array<std::pair<E, std::string_view>, count>;

template <typename E>
inline constexpr WordList<E, 0> enum_words{};

template <>
inline constexpr WordList<Origin, 2> enum_words<Origin>{{
    {Origin::file, "file"},
    {Origin::api, "api"},
}};
template <>
inline constexpr WordList<DeviceRole, 3> enum_words<DeviceRole>{{
    {DeviceRole::inside, "inside"},
    {DeviceRole::outside, "outside"},
    {DeviceRole::both, "both"},
}};
template <>
inline constexpr WordList<XdpMode, 3> enum_words<XdpMode>{{
    {XdpMode::automatic, "auto"},
    {XdpMode::native, "native"},
    {XdpMode::generic, "generic"},
}};
template <>
inline constexpr WordList<EndpointRule, 3> enum_words<EndpointRule>{{
    {EndpointRule::endpoint_independent, "endpoint_independent"},
    {EndpointRule::address_dependent, "address_dependent"},
    {EndpointRule::address_and_port_dependent, "address_and_port_dependent"},
}};
template <>
inline constexpr WordList<Pairing, 2> enum_words<Pairing>{{
    {Pairing::soft, "soft"},
    {Pairing::strict, "strict"},
}};
template <>
inline constexpr WordList<Hairpin, 3> enum_words<Hairpin>{{
    {Hairpin::off, "off"},
    {Hairpin::on, "on"},
    {Hairpin::same_tenant, "same_tenant"},
}};
template <>
inline constexpr WordList<IcmpOnExhaustion, 3> enum_words<IcmpOnExhaustion>{{
    {IcmpOnExhaustion::host_unreachable, "host_unreachable"},
    {IcmpOnExhaustion::administratively_prohibited, "administratively_prohibited"},
    {IcmpOnExhaustion::none, "none"},
}};
template <>
inline constexpr WordList<IcmpQuoteChecksum, 2> enum_words<IcmpQuoteChecksum>{{
    {IcmpQuoteChecksum::strict, "strict"},
    {IcmpQuoteChecksum::lenient, "lenient"},
}};
template <>
inline constexpr WordList<Protocol, 3> enum_words<Protocol>{{
    {Protocol::tcp, "tcp"},
    {Protocol::udp, "udp"},
    {Protocol::icmp, "icmp"},
}};

template <typename E>
concept Worded = std::is_enum_v<E> &&(enum_words<E>.size() > 0);

template <Worded E>
constexpr std::string_view to_string(E value) {
    for (const auto& [candidate, word] : enum_words<E>) {
        if (candidate == value) return word;
    }
    return "";
}

template <Worded E>
constexpr std::optional<E> parse_enum(std::string_view text) {
    for (const auto& [value, word] : enum_words<E>) {
        if (word == text) return value;
    }
    return std::nullopt;
}

}  // namespace sallyport::model

// SPDX-License-Identifier: Apache-2.0
//
// The table of settings (model/fields.h) continued by what only the file has: its root and the section `api`.
#pragma once

#include "config/load.h"
#include "model/fields.h"

namespace sallyport::config {

enum class ApiVersion { v1 };

struct Root {
    ApiVersion api_version = ApiVersion::v1;
    model::DesiredState state;
    ApiSettings api;
};

}  // namespace sallyport::config

namespace sallyport::model {

template <>
inline constexpr WordList<config::ApiVersion, 1> enum_words<config::ApiVersion>{{
    {config::ApiVersion::v1, "sallyport/v1"},
}};

template <>
struct Schema<config::Cors> {
    static constexpr auto fields() {
        return std::tuple{
            field<&config::Cors::allowed_origins>(
                {.name = "allowed_origins",
                 .help = "Origins of web pages that may use the API from a browser, such as "
                         "`https://console.example.net`. Without any: none."}),
        };
    }
};

template <>
struct Schema<config::ApiSettings> {
    static constexpr auto fields() {
        return std::tuple{
            field<&config::ApiSettings::listen>(
                {.name = "listen", .help = "Address and port of a TCP listener. Without it there is none."}),
            field<&config::ApiSettings::insecure_loopback>(
                {.name = "insecure_loopback", .help = "Let clients on loopback in without a token."}),
            field<&config::ApiSettings::cors>(
                {.name = "cors", .help = "Use of the API by web pages of another origin."}),
        };
    }
};

template <>
struct Schema<config::Root> {
    static constexpr auto fields() {
        using config::Root;
        return std::tuple{
            field<&Root::api_version>({.name = "api_version",
                                       .need = Need::required,
                                       .help = "The version of this format: `sallyport/v1`."}),
            Field<Root, Gateway>{
                {.name = "gateway",
                 .need = Need::required,
                 .help = "The gateway host: its devices and its flow table."},
                [](const Root& root) { return root.state.gateway; },
                [](Root& root, Gateway gateway) { root.state.gateway = std::move(gateway); }},
            field<&Root::api>({.name = "api", .help = "How the API is reached over the network."})
#define X(kind, Type, word, text)                                                         \
    , Field<Root, std::vector<Type>> {                                                    \
        {.name = #kind, .help = text}, [](const Root& root) { return root.state.kind; },  \
            [](Root& root, std::vector<Type> list) { root.state.kind = std::move(list); } \
    }
                SALLYPORT_KINDS(X)
#undef X
        };
    }
};

}  // namespace sallyport::model

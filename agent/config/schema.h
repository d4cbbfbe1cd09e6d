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
                         "`https://console.example.net`: scheme, host, and the port unless it is the "
                         "scheme's own. Without any: none."}),
        };
    }
};

template <>
struct Schema<config::Tls> {
    static constexpr auto fields() {
        return std::tuple{
            field<&config::Tls::certificate>(
                {.name = "certificate",
                 .need = Need::required,
                 .help = "A file in PEM: the certificate of the gateway, and behind it those that lead "
                         "to its authority.",
                 .text = Text::path}),
            field<&config::Tls::key>({.name = "key",
                                      .need = Need::required,
                                      .help = "A file in PEM: the private key. It is refused where others "
                                              "than its owner and its group can read it.",
                                      .text = Text::path}),
        };
    }
};

template <>
struct Schema<config::ApiSettings> {
    static constexpr auto fields() {
        using config::ApiSettings;
        return std::tuple{
            field<&ApiSettings::listen>({.name = "listen",
                                         .help =
                                             "Address and port of a TCP listener. Without it, and without "
                                             "the option `--api-listen` that goes before it, there is "
                                             "none. The agent may not use ports below 1024."}),
            field<&ApiSettings::tokens_file>(
                {.name = "tokens_file",
                 .help = "Who may use the API over TCP: a file of lines `NAME:HASH`, where the hash is the "
                         "SHA-256 of the token in hexadecimal. It is refused where others than its owner "
                         "and its group can read it.",
                 .text = Text::path}),
            field<&ApiSettings::insecure_loopback>(
                {.name = "insecure_loopback",
                 .help = "Let clients in without a token where the listener is on loopback: every user and "
                         "every program of the host then runs the gateway."}),
            field<&ApiSettings::tls>({.name = "tls",
                                      .help = "TLS of the listener. One that is not on loopback needs it, or "
                                              "`tls_terminated_elsewhere`."}),
            field<&ApiSettings::tls_terminated_elsewhere>(
                {.name = "tls_terminated_elsewhere",
                 .help = "Something in front of the listener terminates TLS, and nobody else reaches it: "
                         "allows plain HTTP on an address that is not loopback."}),
            field<&ApiSettings::allowed_hosts>(
                {.name = "allowed_hosts",
                 .help =
                     "Names by which clients may call the gateway, such as `gw1.example.net`. `localhost` "
                     "and the address that a connection came to are always right; a request for another "
                     "host is refused, because a page that rebinds its own name would make it."}),
            field<&ApiSettings::cors>({.name = "cors", .help = "Use of the API by web pages."}),
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
            field<&Root::api>(
                {.name = "api",
                 .help =
                     "How the API is reached over the network. Taken from the file of `--config` when the "
                     "agent starts and with `sallyport reload`; `sallyport apply` leaves it alone."})
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

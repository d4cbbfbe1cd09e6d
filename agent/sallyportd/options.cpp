// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

namespace sallyport {

namespace {

constexpr int usage_error = 2;

// Pins and sockets are named by path for others; the working directory of the agent means nothing to them.
void make_absolute(std::string& path) {
    path = std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace

std::variant<Options, int> parse_options(int argc, char** argv) {
    Options options;
    std::string metrics_listen = options.metrics_listen.to_string();
    std::string api_listen;
    CLI::App app{
        "The agent of a Sallyport gateway: programs the data plane as the configuration says, and keeps "
        "it current. Forwarding goes on when the agent stops; `sallyport detach` ends it."};
    app.name("sallyportd");
    app.set_version_flag("--version", std::string("sallyportd ") + SALLYPORT_VERSION);
    app.add_option("--config", options.config, "Configuration file")->capture_default_str();
    app.add_option("--state-dir", options.state_dir, "Where the history of revisions is kept")
        ->capture_default_str();
    app.add_option("--run-dir", options.run_dir, "Where the socket api.sock is made")->capture_default_str();
    app.add_option("--pin-dir", options.pin_dir,
                   "Where programs and maps are pinned; a BPF file system is mounted where there is none")
        ->capture_default_str();
    app.add_option("--metrics-listen", metrics_listen, "Address and port that metrics are served on")
        ->capture_default_str();
    app.add_option(
        "--api-listen", api_listen,
        "Address and port that the API is served on over TCP, beside the Unix socket; goes before the "
        "setting api.listen of the configuration file, which says who may use it");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? 0 : usage_error;
    }
    const auto read_endpoint = [](const char* option, const std::string& text) {
        const Result<Endpoint> endpoint = Endpoint::parse(text);
        if (!endpoint) std::cerr << "sallyportd: " << option << ": " << endpoint.error().message << '\n';
        return endpoint ? std::optional(*endpoint) : std::nullopt;
    };
    const std::optional<Endpoint> metrics_endpoint = read_endpoint("--metrics-listen", metrics_listen);
    if (!metrics_endpoint) return usage_error;
    options.metrics_listen = *metrics_endpoint;
    if (!api_listen.empty()) {
        options.api_listen = read_endpoint("--api-listen", api_listen);
        if (!options.api_listen) return usage_error;
    }
    for (std::string* path : {&options.config, &options.state_dir, &options.run_dir, &options.pin_dir}) {
        make_absolute(*path);
    }
    return options;
}

}  // namespace sallyport

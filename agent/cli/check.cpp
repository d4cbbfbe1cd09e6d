// SPDX-License-Identifier: Apache-2.0
//
// `check` needs no agent: it reads the file as the agent would.
#include <fmt/format.h>

#include "cli/run.h"
#include "cli/session.h"
#include "cli/views.h"
#include "config/load.h"
#include "core/file.h"

namespace sallyport::cli {
namespace {

const std::string standard_input = "standard input";  // what messages call it

using Loaded = tl::expected<config::Loaded, std::vector<config::Fault>>;

Loaded load(const std::string& path) {
    if (path != "-") return config::load_file(path);
    auto text = read_file("/dev/stdin");
    if (!text)
        return tl::unexpected(
            std::vector<config::Fault>{{standard_input, 0, 0, {}, {}, {}, text.error().message}});
    return config::load_text(*text, standard_input);
}

// In the form in which the API tells faults.
Json to_json(const std::vector<config::Fault>& faults, std::string_view severity) {
    Json out = Json::array();
    for (const config::Fault& fault : faults) {
        out.push_back({{"severity", severity},
                       {"file", fault.file},
                       {"line", fault.line},
                       {"column", fault.column},
                       {"path", fault.path},
                       {"read", fault.read},
                       {"expected", fault.expected},
                       {"message", fault.message}});
    }
    return out;
}

}  // namespace

ExitCode run_check(Session& session) {
    const std::string path = session.invocation().value("file");
    const Loaded loaded = load(path);
    if (!loaded) {
        session.output().answer(to_json(loaded.error(), "error"), faults_view);
        return ExitCode::failed;
    }
    session.output().answer(to_json(loaded->warnings, "warning"), [&path](Text& text, const Json& value) {
        faults_view(text, value);
        text.line(fmt::format("{}: ok", path == "-" ? standard_input : path), Tone::good);
    });
    return ExitCode::ok;
}

}  // namespace sallyport::cli

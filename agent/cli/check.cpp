// SPDX-License-Identifier: Apache-2.0
//
// `check` needs no agent: it reads the file as the agent would.
#include <fmt/format.h>

#include "cli/faults.h"
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

}  // namespace

ExitCode run_check(Session& session) {
    const std::string path = session.invocation().value("file");
    const Loaded loaded = load(path);
    if (!loaded) {
        session.output().answer(faults_json(loaded.error(), "error"), faults_view);
        return ExitCode::failed;
    }
    session.output().answer(faults_json(loaded->warnings, "warning"), [&path](Text& text, const Json& value) {
        faults_view(text, value);
        text.line(fmt::format("{}: ok", path == "-" ? standard_input : path), Tone::good);
    });
    return ExitCode::ok;
}

}  // namespace sallyport::cli

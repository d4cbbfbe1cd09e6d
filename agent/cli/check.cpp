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

Result<config::Sources> read(const std::string& path) {
    if (path != "-") return config::read_sources(path);
    auto text = read_file("/dev/stdin");
    if (!text) return tl::unexpected(text.error());
    return config::Sources{{standard_input, *std::move(text)}};
}

}  // namespace

ExitCode run_check(Session& session) {
    const std::string path = session.invocation().value("file");
    const auto sources = read(path);
    const auto loaded =
        sources ? config::load_sources(*sources)
                : tl::unexpected(std::vector<config::Fault>{
                      {path == "-" ? standard_input : path, 0, 0, {}, {}, {}, sources.error().message}});
    if (!loaded) {
        session.output().answer(faults_json(loaded.error(), "error"), faults_view);
        return ExitCode::failed;
    }
    session.output().answer(faults_json(loaded->warnings, "warning"), [&](Text& text, const Json& value) {
        faults_view(text, value);
        text.line(fmt::format("{}: ok", config::describe(*sources)), Tone::good);
    });
    return ExitCode::ok;
}

}  // namespace sallyport::cli

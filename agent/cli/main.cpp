// SPDX-License-Identifier: Apache-2.0
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "cli/invocation.h"
#include "cli/output.h"
#include "cli/session.h"
#include "core/file.h"

namespace {

using namespace sallyport::cli;

// COLUMNS decides the width where it is set, then the terminal; a file or a pipe gets 80 columns.
Screen screen_of_output() {
    Screen screen;
    bool terminal = isatty(STDOUT_FILENO) != 0;
    const char* columns = std::getenv("COLUMNS");
    winsize size{};
    if (columns != nullptr && std::atoi(columns) > 0) {
        screen.width = static_cast<std::size_t>(std::atoi(columns));
    } else if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        screen.width = size.ws_col;
    }
    const char* no_color = std::getenv("NO_COLOR");  // https://no-color.org
    const char* term = std::getenv("TERM");
    screen.colour = terminal && (no_color == nullptr || *no_color == '\0') &&
                    (term == nullptr || std::string_view(term) != "dumb");
    return screen;
}

// The agent that is meant, with what it takes to be let in there.
tl::expected<Server, Problem> server_of(const Invocation& invocation) {
    Server server{.socket_path = invocation.value("socket", default_socket),
                  .url = invocation.value("server")};
    if (!server.is_remote()) return server;
    server.ca_file = invocation.value("ca-file");
    if (!invocation.has("token-file")) return server;
    const std::string path = invocation.value("token-file");
    const auto text = sallyport::read_secret_file(path);
    if (!text) return problem(ExitCode::failed, "file not readable", text.error().message);
    constexpr std::string_view blank = " \t\r\n";
    const std::size_t begin = std::min(text->find_first_not_of(blank), text->size());
    server.token = text->substr(begin, text->find_last_not_of(blank) + 1 - begin);
    // A second line would become one of the request's head.
    const bool is_word = !server.token.empty() && std::ranges::all_of(server.token, [](char character) {
        return character > ' ' && character <= '~';
    });
    if (!is_word)
        return problem(ExitCode::failed, "file not readable",
                       path + ": expected a bearer token and nothing else");
    return server;
}

ExitCode run(const Invocation& invocation) {
    std::unique_ptr<Output> output;
    if (invocation.value("output") == "json") {
        output = std::make_unique<JsonOutput>(std::cout, std::cerr);
    } else {
        output = std::make_unique<TextOutput>(std::cout, std::cerr, screen_of_output());
    }
    const auto server = server_of(invocation);
    if (!server) {
        output->problem(server.error().body);
        return server.error().exit;
    }
    Client api(*server);
    Session session(invocation, api, *output);
    ExitCode exit = invocation.command->run(session);
    std::cout.flush();
    if (!std::cout) {  // a full disk must not look like an empty answer
        std::cerr << "sallyport: cannot write to standard output\n";
        return ExitCode::failed;
    }
    return exit;
}

}  // namespace

int main(int argc, char** argv) try {
    std::ios::sync_with_stdio(false);
    auto parsed = parse(argc, argv);
    if (const Stop* stop = std::get_if<Stop>(&parsed)) {
        (stop->exit == ExitCode::ok ? std::cout : std::cerr) << stop->text << std::flush;
        return static_cast<int>(stop->exit);
    }
    return static_cast<int>(run(std::get<Invocation>(parsed)));
} catch (const std::exception& error) {
    std::cerr << "sallyport: " << error.what() << '\n';
    return static_cast<int>(ExitCode::failed);
}

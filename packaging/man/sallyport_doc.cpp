// SPDX-License-Identifier: Apache-2.0
//
// Prints what is made from the tables in the code. Runs while the project is built; nobody installs it.
//
//   sallyport-doc page OUTLINE           a manual page: the outline with its placeholders filled in
//   sallyport-doc completion             the script that completes the command line in bash
//   sallyport-doc config man|markdown    the reference of the configuration file
#include <iostream>
#include <string>
#include <string_view>

#include "cli/completion.h"
#include "cli/manual.h"
#include "config/reference.h"
#include "core/file.h"

namespace {

using namespace sallyport;

Result<std::string> page(const std::string& path) {
    auto outline = read_file(path);
    if (!outline) return failure(outline.error().message);
    auto page = cli::manual_page(*outline);
    return page ? page : failure_within(path, page.error());
}

Result<std::string> document(std::string_view what, const std::string& which) {
    if (what == "page" && !which.empty()) return page(which);
    if (what == "completion" && which.empty()) return cli::bash_completion();
    if (what == "config" && which == "man") return config::reference_man();
    if (what == "config" && which == "markdown") return config::reference_markdown();
    return failure("usage: sallyport-doc page OUTLINE | completion | config man|markdown");
}

}  // namespace

int main(int argc, char** argv) {
    auto text = document(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
    if (!text) {
        std::cerr << "sallyport-doc: " << text.error().message << '\n';
        return 1;
    }
    std::cout << *text << std::flush;
    return std::cout ? 0 : 1;
}

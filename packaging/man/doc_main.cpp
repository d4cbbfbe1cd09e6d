// SPDX-License-Identifier: Apache-2.0
//
// sallyport-cli-doc page OUTLINE | completion: what is made from the command line's own tables, printed to
// standard output while the project is built.
#include <iostream>
#include <string>
#include <string_view>

#include "cli/completion.h"
#include "cli/manual.h"
#include "core/file.h"

namespace {

using namespace sallyport;

Result<std::string> page(const std::string& path) {
    auto outline = read_file(path);
    if (!outline) return failure(outline.error().message);
    auto page = cli::manual_page(*outline);
    return page ? page : failure_within(path, page.error());
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view what = argc > 1 ? argv[1] : "";
    Result<std::string> text = failure("usage: sallyport-cli-doc page OUTLINE | completion");
    if (what == "page" && argc == 3) text = page(argv[2]);
    if (what == "completion" && argc == 2) text = cli::bash_completion();
    if (!text) {
        std::cerr << text.error().message << '\n';
        return 1;
    }
    std::cout << *text << std::flush;
    return std::cout ? 0 : 1;
}

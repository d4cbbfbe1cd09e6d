// SPDX-License-Identifier: Apache-2.0
//
// sallyport-doc config [man|markdown]: the reference of the configuration file on standard output.
#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "config/reference.h"

int main(int argument_count, char** arguments) {
    const std::string_view what = argument_count > 1 ? arguments[1] : "";
    const std::string_view form = argument_count > 2 ? arguments[2] : "man";
    if (argument_count > 3 || what != "config" || (form != "man" && form != "markdown")) {
        fmt::print(stderr, "usage: sallyport-doc config [man|markdown]\n");
        return 2;
    }
    fmt::print("{}",
               form == "man" ? sallyport::config::reference_man() : sallyport::config::reference_markdown());
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <cstdio>
#include <exception>
#include <variant>

#include "agent.h"
#include "options.h"

int main(int argc, char** argv) {
    // A client that closes its connection is no reason to end.
    signal(SIGPIPE, SIG_IGN);
    try {
        const auto options = sallyport::parse_options(argc, argv);
        if (const int* code = std::get_if<int>(&options)) return *code;
        return sallyport::run_agent(std::get<sallyport::Options>(options));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sallyportd: %s\n", error.what());
        return 1;
    }
}

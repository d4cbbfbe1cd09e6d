// SPDX-License-Identifier: Apache-2.0
//
// What libyaml refuses, in words that say what to do. Its own are written for those who know its states:
// "while parsing a block mapping: did not find expected key".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sallyport::config {

// A fault as libyaml tells it, with places as bytes from the beginning of the text.
struct YamlProblem {
    std::string_view context;  // "while parsing a flow sequence"; may be empty
    std::string_view problem;  // "did not find expected ',' or ']'"
    std::size_t begins = 0;    // where the thing begins in which it is
    int begins_line = 0;       // from 1
    std::size_t at = 0;
};

enum class Look { there, at_beginning };

struct YamlFault {
    Look look = Look::there;  // which of both places helps: it is not always where libyaml noticed it
    std::string message;
};

YamlFault explain(std::string_view text, const YamlProblem& problem);

}  // namespace sallyport::config

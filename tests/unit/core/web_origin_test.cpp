// SPDX-License-Identifier: Apache-2.0
#include "core/web_origin.h"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

std::string why_not(const std::string& text) {
    const Result<WebOrigin> origin = WebOrigin::parse(text);
    return origin ? "" : origin.error().message;
}

TEST(WebOrigin, TakesWhatBrowsersSend) {
    for (const std::string text : {"https://console.example.net", "http://localhost:5173",
                                   "https://10.0.0.1:8443", "http://[::1]:3000", "https://[2001:db8::1]",
                                   "https://console.example.net:80", "http://console.example.net:443"}) {
        EXPECT_EQ(why_not(text), "");
        EXPECT_EQ(WebOrigin::parse(text)->to_string(), text);
    }
}

TEST(WebOrigin, SaysHowBrowsersWriteIt) {
    const std::string written = "the origin https://console.example.net";
    for (const std::string text : {"HTTPS://console.example.net", "https://Console.Example.Net",
                                   "https://console.example.net/", "https://console.example.net/index.html",
                                   "https://console.example.net:443", "https://console.example.net:0443"}) {
        EXPECT_NE(why_not(text).find(written), std::string::npos) << text << ": " << why_not(text);
    }
}

TEST(WebOrigin, NamesNeitherAllNorNone) {
    EXPECT_NE(why_not("*").find("wildcard"), std::string::npos);
    EXPECT_NE(why_not("https://*.example.net").find("wildcard"), std::string::npos);
    EXPECT_NE(why_not("null").find("every page"), std::string::npos);
    for (const std::string text : {"",
                                   "://",
                                   "https:",
                                   "https://",
                                   "https://:8443",
                                   "console.example.net",
                                   "//console.example.net",
                                   "file:///tmp/a",
                                   "https://a:",
                                   "https://a:0",
                                   "https://a:65536",
                                   "https://a:-1",
                                   "https://a: 80",
                                   "https://user@a",
                                   "https://a?b",
                                   "https://a#b",
                                   " https://a",
                                   "https://a ",
                                   "https://[::1",
                                   "https://[::1]x",
                                   "https://a\n"}) {
        EXPECT_NE(why_not(text), "") << text;
    }
}

}  // namespace
}  // namespace sallyport

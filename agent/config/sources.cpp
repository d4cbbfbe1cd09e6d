// SPDX-License-Identifier: Apache-2.0
#include "config/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "core/file.h"

namespace sallyport::config {
namespace {

constexpr std::string_view directory_name = "sallyport.d";
constexpr std::string_view fragment_suffix = ".yaml";

Result<std::vector<std::string>> fragment_names(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entry(directory, error);
    if (error == std::errc::no_such_file_or_directory) return names;
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        std::string name = entry->path().filename().string();
        if (!name.starts_with('.') && name.ends_with(fragment_suffix)) names.push_back(std::move(name));
    }
    if (error) return failure(fmt::format("read the directory {}: {}", directory, error.message()));
    if (names.size() > fragments_most)
        return failure(
            fmt::format("{} has {} fragments; expected at most {}", directory, names.size(), fragments_most));
    std::ranges::sort(names);
    return names;
}

}  // namespace

std::string fragments_directory(const std::string& path) {
    return (std::filesystem::path(path).parent_path() / directory_name).string();
}

Result<Sources> read_sources(const std::string& path) {
    std::size_t left = sources_most_bytes;
    Sources sources;
    const auto read = [&](const std::string& name) -> Result<void> {
        auto text = read_file(name, left);
        if (!text) return tl::unexpected(text.error());
        left -= text->size();
        sources.push_back({name, *std::move(text)});
        return {};
    };
    if (auto done = read(path); !done) return tl::unexpected(done.error());
    const std::string directory = fragments_directory(path);
    const auto names = fragment_names(directory);
    if (!names) return tl::unexpected(names.error());
    for (const std::string& name : *names) {
        const std::string fragment = (std::filesystem::path(directory) / name).string();
        // A pipe would be waited for.
        std::error_code error;
        if (std::filesystem::exists(fragment, error) && !std::filesystem::is_regular_file(fragment, error))
            return failure(fmt::format("{} is no file", fragment));
        if (auto done = read(fragment); !done) return tl::unexpected(done.error());
    }
    return sources;
}

std::string describe(const Sources& sources) {
    if (sources.size() <= 1) return sources.empty() ? std::string() : sources.front().name;
    const std::size_t fragments = sources.size() - 1;
    return fmt::format("{} and {} fragment{}", sources.front().name, fragments, fragments == 1 ? "" : "s");
}

}  // namespace sallyport::config

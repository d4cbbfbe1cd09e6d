// SPDX-License-Identifier: Apache-2.0
//
// Stands in for libFuzzer where there is none: runs each file of the given folders through the target once.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

using Input = std::vector<std::uint8_t>;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argument_count, char*** arguments);
// A target may ask more of its corpus as a whole.
extern "C" __attribute__((weak)) bool corpus_is_complete(const std::vector<Input>& inputs);

int main(int argument_count, char** arguments) {
    std::vector<Input> inputs;
    if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argument_count, &arguments);
    for (int i = 1; i < argument_count; ++i) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(arguments[i])) {
            if (!entry.is_regular_file()) continue;
            std::printf("%s\n", entry.path().c_str());
            std::ifstream stream(entry.path(), std::ios::binary);
            const std::vector<char> bytes{std::istreambuf_iterator<char>(stream),
                                          std::istreambuf_iterator<char>()};
            const Input& data = inputs.emplace_back(bytes.begin(), bytes.end());
            LLVMFuzzerTestOneInput(data.data(), data.size());
        }
    }
    std::printf("%zu files\n", inputs.size());
    if (corpus_is_complete != nullptr && !corpus_is_complete(inputs)) return 1;
    return inputs.empty() ? 1 : 0;
}

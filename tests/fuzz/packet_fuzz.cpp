// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a story of packets, time and configuration at a gateway (packet/script.h): the programs are
// those of bpf/, compiled for the host, and packet/judge.h says what must hold. SALLYPORT_FUZZ_TELL=1 prints
// each step.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "packet/judge.h"

namespace {

using sallyport::fuzz::Judge;

Judge& judge() {
    static Judge one;
    return one;
}

void print_tally() {
    const sallyport::fuzz::Tally& tally = judge().tally();
    std::uint64_t dropped = 0, reasons = 0;
    for (const std::uint64_t drops : tally.drops) {
        dropped += drops;
        reasons += drops != 0;
    }
    std::printf(
        "scripts: %lu, frames: %lu, each on both lanes; forwarded %lu, passed %lu, answered %lu, dropped %lu "
        "for "
        "%lu reasons, %lu of them with a reply\n",
        tally.scripts, tally.frames, tally.forwarded, tally.passed, tally.answered, dropped, reasons,
        tally.refused);
}

}  // namespace

// Millions of runs: no bookkeeping about what is allocated.
extern "C" const char* __asan_default_options() {
    return "malloc_context_size=0:quarantine_size_mb=0:thread_local_quarantine_size_kb=0:max_malloc_fill_"
           "size=0:"
           "detect_leaks=0";
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    const char* tell = std::getenv("SALLYPORT_FUZZ_TELL");
    judge().tell_all(tell != nullptr && std::strcmp(tell, "0") != 0);
    std::atexit(print_tally);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    judge().play({data, size});
    return 0;
}

// What the corpus is for (run_corpus.cpp): each reason for a drop is among it, and a script does the same
// whatever was played before it.
extern "C" bool corpus_is_complete(const std::vector<std::vector<std::uint8_t>>& inputs) {
    bool complete = true;
    std::vector<std::uint64_t> digests;
    for (const auto& input : inputs) digests.push_back(judge().play(input));
    for (std::size_t i = inputs.size(); i-- > 0;)
        if (judge().play(inputs[i]) != digests[i]) {
            std::printf("input %zu did not do the same again\n", i);
            complete = false;
        }
    for (const sallyport::fuzz::Reason& reason : sallyport::fuzz::reasons())
        if (judge().tally().drops[reason.number] == 0 && reason.why_not == nullptr) {
            std::printf("nothing is dropped as %s\n", reason.label);
            complete = false;
        }
    return complete;
}

extern "C" __attribute__((weak)) std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size,
                                                              std::size_t room);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t room,
                                               unsigned seed) {
    if (seed % 4 == 0) return LLVMFuzzerMutate(data, size, room);
    return sallyport::fuzz::mutate(data, size, room, seed);
}

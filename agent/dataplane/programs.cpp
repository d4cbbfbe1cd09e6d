// SPDX-License-Identifier: Apache-2.0
#include "dataplane/programs.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <string_view>

#include "both.skel.h"
#include "both_capturing.skel.h"
#include "inside.skel.h"
#include "inside_capturing.skel.h"
#include "next_hop_query.skel.h"
#include "outside.skel.h"
#include "outside_capturing.skel.h"
#include "pass_on.skel.h"
#include "reaper.skel.h"

namespace sallyport::dataplane {
namespace {

// Machines on which a later load may overtake an earlier one. One that is not known counts as such: the
// barrier costs a little, its absence is a torn read.
bool weakly_ordered_memory() {
    utsname name{};
    if (uname(&name) != 0) return true;
    const std::string_view machine = name.machine;
    return machine != "x86_64" && machine != "i686" && machine != "s390x";
}

// The coarse clocks are as fine as the kernel's ticks are long.
std::uint32_t jiffy_ns() {
    timespec step{};
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &step) != 0 || step.tv_sec != 0) return 0;
    return static_cast<std::uint32_t>(step.tv_nsec);
}

template <typename Skeleton>
struct Destroy {
    void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};

template <typename Skeleton>
std::unique_ptr<Skeleton, Destroy<Skeleton>> open_skeleton() {
    return std::unique_ptr<Skeleton, Destroy<Skeleton>>(Skeleton::open());
}

// Loads it and keeps the program alone.
template <typename Skeleton>
Result<UniqueFd> load_alone(Skeleton& skeleton, bpf_program* program) {
    if (const int error = Skeleton::load(&skeleton); error != 0) {
        return system_failure("load the program", -error);
    }
    // The skeleton goes and takes its descriptor with it; the program lives on with this one.
    UniqueFd kept(fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0));
    if (!kept) return system_failure("keep the program");
    return kept;
}

template <typename Skeleton>
void no_more_constants(Skeleton&) {
}

// `set` gives values to constants beside those that all programs have.
template <typename Skeleton, typename Select, typename Set = void (*)(Skeleton&)>
Result<UniqueFd> load_copy(Select program_of, std::uint32_t slot, const meta& description, const MapFds& maps,
                           const MapFds& more_maps = {}, const Set& set = no_more_constants<Skeleton>) {
    auto skeleton = open_skeleton<Skeleton>();
    if (!skeleton) return system_failure("open the program");
    set(*skeleton);
    skeleton->rodata->flow_regions = description.flow_regions;
    std::copy(std::begin(description.hash_seed), std::end(description.hash_seed),
              std::begin(skeleton->rodata->hash_seed));
    skeleton->rodata->device_slot = slot;
    skeleton->rodata->weakly_ordered_memory = weakly_ordered_memory();
    skeleton->rodata->jiffy_ns = jiffy_ns();

    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, skeleton->obj) {
        if (bpf_map__is_internal(map)) continue;
        const std::string_view name(bpf_map__name(map));
        auto found = more_maps.find(name);
        if (found == more_maps.end()) found = maps.find(name);
        if (found == maps.end()) {
            return failure(std::string("the program wants a map ") + bpf_map__name(map) +
                           " that is not pinned");
        }
        if (const int error = bpf_map__reuse_fd(map, found->second.get()); error != 0) {
            return system_failure(std::string("give the program the map ") + bpf_map__name(map), -error);
        }
    }
    return load_alone(*skeleton, program_of(*skeleton));
}

}  // namespace

Result<UniqueFd> load_device_program(Role role, std::uint8_t slot, const meta& description,
                                     const MapFds& maps) {
    switch (role) {
        case Role::inside:
            return load_copy<inside_bpf>([](inside_bpf& s) { return s.progs.sallyport_inside; }, slot,
                                         description, maps);
        case Role::outside:
            return load_copy<outside_bpf>([](outside_bpf& s) { return s.progs.sallyport_outside; }, slot,
                                          description, maps);
        case Role::both:
            return load_copy<both_bpf>([](both_bpf& s) { return s.progs.sallyport_both; }, slot, description,
                                       maps);
    }
    return failure("the device has no role");
}

Result<UniqueFd> load_capturing_program(Role role, std::uint8_t slot, const meta& description,
                                        const MapFds& maps, const MapFds& capture_maps,
                                        const capture_filter& filter) {
    const auto set = [&filter](auto& skeleton) {
        static_assert(sizeof skeleton.rodata->capture_filter == sizeof filter);
        std::memcpy(&skeleton.rodata->capture_filter, &filter, sizeof filter);
    };
    switch (role) {
        case Role::inside:
            return load_copy<inside_capturing_bpf>(
                [](inside_capturing_bpf& s) { return s.progs.sallyport_inside; }, slot, description, maps,
                capture_maps, set);
        case Role::outside:
            return load_copy<outside_capturing_bpf>(
                [](outside_capturing_bpf& s) { return s.progs.sallyport_outside; }, slot, description, maps,
                capture_maps, set);
        case Role::both:
            return load_copy<both_capturing_bpf>([](both_capturing_bpf& s) { return s.progs.sallyport_both; },
                                                 slot, description, maps, capture_maps, set);
    }
    return failure("the device has no role");
}

Result<UniqueFd> load_reaper(const meta& description, const MapFds& maps) {
    return load_copy<reaper_bpf>([](reaper_bpf& s) { return s.progs.sallyport_reaper; }, 0, description,
                                 maps);
}

Result<UniqueFd> load_next_hop_query(const meta& description, const MapFds& maps) {
    return load_copy<next_hop_query_bpf>(
        [](next_hop_query_bpf& s) { return s.progs.sallyport_next_hop_query; }, 0, description, maps);
}

Result<UniqueFd> load_pass_on() {
    auto skeleton = open_skeleton<pass_on_bpf>();
    if (!skeleton) return system_failure("open the program");
    return load_alone(*skeleton, skeleton->progs.sallyport_pass_on);
}

Result<void> with_declared_maps(const std::function<Result<void>(bpf_object*)>& use) {
    auto skeleton = open_skeleton<reaper_bpf>();
    if (!skeleton) return system_failure("open the program");
    return use(skeleton->obj);
}

}  // namespace sallyport::dataplane

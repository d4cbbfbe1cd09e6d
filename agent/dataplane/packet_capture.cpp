// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet_capture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <time.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <tuple>
#include <utility>

#include "sallyport/abi/capture.h"

namespace sallyport::dataplane {
namespace {

static_assert(static_cast<int>(CapturePoint::received) == CAPTURE_RECEIVED);
static_assert(static_cast<int>(CapturePoint::sent) == CAPTURE_SENT);
static_assert(static_cast<int>(CapturePoint::dropped) == CAPTURE_DROPPED);
static_assert(static_cast<int>(CapturePoint::passed) == CAPTURE_PASSED);
static_assert(all_capture_points.size() == CAPTURE_POINTS);
static_assert(capture_snap_length_max == CAPTURE_BYTES_MAX);

// Longer than the longest time between two questions of a client.
constexpr std::uint64_t renewed_for_ns = 30'000'000'000;

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);  // cannot fail with a clock that exists
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

Result<UniqueFd> duplicate(int fd) {
    UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy) return system_failure("keep a descriptor");
    return copy;
}

Result<std::uint32_t> program_on(int link) {
    bpf_link_info info{};
    std::uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(link, &info, &length) != 0)
        return system_failure("ask the link for its program");
    return info.prog_id;
}

capture_filter filter_for(const CaptureRequest& request) {
    capture_filter filter{};
    if (request.host) filter.host = request.host->to_network();
    if (request.port) filter.port = htons(*request.port);
    if (request.protocol) filter.protocol = static_cast<std::uint8_t>(*request.protocol);
    filter.snap_length = request.snap_length;
    for (const CapturePoint point : request.points)
        filter.points = static_cast<std::uint8_t>(filter.points | 1U << static_cast<unsigned>(point));
    return filter;
}

// Puts one program into the place of another, unless a third one has it meanwhile.
Result<void> replace_program(int link, int old_program, int new_program) {
    LIBBPF_OPTS(bpf_link_update_opts, options);
    options.flags = BPF_F_REPLACE;
    options.old_prog_fd = static_cast<std::uint32_t>(old_program);
    if (bpf_link_update(link, new_program, &options) != 0) return system_failure("replace the program");
    return {};
}

}  // namespace

struct PacketCapture::Ring {
    struct Deleter {
        void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
    };
    std::unique_ptr<ring_buffer, Deleter> buffer;
    std::vector<CapturedPacket> packets;
    std::size_t most = 0;
    std::uint64_t lost = 0;  // for which there was no memory

    // Called through C frames that no exception may cross. What it refuses ends the reading and has been
    // taken out of the ring all the same, so it refuses after the last packet that there is room for.
    static int collect(void* context, void* data, std::size_t size) {
        auto& ring = *static_cast<Ring*>(context);
        capture_record record{};
        if (size < sizeof record) return 0;
        std::memcpy(&record, data, sizeof record);
        if (size - sizeof record < record.captured || record.point >= CAPTURE_POINTS) return 0;
        try {
            ring.packets.push_back(
                {record.time_ns, record.device, static_cast<CapturePoint>(record.point), record.length,
                 std::string(static_cast<const char*>(data) + sizeof record, record.captured)});
        } catch (const std::bad_alloc&) {
            ++ring.lost;
            return 0;
        }
        return ring.packets.size() < ring.most ? 0 : -ECANCELED;
    }
};

PacketCapture::PacketCapture(const Attacher& attacher) : attacher_(attacher) {
}

PacketCapture::~PacketCapture() {
    stop();
}

Result<void> PacketCapture::make_maps() {
    const auto make = [this](const char* name, bpf_map_type type, std::uint32_t key, std::size_t value,
                             std::uint32_t entries) -> Result<void> {
        UniqueFd map(bpf_map_create(type, name, key, static_cast<std::uint32_t>(value), entries, nullptr));
        if (!map) return system_failure(std::string("make the map ") + name);
        maps_[name] = std::move(map);
        return {};
    };
    constexpr std::uint32_t index = sizeof(std::uint32_t);
    if (auto made = make("capture_ring", BPF_MAP_TYPE_RINGBUF, 0, 0, CAPTURE_RING_BYTES); !made) return made;
    if (auto made = make("capture_state", BPF_MAP_TYPE_ARRAY, index, sizeof(std::uint64_t), CAPTURE_STATES);
        !made)
        return made;
    return make("capture_scratch", BPF_MAP_TYPE_PERCPU_ARRAY, index, sizeof(struct capture_scratch), 1);
}

Result<PacketCapture::Programs> PacketCapture::programs_now() const {
    Programs programs;
    for (const Attachment& attachment : attacher_.links().still_attached()) {
        if (request_.device && *request_.device != attachment.slot) continue;
        const auto device = attacher_.device(attachment.slot);
        if (!device) continue;
        const auto id = program_on(device->link);
        if (!id) return tl::make_unexpected(id.error());
        programs[attachment.slot] = *id;
    }
    return programs;
}

Result<void> PacketCapture::renew() {
    const std::uint32_t which = CAPTURE_UNTIL;
    const std::uint64_t until = monotonic_ns() + renewed_for_ns;
    if (bpf_map_update_elem(maps_.at("capture_state").get(), &which, &until, BPF_ANY) != 0)
        return system_failure("update map capture_state");
    return {};
}

Result<std::uint64_t> PacketCapture::lost() const {
    const std::uint32_t which = CAPTURE_LOST;
    std::uint64_t count = 0;
    if (bpf_map_lookup_elem(maps_.at("capture_state").get(), &which, &count) != 0)
        return system_failure("read map capture_state");
    return count + ring_->lost;
}

Result<std::unique_ptr<PacketCapture>> PacketCapture::begin(const PinnedState& state,
                                                            const Attacher& attacher,
                                                            const CaptureRequest& request) {
    std::unique_ptr<PacketCapture> capture(new PacketCapture(attacher));
    capture->request_ = request;
    const auto present = capture->programs_now();
    if (!present) return tl::make_unexpected(present.error());
    if (present->empty()) return no_device_to_capture(request);
    if (auto made = capture->make_maps(); !made) return tl::make_unexpected(made.error());
    if (auto renewed = capture->renew(); !renewed) return tl::make_unexpected(renewed.error());
    capture->ring_ = std::make_unique<Ring>();
    capture->ring_->buffer.reset(ring_buffer__new(capture->maps_.at("capture_ring").get(), Ring::collect,
                                                  capture->ring_.get(), nullptr));
    if (!capture->ring_->buffer) return system_failure("open the ring buffer of the capture");

    // All are loaded before the first one is put in place.
    std::vector<Replacement> loaded;
    for (const auto& [slot, id] : *present) {
        const auto device = *attacher.device(slot);
        auto program = load_capturing_program(device.role, slot, state.description(), state.maps(),
                                              capture->maps_, filter_for(request));
        if (!program) return failure_within("load the program that captures", program.error());
        auto link = duplicate(device.link);
        if (!link) return tl::make_unexpected(link.error());
        auto usual = duplicate(device.program);
        if (!usual) return tl::make_unexpected(usual.error());
        loaded.push_back({*std::move(link), *std::move(usual), *std::move(program)});
    }
    for (Replacement& one : loaded) {
        if (auto done = replace_program(one.link.get(), one.usual.get(), one.capturing.get()); !done)
            return tl::make_unexpected(done.error());
        capture->replacements_.push_back(std::move(one));
    }
    auto now = capture->programs_now();
    if (!now) return tl::make_unexpected(now.error());
    capture->programs_ = *std::move(now);
    return capture;
}

Result<std::uint64_t> PacketCapture::poll(std::size_t most,
                                          const std::function<void(CapturedPacket)>& handle) {
    if (!replacements_.empty()) {
        const auto now = programs_now();
        if (!now) return tl::make_unexpected(now.error());
        if (*now != programs_) return captured_program_was_replaced();
        if (auto renewed = renew(); !renewed) return tl::make_unexpected(renewed.error());
    }
    ring_->packets.clear();
    ring_->most = most;
    const int count = most == 0 ? 0 : ring_buffer__consume(ring_->buffer.get());
    if (count < 0 && count != -ECANCELED)
        return system_failure("read the ring buffer of the capture", -count);
    for (CapturedPacket& packet : ring_->packets) handle(std::move(packet));
    return lost();
}

// What cannot be given back has another program by now, or its device is gone.
void PacketCapture::stop() {
    for (const Replacement& one : std::exchange(replacements_, {}))
        std::ignore = replace_program(one.link.get(), one.capturing.get(), one.usual.get());
}

}  // namespace sallyport::dataplane

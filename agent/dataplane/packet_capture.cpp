// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet_capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "capture.skel.h"
#include "sallyport/abi/capture.h"

namespace sallyport::dataplane {
namespace {

static_assert(static_cast<int>(CapturePoint::received) == CAPTURE_RECEIVED);
static_assert(static_cast<int>(CapturePoint::sent) == CAPTURE_SENT);
static_assert(static_cast<int>(CapturePoint::dropped) == CAPTURE_DROPPED);
static_assert(static_cast<int>(CapturePoint::passed) == CAPTURE_PASSED);
static_assert(all_capture_points.size() == CAPTURE_POINTS);
static_assert(capture_snap_length_max == CAPTURE_BYTES_MAX);

// Where the kernel keeps the description of its own types, which tracing needs.
constexpr const char* kernel_types = "/sys/kernel/btf/vmlinux";

const char* name_of_program(Role role) {
    switch (role) {
        case Role::inside:
            return "sallyport_inside";
        case Role::outside:
            return "sallyport_outside";
        case Role::both:
            return "sallyport_both";
    }
    return "";
}

Result<std::uint32_t> program_id(int program) {
    bpf_prog_info info{};
    std::uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &length) != 0) return system_failure("ask for the program");
    return info.id;
}

tl::unexpected<Error> no_tracing(std::string_view doing, int error) {
    if (access(kernel_types, R_OK) != 0) {
        return failure(std::string("this kernel cannot trace: it has no ") + kernel_types +
                           "; capturing needs a kernel with CONFIG_DEBUG_INFO_BTF",
                       error);
    }
    return system_failure(doing, error);
}

}  // namespace

// The pair of programs beside that of one device.
struct PacketCapture::Traced {
    struct Destroy {
        void operator()(capture_bpf* skeleton) const { capture_bpf::destroy(skeleton); }
    };
    std::unique_ptr<capture_bpf, Destroy> skeleton;

    static Result<std::unique_ptr<Traced>> load(const Attacher::Device& device, std::uint8_t slot,
                                                const CaptureRequest& request, int ring) {
        auto traced = std::make_unique<Traced>();
        traced->skeleton.reset(capture_bpf::open());
        if (!traced->skeleton) return system_failure("open the program capture");
        capture_bpf& skeleton = *traced->skeleton;
        skeleton.rodata->device_slot = slot;
        for (const CapturePoint point : request.points)
            skeleton.rodata->wanted_points |= static_cast<std::uint8_t>(1U << static_cast<unsigned>(point));
        skeleton.rodata->snap_length = request.snap_length;
        if (request.host) skeleton.rodata->wanted_host = request.host->to_network();
        if (request.port) skeleton.rodata->wanted_port = __builtin_bswap16(*request.port);
        if (request.protocol)
            skeleton.rodata->wanted_protocol = static_cast<std::uint8_t>(*request.protocol);
        if (ring >= 0) {
            if (const int error = bpf_map__reuse_fd(skeleton.maps.capture_ring, ring); error != 0)
                return system_failure("give the program capture its ring buffer", -error);
        }
        for (bpf_program* program : {skeleton.progs.capture_received, skeleton.progs.capture_done}) {
            if (const int error =
                    bpf_program__set_attach_target(program, device.program, name_of_program(device.role));
                error != 0) {
                return no_tracing("find the program to trace", -error);
            }
        }
        if (const int error = capture_bpf::load(&skeleton); error != 0)
            return no_tracing("load the program capture", -error);
        return traced;
    }

    Result<void> attach() const {
        if (const int error = capture_bpf::attach(skeleton.get()); error != 0)
            return no_tracing("trace the program on the device", -error);
        return {};
    }
};

struct PacketCapture::Ring {
    struct Deleter {
        void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
    };
    std::unique_ptr<ring_buffer, Deleter> buffer;
    std::vector<CapturedPacket> packets;
    std::size_t most = 0;
    std::uint64_t lost = 0;  // for which there was no memory

    // Called through C frames that no exception may cross. What it refuses ends the reading and has been taken
    // out of the ring all the same, so it refuses after the last packet that there is room for.
    static int collect(void* context, void* data, std::size_t size) {
        auto& ring = *static_cast<Ring*>(context);
        capture_record record{};
        if (size < sizeof record) return 0;
        std::memcpy(&record, data, sizeof record);
        if (size - sizeof record < record.captured || record.point >= CAPTURE_POINTS) return 0;
        try {
            ring.packets.push_back({record.time_ns, record.device, static_cast<CapturePoint>(record.point),
                                    record.length,
                                    std::string(static_cast<const char*>(data) + sizeof record,
                                                record.captured)});
        } catch (const std::bad_alloc&) {
            ++ring.lost;
            return 0;
        }
        return ring.packets.size() < ring.most ? 0 : -ECANCELED;
    }
};

PacketCapture::PacketCapture(const Attacher& attacher) : attacher_(attacher) {
}
PacketCapture::~PacketCapture() = default;

Result<std::map<std::uint8_t, std::uint32_t>> PacketCapture::programs_now(const Attacher& attacher,
                                                                          const CaptureRequest& request) {
    std::map<std::uint8_t, std::uint32_t> programs;
    for (const Attachment& attachment : attacher.attachments()) {
        if (request.device && *request.device != attachment.slot) continue;
        const auto device = attacher.device(attachment.slot);
        if (!device) continue;
        const auto id = program_id(device->program);
        if (!id) return tl::make_unexpected(id.error());
        programs[attachment.slot] = *id;
    }
    return programs;
}

Result<std::unique_ptr<PacketCapture>> PacketCapture::begin(const Attacher& attacher,
                                                            const CaptureRequest& request) {
    std::unique_ptr<PacketCapture> capture(new PacketCapture(attacher));
    capture->request_ = request;
    auto programs = programs_now(attacher, request);
    if (!programs) return tl::make_unexpected(programs.error());
    if (programs->empty()) return no_device_to_capture(request);
    capture->programs_ = *std::move(programs);
    capture->ring_ = std::make_unique<Ring>();

    int ring = -1;  // that of the first device; the others write into it as well
    for (const auto& [slot, id] : capture->programs_) {
        auto traced = Traced::load(*attacher.device(slot), slot, request, ring);
        if (!traced) return tl::make_unexpected(traced.error());
        ring = bpf_map__fd((*traced)->skeleton->maps.capture_ring);
        capture->traced_.push_back(*std::move(traced));
    }
    capture->ring_->buffer.reset(ring_buffer__new(ring, Ring::collect, capture->ring_.get(), nullptr));
    if (!capture->ring_->buffer) return system_failure("open the ring buffer of the capture");
    for (const auto& traced : capture->traced_) {
        if (auto attached = traced->attach(); !attached) return tl::make_unexpected(attached.error());
    }
    return capture;
}

Result<std::uint64_t> PacketCapture::poll(std::size_t most,
                                          const std::function<void(CapturedPacket)>& handle) {
    const auto now = programs_now(attacher_, request_);
    if (!now) return tl::make_unexpected(now.error());
    if (*now != programs_) return captured_program_was_replaced();
    ring_->packets.clear();
    ring_->most = most;
    const int count = most == 0 ? 0 : ring_buffer__consume(ring_->buffer.get());
    if (count < 0 && count != -ECANCELED) return system_failure("read the ring buffer of the capture", -count);
    for (CapturedPacket& packet : ring_->packets) handle(std::move(packet));
    std::uint64_t lost = ring_->lost;
    for (const auto& traced : traced_)
        lost += __atomic_load_n(&traced->skeleton->bss->lost, __ATOMIC_RELAXED);
    return lost;
}

void PacketCapture::stop() {
    for (const auto& traced : traced_) capture_bpf::detach(traced->skeleton.get());
}

}  // namespace sallyport::dataplane

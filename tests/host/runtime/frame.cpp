// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "host/runtime.h"
#include "host/shim/linux/bpf.h"

#include <sanitizer/asan_interface.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

// What BPF_PROG_RUN leaves in front of a frame, and at the most behind its beginning.
constexpr std::size_t headroom = 256;
alignas(64) std::array<std::uint8_t, headroom + HOST_FRAME_MAX> room;
alignas(64) std::array<std::uint8_t, 256> event;

std::uint8_t* at(unsigned long address) {
    return reinterpret_cast<std::uint8_t*>(address);
}

// Makes the frame, and nothing but the frame, accessible.
void fence(const xdp_md* context) {
    ASAN_POISON_MEMORY_REGION(room.data(), room.size());
    ASAN_UNPOISON_MEMORY_REGION(at(context->data), context->data_end - context->data);
}

bool within(const xdp_md* context, std::uint32_t offset, std::uint32_t bytes) {
    return bytes > 0 && std::uint64_t{offset} + bytes <= context->data_end - context->data;
}

}  // namespace

extern "C" {

uint32_t host_redirected_to = 0;
uint64_t host_events = 0;
long (*host_fib_lookup)(struct bpf_fib_lookup*, std::uint32_t) = nullptr;

void host_frame_load(xdp_md* context, const void* frame, std::size_t bytes) {
    if (bytes > HOST_FRAME_MAX) std::abort();
    context->data = reinterpret_cast<unsigned long>(room.data() + headroom);
    context->data_end = context->data + bytes;
    context->data_meta = context->data;
    fence(context);
    std::memcpy(at(context->data), frame, bytes);
}

long host_adjust_head(xdp_md* context, int by) {
    const unsigned long data = context->data + static_cast<unsigned long>(static_cast<long>(by));
    if (data < reinterpret_cast<unsigned long>(room.data()) || data + 14 > context->data_end) return -EINVAL;
    context->data = data;
    fence(context);
    return 0;
}

// Larger frames are refused: what may grow depends on the driver.
long host_adjust_tail(xdp_md* context, int by) {
    const unsigned long end = context->data_end + static_cast<unsigned long>(static_cast<long>(by));
    if (by > 0 || end < context->data + 14) return -EINVAL;
    context->data_end = end;
    fence(context);
    return 0;
}

long host_load_bytes(const xdp_md* context, std::uint32_t offset, void* to, std::uint32_t bytes) {
    if (!within(context, offset, bytes)) return -EINVAL;
    std::memcpy(to, at(context->data) + offset, bytes);
    return 0;
}

long host_store_bytes(const xdp_md* context, std::uint32_t offset, const void* from, std::uint32_t bytes) {
    if (!within(context, offset, bytes)) return -EINVAL;
    std::memcpy(at(context->data) + offset, from, bytes);
    return 0;
}

long host_redirect(const void* devices, std::size_t count, std::uint32_t slot, std::uint64_t flags) {
    if (slot >= count || static_cast<const std::uint32_t*>(devices)[slot] == 0)
        return static_cast<long>(flags & 3);
    host_redirected_to = slot;
    return XDP_REDIRECT;
}

void* host_event_reserve(std::size_t bytes, int counts) {
    static std::array<std::uint8_t, 256> other;
    if (bytes > event.size()) std::abort();
    if (counts == 0) return other.data();
    ++host_events;
    return event.data();
}

const void* host_event_last() {
    return event.data();
}
}

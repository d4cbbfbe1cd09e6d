// SPDX-License-Identifier: Apache-2.0
#include "support/fragments.h"

#include <algorithm>

#include "support/wire.h"

namespace sallyport::support {
namespace {

constexpr std::size_t link = 14, header = 20;
constexpr std::uint16_t more = 0x2000, offset_mask = 0x1fff;

}  // namespace

void mend_ip_checksum(Bytes& frame) {
    const std::size_t length = (frame[link] & 15u) * 4u;
    put16(frame, link + 10, 0);
    put16(frame, link + 10, internet_checksum({frame.data() + link, length}));
}

std::vector<Bytes> fragments_of(const Packet& whole, std::size_t most) {
    const Bytes ip = whole.ip();
    const std::size_t own = (ip[0] & 15u) * 4u;
    std::vector<Bytes> frames;
    for (std::size_t at = own; at < ip.size(); at += most) {
        const std::size_t end = std::min(at + most, ip.size());
        Packet piece = whole;
        piece.vlans.clear();
        piece.fragment_offset = 8;  // so that no transport header is made
        piece.payload.assign(ip.begin() + static_cast<std::ptrdiff_t>(at),
                             ip.begin() + static_cast<std::ptrdiff_t>(end));
        Bytes frame = piece.frame();
        const std::size_t flags = (whole.dont_fragment ? 0x4000u : 0u) | (end < ip.size() ? more : 0u);
        put16(frame, link + 6, static_cast<std::uint32_t>(flags | (at - own) / 8));
        mend_ip_checksum(frame);
        frames.push_back(std::move(frame));
    }
    return frames;
}

Packet put_together(const std::vector<Bytes>& frames, std::string& faults) {
    Bytes whole(link + header);
    std::size_t filled = 0, end = 0;
    for (const Bytes& frame : frames) {
        if (frame.size() < link + header || frame[link] != 0x45) {
            faults += "no fragment; ";
            continue;
        }
        const std::uint16_t field = get16(frame, link + 6);
        const std::size_t at = link + header + (field & offset_mask) * 8u;
        const std::size_t length = get16(frame, link + 2) - header;
        if (internet_checksum({frame.data() + link, header}) != 0) faults += "IPv4 of a fragment; ";
        if (get16(frame, link + 4) != get16(frames[0], link + 4)) faults += "identifications differ; ";
        if (!std::equal(frame.begin() + link + 12, frame.begin() + link + 20, frames[0].begin() + link + 12))
            faults += "addresses differ; ";
        if (whole.size() < at + length) whole.resize(at + length);
        std::copy_n(frame.begin() + link + header, length, whole.begin() + static_cast<std::ptrdiff_t>(at));
        if (at == link + header) std::copy_n(frame.begin(), link + header, whole.begin());
        filled += length;
        if (!(field & more)) end = at + length;
    }
    if (end != whole.size() || filled + link + header != end) faults += "fragments are missing; ";
    put16(whole, link + 6, get16(whole, link + 6) & 0x4000u);
    put16(whole, link + 2, static_cast<std::uint32_t>(whole.size() - link));
    mend_ip_checksum(whole);
    faults += Packet::checksum_faults(whole);
    return Packet::parse(whole).value_or(Packet{});
}

}  // namespace sallyport::support

// SPDX-License-Identifier: Apache-2.0
#include "packet/script.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

namespace sallyport::fuzz {
namespace {

using support::get16;
using support::get32;
using support::Packet;
using support::put16;

constexpr std::array<Ipv4Address, 8> instances{
    Ipv4Address(10, 0, 0, 11), Ipv4Address(10, 0, 0, 12), Ipv4Address(10, 0, 0, 13),
    Ipv4Address(10, 0, 1, 11), Ipv4Address(10, 1, 0, 11), Ipv4Address(10, 1, 0, 12),
    Ipv4Address(10, 0, 9, 9),  // of no subnet
    Ipv4Address(10, 0, 0, 1),  // the gateway's own
};
constexpr std::array<Ipv4Address, 16> remotes{
    Ipv4Address(203, 0, 113, 10),    Ipv4Address(203, 0, 113, 11),  Ipv4Address(203, 0, 113, 20),
    Ipv4Address(198, 51, 100, 254),  Ipv4Address(198, 51, 100, 10), Ipv4Address(198, 51, 100, 11),
    Ipv4Address(198, 51, 100, 12),   Ipv4Address(198, 51, 100, 1),  Ipv4Address(10, 0, 0, 12),
    Ipv4Address(192, 0, 2, 1),       Ipv4Address(198, 18, 1, 1),    Ipv4Address(198, 18, 2, 1),
    Ipv4Address(198, 18, 3, 1),      Ipv4Address(198, 18, 100, 1),  Ipv4Address(224, 0, 0, 5),
    Ipv4Address(255, 255, 255, 255),
};
constexpr std::array<std::uint16_t, 8> ports{5000, 5001, 443, 53, 0, 1023, 2001, 65535};
constexpr std::array<std::uint8_t, 8> flag_sets{support::syn,
                                                support::syn | support::ack,
                                                support::ack,
                                                support::ack | support::psh,
                                                support::fin | support::ack,
                                                support::rst,
                                                support::rst | support::ack,
                                                support::syn | support::fin};
constexpr std::array<std::uint64_t, 16> waits{1,      70,      500,     1'000,    2'100,  5'200,
                                              31'000, 60'000,  64'000,  65'000,   66'000, 70'000,
                                              90'000, 258'000, 300'000, 7'500'000};

template <typename Array>
auto pick(const Array& from, unsigned which) {
    return from[which % from.size()];
}

std::uint8_t slot_of_instance(Ipv4Address instance) {
    return instance.value() >> 16 == (10 << 8 | 1) ? both_slot : inside_slot;
}

void turn_round(Packet& packet) {
    std::swap(packet.source, packet.destination);
    std::swap(packet.source_port, packet.destination_port);
    packet.ttl = 64;
    packet.vlans.clear();
}

// What a sender that got, or sent, `packet` says next in its connection.
void go_on(Packet& packet, std::uint8_t flags, std::uint8_t payload) {
    if (packet.protocol == 6) {
        packet.tcp_flags = flags < flag_sets.size() ? flag_sets[flags] : flags;
        packet.tcp_options.clear();
    }
    packet.payload.assign(payload, static_cast<std::uint8_t>(payload * 37));
}

}  // namespace

std::array<Sent, Script::remembered> Script::sent_;

Script::Script(std::span<const std::uint8_t> input) : input_(input) {
}

const Sent* Script::sent(std::uint8_t which) const {
    const std::size_t known = std::min(sends_, remembered);
    // 0 is the latest, which is what most often makes sense.
    return known == 0 ? nullptr : &sent_[(sends_ - 1 - which % known) % remembered];
}

void Script::forwarded(std::uint8_t egress, const Bytes& out) {
    Sent& sent = sent_[sends_++ % remembered];
    sent.from = frame_.slot;
    sent.to = egress;
    sent.in = frame_.bytes;
    sent.out = out;
}

std::uint64_t Script::milliseconds() const {
    return pick(waits, step_.with[0]) + step_.with[1];
}

Script::Next Script::next() {
    if (at_ + sizeof(Step) > std::min(input_.size(), steps_max * sizeof(Step))) return Next::end;
    std::memcpy(&step_, input_.data() + at_, sizeof step_);
    at_ += sizeof step_;
    step_.what %= kinds;
    switch (step_.what) {
        case distort:
            if (odd_ < oddities_.size()) oddities_[odd_++] = {step_.with[0], step_.with[1]};
            return Next::nothing;
        case patch:
            if (patched_ < patches_.size()) patches_[patched_++] = step_;
            return Next::nothing;
        case wait:
            return Next::wait;
        case reconfigure:
            return Next::reconfigure;
        case reap:
            return Next::reap;
        default:
            break;
    }
    if (!make_frame()) return Next::nothing;
    if (frame_.bytes.size() < 14) frame_.bytes.resize(14);  // the kernel runs nothing below that
    if (frame_.bytes.size() > HOST_FRAME_MAX) frame_.bytes.resize(HOST_FRAME_MAX);
    for (std::size_t i = 0; i < patched_; ++i) {
        const auto& with = patches_[i].with;
        const std::size_t where = (with[0] | std::size_t{with[1]} << 8) % frame_.bytes.size();
        frame_.bytes[where] = with[2];
        if (where + 1 < frame_.bytes.size() && with[4] & 1) frame_.bytes[where + 1] = with[3];
        if (with[4] & 2) spoil(frame_.bytes, {20, 0});  // and the header's checksum agrees
    }
    odd_ = patched_ = 0;
    return Next::frame;
}

bool Script::make_frame() {
    switch (step_.what) {
        case open_flow:
            make_open();
            return true;
        case answer:
            return make_answer();
        case again:
            return make_again();
        case report:
            return make_report();
        case cut_up:
            return make_fragment();
        case unsolicited:
            make_unsolicited();
            return true;
        case request:
            make_request();
            return true;
        default:
            make_raw();
            return true;
    }
}

void Script::make_open() {
    const auto& with = step_.with;
    Packet packet;
    packet.source = pick(instances, with[0]);
    packet.source_port = pick(ports, with[1]);
    packet.destination = pick(remotes, with[2]);
    packet.destination_port = pick(ports, with[3] / 4u);
    constexpr std::array<std::uint8_t, 4> protocols{6, 17, 1, 6};
    packet.protocol = protocols[with[3] % 4];
    packet.icmp_id = packet.source_port;
    packet.identification = identification_++;
    packet.sequence = 1000;
    go_on(packet, with[4] % 16, with[3] % 4 == 0 ? 0 : with[4] / 16u);
    if (with[0] & 64) packet.tcp_options = {2, 4, 5, 0xb4};  // MSS 1460
    send(slot_of_instance(packet.source), packet, with[5], with[6]);
}

bool Script::make_answer() {
    const Sent* to = sent(step_.with[0]);
    if (to == nullptr) return false;
    std::optional<Packet> packet = Packet::parse(to->out);
    if (!packet) return false;
    turn_round(*packet);
    packet->identification = identification_++;
    packet->acknowledgement = packet->sequence + static_cast<std::uint32_t>(packet->payload.size()) +
                              (packet->tcp_flags & 2 ? 1 : 0);
    packet->sequence = 5000 + step_.with[3] * 16u;
    if (packet->protocol == 1) packet->icmp_type = packet->icmp_type == 8 ? 0 : 8;
    go_on(*packet, step_.with[1], step_.with[2] % 32);
    if (step_.with[3] & 1) packet->tcp_options = {1, 2, 4, 5, 0xb4, 0, 0, 0};
    send(to->to, *packet, step_.with[5], step_.with[6]);
    return true;
}

bool Script::make_again() {
    const Sent* first = sent(step_.with[0]);
    if (first == nullptr) return false;
    std::optional<Packet> packet = Packet::parse(first->in);
    if (!packet) return false;
    packet->identification = identification_++;
    packet->sequence += 1u + step_.with[3];
    packet->acknowledgement = 5001 + step_.with[4] * 256u;
    go_on(*packet, step_.with[1], step_.with[2] % 64);
    send(first->from, *packet, step_.with[5], step_.with[6]);
    return true;
}

bool Script::make_report() {
    const auto& with = step_.with;
    const Sent* about = sent(with[0]);
    if (about == nullptr) return false;
    const std::size_t at = support::ip_offset(about->out);
    if (at == 0 || at + 20 > about->out.size()) return false;
    Bytes quoted(about->out.begin() + static_cast<std::ptrdiff_t>(at), about->out.end());
    constexpr std::array<std::uint8_t, 8> types{3, 11, 12, 3, 4, 5, 3, 11};
    const std::size_t header = std::min<std::size_t>((about->out[at] & 15u) * std::size_t{4}, quoted.size());
    const std::size_t cut = with[2] < 200 ? header + with[2] : with[2] - 200u;
    Packet packet = support::icmp_error(types[with[1] % 8], with[1] / 8, quoted, 8);
    packet.payload.assign(quoted.begin(),
                          quoted.begin() + static_cast<std::ptrdiff_t>(std::min(cut, quoted.size())));
    if (with[4] & 1 && packet.payload.size() > 12) packet.payload[10] ^= with[4];  // a wrong quoted checksum
    if (with[4] & 2 && packet.payload.size() > 28)
        packet.payload[20 + with[4] % 8u] ^= 1;                                // quotes what nobody sent
    if (with[4] & 4) packet.payload.resize(packet.payload.size() + 20, 0x20);  // extensions
    packet.source = with[3] & 1 ? Ipv4Address(get32(quoted, 16)) : pick(remotes, with[3] / 2u);
    packet.destination = Ipv4Address(get32(quoted, 12));
    packet.icmp_rest = static_cast<std::uint32_t>(with[4]) * 8;
    packet.identification = identification_++;
    send(about->to, packet, with[5], with[6]);
    return true;
}

bool Script::make_fragment() {
    const auto& with = step_.with;
    const Sent* whole = sent(with[0]);
    if (whole == nullptr) return false;
    const bool back = with[1] & 1;
    std::optional<Packet> packet = Packet::parse(back ? whole->out : whole->in);
    if (!packet || packet->fragment_offset != 0) return false;
    if (back) turn_round(*packet);
    if (back && packet->protocol == 1) packet->icmp_type = 0;
    if (packet->protocol == 6) packet->tcp_flags = support::ack;
    packet->identification = static_cast<std::uint16_t>(9000 + with[2] % 4);
    packet->payload.assign(with[3] / 8u * 8u + 8u, with[3]);
    constexpr std::uint16_t steps[3] = {0, 32, 64};
    const unsigned part = with[4] % 3u;
    packet->fragment_offset = steps[part];
    packet->more_fragments = part < 2;
    packet->dont_fragment = false;
    send(back ? whole->to : whole->from, *packet, with[5], with[6]);
    return true;
}

void Script::make_unsolicited() {
    const auto& with = step_.with;
    Packet packet;
    packet.source = pick(remotes, with[0]);
    packet.source_port = pick(ports, with[1]);
    packet.destination = with[2] & 128 ? pick(instances, with[2]) : pick(remotes, with[2]);
    packet.destination_port = pick(ports, with[3] / 4u);
    constexpr std::array<std::uint8_t, 4> protocols{6, 17, 1, 47};
    packet.protocol = protocols[with[3] % 4];
    packet.icmp_id = packet.destination_port;
    packet.icmp_type = with[4];
    packet.identification = identification_++;
    go_on(packet, with[4] % 16, with[4] / 16u);
    send(with[0] & 128 ? both_slot : outside_slot, packet, with[5], with[6]);
}

void Script::make_request() {
    const auto& with = step_.with;
    const auto slot = static_cast<std::uint8_t>(with[0] % 3);
    Bytes& bytes = frame_.bytes;
    frame_.slot = slot;
    bytes.assign(60, 0);
    std::fill_n(bytes.begin(), 6, std::uint8_t{0xff});
    bytes[6] = 2;
    put16(bytes, 12, 0x0806);
    put16(bytes, 14, 1);
    put16(bytes, 16, 0x0800);
    bytes[18] = 6;
    bytes[19] = 4;
    put16(bytes, 20, with[1] & 1 ? 2 : 1);
    support::put32(bytes, 28, Ipv4Address(198, 51, 100, 254).value());
    support::put32(bytes, 38, pick(remotes, with[2]).value());
    for (std::size_t i = 0; i < odd_; ++i) spoil(bytes, oddities_[i]);
    spoil(bytes, {with[5], with[6]});
}

void Script::make_raw() {
    frame_.slot = step_.with[0] % 3;
    const std::size_t wanted = step_.with[1] % 16u * sizeof(Step);
    const std::size_t there = std::min(wanted, input_.size() - at_);
    frame_.bytes.assign(14, 0);
    put16(frame_.bytes, 12, step_.with[2] & 1 ? get16(std::array{step_.with[3], step_.with[4]}, 0) : 0x0800);
    frame_.bytes.insert(frame_.bytes.end(), input_.begin() + static_cast<std::ptrdiff_t>(at_),
                        input_.begin() + static_cast<std::ptrdiff_t>(at_ + there));
    at_ += there;
    if (step_.with[2] & 2) spoil(frame_.bytes, {20, 0});
}

// Oddities come in two: those of the packet that its checksums agree with, and those of the frame.
constexpr std::uint8_t oddities_of_packets = 20;
constexpr std::uint8_t oddities_of_frames = 32;

void Script::send(std::uint8_t slot, Packet& packet, std::uint8_t how, std::uint8_t much) {
    frame_.slot = slot;
    packet.source_mac = {2, 2, 0, 0, 0, 1};
    packet.destination_mac = Gateway::mac_of(slot);
    for (std::size_t i = 0; i < odd_; ++i) make_odd(packet, oddities_[i]);
    make_odd(packet, {how, much});
    if (packet.more_fragments) packet.payload.resize((packet.payload.size() + 7) / 8 * 8);
    frame_.bytes = packet.frame();
    for (std::size_t i = 0; i < odd_; ++i) spoil(frame_.bytes, oddities_[i]);
    spoil(frame_.bytes, {how, much});
}

void Script::make_odd(Packet& packet, Oddity oddity) const {
    const std::uint8_t much = oddity.much;
    switch (oddity.how % 64) {
        case 0:
            packet.ttl = much;
            break;
        case 1:
            packet.tos = much;
            break;
        case 2:
            packet.dont_fragment = true;
            break;
        case 3:
            packet.more_fragments = true;
            break;
        case 4:
            packet.fragment_offset = static_cast<std::uint16_t>(much * 8);
            break;
        case 5: {
            // No operation, record route, timestamps with addresses, loose and strict source route, alert.
            constexpr std::array<std::uint8_t, 6> types{1, 7, 68, 131, 137, 148};
            packet.options.assign(much / 8u % 11u * std::size_t{4}, types[much % 6u]);
            if (packet.options.size() >= 8 && much % 6u != 0) {
                packet.options.assign(packet.options.size(), 0);
                packet.options[0] = types[much % 6u];
                packet.options[1] = static_cast<std::uint8_t>(much % 6u == 5 ? 4 : packet.options.size());
                packet.options[2] = 4;
            }
            break;
        }
        case 6:
            packet.vlans.assign(1 + much % 3u, much);
            break;
        case 7:
            packet.tcp_flags = much;
            break;
        case 8:
            packet.udp_without_checksum = true;
            break;
        case 9:
            packet.protocol = much;
            break;
        case 10:
            packet.payload.resize(packet.payload.size() + much * std::size_t{8}, much);
            break;
        case 11:
            packet.source = much & 1 ? pick(remotes, much / 2u) : pick(instances, much / 2u);
            break;
        case 12:
            packet.destination = much & 1 ? pick(remotes, much / 2u) : pick(instances, much / 2u);
            break;
        case 13:
            packet.source_port = pick(ports, much);
            break;
        case 14:
            packet.destination_port = pick(ports, much);
            break;
        case 15: {  // a maximum segment size at some place among the options
            packet.tcp_options.assign(much % 4u, 1);
            packet.tcp_options.insert(packet.tcp_options.end(),
                                      {2, 4, much, static_cast<std::uint8_t>(much * 3)});
            packet.tcp_options.resize((packet.tcp_options.size() + 3) / 4 * 4);
            break;
        }
        case 16:
            packet.sequence += static_cast<std::uint32_t>(much) << 14;
            break;
        case 17:
            packet.acknowledgement -= static_cast<std::uint32_t>(much) << 6;
            break;
        case 18:
            packet.icmp_type = much;
            break;
        case 19: {
            constexpr std::array<Ipv4Address, 4> never{Ipv4Address(127, 0, 0, 1), Ipv4Address(0, 0, 0, 0),
                                                       Ipv4Address(239, 1, 2, 3), Ipv4Address(240, 0, 0, 1)};
            (much & 1 ? packet.source : packet.destination) = never[much / 2u % 4u];
            break;
        }
        default:
            break;
    }
    static_assert(oddities_of_packets == 20);
}

void Script::spoil(Bytes& frame, Oddity oddity) {
    const std::size_t at = support::ip_offset(frame);
    const std::uint8_t much = oddity.much;
    const auto any = [&frame](std::size_t which) -> std::uint8_t& { return frame[which % frame.size()]; };
    switch (oddity.how % 64) {
        case 20: {  // the header's checksum agrees with whatever it says
            if (at == 0) return;
            const std::size_t header =
                std::clamp<std::size_t>((frame[at] & 15u) * std::size_t{4}, 20, frame.size() - at);
            put16(frame, at + 10, 0);
            put16(frame, at + 10, support::internet_checksum({frame.data() + at, header}));
            return;
        }
        case 21:  // the header's is wrong
            if (at != 0) any(at + 10) ^= static_cast<std::uint8_t>(much | 1);
            return;
        case 22:  // the transport's is wrong
            if (at != 0) any(at + 20 + (frame[at + 9] == 6 ? 16u : frame[at + 9] == 17 ? 6u : 2u)) ^= much;
            return;
        case 23:
            frame.resize(std::min<std::size_t>(frame.size(), 14u + much));
            return;
        case 24:
            frame.resize(frame.size() + much);
            return;
        case 25:
            if (at != 0) put16(frame, at + 2, get16(frame, at + 2) + much - 128u);
            break;
        case 26:
            if (at != 0) frame[at] = much;
            break;
        case 27:
            any(at + 24 + (much & 1)) = much;  // UDP's length
            break;
        case 28:
            any(at + 32) = much;  // TCP's data offset
            break;
        case 29:
            frame[0] |= 1;
            break;
        case 30:
            if (frame.size() >= 14) put16(frame, 12, much & 1 ? 0x88a8 : 0x86dd);
            break;
        case 31:
            if (at != 0) put16(frame, at + 6, get16(frame, at + 6) ^ (0x8000U | unsigned{much} << 8));
            break;
        default:
            return;
    }
    if (at != 0) spoil(frame, {20, 0});
    static_assert(oddities_of_frames == 32);
}

namespace {

Step new_step(std::minstd_rand& random) {
    constexpr std::array<std::uint8_t, 32> likely{
        open_flow, open_flow, open_flow, open_flow, open_flow, open_flow,   answer,      answer,
        answer,    answer,    answer,    again,     again,     again,       again,       report,
        report,    report,    report,    cut_up,    cut_up,    cut_up,      unsolicited, unsolicited,
        distort,   distort,   patch,     wait,      wait,      reconfigure, reap,        raw};
    Step step{};
    step.what = likely[random() % likely.size()];
    for (std::uint8_t& byte : step.with) byte = static_cast<std::uint8_t>(random() >> 8);
    // What makes the ordinary packet: a known flag set, no oddity.
    if (step.what == open_flow) {
        if (random() % 4) step.with[0] %= 2;
        if (random() % 4) step.with[2] %= 3;
        if (random() % 4) step.with[4] = 0;
    }
    if (step.what == answer || step.what == again) {
        step.with[0] = static_cast<std::uint8_t>(random() % 2 ? 0 : step.with[0] % 8);
        step.with[1] %= flag_sets.size();
    }
    if (step.what == report || step.what == cut_up) step.with[0] %= 4;
    if (random() % 4) step.with[5] = 255;
    // What the configuration leads inside, and what comes to it: a SYN, a datagram or an echo.
    if (step.what == reconfigure && random() % 4 == 0)
        step.with[0] = static_cast<std::uint8_t>(22 + random() % 2);
    if (step.what == unsolicited && random() % 2) {
        step.with[0] %= 3;
        step.with[2] = static_cast<std::uint8_t>(4 + random() % 3);
        step.with[4] = random() % 2 ? 0 : 8;
    }
    if (step.what == request && random() % 2) step.with[2] = 4;
    return step;
}

}  // namespace

std::size_t mutate(std::uint8_t* data, std::size_t size, std::size_t room, std::uint32_t seed) {
    std::minstd_rand random(seed);
    const std::size_t most = std::min(room / sizeof(Step), steps_max);
    std::size_t count = std::min(size / sizeof(Step), most);
    const auto place = [&](std::size_t which) { return data + which * sizeof(Step); };
    const auto put = [&](std::size_t which, const Step& step) {
        std::memcpy(place(which), &step, sizeof step);
    };
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
        const std::size_t which = count ? random() % count : 0;
        switch (random() % 8) {
            case 0:
            case 1:
            case 2:  // another step
                if (count >= most) break;
                std::memmove(place(which + 1), place(which), (count - which) * sizeof(Step));
                put(which, new_step(random));
                ++count;
                break;
            case 3:  // one step less
                if (count < 2) break;
                std::memmove(place(which), place(which + 1), (count - which - 1) * sizeof(Step));
                --count;
                break;
            case 4:  // the same once more, at the end
                if (count == 0 || count >= most) break;
                std::memcpy(place(count), place(which), sizeof(Step));
                ++count;
                break;
            case 5:
                if (count) put(which, new_step(random));
                break;
            case 6:  // a byte of it
                if (count) place(which)[random() % sizeof(Step)] = static_cast<std::uint8_t>(random() >> 8);
                break;
            default:  // a small difference
                if (count)
                    place(which)[random() % sizeof(Step)] ^= static_cast<std::uint8_t>(1u << random() % 8);
                break;
        }
    }
    return count * sizeof(Step);
}

}  // namespace sallyport::fuzz

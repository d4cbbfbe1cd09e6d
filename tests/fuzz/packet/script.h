// SPDX-License-Identifier: Apache-2.0
//
// What a fuzzer's input means: a list of steps of eight bytes. Any bytes are a script, and a byte more or
// less changes one step and not all that follow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "packet/gateway.h"

namespace sallyport::fuzz {

struct Step {
    std::uint8_t what;
    std::array<std::uint8_t, 7> with;
};
static_assert(sizeof(Step) == 8);

inline constexpr std::size_t steps_max = 64;

enum Kind : std::uint8_t {
    open_flow,    // an instance sends a packet of its own
    answer,       // whoever got a packet answers it
    again,        // whoever sent a packet sends another of the same flow
    report,       // an ICMP error about a packet that was forwarded
    cut_up,       // one of three fragments of a packet
    unsolicited,  // somebody outside sends to an Elastic IP, or to whom they like
    request,      // ARP
    raw,          // the bytes of the steps that follow
    distort,      // makes the next frame odd in one more way
    patch,        // changes bytes of the next frame
    wait,
    reconfigure,
    reap,
    kinds
};

// A frame that has been forwarded, for others to refer to.
struct Sent {
    std::uint8_t from = 0, to = 0;  // slots
    Bytes in, out;
};

// Turns steps into frames. `Player` says what has become of earlier ones.
class Script {
  public:
    explicit Script(std::span<const std::uint8_t> input);

    struct Frame {
        std::uint8_t slot = 0;
        Bytes bytes;
    };
    // What the next step is; it is a frame unless it is wait, reconfigure or reap.
    enum class Next { end, frame, nothing, wait, reconfigure, reap };
    Next next();

    [[nodiscard]] const Frame& frame() const { return frame_; }
    [[nodiscard]] const Step& step() const { return step_; }
    [[nodiscard]] std::uint64_t milliseconds() const;

    // The frame was forwarded as `out` to `egress`.
    void forwarded(std::uint8_t egress, const Bytes& out);

  private:
    struct Oddity {
        std::uint8_t how, much;
    };

    bool make_frame();
    void make_open();
    bool make_answer();
    bool make_again();
    bool make_report();
    bool make_fragment();
    void make_unsolicited();
    void make_request();
    void make_raw();
    void send(std::uint8_t slot, support::Packet& packet, std::uint8_t how, std::uint8_t much);
    void make_odd(support::Packet& packet, Oddity oddity) const;
    static void spoil(Bytes& frame, Oddity oddity);
    const Sent* sent(std::uint8_t which) const;

    std::span<const std::uint8_t> input_;
    std::size_t at_ = 0;
    Step step_{};
    Frame frame_;
    std::array<Oddity, 4> oddities_{};
    std::size_t odd_ = 0;
    std::array<Step, 4> patches_{};
    std::size_t patched_ = 0;
    static constexpr std::size_t remembered = 8;
    static std::array<Sent, remembered> sent_;  // keeps its memory from script to script
    std::size_t sends_ = 0;
    std::uint16_t identification_ = 100;
};

// Changes a script as a script: whole steps, or what a step says.
std::size_t mutate(std::uint8_t* data, std::size_t size, std::size_t room, std::uint32_t seed);

}  // namespace sallyport::fuzz

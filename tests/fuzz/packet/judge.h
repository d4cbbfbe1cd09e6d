// SPDX-License-Identifier: Apache-2.0
//
// Plays a script on the gateway and judges all that happens: the invariants that every test of packets shares
// (support/invariants.h), and what only this place can know: that both lanes do the same, and to whom an
// external address and port was shown to belong.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "packet/gateway.h"
#include "packet/script.h"
#include "support/invariants.h"

namespace sallyport::fuzz {

struct Tally {
    std::uint64_t scripts = 0, frames = 0;
    std::array<std::uint64_t, DROP_REASONS_MAX> drops{};
    std::uint64_t forwarded = 0, passed = 0, answered = 0, refused = 0;
};

struct Reason {
    std::size_t number;
    const char* label;
    const char* why_not;  // no script leads to it; nullptr: one does
};
const std::vector<Reason>& reasons();

class Judge {
  public:
    Judge();

    // Returns a digest of all that came out. Ends the program, with what led there, if a promise is broken.
    std::uint64_t play(std::span<const std::uint8_t> input);

    [[nodiscard]] const Tally& tally() const { return tally_; }
    void tell_all(bool tell) { tell_ = tell; }

  private:
    // Who was seen to send as this external address and port.
    struct Shown {
        std::uint8_t protocol;
        Ipv4Address external, remote, instance;
        std::uint16_t external_port, remote_port, instance_port;
        // Of the flow: did a packet from outside open it, and by an external endpoint that was configured?
        bool from_outside = false, is_static = false;

        [[nodiscard]] Ends ends() const {
            return {protocol, {instance, instance_port}, {remote, remote_port}};
        }
    };
    // Who has opened a flow from outside by a packet that was refused.
    struct Caller {
        std::uint8_t protocol;
        Endpoint remote, external;
        bool operator==(const Caller&) const = default;
    };

    // Who may have an external endpoint without having been seen to send as it.
    struct Unseen {
        std::uint8_t protocol;
        Ipv4Address instance;
        std::uint16_t port;
    };

    void play_frame(Script& script, std::uint64_t random);
    void compare_worlds(const Run& express, const Run& stages);
    void judge_frame(const Script::Frame& frame, const Run& run);
    void judge_host(const Script::Frame& frame, std::size_t reason);
    void judge_inside(const support::Bytes& frame, std::uint8_t slot, bool relayed);
    void judge_ownership(const Bytes& in, const Bytes& out);
    void judge_sender(Shown& shown, bool hairpin);
    void judge_receiver(const support::Ipv4View& about, Shown& receiver, const Shown* owner, bool error);
    [[nodiscard]] bool groups_admit(const Shown& shown, const Shown* earlier) const;
    [[nodiscard]] bool had_endpoint(const Shown& sender) const;
    [[nodiscard]] bool has_ended(const Shown& shown) const;
    void note_unseen(const Bytes& frame);
    [[nodiscard]] bool is_unseen(const Shown& sender) const;
    [[nodiscard]] bool has_called(const Shown& shown) const;
    void judge_guest(const Shown& guest, bool sends);
    bool has_mapping(const Shown& owner);
    bool has_entry(std::uint8_t protocol, Endpoint external);
    void judge_event(std::uint64_t reported);
    void judge_table();
    void require(bool holds, const char* what);
    void require_none(const support::Faults& faults);
    void tell(const std::string& what);

    Gateway gateway_;
    support::Surroundings surroundings_;
    support::Passage passage_;
    std::vector<Shown> shown_;
    std::vector<Unseen> unseen_;
    std::vector<Caller> callers_;
    std::vector<flow_entry> entries_;
    std::span<const std::uint8_t> input_;
    std::uint64_t digest_ = 0;
    Tally tally_;
    bool tell_ = false;
};

}  // namespace sallyport::fuzz

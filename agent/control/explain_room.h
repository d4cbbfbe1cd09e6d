// SPDX-License-Identifier: Apache-2.0
//
// What all the flows that stand leave for one more: external ports, and what limits allow. Each question goes
// over the whole flow table. A part of explain.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/explain.h"
#include "control/flow_rules.h"

namespace sallyport::control {

struct PortChoice {
    std::optional<LeavingEndpoint> external;  // none: all are in use
    std::string text;
};

class Room {
  public:
    // Neither is owned.
    Room(const LiveState& live, const FlowRules& rules) : live_(live), rules_(rules) {}

    // bpf/lib/ports.h, without claiming anything: what NAT gateway `number` would give, to a mapping or to
    // one flow. A port that rests is not known here and counts as free.
    [[nodiscard]] Result<PortChoice> choose_port(const Question& question, std::uint16_t number,
                                                 std::uint16_t zone, bool mapped) const;

    // What flow_admit() of bpf/lib/flow.h counts, counted here: a flow that has timed out is none, and how
    // fast an instance opens flows is not known. The reason why it may not have one more, or reason_none.
    [[nodiscard]] Result<std::uint32_t> refusal(std::uint16_t number, std::uint16_t zone,
                                                Ipv4Address instance, bool takes_port) const;

  private:
    const LiveState& live_;
    const FlowRules& rules_;
};

}  // namespace sallyport::control

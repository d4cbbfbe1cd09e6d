// SPDX-License-Identifier: Apache-2.0
//
// What must hold for every packet, whatever it is: no private address outside, checksums right if and only if
// they were, one reason for each drop, and so on. An oracle for tests that know what they send and for those
// that do not. Each sentence returned begins with the invariant that is broken, as in "INV-4: …".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/address.h"
#include "support/program_lab.h"
#include "support/wire.h"

namespace sallyport::support {

// The world that packets are judged in.
struct Surroundings {
    std::vector<Ipv4Prefix> private_prefixes;
    std::vector<Ipv4Prefix> untranslated;  // destinations that are to see private addresses (RFC 6888 REQ-6)
    struct Device {
        std::array<std::uint8_t, 6> mac{};
        Role role = Role::inside;
    };
    std::vector<Device> devices;  // by slot

    static Surroundings of_lab(ProgramLab& lab);
    [[nodiscard]] bool is_private(Ipv4Address address) const;
};

// How a packet ended, told by what was counted.
enum class Fate {
    none,       // not received at all
    untouched,  // passed to the host's stack as it came
    passed,     // translated, and passed to the host's stack, which sends it on
    forwarded,
    relayed,  // sent on inside as it is, by no NAT gateway
    dropped,
    refused,   // dropped, and what left is an error or a reset
    answered,  // turned into an answer
    held,      // handed to the agent
};

// One frame's way through one program.
struct Passage {
    Role role = Role::inside;
    std::optional<std::size_t> device;  // slot, where it does not follow from the role
    Bytes in, out;
    int action = -1;
    struct counters before {
    }, after{};

    [[nodiscard]] std::size_t slot() const { return device.value_or(role == Role::outside ? 1 : 0); }
    [[nodiscard]] Fate fate() const;
};

using Faults = std::vector<std::string>;

// received = forwarded + passed + dropped + answered + held, and a reason for each drop (INV-9).
Faults counter_faults(const struct counters& before, const struct counters& after);

// INV-1 to INV-6, INV-9, INV-10. `flows`, if given, are the table's entries after the packet: then the ports
// that an error quotes are looked up there (INV-3).
Faults packet_faults(const Surroundings& surroundings, const Passage& passage,
                     const std::vector<struct flow_entry>* flows = nullptr);

// INV-14: which entries a packet may have touched. Both lists as ProgramLab::entries() gives them.
Faults timer_faults(const Passage& passage, const std::vector<struct flow_entry>& before,
                    const std::vector<struct flow_entry>& after);

// INV-7, INV-8, and the half of INV-11 that a table shows: a mapping counts the flows that use it.
// `now`, in ticks: what is past its timeout owns nothing any more, though it may still stand.
Faults table_faults(const std::vector<struct flow_entry>& entries,
                    std::optional<std::uint32_t> now = std::nullopt);

// Runs frames through a lab and judges each.
class Oracle {
  public:
    explicit Oracle(ProgramLab& lab) : lab_(lab), surroundings_(Surroundings::of_lab(lab)) { restart(); }

    // Forgets the sessions counted so far: after they were cut.
    void restart();
    Outcome run(Role role, const Bytes& frame, Lane lane, Faults& faults);
    // Lets these destinations see private addresses.
    void expect_untranslated(const Ipv4Prefix& prefix) { surroundings_.untranslated.push_back(prefix); }
    // Judges what stands in the table, and that no session came from nowhere (INV-11).
    void look_at_table(Faults& faults);
    // Per packet, the table is compared while it has at most so many entries.
    void watch_up_to(std::size_t entries) { watched_ = entries; }

  private:
    std::optional<std::vector<struct flow_entry>> entries_if_few();

    ProgramLab& lab_;
    Surroundings surroundings_;
    std::size_t watched_ = 512;
    std::size_t unwatched_ = 0;  // so many packets are still to go without a look at the table
    struct counters start_ {};
};

}  // namespace sallyport::support

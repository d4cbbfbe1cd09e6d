// SPDX-License-Identifier: Apache-2.0
//
// The host as the doctor sees it. Implementations: LinuxHost (files, ethtool, netlink) and MemoryHost (a
// fake). Reads only.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/result.h"
#include "netlink/netlink.h"

namespace sallyport::doctor {

// Queues of a device: those in use and those it could have. Combined ones receive and send.
struct Channels {
    std::uint32_t receive = 0;
    std::uint32_t send = 0;
    std::uint32_t combined = 0;
    std::uint32_t most_combined = 0;
    bool operator==(const Channels&) const = default;
};

struct Hardware {
    std::string driver;              // empty where the device names none
    std::set<std::string> features;  // those that are on, in the kernel's names: "rx-lro", "rx-vlan-hw-parse"
    std::optional<Channels> channels;
    std::set<std::string> fixed;  // features that nobody on this host can switch
};

class Host {
  public:
    virtual ~Host() = default;

    virtual std::string kernel_release() = 0;  // as uname -r prints it
    // A file of /proc or /sys, without the newline at its end. An absent file fails with ENOENT.
    virtual Result<std::string> read(const std::string& path) = 0;
    virtual Result<Hardware> hardware(const std::string& device) = 0;
    virtual Result<std::vector<netlink::Link>> links() = 0;
    virtual Result<std::vector<netlink::InterfaceAddress>> addresses() = 0;
    virtual Result<std::vector<netlink::NeighbourEntry>> neighbours() = 0;
    // Chains of nftables that see forwarded IPv4 packets and drop what no rule accepts: "ip filter FORWARD".
    virtual Result<std::vector<std::string>> dropping_forward_chains() = 0;
};

}  // namespace sallyport::doctor

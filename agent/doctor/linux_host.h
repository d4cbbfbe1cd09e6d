// SPDX-License-Identifier: Apache-2.0
//
// The host that the process runs on. Needs no privilege but for the nftables chains (CAP_NET_ADMIN).
#pragma once

#include "doctor/host.h"

namespace sallyport::doctor {

class LinuxHost final : public Host {
  public:
    explicit LinuxHost(netlink::Netlink& netlink) : netlink_(netlink) {}  // must outlive this

    std::string kernel_release() override;
    Result<std::string> read(const std::string& path) override;
    Result<Hardware> hardware(const std::string& device) override;
    Result<std::vector<netlink::Link>> links() override { return netlink_.links(); }
    Result<std::vector<netlink::InterfaceAddress>> addresses() override { return netlink_.addresses(); }
    Result<std::vector<netlink::NeighbourEntry>> neighbours() override { return netlink_.neighbours(); }
    Result<std::vector<std::string>> dropping_forward_chains() override;

  private:
    netlink::Netlink& netlink_;
};

}  // namespace sallyport::doctor

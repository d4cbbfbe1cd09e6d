// SPDX-License-Identifier: Apache-2.0
//
// A host in memory, for tests: what it holds is what the doctor finds. A file that is not in it is absent.
#pragma once

#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "doctor/host.h"

namespace sallyport::doctor {

class MemoryHost final : public Host {
  public:
    std::string release = "6.1.0-18-amd64";
    std::map<std::string, std::string> files;
    std::map<std::string, Hardware> devices;
    std::vector<netlink::Link> link_list;
    std::vector<netlink::InterfaceAddress> address_list;
    std::vector<netlink::NeighbourEntry> neighbour_list;
    std::vector<std::string> chains;

    std::string kernel_release() override { return release; }
    Result<std::string> read(const std::string& path) override {
        const auto file = files.find(path);
        if (file == files.end()) {
            return failure("open " + path + ": No such file or directory", ENOENT);
        }
        return file->second;
    }
    Result<Hardware> hardware(const std::string& device) override {
        const auto found = devices.find(device);
        if (found == devices.end()) {
            return failure("ethtool " + device + ": Operation not supported", EOPNOTSUPP);
        }
        return found->second;
    }
    Result<std::vector<netlink::Link>> links() override { return link_list; }
    Result<std::vector<netlink::InterfaceAddress>> addresses() override { return address_list; }
    Result<std::vector<netlink::NeighbourEntry>> neighbours() override { return neighbour_list; }
    Result<std::vector<std::string>> dropping_forward_chains() override { return chains; }
};

}  // namespace sallyport::doctor

// SPDX-License-Identifier: Apache-2.0
#include "doctor/linux_host.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/file.h"
#include "core/unique_fd.h"
#include "netlink/firewall.h"

namespace sallyport::doctor {
namespace {

// One ethtool request. `data` starts with the command and receives the answer.
Result<void> ethtool(int socket, const std::string& device, void* data, std::string_view doing) {
    ifreq request{};
    if (device.size() >= sizeof(request.ifr_name)) {
        return failure("\"" + device + "\" is too long for a device's name", EINVAL);
    }
    std::memcpy(request.ifr_name, device.data(), device.size());
    request.ifr_data = static_cast<char*>(data);
    if (ioctl(socket, SIOCETHTOOL, &request) < 0) {
        return system_failure(std::string(doing) + " of " + device);
    }
    return {};
}

// Memory for an ethtool structure with `count` items of `item` bytes behind it, aligned for all of them.
class Buffer {
  public:
    Buffer(std::size_t header, std::size_t item, std::size_t count)
        : words_((header + item * count + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t)) {}
    template <typename Header>
    Header& as() {
        return *static_cast<Header*>(static_cast<void*>(words_.data()));
    }

  private:
    std::vector<std::uint64_t> words_;
};

Result<std::uint32_t> feature_count(int socket, const std::string& device) {
    Buffer buffer(sizeof(ethtool_sset_info), sizeof(std::uint32_t), 1);
    auto& info = buffer.as<ethtool_sset_info>();
    info.cmd = ETHTOOL_GSSET_INFO;
    info.sset_mask = 1ULL << ETH_SS_FEATURES;
    if (auto done = ethtool(socket, device, &info, "count the features"); !done) {
        return tl::make_unexpected(done.error());
    }
    std::uint32_t count = 0;
    if (info.sset_mask != 0) {
        std::memcpy(&count, info.data, sizeof(count));
    }
    return count;
}

Result<void> read_features(int socket, const std::string& device, Hardware& hardware) {
    const auto count = feature_count(socket, device);
    if (!count) {
        return tl::make_unexpected(count.error());
    }
    Buffer names(sizeof(ethtool_gstrings), ETH_GSTRING_LEN, *count);
    auto& strings = names.as<ethtool_gstrings>();
    strings.cmd = ETHTOOL_GSTRINGS;
    strings.string_set = ETH_SS_FEATURES;
    strings.len = *count;
    if (auto done = ethtool(socket, device, &strings, "name the features"); !done) {
        return tl::make_unexpected(done.error());
    }
    const std::uint32_t blocks = (*count + 31) / 32;
    Buffer states(sizeof(ethtool_gfeatures), sizeof(ethtool_get_features_block), blocks);
    auto& state = states.as<ethtool_gfeatures>();
    state.cmd = ETHTOOL_GFEATURES;
    state.size = blocks;
    if (auto done = ethtool(socket, device, &state, "read the features"); !done) {
        return tl::make_unexpected(done.error());
    }
    for (std::uint32_t i = 0; i < std::min(*count, strings.len); ++i) {
        const auto& block = state.features[i / 32];
        const std::uint32_t bit = std::uint32_t{1} << i % 32;
        const auto* text = static_cast<const char*>(static_cast<const void*>(strings.data)) +
                           std::size_t{i} * ETH_GSTRING_LEN;
        const std::string name(text, strnlen(text, ETH_GSTRING_LEN));
        if ((block.active & bit) != 0) {
            hardware.features.insert(name);
        }
        if ((block.available & bit) == 0 || (block.never_changed & bit) != 0) {
            hardware.fixed.insert(name);
        }
    }
    return {};
}

}  // namespace

std::string LinuxHost::kernel_release() {
    utsname name{};
    return uname(&name) == 0 ? name.release : "";
}

Result<std::string> LinuxHost::read(const std::string& path) {
    auto text = read_file(path);
    if (text && text->ends_with('\n')) {
        text->pop_back();
    }
    return text;
}

Result<Hardware> LinuxHost::hardware(const std::string& device) {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) {
        return system_failure("open a socket for ethtool");
    }
    Hardware hardware;
    ethtool_drvinfo driver{};
    driver.cmd = ETHTOOL_GDRVINFO;
    if (auto done = ethtool(socket.get(), device, &driver, "read the driver"); done) {
        hardware.driver = std::string(driver.driver, strnlen(driver.driver, sizeof(driver.driver)));
    } else if (done.error().code != EOPNOTSUPP) {
        return tl::make_unexpected(done.error());
    }
    if (auto done = read_features(socket.get(), device, hardware); !done) {
        return tl::make_unexpected(done.error());
    }
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    if (ethtool(socket.get(), device, &channels, "read the channels")) {
        hardware.channels =
            Channels{channels.rx_count, channels.tx_count, channels.combined_count, channels.max_combined};
    }
    return hardware;
}

Result<std::vector<std::string>> LinuxHost::dropping_forward_chains() {
    return netlink::dropping_forward_chains();
}

}  // namespace sallyport::doctor

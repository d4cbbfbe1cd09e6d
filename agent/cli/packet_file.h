// SPDX-License-Identifier: Apache-2.0
//
// A file of packets as tcpdump and Wireshark read it, with times in nanoseconds. libpcap is seen nowhere
// else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sallyport::cli {

class PacketFile {
  public:
    // "-" is standard output. A file is made for its owner alone, or written anew; one that is a symbolic
    // link is refused, as packets are content and root writes them.
    static Result<PacketFile> open(const std::string& path, std::uint16_t snap_length);

    // `time_ns` since 1970; `length` is that of the packet, of which `bytes` are the first ones.
    void write(std::uint64_t time_ns, std::uint32_t length, std::string_view bytes);
    // What was written is in the file when this has succeeded.
    Result<void> flush();

  private:
    struct Handles;
    struct Close {
        void operator()(Handles* handles) const;
    };
    explicit PacketFile(std::unique_ptr<Handles, Close> handles, std::string path)
        : handles_(std::move(handles)), path_(std::move(path)) {}

    std::unique_ptr<Handles, Close> handles_;
    std::string path_;
};

}  // namespace sallyport::cli

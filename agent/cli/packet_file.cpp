// SPDX-License-Identifier: Apache-2.0
#include "cli/packet_file.h"

#include <fcntl.h>
#include <pcap/pcap.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <tuple>
#include <utility>

#include "core/unique_fd.h"

namespace sallyport::cli {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr mode_t for_its_owner = 0600;

Result<UniqueFd> open_fd(const std::string& path) {
    if (path == "-") {
        if (isatty(STDOUT_FILENO) != 0)
            return failure("packets are not written to a terminal; name a file, or let a program read them");
        UniqueFd output(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
        if (!output) return system_failure("use standard output");
        return output;
    }
    UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, for_its_owner));
    if (file) return file;
    const int error = errno;
    if (error == ELOOP) return failure(path + " is a symbolic link; name the file itself", error);
    return system_failure("write " + path, error);
}

}  // namespace

struct PacketFile::Handles {
    pcap_t* form = nullptr;
    pcap_dumper_t* dumper = nullptr;
};

void PacketFile::Close::operator()(Handles* handles) const {
    if (handles->dumper != nullptr) pcap_dump_close(handles->dumper);
    if (handles->form != nullptr) pcap_close(handles->form);
    delete handles;
}

Result<PacketFile> PacketFile::open(const std::string& path, std::uint16_t snap_length) {
    auto file = open_fd(path);
    if (!file) return tl::make_unexpected(file.error());
    std::unique_ptr<Handles, Close> handles(new Handles);
    handles->form = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, snap_length, PCAP_TSTAMP_PRECISION_NANO);
    if (handles->form == nullptr) return failure("no memory for a file of packets");
    std::FILE* stream = fdopen(file->get(), "w");
    if (stream == nullptr) return system_failure("write " + path);
    std::ignore = file->release();
    handles->dumper = pcap_dump_fopen(handles->form, stream);
    if (handles->dumper == nullptr) {
        std::fclose(stream);
        return failure("write " + path + ": " + pcap_geterr(handles->form));
    }
    PacketFile packets(std::move(handles), path);
    if (auto begun = packets.flush(); !begun) return tl::make_unexpected(begun.error());
    return packets;
}

void PacketFile::write(std::uint64_t time_ns, std::uint32_t length, std::string_view bytes) {
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<time_t>(time_ns / second_ns);
    header.ts.tv_usec = static_cast<suseconds_t>(time_ns % second_ns);  // nanoseconds, as the file says
    header.caplen = static_cast<bpf_u_int32>(bytes.size());
    header.len = length;
    pcap_dump(reinterpret_cast<u_char*>(handles_->dumper), &header,
              reinterpret_cast<const u_char*>(bytes.data()));
}

Result<void> PacketFile::flush() {
    if (pcap_dump_flush(handles_->dumper) != 0 || std::ferror(pcap_dump_file(handles_->dumper)) != 0)
        return system_failure("write " + (path_ == "-" ? std::string("standard output") : path_));
    return {};
}

}  // namespace sallyport::cli

// SPDX-License-Identifier: Apache-2.0
#include "dataplane/tcp_resets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <utility>

namespace sallyport::dataplane {
namespace {

// Of the segment and the pseudo header of RFC 9293 section 3.1.
std::uint16_t tcp_checksum(const iphdr& ip, const tcphdr& tcp) {
    struct {
        std::uint32_t source, destination;
        std::uint16_t protocol, length;
        tcphdr segment;
    } const summed{ip.saddr, ip.daddr, htons(IPPROTO_TCP), htons(sizeof tcp), tcp};
    std::array<std::uint16_t, sizeof summed / sizeof(std::uint16_t)> words{};
    std::memcpy(words.data(), &summed, sizeof summed);
    std::uint32_t sum = 0;
    for (const std::uint16_t word : words) sum += word;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

// The device that the instances of a zone are behind; 0, the kernel's choice, if it is not the only one.
std::uint32_t device_of(const std::map<std::uint8_t, DeviceEntry>& devices, std::uint16_t zone) {
    std::uint32_t found = 0;
    for (const auto& [slot, device] : devices) {
        if (device.zone != zone) continue;
        if (found != 0) return 0;
        found = device.ifindex;
    }
    return found;
}

bool send_by(int socket, std::uint32_t device, const Endpoint& destination, const ResetPacket& packet) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = destination.address.to_network();
    iovec part{const_cast<std::uint8_t*>(packet.bytes), sizeof packet.bytes};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof to;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo by{};
    by.ipi_ifindex = static_cast<int>(device);
    std::memcpy(CMSG_DATA(header), &by, sizeof by);
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
           static_cast<ssize_t>(sizeof packet.bytes);
}

}  // namespace

ResetPacket make_reset(const Endpoint& source, const Endpoint& destination, std::uint32_t sequence) {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = sizeof ip / 4;
    ip.tot_len = htons(sizeof(ResetPacket));
    ip.frag_off = htons(IP_DF);
    ip.ttl = 64;
    ip.protocol = IPPROTO_TCP;
    ip.saddr = source.address.to_network();
    ip.daddr = destination.address.to_network();
    tcphdr tcp{};
    tcp.source = htons(source.port);
    tcp.dest = htons(destination.port);
    tcp.seq = htonl(sequence);
    tcp.doff = sizeof tcp / 4;
    tcp.rst = 1;
    tcp.check = tcp_checksum(ip, tcp);
    ResetPacket packet{};
    std::memcpy(packet.bytes, &ip, sizeof ip);
    std::memcpy(packet.bytes + sizeof ip, &tcp, sizeof tcp);
    return packet;
}

Result<TcpResets> TcpResets::open() {
    UniqueFd made(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
    if (!made) return system_failure("open a raw socket for TCP resets");
    return TcpResets(std::move(made));
}

std::uint64_t TcpResets::send(const TcpConnection& connection,
                              const std::map<std::uint8_t, DeviceEntry>& devices) const {
    std::uint64_t sent = 0;
    if (send_by(socket_.get(), device_of(devices, connection.zone), connection.inside,
                make_reset(connection.remote, connection.inside, connection.expected_inside)))
        ++sent;
    if (connection.expected_by_remote &&
        send_by(socket_.get(), 0, connection.remote,
                make_reset(connection.external, connection.remote, *connection.expected_by_remote)))
        ++sent;
    return sent;
}

}  // namespace sallyport::dataplane

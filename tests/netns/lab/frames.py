# SPDX-License-Identifier: Apache-2.0
"""Makes and reads frames fast enough for a hundred thousand a second, which scapy does not."""

import ipaddress
import socket
import struct
from dataclasses import dataclass, field

TCP, UDP, ICMP = 6, 17, 1
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10


def checksum(data: bytes) -> int:
    """The Internet checksum: 0 over data that carries a right one."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _transport_checksum(source: bytes, destination: bytes, protocol: int, segment: bytes) -> int:
    return checksum(source + destination + struct.pack("!BBH", 0, protocol, len(segment)) + segment)


def tcp(source: str, destination: str, source_port: int, destination_port: int, flags: int, *,
        sequence: int = 1, acknowledgement: int = 0, payload: bytes = b"", window: int = 65535) -> bytes:
    """A TCP segment with its checksum, without IP header."""
    segment = struct.pack("!HHIIBBHHH", source_port, destination_port, sequence & 0xFFFFFFFF,
                          acknowledgement & 0xFFFFFFFF, 0x50, flags, window, 0, 0) + payload
    total = _transport_checksum(socket.inet_aton(source), socket.inet_aton(destination), TCP, segment)
    return segment[:16] + struct.pack("!H", total) + segment[18:]


def udp(source: str, destination: str, source_port: int, destination_port: int, payload: bytes = b"") -> bytes:
    segment = struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload
    total = _transport_checksum(socket.inet_aton(source), socket.inet_aton(destination), UDP, segment) or 0xFFFF
    return segment[:6] + struct.pack("!H", total) + segment[8:]


def icmp(kind: int, code: int, rest: int = 0, payload: bytes = b"") -> bytes:
    message = struct.pack("!BBHI", kind, code, 0, rest) + payload
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def echo(identifier: int, sequence: int, payload: bytes = b"sallyport", reply: bool = False) -> bytes:
    return icmp(0 if reply else 8, 0, identifier << 16 | sequence, payload)


def ipv4(source: str, destination: str, protocol: int, payload: bytes, *, ttl: int = 64, identification: int = 1,
         dont_fragment: bool = True, more_fragments: bool = False, offset: int = 0) -> bytes:
    """An IPv4 packet; `offset` is in bytes."""
    fragment = (0x4000 if dont_fragment else 0) | (0x2000 if more_fragments else 0) | offset // 8
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification, fragment, ttl, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ethernet(source: str, destination: str, payload: bytes, kind: int = 0x0800) -> bytes:
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", kind) + payload


def arp(operation: int, sender_mac: str, sender: str, target_mac: str, target: str) -> bytes:
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, mac_bytes(sender_mac),
                       socket.inet_aton(sender), mac_bytes(target_mac), socket.inet_aton(target))


def scan_frames(header: bytes, source: str, destination: str, protocol: int, source_port: int,
                ports: range) -> list[bytes]:
    """Frames to each port: a SYN or an empty datagram. Only ports and checksums differ between them."""
    segment = (tcp(source, destination, source_port, 0, SYN) if protocol == TCP
               else udp(source, destination, source_port, 0))
    front = header + ipv4(source, destination, protocol, segment)[:20] + segment[:2]
    place = 16 if protocol == TCP else 6
    (base,) = struct.unpack("!H", segment[place:place + 2])
    middle, end = segment[4:place], segment[place + 2:]
    frames = []
    for port in ports:
        total = (~base & 0xFFFF) + port
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        if protocol == UDP and total == 0:
            total = 0xFFFF
        frames.append(front + struct.pack("!H", port) + middle + struct.pack("!H", total) + end)
    return frames


@dataclass
class Packet:
    """What a frame held. Fields of a layer that it has not are zero or empty."""

    time: float = 0.0
    outgoing: bool = False
    kind: int = 0
    source_mac: str = ""
    destination_mac: str = ""
    source: str = ""
    destination: str = ""
    protocol: int = 0
    ttl: int = 0
    identification: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    offset: int = 0
    source_port: int = 0
    destination_port: int = 0
    flags: int = 0
    sequence: int = 0
    acknowledgement: int = 0
    icmp_type: int = -1
    icmp_code: int = -1
    icmp_rest: int = 0
    arp_operation: int = 0
    arp_sender: str = ""
    arp_sender_mac: str = ""
    arp_target: str = ""
    payload: bytes = b""  # of the transport layer; of the IP layer in later fragments
    ip: bytes = field(default=b"", repr=False)  # the whole IP packet
    quoted: "Packet | None" = None  # the packet that an ICMP error quotes

    @property
    def identifier(self) -> int:
        """Of an ICMP echo."""
        return self.icmp_rest >> 16

    def checksums_right(self) -> bool:
        """Whether IP and transport checksums are right. Of fragments only the IP header is judged."""
        if checksum(self.ip[:20]) != 0:
            return False
        if self.more_fragments or self.offset:
            return True
        body = self.ip[20:]
        if self.protocol == ICMP:
            return checksum(body) == 0
        if self.protocol == UDP and body[6:8] == b"\0\0":
            return True
        if self.protocol in (TCP, UDP):
            return _transport_checksum(self.ip[12:16], self.ip[16:20], self.protocol, body) == 0
        return True


_ICMP_ERRORS = (3, 4, 5, 11, 12)


def parse(frame: bytes, time: float = 0.0, outgoing: bool = False) -> Packet:
    (kind,) = struct.unpack_from("!H", frame, 12)
    packet = Packet(time=time, outgoing=outgoing, kind=kind, destination_mac=frame[0:6].hex(":"),
                    source_mac=frame[6:12].hex(":"))
    if kind == 0x0800:
        _parse_ipv4(packet, frame[14:])
    elif kind == 0x0806 and len(frame) >= 42:
        packet.arp_operation = struct.unpack_from("!H", frame, 20)[0]
        packet.arp_sender_mac = frame[22:28].hex(":")
        packet.arp_sender = socket.inet_ntoa(frame[28:32])
        packet.arp_target = socket.inet_ntoa(frame[38:42])
    return packet


def _parse_ipv4(packet: Packet, data: bytes) -> None:
    if len(data) < 20:
        return
    size, length = (data[0] & 15) * 4, struct.unpack_from("!H", data, 2)[0]
    packet.ip = data[:length]
    (packet.identification, fragment, packet.ttl, packet.protocol) = struct.unpack_from("!HHBB", data, 4)
    packet.dont_fragment, packet.more_fragments = bool(fragment & 0x4000), bool(fragment & 0x2000)
    packet.offset = (fragment & 0x1FFF) * 8
    packet.source, packet.destination = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    body = packet.ip[size:]
    packet.payload = body
    if packet.offset:
        return
    if packet.protocol == TCP and len(body) >= 8:
        packet.source_port, packet.destination_port, packet.sequence = struct.unpack_from("!HHI", body)
        if len(body) >= 20:
            packet.acknowledgement = struct.unpack_from("!I", body, 8)[0]
            packet.flags = body[13]
            packet.payload = body[(body[12] >> 4) * 4:]
    elif packet.protocol == UDP and len(body) >= 8:
        packet.source_port, packet.destination_port = struct.unpack_from("!HH", body)
        packet.payload = body[8:]
    elif packet.protocol == ICMP and len(body) >= 8:
        packet.icmp_type, packet.icmp_code, packet.icmp_rest = body[0], body[1], struct.unpack_from("!I", body, 4)[0]
        packet.payload = body[8:]
        if packet.icmp_type in _ICMP_ERRORS:
            packet.quoted = Packet()
            _parse_ipv4(packet.quoted, body[8:])


def addresses(prefix: str) -> list[str]:
    return [str(address) for address in ipaddress.ip_network(prefix)]

# SPDX-License-Identifier: Apache-2.0
"""Makes flows by the ten thousand, with every packet looked at on both sides of the gateway.

Neither end is a kernel's: instances and remotes are addresses that nobody owns, so nothing answers behind
the test's back. One process plays both sides.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .capture import Capture, Wire
from .core import LabError, eventually
from .frames import ACK, SYN, TCP, UDP, checksum, ipv4, tcp, udp
from .world import Routed

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Outside:
    """How a flow looks on the outer wire."""

    external: Endpoint
    remote: Endpoint


class _Template:
    """A frame of which only addresses, ports, sequence numbers and the IP identification change.

    The identification numbers the packets of a batch: NAT leaves it alone in packets that are not to be
    fragmented, so it tells which packet came out as what.
    """

    def __init__(self, header: bytes, protocol: int, flags: int = 0):
        zero = "0.0.0.0"
        segment = tcp(zero, zero, 0, 0, flags, sequence=0) if protocol == TCP else udp(zero, zero, 0, 0)
        packet = ipv4(zero, zero, protocol, segment, identification=0)
        self._header, self._protocol = header, protocol
        self._front, self._middle, self._segment = packet[:4], packet[6:10], segment
        self._ip_sum = ~checksum(packet[:10] + b"\0\0" + packet[12:20]) & 0xFFFF
        at = 16 if protocol == TCP else 6
        bare = segment[:at] + b"\0\0" + segment[at + 2:]
        self._sum = (~checksum(bare) & 0xFFFF) + protocol + len(segment)
        self._at = at

    def frame(self, number: int, source: bytes, destination: bytes, source_port: int, destination_port: int,
              sequence: int = 0, acknowledgement: int = 0) -> bytes:
        (a, b), (c, d) = struct.unpack("!HH", source), struct.unpack("!HH", destination)
        addresses = a + b + c + d
        ip_sum = _fold(self._ip_sum + addresses + number)
        total = self._sum + addresses + source_port + destination_port
        if self._protocol == TCP:
            total += (sequence >> 16) + (sequence & 0xFFFF) + (acknowledgement >> 16) + (acknowledgement & 0xFFFF)
            body = struct.pack("!HHII", source_port, destination_port, sequence, acknowledgement)
            body += self._segment[12:16] + struct.pack("!H", _fold(total)) + self._segment[18:]
        else:
            body = struct.pack("!HH", source_port, destination_port) + self._segment[4:6]
            body += struct.pack("!H", _fold(total) or 0xFFFF) + self._segment[8:]
        return (self._header + self._front + struct.pack("!H", number) + self._middle + struct.pack("!H", ip_sum)
                + source + destination + body)


def _fold(total: int) -> int:
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Filler:
    """Opens flows from instances behind lan1 to remotes behind the outer router."""

    batch = 4096

    def __init__(self, world: Routed, instances: Sequence[str], remotes: Sequence[str]):
        self.world = world
        self.instances = instances
        # The gateway's kernel would ask for the instances in vain, the router for the remotes.
        mac = world.h3.mac("eth0")
        world.gateway.ip(*(f"neigh replace {address} lladdr {mac} dev lan1 nud permanent" for address in instances))
        world.isp.ip(*(f"route replace blackhole {address}/32" for address in remotes))
        self._inside = Wire(world.h3, "eth0", world.gateway.mac("lan1"))
        self._outside = Wire(world.isp, "gw0", world.wan_mac)
        self._seen_outside = Capture(world.isp, "gw0", raw=True)
        self._seen_inside = Capture(world.h3, "eth0", raw=True)
        self.outside: dict[tuple[int, Endpoint, Endpoint], Outside] = {}

    def __enter__(self) -> "Filler":
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self._inside, self._outside, self._seen_outside, self._seen_inside):
            part.__exit__()

    def open_tcp(self, flows: Iterable[tuple[Endpoint, Endpoint]], handshake: bool = True) -> None:
        """Opens connections {instance, remote}, with all three segments or with the SYN alone."""
        syn = _Template(self._inside.header, TCP, SYN)
        syn_ack = _Template(self._outside.header, TCP, SYN | ACK)
        ack = _Template(self._inside.header, TCP, ACK)
        for part in _batches(flows, self.batch):
            self._inside.send_many(syn.frame(number, *_raw(*flow), 1000, 0) for number, flow in enumerate(part))
            made = self._collect_outside(TCP, part)
            if not handshake:
                continue
            self._outside.send_many(syn_ack.frame(number, *_raw(flow.remote, flow.external), 5000, 1001)
                                    for number, flow in enumerate(made))
            self._expect_inside(part)
            self._inside.send_many(ack.frame(number, *_raw(*flow), 1001, 5001) for number, flow in enumerate(part))
            self._take(self._seen_outside, len(part), "outside")

    def open_udp(self, flows: Iterable[tuple[Endpoint, Endpoint]]) -> None:
        datagram = _Template(self._inside.header, UDP)
        for part in _batches(flows, self.batch):
            self._inside.send_many(datagram.frame(number, *_raw(*flow)) for number, flow in enumerate(part))
            self._collect_outside(UDP, part)

    def _collect_outside(self, protocol: int, part: list[tuple[Endpoint, Endpoint]]) -> list[Outside]:
        made = []
        for (instance, remote), frame in zip(part, self._take(self._seen_outside, len(part), "outside"), strict=True):
            external = (socket.inet_ntoa(frame[26:30]), int.from_bytes(frame[34:36], "big"))
            seen_remote = (socket.inet_ntoa(frame[30:34]), int.from_bytes(frame[36:38], "big"))
            if seen_remote != remote:
                raise LabError(f"{instance} to {remote} came out addressed to {seen_remote}")
            made.append(Outside(external, remote))
            self.outside[protocol, instance, remote] = made[-1]
        return made

    def _expect_inside(self, part: list[tuple[Endpoint, Endpoint]]) -> None:
        for (instance, remote), frame in zip(part, self._take(self._seen_inside, len(part), "inside"), strict=True):
            arrived = (socket.inet_ntoa(frame[30:34]), int.from_bytes(frame[36:38], "big"))
            if arrived != instance:
                raise LabError(f"the answer of {remote} to {instance} arrived at {arrived}")

    def _take(self, capture: Capture, count: int, where: str) -> list[bytes]:
        """The packets of a batch in the order of their numbers, each exactly once."""
        def transport() -> list[bytes]:
            return [frame for frame in list(capture.frames) if frame[12:14] == b"\x08\x00" and frame[23] in (TCP, UDP)]

        try:
            eventually(lambda: len(capture.frames) >= count and len(transport()) >= count, 10, 0.005)
        except LabError:
            raise LabError(f"{len(transport())} packets {where} instead of {count}") from None
        frames = {int.from_bytes(frame[18:20], "big"): frame for frame in transport()}
        if sorted(frames) != list(range(count)) or len(transport()) != count:
            raise LabError(f"{len(transport())} packets {where}, {len(frames)} different ones, instead of {count}")
        capture.frames.clear()
        return [frames[number] for number in range(count)]

    def try_tcp(self, instance: Endpoint, remote: Endpoint) -> None:
        """Sends a SYN and expects nothing."""
        self._inside.send(_Template(self._inside.header, TCP, SYN).frame(0, *_raw(instance, remote), 1000, 0))

    def try_udp(self, instance: Endpoint, remote: Endpoint) -> None:
        self._inside.send(_Template(self._inside.header, UDP).frame(0, *_raw(instance, remote)))

    def quiet_outside(self) -> bool:
        self._seen_outside.settle()
        return not [frame for frame in self._seen_outside.frames if frame[12:14] == b"\x08\x00"]

    def inside_frames(self) -> list[bytes]:
        """What has come to the instances since the last look."""
        self._seen_inside.settle()
        frames = list(self._seen_inside.frames)
        self._seen_inside.frames.clear()
        return frames


def _raw(source: Endpoint, destination: Endpoint) -> tuple[bytes, bytes, int, int]:
    return socket.inet_aton(source[0]), socket.inet_aton(destination[0]), source[1], destination[1]


def _batches(flows: Iterable[tuple[Endpoint, Endpoint]], size: int) -> Iterable[list[tuple[Endpoint, Endpoint]]]:
    part: list[tuple[Endpoint, Endpoint]] = []
    for flow in flows:
        part.append(flow)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part

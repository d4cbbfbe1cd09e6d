# SPDX-License-Identifier: Apache-2.0
"""A scan from outside, with eyes on both sides of the gateway."""

from collections.abc import Iterable

from .capture import Capture, Wire
from .core import eventually
from .frames import TCP, UDP, Packet, echo, ethernet, ipv4, scan_frames
from .world import Routed


class Scan:
    """Sends from an address outside that no kernel owns; whatever comes back to it is an answer."""

    source = "198.51.100.77"
    source_port = 40321

    def __init__(self, world: Routed):
        self.world = world
        self.sent = 0

    def __enter__(self) -> "Scan":
        # The gateway must know the scanner's hardware address, or its answers could not leave and would not be seen.
        self.world.isp.ip(f"addr add {self.source}/32 dev gw0")
        self.world.isp.silence(self.source)
        self.world.gateway.ip(f"neigh replace {self.source} lladdr {self.world.isp.mac('gw0')} dev wan0 nud permanent")
        self._lost_before = self._lost()
        self._wire = Wire(self.world.isp, "gw0", self.world.wan_mac)
        self._outside = Capture(self.world.isp, "gw0", keep=self._is_answer)
        inside = (("uplink", self.world.switch), ("eth0", self.world.h3))
        self._inside = [Capture(namespace, device, keep=self._is_ours) for device, namespace in inside]
        return self

    def __exit__(self, *_: object) -> None:
        for capture in (self._outside, *self._inside):
            capture.stop()
        self._wire.__exit__()
        self.world.gateway.ip(f"neigh del {self.source} dev wan0")
        self.world.isp.run("nft", "delete", "table", "ip", "lab")
        self.world.isp.ip(f"addr del {self.source}/32 dev gw0")

    def _is_answer(self, packet: Packet) -> bool:
        """Whatever comes out but what the instances send to the web, which goes on meanwhile."""
        return packet.kind == 0x0800 and not packet.destination.startswith("203.0.113.")

    def _is_ours(self, packet: Packet) -> bool:
        return packet.source == self.source or packet.destination == self.source

    def tcp(self, address: str, ports: range) -> None:
        self._send(scan_frames(self._wire.header, self.source, address, TCP, self.source_port, ports))

    def udp(self, address: str, ports: range) -> None:
        self._send(scan_frames(self._wire.header, self.source, address, UDP, self.source_port, ports))

    def ping(self, addresses: Iterable[str]) -> None:
        self._send(self._wire.header + ipv4(self.source, address, 1, echo(77, number & 0xFFFF))
                   for number, address in enumerate(addresses))

    def packet(self, packet: bytes) -> None:
        self._send([ethernet(self._wire.mac, self._wire.gateway_mac, packet)])

    def _send(self, frames: Iterable[bytes]) -> None:
        self.sent += self._wire.send_many(frames)

    def settle(self) -> None:
        lost = self._lost() - self._lost_before - self._wire.refused
        assert lost == 0, f"{lost} frames of the scan were lost before they reached the gateway"
        eventually(self._still, 10, what="the wires are still")

    def _lost(self) -> int:
        return self.world.isp.statistics("gw0")["tx"]["dropped"]

    def _still(self) -> bool:
        counts = [len(capture.packets) for capture in (self._outside, *self._inside)]
        for capture in (self._outside, *self._inside):
            capture.settle()
        return counts == [len(capture.packets) for capture in (self._outside, *self._inside)]

    def answers(self) -> list[Packet]:
        return self._outside.packets

    def seen_inside(self) -> list[Packet]:
        return [packet for capture in self._inside for packet in capture.packets]

    def check_silence(self) -> None:
        answers, inside = self.answers(), self.seen_inside()
        assert not answers, f"{len(answers)} answers to the scan, the first: {answers[0]}"
        assert not inside, f"{len(inside)} packets of the scan reached the inside, the first: {inside[0]}"
